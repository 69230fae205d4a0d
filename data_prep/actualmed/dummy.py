"""The Actualmed collection in the small."""

from pathlib import Path

from data_prep.collections.fixtures import save_image

_TABLE = """patientid,offset,sex,age,finding,survival,temperature,pO2 saturation,view,modality,imagename,artifacts/distortion,notes
ANON196,,,,,,,,PA,X-ray,CR.1.20200313.png,,"Inconclusive, date taken (YYYYMMDD): 20200313"
ANON196,,,,COVID-19,,,,PA,X-ray,CR.1.20200318.png,,", date taken (YYYYMMDD): 20200318"
ANON56,,,,No finding,,,,PA,X-ray,CR.2.png,,"Negative (covid-19 viral infection is excluded), date taken (YYYYMMDD): 20200317"
ANON91,,,,COVID-19,,,,AP,X-ray,DX.3.png,,", date taken (YYYYMMDD): 20200320"
ANON92,,,,No finding,,,,AP,X-ray,DX.gone.png,,"Negative (covid-19 viral infection is excluded)"
"""  # noqa: E501 (lines as upstream writes them)


def write(folder: Path) -> None:
    """Five rows of four patients: one has two images, of two findings; the last image is missing."""
    for name in ("CR.1.20200313.png", "CR.1.20200318.png", "CR.2.png", "DX.3.png"):
        save_image(folder / "images" / name)
    (folder / "metadata.csv").write_text(_TABLE, encoding="utf-8")
