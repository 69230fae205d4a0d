"""The Montgomery County set in the small."""

from pathlib import Path

from data_prep.collections.fixtures import draw_lung_mask, save_image

_READINGS = {
    "MCUCXR_0001_0": "Patient's Sex: F \nPatient's Age: 027Y\nnormal\n",
    "MCUCXR_0002_0": "Patient's Sex: M \nPatient's Age: 040Y\nnormal\n",
    "MCUCXR_0104_1": "Patient's Sex: M\nPatient's Age: 061Y\nimproved LUL infiltrate;\ncavity, active TB\n",
    "MCUCXR_0108_1": "Patient's Sex: O\nPatient's Age: 006M\nmiliary TB\n",
    "MCUCXR_0113_1": "Patient's Sex: F\nPatient's Age: 030Y\nits picture is missing\n",
}


def write(folder: Path) -> None:
    """Four radiographs with masks of either lung, one of them cut off; a fifth has lost its picture."""
    folder = folder / "MontgomerySet"
    for name, words in _READINGS.items():
        (folder / "ClinicalReadings").mkdir(parents=True, exist_ok=True)
        (folder / f"ClinicalReadings/{name}.txt").write_text(words)
        if "missing" in words:
            continue
        save_image(folder / f"CXR_png/{name}.png")
        save_image(folder / f"ManualMask/leftMask/{name}.png", draw_lung_mask("left") * 255)
        save_image(folder / f"ManualMask/rightMask/{name}.png", draw_lung_mask("right") * 255)
    cut = folder / "CXR_png/MCUCXR_0108_1.png"
    cut.write_bytes(cut.read_bytes()[:-40])
    (folder / "CXR_png/Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
