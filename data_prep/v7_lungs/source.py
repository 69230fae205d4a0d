"""V7 Labs' COVID-19 X-ray dataset: manually drawn lungs for two public collections, as polygons in Darwin JSON.

There is one JSON file per image: in `releases/NAME/annotations/` as the darwin tool pulls them, or in
`annotations/NAME/` as the archives of the GitHub repository unpack. It names the image in `images/`. The lungs include
the part behind the heart.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from data_prep.collections.ieee8023_labels import read_age, rejection_reason
from data_prep.example import LUNGS_WITH_HEART, Example, encode_png
from data_prep.kermany.file_names import read_name
from data_prep.options import Options
from data_prep.record import PreparationError, Record, RecordError, SkippedRecord
from data_prep.source import Source
from data_prep.v7_lungs.darwin import describe_image, draw_polygons

FOLDERS = ("releases/*/annotations", "annotations/*", "annotations")
LUNG = "Lung"
LABELS = {  # tag -> label; the first tag in this order that an image has applies
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
LICENSES = {"kermany": "CC BY 4.0", "ieee8023": "as metadata.csv of ieee8023/covid-chestxray-dataset says"}


class V7Lungs(Source[Options]):
    """Frontal radiographs with annotated lungs, with one annotation file per image."""

    name = "v7_lungs"
    description = "V7 Labs COVID-19 X-ray dataset: manually drawn lungs, for radiographs of ieee8023 and Kermany et al."
    homepage = (
        "darwin dataset pull v7-labs/covid-19-chest-x-ray-dataset:all-images (pip install darwin-py), then "
        "--raw_dir=DIR"
    )
    license = "lungs: CC BY 4.0; images: Kermany et al. CC BY 4.0, ieee8023 different for each image"
    size = "about 6,500 images"
    coverage = "the frontal radiographs with drawn lungs among about 6,500 images, 517 of COVID-19"
    citation = """@misc{v7covid,
  title = {COVID-19 X-ray dataset},
  author = {{V7 Labs}},
  howpublished = {https://github.com/v7labs/covid-19-xray-dataset},
  year = {2020},
}"""

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        listings = (sorted(root.glob(f"{folder}/*.json")) for folder in FOLDERS)
        files = next(filter(None, listings), [])
        if not files:
            raise PreparationError(
                f"{root}: no annotation (*.json) in releases/*/annotations, annotations/* or annotations"
            )
        names = set()
        for path in files:
            try:
                annotation = json.loads(path.read_text(encoding="utf-8"))
                image = describe_image(annotation)
                tags = [entry["name"] for entry in annotation["annotations"]]
            except (ValueError, KeyError, TypeError, IndexError):
                yield SkippedRecord(path.relative_to(root).as_posix(), "not a Darwin annotation")
                continue
            name = f"images/{image.name}"
            if name in names:  # two releases were unpacked, one of which contains the other
                continue
            names.add(name)
            reason = _rejection_reason(tags) or ("" if (root / name).is_file() else "no such file")
            if reason:
                yield SkippedRecord(name, reason)
                continue
            label_tags = [tag for tag in LABELS if tag in tags]
            patient = patient_id(image.original, tags)
            yield Record(
                id=name,
                file=root / name,
                label=LABELS[label_tags[0]] if label_tags else "",
                upstream_label=", ".join(label_tags),
                patient_id=patient,
                source=self.name,
                view=_read_view(tags),
                sex=_read_tag(tags, "Sex/"),
                age=read_age(_read_tag(tags, "Age:")),
                license=LICENSES["kermany" if patient.startswith("kermany") else "ieee8023"],
                payload=path,
            )

    def read(self, record: Record, options: Options) -> Example:
        example = super().read(record, options)
        lungs = draw_polygons(json.loads(record.payload.read_text(encoding="utf-8")), LUNG)
        if lungs.shape != (example.height, example.width):
            sizes = f"{lungs.shape[1]} x {lungs.shape[0]} pixels, the image {example.width} x {example.height}"
            raise RecordError(f"its annotation {record.payload.name} has another size: {sizes}")
        return replace(example, mask=encode_png(lungs), mask_kind=LUNGS_WITH_HEART)


def patient_id(original: str, tags: list[str]) -> str:
    """Return the patient with the same identifier as in `kermany` and `covid_chestxray`; "" if unknown.

    Args:
        original: file name of the image in its original collection.
        tags: of the image.
    """
    patient = _read_tag(tags, "PatientID:")
    return f"ieee8023-{patient}" if patient else read_name(Path(original).stem)[1]


def _rejection_reason(tags: list[str]) -> str:
    reason = rejection_reason("CT" if "CT" in tags else "X-ray", _read_view(tags), needs_view=False)
    return reason or ("" if LUNG in tags else "no lungs drawn in it")


def _read_view(tags: list[str]) -> str:
    return _read_tag(tags, "View/").replace("_", " ")


def _read_tag(tags: list[str], prefix: str) -> str:
    return next((tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)), "")


SOURCE = V7Lungs()
