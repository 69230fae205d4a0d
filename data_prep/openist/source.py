"""OpenIST: normal radiographs with lung masks that exclude the heart.

In upstream's repository a mask is beside its image: `Datasets/Chest_x-ray/NAME.jpg` and `NAME@.png`. Copies with
separate folders (`images/NAME.jpg`, `masks/NAME.png`) are also read.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.download.github import list_files
from data_prep.options import Options
from data_prep.record import LUNG_FIELD, PreparationError, Record, SkippedRecord
from data_prep.source import Source

REPOSITORY = "pi-null-mezon/OpenIST"
COMMIT = "0a3fceb1ac58e1848f994ee6ec226c58e55d70b0"
# Folder of upstream's repository, and folders of copies.
COMMON = "Datasets/Chest_x-ray"
IMAGES = "images"
MASKS = "masks"


class OpenIst(Source[Options]):
    """Radiographs with lung masks, one per patient; the patient is named after the image."""

    name = "openist"
    description = "OpenIST: normal radiographs with lung masks"
    homepage = f"https://github.com/{REPOSITORY} (Datasets/Chest_x-ray)"
    license = "not stated; the images are from chestx-ray.com"
    size = "13 MB"
    coverage = "275 normal radiographs, about 500 px wide, each with a lung mask"
    citation = """@misc{openist,
  title = {OpenIST: open source tools for image segmentation and classification},
  author = {pi-null-mezon},
  howpublished = {https://github.com/pi-null-mezon/OpenIST},
  year = {2017},
}"""
    files = list_files(REPOSITORY, COMMIT, Path(__file__).with_name("files.csv"))

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        is_upstream = (root / COMMON).is_dir()
        folder = COMMON if is_upstream else IMAGES
        masks = root / (COMMON if is_upstream else MASKS)
        suffix = "@.png" if is_upstream else ".png"
        images = {path.stem for path in (root / folder).glob("*.jpg")}
        if not images:
            raise PreparationError(f"{root}: no JPEG file in {COMMON} or {IMAGES}")
        for stem in sorted(images | {path.name.removesuffix(suffix) for path in masks.glob(f"*{suffix}")}):
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
                masks={LUNG_FIELD: masks / f"{stem}{suffix}"},
                license="not stated",
            )


SOURCE = OpenIst()
