"""The Figure 1 collection in the small."""

from pathlib import Path

from data_prep.collections.fixtures import save_image

_TABLE = """\
patientid,offset,sex,age,finding,survival,temperature,pO2 saturation,view,modality,artifacts/distortion,notes
COVID-00001,13,M,33,COVID-19,,,58,AP erect,X-ray,,Fever 38° and cough
COVID-00002,,M,50+,COVID-19,,,,AP erect,X-ray,,Its picture is missing
COVID-00003a,8,M,28,,,39.1,90,,X-ray,,
COVID-00003b,8,M,28,,,39.1,90,,X-ray,,Post-intubation
COVID-00004,,F,60,No finding,,,,PA,X-ray,,
COVID-00005,,,,Pneumonia,,,,,X-ray,,
"""


def write(folder: Path) -> None:
    """Six rows of five patients: one patient has two pictures, one has none."""
    for name in ("COVID-00001.jpg", "COVID-00003a.jpg", "COVID-00003b.png", "COVID-00004.png", "COVID-00005.jpg"):
        save_image(folder / "images" / name)
    (folder / "metadata.csv").write_text(_TABLE, encoding="latin-1")  # as upstream's
