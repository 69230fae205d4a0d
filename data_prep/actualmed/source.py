"""The Actualmed collection: radiographs of patients suspected of COVID-19, compiled with Actualmed.

For inconclusive images, `metadata.csv` leaves the finding empty and begins its notes with "Inconclusive".
"""

from pathlib import Path

from data_prep.collections.metadata_csv import MetadataCsvSource
from data_prep.source import RemoteFile

INCONCLUSIVE = "Inconclusive"


class Actualmed(MetadataCsvSource):
    """Radiographs with COVID-19 confirmed, excluded, or inconclusive, which has its own label."""

    name = "actualmed"
    description = "Actualmed COVID-19 chest X-ray dataset (agchung): COVID-19 confirmed, excluded, or inconclusive"
    homepage = "https://github.com/agchung/Actualmed-COVID-chestxray-dataset"
    license = "no license stated; for research purposes only, according to its README"
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
    default_license = "research purposes only"

    def image_path(self, folder: Path, fields: dict[str, str]) -> str:
        return f"images/{fields['imagename']}"

    def patient_id(self, patient: str) -> str:
        return f"actualmed-{patient}"

    def read_finding(self, fields: dict[str, str]) -> str:
        if not fields["finding"] and fields["notes"].startswith(INCONCLUSIVE):
            return INCONCLUSIVE
        return fields["finding"]


SOURCE = Actualmed()
