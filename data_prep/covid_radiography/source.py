"""The COVID-19 Radiography Database: one folder per class with images/NAME.png and masks/NAME.png.

Releases before 2021 have no masks. A mask has 256 x 256 pixels and its image 299 x 299; both show the same square.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.options import Options
from data_prep.record import LUNG_FIELD, PreparationError, Record
from data_prep.source import Source

LABELS = {"covid": "covid19", "normal": "normal", "lungopacity": "opacity", "viralpneumonia": "viral"}


class CovidRadiography(Source[Options]):
    """Radiographs from other collections, with lung masks predicted by a network."""

    name = "covid_radiography"
    description = "COVID-19, normal, lung opacity and viral pneumonia from other collections, with lung masks"
    homepage = "https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database"
    license = "Data files © Original Authors"
    size = "about 0.8 GB"
    coverage = (
        "all 21,165; patients are unknown, and the images come from RSNA, Kermany, ieee8023, Hannover, SIRM and BIMCV: "
        "together with one of these, test images leak into training"
    )
    citation = """@article{chowdhury2020can,
  author = {Chowdhury, Muhammad E. H. and Rahman, Tawsifur and Khandakar, Amith and others},
  title = {Can {AI} Help in Screening Viral and {COVID-19} Pneumonia?},
  journal = {IEEE Access},
  volume = {8},
  pages = {132665--132676},
  year = {2020},
  doi = {10.1109/ACCESS.2020.3010287}
}"""
    kaggle = "tawsifurrahman/covid19-radiography-database"

    def records(self, root: Path, options: Options) -> Iterator[Record]:
        for folder, label in find_classes(root).items():
            images = folder / "images" if (folder / "images").is_dir() else folder
            masks = {mask.name: mask for mask in (folder / "masks").glob("*.png")}
            for file in sorted(images.glob("[!.]*.png"), key=lambda file: (find_number(file.stem), file.name)):
                yield Record(
                    id=file.relative_to(folder.parent).as_posix(),
                    file=file,
                    label=label,
                    upstream_label=folder.name,
                    source=self.name,
                    masks={LUNG_FIELD: masks[file.name]} if file.name in masks else {},
                    license=self.license,
                )


def find_classes(root: Path) -> dict[Path, str]:
    """Return folder -> label of each class, in `root` or one folder below.

    Raises:
        PreparationError: there is no such folder.
    """
    for top in [root, *sorted(root.glob("[!.]*/"))]:
        names = {folder: re.sub("[^a-z]", "", folder.name.lower()) for folder in sorted(top.glob("[!.]*/"))}
        if classes := {folder: LABELS[name] for folder, name in names.items() if name in LABELS}:
            return classes
    raise PreparationError(f"{root}: it has none of the folders COVID, Normal, Lung_Opacity and Viral Pneumonia")


def find_number(name: str) -> int:
    """Return 7 for "COVID-19 (7)", "COVID (7)", "COVID 7" and "COVID-7", as the releases write it; -1 for no number."""
    number = re.search(r"(\d+)\)?$", name)
    return int(number[1]) if number else -1


SOURCE = CovidRadiography()
