"""The Shenzhen Hospital set in the small."""

from pathlib import Path

import cv2

from data_prep.collections.fixtures import draw_image, draw_lung_mask, save_image

_READINGS = {
    "CHNCXR_0001_0": "male 45yrs\nnormal\n",
    "CHNCXR_0002_0": "Female, 63 yrs\nnormal",
    "CHNCXR_0327_1": "female 28yrs\n\nSTB\n",
    "CHNCXR_0328_1": "male 4 months\nright PTB",
}


def write(folder: Path) -> None:
    """Four radiographs in colours, two of them with a published mask."""
    inside = folder / "ChinaSet_AllFiles"
    (inside / "ClinicalReadings").mkdir(parents=True)
    for name, words in _READINGS.items():
        save_image(inside / f"CXR_png/{name}.png", cv2.cvtColor(draw_image(name), cv2.COLOR_GRAY2BGR))
        (inside / f"ClinicalReadings/{name}.txt").write_text(words)
    for name in ("CHNCXR_0001_0", "CHNCXR_0327_1"):
        save_image(folder / f"mask/mask/{name}_mask.png", (draw_lung_mask("left") | draw_lung_mask("right")) * 255)
