"""OpenIST in the small."""

from pathlib import Path

from data_prep.collections.fixtures import draw_lung_mask, save_image


def write(folder: Path) -> None:
    """Eight pairs as the repository has them, a picture without a mask, and a mask without a picture."""
    folder = folder / "Datasets/Chest_x-ray"
    lungs = (draw_lung_mask("right") | draw_lung_mask("left")) * 255
    for number in range(1, 10):
        save_image(folder / f"{number}-{number + 9}-500-500-100.jpg")
    for number in (*range(1, 9), 10):
        save_image(folder / f"{number}-{number + 9}-500-500-100@.png", lungs)
