"""A few of the 502 in the layouts of their collections."""

from pathlib import Path

import numpy as np

from data_prep.collections.fixtures import draw_image, save_image

_CORONAHACK = """,X_ray_image_name,Label,Dataset_type,Label_2_Virus_category,Label_1_Virus_category
29,IM-0147-0001.jpeg,Normal,TRAIN,,
619,NORMAL2-IM-0441-0001.jpeg,Normal,TRAIN,,
2116,person1429_bacteria_3690.jpeg,Pnemonia,TRAIN,,bacteria
2117,person1429_bacteria_3688.jpeg,Pnemonia,TRAIN,,bacteria
1,person1_bacteria_1.jpeg,Pnemonia,TRAIN,,bacteria
"""
_COVID = """patientid,sex,age,finding,view,modality,folder,filename,license
2,M,65,Pneumonia/Viral/COVID-19,PA,X-ray,images,auntminnie-a-2020_01_28_23_51_6665_2020_01_28_Vietnam_coronavirus.jpg,
4,F,52,Pneumonia/Viral/COVID-19,PA,X-ray,images,nejmc2001573_f1a.jpeg,
4,F,52,Pneumonia/Viral/COVID-19,PA,X-ray,images,nejmc2001573_f1b.jpeg,
7,M,29,Pneumonia/Viral/SARS,PA,X-ray,images,SARS-10.1148rg.242035193-g04mr34g04a-Fig4a-day7.jpeg,
29,M,65,Pneumonia/Bacterial/Streptococcus,PA,X-ray,images,streptococcus-pneumoniae-pneumonia-1.jpg,
38,F,61,No Finding,PA,X-ray,images,F051E018-DAD1-4506-AD43-BE4CA29E960B.jpeg,
999,F,61,Pneumonia/Viral/COVID-19,PA,X-ray,images,later.jpg,
"""


def write(folder: Path) -> None:
    """Thirteen of the 502 and two that are none of them.

    nejmc2001573_f1b has no file, a suffix is not that of the list, and F051E018 is in one of the two collections that
    may have it.
    """
    (folder / "JSRT").mkdir(parents=True)
    exposure = np.repeat(np.repeat(draw_image("JPCNN015", (128, 128)), 16, axis=0), 16, axis=1)
    (folder / "JSRT" / "JPCNN015.IMG").write_bytes((exposure.astype(">u2") * 16).tobytes())
    for name in ("MCUCXR_0001_0", "MCUCXR_0002_0", "MCUCXR_0104_1", "MCUCXR_0108_1"):
        save_image(folder / "MontgomerySet" / "CXR_png" / f"{name}.png")
    for row in _CORONAHACK.splitlines()[1:]:
        save_image(folder / "coronahack" / "Coronahack-Chest-XRay-Dataset" / "train" / row.split(",")[1])
    (folder / "coronahack" / "Chest_xray_Corona_Metadata.csv").write_text(_CORONAHACK)
    for row in _COVID.splitlines()[1:]:
        if "f1b" not in row:
            save_image(folder / "covid-chestxray-dataset" / "images" / row.split(",")[-2])
    (folder / "covid-chestxray-dataset" / "metadata.csv").write_text(_COVID)
