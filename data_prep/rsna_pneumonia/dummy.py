"""RSNA's training set in the small."""

import json
from pathlib import Path

from data_prep.collections.fixtures import save_dicom
from data_prep.rsna_pneumonia.source import BOXES, CLASSES, IMAGES

_CLASSES = """patientId,class
0004cfab,No Lung Opacity / Not Normal
00313ee0,Normal
00322d4d,No Lung Opacity / Not Normal
00436515,Lung Opacity
00436515,Lung Opacity
00704310,Lung Opacity
00a85be6,Normal
00aecb01,Lung Opacity
00c0b293,Normal
"""
_BOXES = """patientId,x,y,width,height,Target
0004cfab,,,,,0
00313ee0,,,,,0
00322d4d,,,,,0
00436515,4.0,10.0,12.0,20.0,1
00436515,36.0,8.0,10.0,24.0,1
00704310,50.0,60.0,20.0,20.0,1
00a85be6,,,,,0
00aecb01,5.0,5.0,5.0,5.0,1
00c0b293,,,,,0
"""
_NIH = {"0004cfab": "00000012_001.png", "00313ee0": "00000012_004.png", "00322d4d": "00000077_000.png"}


def write(folder: Path) -> None:
    """Eight images of which 00436515 has two boxes, 00aecb01 has no file, 00c0b293 is cut off, and two are NIH's 12."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CLASSES).write_text(_CLASSES)
    (folder / BOXES).write_text(_BOXES)
    entries = [{"subset_img_id": name, "img_id": image} for name, image in _NIH.items()]
    (folder / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(entries))
    for name in dict.fromkeys(row.split(",")[0] for row in _CLASSES.splitlines()[1:]):
        file = folder / IMAGES / f"{name}.dcm"
        if name != "00aecb01":
            tags = {"ViewPosition": "PA", "PatientSex": "F", "PatientAge": "051Y", "PixelSpacing": [0.143, 0.143]}
            save_dicom(file, **tags)
        if name == "00c0b293":
            file.write_bytes(file.read_bytes()[:-1000])
