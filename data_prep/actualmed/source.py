"""The Actualmed collection: radiographs of patients suspected of COVID-19, compiled with Actualmed.

`metadata.csv` leaves the finding empty where it was inconclusive, and says so at the beginning of its notes.
"""

from pathlib import Path

from data_prep.collections.metadata_csv import MetadataCsvSource
from data_prep.source import RemoteFile

INCONCLUSIVE = "Inconclusive"


class Actualmed(MetadataCsvSource):
    """What was inconclusive is a label of its own."""

    name = "actualmed"
    description = "Actualmed COVID-19 chest X-ray dataset (agchung): COVID-19 confirmed, excluded, or inconclusive"
    homepage = "https://github.com/agchung/Actualmed-COVID-chestxray-dataset"
    license = "no licence stated; for research purposes only, says its README"
    size = "238 PNG files"
    coverage = "238 radiographs of 215 patients: 58 COVID-19, 127 no finding, 53 inconclusive (a label of their own)"
    citation = """@misc{actualmedcovid,
  title = {Actualmed COVID-19 Chest X-ray Dataset Initiative},
  author = {Audrey G. Chung},
  howpublished = {https://github.com/agchung/Actualmed-COVID-chestxray-dataset},
  year = {2020},
}"""
    files = (RemoteFile(f"{homepage}/archive/27240dd8dec9454bc97f9f3c0c432ef434de2517.zip", "", "."),)

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
