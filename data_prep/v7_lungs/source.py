"""V7 Labs' COVID-19 X-ray dataset: lungs drawn by hand over two public collections, as polygons in Darwin JSON.

A JSON file an image: of `releases/NAME/annotations/` as the darwin tool pulls them, or of `annotations/NAME/` as the
archives of the GitHub repository unpack. It names the picture in `images/`. Lungs are drawn with the part behind the
heart.
"""

import json
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from data_prep.collections.ieee8023_labels import read_age, rejection_reason
from data_prep.example import LUNGS, Example, encode_png
from data_prep.kermany.file_names import read_name
from data_prep.record import PreparationError, Record, RecordError, SkippedRecord
from data_prep.source import Source
from data_prep.v7_lungs.darwin import describe_image, draw_polygons

FOLDERS = ("releases/*/annotations", "annotations/*", "annotations")
LUNG = "Lung"
LABELS = {  # a tag -> the label; the first that an image has holds
    "COVID-19": "covid19",
    "Tuberculosis": "tuberculosis",
    "Viral Pneumonia": "viral",
    "Bacterial Pneumonia": "bacterial",
    "Fungal Pneumonia": "fungal",
    "Lipoid pneumonia": "lipoid",
    "Undefined Pneumonia": "pneumonia",
    "Pneumonia": "pneumonia",
    "No Pneumonia (healthy)": "normal",
    "No Finding": "normal",
}
LICENCES = {"kermany": "CC BY 4.0", "ieee8023": "as metadata.csv of ieee8023/covid-chestxray-dataset says"}


class V7Lungs(Source):
    """An annotation file an image; taken are frontal radiographs in which lungs are drawn."""

    name = "v7_lungs"
    description = "V7 Labs COVID-19 X-ray dataset: lungs drawn by hand, over radiographs of ieee8023 and Kermany et al."
    homepage = (
        "darwin dataset pull v7-labs/covid-19-chest-x-ray-dataset:all-images (pip install darwin-py), then --from=DIR"
    )
    license = "lungs: CC BY 4.0; images: Kermany et al. CC BY 4.0, ieee8023 an image's own"
    size = "about 6,500 images"
    coverage = "about 6,500 images, 517 of COVID-19; those in which lungs are drawn (no CT, no lateral view)"
    citation = """@misc{v7covid,
  title = {COVID-19 X-ray dataset},
  author = {{V7 Labs}},
  howpublished = {https://github.com/v7labs/covid-19-xray-dataset},
  year = {2020},
}"""

    def rows(self, root: Path, options: Namespace) -> Iterator[Record | SkippedRecord]:
        files = next((found for folder in FOLDERS if (found := sorted(root.glob(f"{folder}/*.json")))), [])
        if not files:
            raise PreparationError(
                f"{root}: no annotation (*.json) in releases/*/annotations, annotations/* or annotations"
            )
        seen = set()
        for path in files:
            try:
                annotation = json.loads(path.read_text(encoding="utf-8"))
                image = describe_image(annotation)
                tags = [entry["name"] for entry in annotation["annotations"]]
            except (ValueError, KeyError, TypeError, IndexError):
                yield SkippedRecord(path.relative_to(root).as_posix(), "not a Darwin annotation")
                continue
            name = f"images/{image.name}"
            if name in seen:  # two releases were unpacked, one a part of the other
                continue
            seen.add(name)
            reason = _refuse(tags) or ("" if (root / name).is_file() else "no such file")
            if reason:
                yield SkippedRecord(name, reason)
                continue
            found = [tag for tag in LABELS if tag in tags]
            patient = name_patient(image.original, tags)
            yield Record(
                id=name,
                file=root / name,
                label=LABELS[found[0]] if found else "",
                upstream_label=", ".join(found),
                patient_id=patient,
                source=self.name,
                view=_tell_view(tags),
                sex=_tell(tags, "Sex/"),
                age=read_age(_tell(tags, "Age:")),
                licence=LICENCES["kermany" if patient.startswith("kermany") else "ieee8023"],
                payload=path,
            )

    def read(self, row: Record, options: Namespace) -> Example:
        example = super().read(row, options)
        lungs = draw_polygons(json.loads(row.payload.read_text(encoding="utf-8")), LUNG)
        if lungs.shape != (example.height, example.width):
            sizes = f"{lungs.shape[1]} x {lungs.shape[0]} pixels, the image {example.width} x {example.height}"
            raise RecordError(f"its annotation {row.payload.name} is of another size: {sizes}")
        return replace(example, mask=encode_png(lungs), mask_kind=LUNGS)


def name_patient(original: str, tags: list[str]) -> str:
    """The patient as the sources `kermany` and `covid_chestxray` name it; "" if untold.

    Args:
        original: the image's file name in the collection it comes from.
        tags: of the image.
    """
    patient = _tell(tags, "PatientID:")
    return f"ieee8023-{patient}" if patient else read_name(Path(original).stem)[1]


def _refuse(tags: list[str]) -> str:
    reason = rejection_reason("CT" if "CT" in tags else "X-ray", _tell_view(tags), needs_view=False)
    return reason or ("" if LUNG in tags else "no lungs drawn in it")


def _tell_view(tags: list[str]) -> str:
    return _tell(tags, "View/").replace("_", " ")


def _tell(tags: list[str], what: str) -> str:
    return next((tag.removeprefix(what) for tag in tags if tag.startswith(what)), "")


SOURCE = V7Lungs()
