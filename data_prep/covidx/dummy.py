"""The parts of COVIDx in the small, and COVID-Net's lists."""

from pathlib import Path

import numpy as np

from data_prep.collections.fixtures import draw_image, save_image
from data_prep.covid_radiography import dummy as covid_radiography
from data_prep.rsna_pneumonia import dummy as rsna_pneumonia

_IEEE8023 = """patientid,finding,view,modality,folder,filename,url
191,Pneumonia/Viral/COVID-19,PA,X-ray,images,67d668e5-0015.jpg,https://radiopaedia.org/1
191,Pneumonia/Viral/COVID-19,PA,X-ray,images,67d668e5-05be.jpg,https://radiopaedia.org/1
300,Pneumonia/Viral/COVID-19,AP,X-ray,images,sirm-13.jpg,https://www.sirm.org/2020/03/08/covid-19-caso-13/
301,Pneumonia/Viral/COVID-19,AP,X-ray,images,paper.jpg,https://example.org/a-paper
302,Pneumonia/Viral/COVID-19,Axial,CT,images,slice.jpg,https://example.org/a-paper
8,Pneumonia/Viral/SARS,PA,X-ray,images,sars.jpg,https://example.org/sars
29,Pneumonia/Bacterial/Streptococcus,PA,X-ray,images,streptococcus.jpg,https://example.org/other
28,Pneumonia/Fungal/Pneumocystis,PA,X-ray,images,fungus.jpg,https://example.org/other
"""
_FIGURE1 = """patientid,finding,view,modality
COVID-00024,COVID-19,,X-ray
COVID-00001,COVID-19,PA,X-ray
COVID-00002,Pneumonia,PA,X-ray
COVID-00003,COVID-19,PA,X-ray
"""
_ACTUALMED = """patientid,finding,view,modality,imagename,notes
ANON24,COVID-19,AP,X-ray,CR.1.1.jpg,
ANON1,COVID-19,AP,X-ray,CR.1.2.jpg,
ANON2,No finding,AP,X-ray,CR.1.3.jpg,
"""
_URLS = {
    "COVID-1": "https://example.org/a-paper",
    "COVID-2": "https://sirm.org/category/covid-19/",
    "COVID-3": "https://github.com/ieee8023/covid-chestxray-dataset",
    "COVID-70": "https://eurorad.org/case/16660",
    "COVID-100": "https://eurorad.org/case/16663",
}


def write(folder: Path) -> None:
    """Five parts; patient 191 and COVID-00024 are test patients, and COVID-00003 has no file."""
    ieee8023 = folder / "covid-chestxray-dataset"
    for row in _IEEE8023.splitlines()[1:]:
        save_image(ieee8023 / "images" / row.split(",")[5])
    (ieee8023 / "metadata.csv").write_text(_IEEE8023)
    figure1 = folder / "Figure1-COVID-chestxray-dataset"
    for name in ("COVID-00024", "COVID-00001", "COVID-00002"):
        save_image(figure1 / "images" / f"{name}.jpg")
    (figure1 / "metadata.csv").write_text(_FIGURE1)
    actualmed = folder / "Actualmed-COVID-chestxray-dataset"
    for row in _ACTUALMED.splitlines()[1:]:
        save_image(actualmed / "images" / row.split(",")[4])
    (actualmed / "metadata.csv").write_text(_ACTUALMED)
    database = folder / "COVID-19_Radiography_Dataset"
    covid_radiography.write(folder)
    for name in _URLS:
        save_image(database / "COVID" / "images" / f"{name}.png", draw_image(name, (299, 299)))
    rows = [(name, "PNG", "256*256", url) for name, url in _URLS.items()]
    covid_radiography.write_xlsx(database / "COVID.metadata.xlsx", [("FILE NAME", "FORMAT", "SIZE", "URL"), *rows])
    rsna_pneumonia.write(folder / "rsna-pneumonia-detection-challenge")
    (folder / "COVID-Net").mkdir()
    np.save(folder / "COVID-Net" / "rsna_test_patients_normal.npy", np.array(["00a85be6"]))
    np.save(folder / "COVID-Net" / "rsna_test_patients_pneumonia.npy", np.array(["00704310"]))
