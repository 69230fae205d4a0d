"""CoronaHack in the small."""

from pathlib import Path

from data_prep.collections.fixtures import save_image

_TABLE = """,X_ray_image_name,Label,Dataset_type,Label_2_Virus_category,Label_1_Virus_category
0,IM-0128-0001.jpeg,Normal,TRAIN,,
1,person1_bacteria_1.jpeg,Pnemonia,TRAIN,,bacteria
2,person1_bacteria_2.jpeg,Pnemonia,TRAIN,,bacteria
3,person8_virus_27.jpeg,Pnemonia,TRAIN,,Virus
4,nejmc2001573_f1a.jpeg,Pnemonia,TRAIN,COVID-19,Virus
5,SARS-10.1148rg.242035193.jpeg,Pnemonia,TRAIN,SARS,Virus
6,ARDSSevere.png,Pnemonia,TRAIN,ARDS,Stress-Smoking
7,person9_bacteria_39.jpeg,Pnemonia,TRAIN,Streptococcus,bacteria
8,gone.jpeg,Pnemonia,TRAIN,,Virus
9,IM-0001-0001.jpeg,Normal,TEST,,
10,IM-0003-0001.jpeg,,TEST,,
"""


def write(folder: Path) -> None:
    """Eleven rows: one without a file and one without a finding."""
    images = folder / "Coronahack-Chest-XRay-Dataset" / "Coronahack-Chest-XRay-Dataset"
    for row in _TABLE.splitlines()[1:]:
        _, name, _, part, *_ = row.split(",")
        if name != "gone.jpeg":
            save_image(images / part.lower() / name)
    (folder / "Chest_xray_Corona_Metadata.csv").write_text(_TABLE)
