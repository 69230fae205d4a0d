"""The Figure 1 collection: radiographs, mostly of COVID-19, that physicians sent in, many pictured off a screen.

`metadata.csv` names no file: the picture of PATIENTID is `images/PATIENTID.jpg` or `.png`, found by its own row or not
at all. Letters after the number are pictures of one patient.
"""

from pathlib import Path
from string import ascii_lowercase

from data_prep.collections.metadata_csv import MetadataCsvSource
from data_prep.download.github import list_files

REPOSITORY, COMMIT = "agchung/Figure1-COVID-chestxray-dataset", "95bb569e55f4110d3b734c0f355340e04e16989a"
SUFFIXES = (".jpg", ".png", ".jpeg")


class Figure1(MetadataCsvSource):
    """Most rows state no view and some no finding; their pictures are taken, these without a label."""

    name = "figure1"
    description = "Figure 1 COVID-19 chest X-ray dataset (agchung): pictures that physicians sent in"
    homepage = f"https://github.com/{REPOSITORY}"
    license = "no licence stated; for research purposes only, says its README"
    size = "15 MB"
    coverage = "55 radiographs, 15 of them without a finding (unlabelled here); most state no view, none a lateral one"
    citation = """@misc{figure1covid,
  title = {Figure 1 COVID-19 Chest X-ray Dataset Initiative},
  author = {Audrey G. Chung},
  howpublished = {https://github.com/agchung/Figure1-COVID-chestxray-dataset},
  year = {2020},
}"""
    files = list_files(REPOSITORY, COMMIT, Path(__file__).with_name("files.csv"))

    needs_view = needs_finding = False
    licence = "research purposes only"

    def name_image(self, folder: Path, fields: dict[str, str]) -> str:
        names = [f"images/{fields['patientid']}{suffix}" for suffix in SUFFIXES]
        return next((name for name in names if (folder / name).is_file()), names[0])

    def name_patient(self, patient: str) -> str:
        return f"figure1-{patient.rstrip(ascii_lowercase)}"


SOURCE = Figure1()
