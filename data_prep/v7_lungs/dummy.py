"""V7 Labs' COVID-19 X-ray dataset in the small."""

import json
from pathlib import Path
from typing import Any

from data_prep.collections.fixtures import SHAPE, save_image

_HEIGHT, _WIDTH = SHAPE
_RIGHT = [{"x": 5, "y": 10}, {"x": 24, "y": 10}, {"x": 24, "y": 49}, {"x": 5, "y": 49}]  # 20 x 40 pixels
_LEFT = [{"x": 30.2, "y": 10}, {"x": 48.7, "y": 10}, {"x": 48.7, "y": 48.6}, {"x": 30.2, "y": 48.6}]  # likewise
_HOLE = [{"x": 35, "y": 20}, {"x": 39, "y": 20}, {"x": 39, "y": 24}, {"x": 35, "y": 24}]
_LUNGS = [
    {"name": "Lung", "polygon": {"path": _RIGHT}},
    {"name": "Lung", "polygon": {"path": _LEFT}},
    {"name": "Ignore", "polygon": {"path": _HOLE}},
]
_COVID = ("X-ray", "Viral Pneumonia", "COVID-19", "PatientID:263")


def write(folder: Path) -> None:
    """Nine annotations: four good ones, of both versions; a CT slice, a lateral view, and other traps."""
    covid = "0a7faa2a.jpg"
    _write(folder, 1, covid, _LUNGS, (*_COVID, "View/AP_Supine", "Sex/M", "Age:55"))
    _write(folder, 2, "person1946_bacteria_4874.jpeg", _LUNGS, ("Bacterial Pneumonia",))
    holed = [{"name": "Lung", "complex_polygon": {"path": [_LEFT, _HOLE]}}]
    _write(folder, 3, "NORMAL2-IM-1440-0001.jpeg", holed, ("No Pneumonia (healthy)",))
    _write(folder, 4, covid, [], (*_COVID, "CT", "View/Axial"))
    _write(folder, 5, covid, [], (*_COVID, "View/Lateral"))
    _write(folder, 6, covid, [], (*_COVID, "View/PA"))
    _write(folder, 7, covid, _LUNGS, (*_COVID, "View/PA"), width=_WIDTH + 1)
    _write(folder, 8, "person8_virus_27.jpeg", _LUNGS, ("Viral Pneumonia",))
    (folder / "images/00000008.jpeg").unlink()
    _write_version_2(folder, 9, "person9_virus_30.jpeg")
    (_place(folder) / "10.json").write_text("{")


def _place(folder: Path) -> Path:
    place = folder / "releases/all-images/annotations"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _write(folder: Path, number: int, original: str, drawn: list[Any], tags: tuple[str, ...], width: int = _WIDTH):
    name = f"{number:08d}{Path(original).suffix}"
    image = {"seq": number, "width": width, "height": _HEIGHT, "filename": name, "original_filename": original}
    annotations = [*drawn, *({"name": tag, "tag": {}} for tag in tags)]
    save_image(folder / "images" / name)
    (_place(folder) / f"{number}.json").write_text(json.dumps({"image": image, "annotations": annotations}))


def _write_version_2(folder: Path, number: int, original: str) -> None:
    name = f"{number:08d}.jpeg"
    slot = {"width": _WIDTH, "height": _HEIGHT, "source_files": [{"file_name": original}]}
    annotations = [{"name": "Lung", "polygon": {"paths": [_RIGHT]}}, {"name": "Viral Pneumonia", "tag": {}}]
    item = {"name": name, "path": "/", "slots": [slot]}
    save_image(folder / "images" / name)
    (_place(folder) / f"{number}.json").write_text(
        json.dumps({"version": "2.0", "item": item, "annotations": annotations})
    )
