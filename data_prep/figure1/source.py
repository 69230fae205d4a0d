"""The Figure 1 collection: radiographs, mostly of COVID-19, that physicians submitted, many photographed off a screen.

`metadata.csv` has no file names: the image of PATIENTID is `images/PATIENTID.jpg` or `.png`. Letters after the number
distinguish the images of one patient.
"""

from pathlib import Path
from string import ascii_lowercase

from data_prep.collections.metadata_csv import MetadataCsvSource
from data_prep.download.github import list_files

REPOSITORY = "agchung/Figure1-COVID-chestxray-dataset"
COMMIT = "95bb569e55f4110d3b734c0f355340e04e16989a"
SUFFIXES = (".jpg", ".png", ".jpeg")


class Figure1(MetadataCsvSource):
    """Radiographs, most without a stated view and some without a finding, which have no label here."""

    name = "figure1"
    description = "Figure 1 COVID-19 chest X-ray dataset (agchung): images that physicians submitted"
    homepage = f"https://github.com/{REPOSITORY}"
    license = "no license stated; for research purposes only, according to its README"
    size = "15 MB"
    coverage = "55 radiographs, 15 of them without a finding (unlabeled here); most state no view, none a lateral one"
    citation = """@misc{figure1covid,
  title = {Figure 1 COVID-19 Chest X-ray Dataset Initiative},
  author = {Audrey G. Chung},
  howpublished = {https://github.com/agchung/Figure1-COVID-chestxray-dataset},
  year = {2020},
}"""
    files = list_files(REPOSITORY, COMMIT, Path(__file__).with_name("files.csv"))

    needs_view = False
    needs_finding = False
    default_license = "research purposes only"

    def image_path(self, folder: Path, fields: dict[str, str]) -> str:
        paths = [f"images/{fields['patientid']}{suffix}" for suffix in SUFFIXES]
        return next((path for path in paths if (folder / path).is_file()), paths[0])

    def patient_id(self, patient: str) -> str:
        return f"figure1-{patient.rstrip(ascii_lowercase)}"


SOURCE = Figure1()
