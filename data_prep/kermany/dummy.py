"""Kermany's images in the small."""

from pathlib import Path

from data_prep.collections.fixtures import save_image

_NAMES = (
    "train/NORMAL/IM-0115-0001.jpeg",
    "train/NORMAL/NORMAL2-IM-0115-0001.jpeg",
    "train/NORMAL/NORMAL2-IM-0587-0001-0002.jpeg",
    "train/PNEUMONIA/person1_bacteria_1.jpeg",
    "train/PNEUMONIA/person1_bacteria_2.jpeg",
    "train/PNEUMONIA/person478_virus_975.jpeg",
    "train/PNEUMONIA/unknown.jpeg",
    "test/NORMAL/IM-0001-0001.jpeg",
    "test/PNEUMONIA/person1_virus_6.jpeg",
    "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
)


def write(folder: Path) -> None:
    """Ten images of six patients and an unknown one; one more is cut off, and person1 is in train and in test."""
    for name in _NAMES:
        save_image(folder / "chest_xray" / name)
    whole = (folder / "chest_xray" / _NAMES[0]).read_bytes()
    (folder / "chest_xray/val/NORMAL").mkdir()
    (folder / "chest_xray/val/NORMAL/NORMAL2-IM-1427-0001.jpeg").write_bytes(whole[:200])
    (folder / "chest_xray/train/NORMAL/.DS_Store").write_bytes(b"Bud1")
