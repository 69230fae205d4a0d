"""The Actualmed collection: radiographs of patients suspected of COVID-19, compiled with Actualmed.

`metadata.csv` leaves the finding empty where it was inconclusive, and says so at the beginning of its notes.
"""

from pathlib import Path

from data_prep.source import File
from data_prep.upstream.catalogue import Catalogue

INCONCLUSIVE = "Inconclusive"


class Actualmed(Catalogue):
    """What was inconclusive is a label of its own."""

    name = "actualmed"
    about = "Actualmed COVID-19 chest X-ray dataset (agchung): COVID-19 confirmed, excluded, or inconclusive"
    where = "https://github.com/agchung/Actualmed-COVID-chestxray-dataset"
    terms = "no licence stated; for research purposes only, says its README"
    size = "238 PNG files"
    usable = "238 radiographs of 215 patients: 58 COVID-19, 127 no finding, 53 inconclusive (a label of their own)"
    citation = """@misc{actualmedcovid,
  title = {Actualmed COVID-19 Chest X-ray Dataset Initiative},
  author = {Audrey G. Chung},
  howpublished = {https://github.com/agchung/Actualmed-COVID-chestxray-dataset},
  year = {2020},
}"""
    files = (File(f"{where}/archive/27240dd8dec9454bc97f9f3c0c432ef434de2517.zip", "", "."),)

    columns = ("imagename", "notes")
    licence = "research purposes only"

    def name_image(self, folder: Path, fields: dict[str, str]) -> str:
        return f"images/{fields['imagename']}"

    def name_patient(self, patient: str) -> str:
        return f"actualmed-{patient}"

    def tell_finding(self, fields: dict[str, str]) -> str:
        if not fields["finding"] and fields["notes"].startswith(INCONCLUSIVE):
            return INCONCLUSIVE
        return fields["finding"]


SOURCE = Actualmed()
