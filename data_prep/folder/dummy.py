"""Somebody's own folder."""

from pathlib import Path

from data_prep.collections.fixtures import save_dicom, save_image

_NAMES = (
    "COVID-19/p01_a.png",
    "COVID-19/p01_b.jpg",
    "NORMAL/p02_a.tif",
    "NORMAL/2020/march/p03_a.png",
    "Viral Pneumonia/p04_a.jpeg",
    "TB/p05_a.png",
    "Cardiomegaly/nameless.png",
)


def write(folder: Path) -> None:
    """Eight images; one more is truncated, a slice of CT, a lateral view, of no class, and no image."""
    for name in _NAMES:
        save_image(folder / name)
    save_dicom(folder / "TB" / "p06_a.dcm", ViewPosition="PA", PatientAge="045Y")
    save_dicom(folder / "TB" / "p06_slice.dcm", Modality="CT")
    save_dicom(folder / "TB" / "p06_side.dcm", ViewPosition="LL")
    (folder / "NORMAL" / "p07_a.png").write_bytes((folder / _NAMES[0]).read_bytes()[:100])
    save_image(folder / "stray.png")
    (folder / "NORMAL" / "notes.txt").write_text("from the ward")
    (folder / "NORMAL" / ".DS_Store").write_bytes(b"Bud1")
