"""OpenIST: normal radiographs with lung masks that leave the heart out.

In upstream's repository a mask lies beside its picture: `Datasets/Chest_x-ray/NAME.jpg` and `NAME@.png`. Copies that
keep them apart (`images/NAME.jpg`, `masks/NAME.png`) are read as well.
"""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from data_prep.download.github import list_files
from data_prep.record import LUNG_FIELD, PreparationError, Record, SkippedRecord
from data_prep.source import Source

REPOSITORY, COMMIT = "pi-null-mezon/OpenIST", "0a3fceb1ac58e1848f994ee6ec226c58e55d70b0"
TOGETHER, IMAGES, MASKS = "Datasets/Chest_x-ray", "images", "masks"


class OpenIst(Source):
    """A picture a patient, who is named by the picture."""

    name = "openist"
    description = "OpenIST: normal radiographs with lung masks"
    homepage = f"https://github.com/{REPOSITORY} (Datasets/Chest_x-ray)"
    license = "not stated; the pictures come from chestx-ray.com"
    size = "13 MB"
    coverage = "275 normal radiographs, about 500 px wide, each with a lung mask"
    citation = """@misc{openist,
  title = {OpenIST: open source tools for image segmentation and classification},
  author = {pi-null-mezon},
  howpublished = {https://github.com/pi-null-mezon/OpenIST},
  year = {2017},
}"""
    files = list_files(REPOSITORY, COMMIT, Path(__file__).with_name("files.csv"))

    def rows(self, root: Path, options: Namespace) -> Iterator[Record | SkippedRecord]:
        together = (root / TOGETHER).is_dir()
        folder = TOGETHER if together else IMAGES
        masks = root / (TOGETHER if together else MASKS)
        ending = "@.png" if together else ".png"
        images = {path.stem for path in (root / folder).glob("*.jpg")}
        if not images:
            raise PreparationError(f"{root}: no JPEG file in {TOGETHER} or {IMAGES}")
        for stem in sorted(images | {path.name.removesuffix(ending) for path in masks.glob(f"*{ending}")}):
            name = f"{folder}/{stem}.jpg"
            if stem not in images:
                yield SkippedRecord(name, "no such file")
                continue
            yield Record(
                id=name,
                file=root / name,
                label="normal",
                upstream_label="normal",
                patient_id=f"openist-{stem}",
                source=self.name,
                masks={LUNG_FIELD: masks / f"{stem}{ending}"},
                licence="not stated",
            )


SOURCE = OpenIst()
