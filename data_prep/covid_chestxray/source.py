"""The COVID-19 image data collection: radiographs and CT slices from papers and hospitals.

The newest `metadata.csv` writes a finding as a path, older ones as words; both are read. Lung masks are those of V7
Labs, `lung_masks_v7/STEM.png`, which include the part of the lungs behind the heart; otherwise upstream's own,
`annotations/lungVAE-masks/STEM_mask.png`, which a network predicted.
"""

from pathlib import Path

from data_prep.collections.metadata_csv import MetadataCsvSource
from data_prep.record import LUNG_FIELD
from data_prep.source import RemoteFile


class CovidChestXray(MetadataCsvSource):
    """The frontal radiographs whose view and finding are stated."""

    name = "covid_chestxray"
    description = "COVID-19 image data collection (ieee8023): COVID-19 and other pneumonias, from papers and hospitals"
    homepage = "https://github.com/ieee8023/covid-chestxray-dataset"
    license = "different for each image, see metadata.csv: nearly half CC BY-NC-SA, a third not stated"
    size = "about 0.6 GB"
    coverage = "the frontal radiographs with a finding among about 950 images (no CT, lateral or unstated view)"
    citation = """@article{cohen2020covid,
  title = {COVID-19 Image Data Collection: Prospective Predictions Are the Future},
  author = {Joseph Paul Cohen and Paul Morrison and Lan Dao and Karsten Roth and Tim Q Duong and Marzyeh Ghassemi},
  journal = {arXiv:2006.11988},
  year = {2020},
}"""
    files = (RemoteFile(f"{homepage}/archive/refs/heads/master.zip", "", "."),)

    columns = ("folder", "filename")

    def image_path(self, folder: Path, fields: dict[str, str]) -> str:
        return f"{fields['folder']}/{fields['filename']}"

    def patient_id(self, patient: str) -> str:
        return f"ieee8023-{patient}"  # letters ("311a", "311b") distinguish patients of one paper

    def find_masks(self, folder: Path, name: str) -> dict[str, Path]:
        stem = Path(name).stem
        masks = (folder / f"lung_masks_v7/{stem}.png", folder / f"annotations/lungVAE-masks/{stem}_mask.png")
        return next(({LUNG_FIELD: path} for path in masks if path.is_file()), {})


SOURCE = CovidChestXray()
