"""Measure how often a run's OOD detector flags frontal chest radiographs and other images.

    python -m benchmarks.ood --workdir=runs/benchmark_classify --sheet=ood.png --json=ood.json [--folder=IMAGES]

The cases are unchanged radiographs of a split; the same radiographs rotated, inverted or cropped; blank images; noise;
random crops of three photographs (of scikit-learn and matplotlib); a CT slice and two MR slices (of pydicom and
matplotlib); roughly drawn lateral views, CT slices and hands; and the images of a folder (--folder=DIR), such as real
lateral views. The table has the fraction flagged with its Wilson interval, which counts crops of one photograph and
radiographs of one patient as one, and the most frequent reason. Every image is standardized as a file would be; an
image with a single gray level, which standardization refuses, counts as flagged.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib import cbook
from pydicom import dcmread
from pydicom.data import get_testdata_file
from sklearn.datasets import load_sample_images

from cxrjax import plotting
from cxrjax.data import dataset, preprocessing
from cxrjax.inference import pipeline
from cxrjax.inference.predictor import Predictor, load_predictor
from cxrjax.io import files, radiograph
from cxrjax.metrics import bootstrap, intervals

UNCHANGED = "unchanged"
PHOTOGRAPHS = "photographs"
NUM_PHOTOGRAPHS = 3
SHEET_COLUMNS = 3  # images of each case on the sheet
Image = np.ndarray


def corrupt(images: np.ndarray, rng: np.random.Generator) -> dict[str, list[Image]]:
    """Return radiographs uint8 [n, S, S] unchanged and with corruptions, by case."""
    half = images.shape[1] // 2
    corners = [(int(row), int(column)) for row, column in rng.integers(0, 2, (len(images), 2)) * half]
    return {
        UNCHANGED: list(images),
        "mirrored left to right": [image[:, ::-1] for image in images],
        "inverted": [255 - image for image in images],
        "rotated by 90° clockwise": [np.rot90(image, -1) for image in images],
        "rotated by 90° counterclockwise": [np.rot90(image) for image in images],
        "rotated by 180°": [image[::-1, ::-1] for image in images],
        "mirrored top to bottom": [image[::-1] for image in images],
        "one half": [image[:, c : c + half] for image, (_, c) in zip(images, corners, strict=True)],
        "one corner": [image[r : r + half, c : c + half] for image, (r, c) in zip(images, corners, strict=True)],
    }


def load_other_images(count: int, rng: np.random.Generator) -> dict[str, list[Image]]:
    """Return real images that are not radiographs, by case."""
    photographs = [
        cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY) for image in load_sample_images().images
    ]
    portrait = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    photographs.append(cv2.imread(str(portrait), cv2.IMREAD_GRAYSCALE))

    def crop(image: Image) -> Image:
        side = int(rng.uniform(0.5, 1) * min(image.shape))
        row = rng.integers(0, image.shape[0] - side + 1)
        column = rng.integers(0, image.shape[1] - side + 1)
        return image[row : row + side, column : column + side]

    slices = [dcmread(get_testdata_file(f"{name}_small.dcm", download=False)).pixel_array for name in ("CT", "MR")]
    with cbook.get_sample_data("s1045.ima.gz") as file:
        slices.append(np.frombuffer(file.read(), np.uint16).reshape(256, 256))
    return {
        PHOTOGRAPHS: [crop(photographs[i % NUM_PHOTOGRAPHS]) for i in range(count)],
        "CT and MR slices": [scale(pixels) for pixels in slices],
    }


def draw_other_images(count: int, side: int, rng: np.random.Generator) -> dict[str, list[Image]]:
    """Draw images that are not frontal radiographs, by case."""
    draw: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
        "noise": lambda side, rng: rng.uniform(size=(side, side)),
        "smooth noise": lambda side, rng: cv2.resize(rng.uniform(size=(8, 8)), (side, side)),
        "drawn laterals": draw_lateral,
        "drawn CT slices": draw_slice,
        "drawn hands": draw_hand,
    }
    drawn = {
        name: [scale(function(side, rng) * rng.normal(1, 0.02, (side, side))) for _ in range(count)]
        for name, function in draw.items()
    }
    return {"blank": [np.full((side, side), level, np.uint8) for level in rng.integers(1, 256, count)]} | drawn


def draw_lateral(side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a trunk from the side: one lung field in front of the spine, the heart low in front."""
    x, y = rng.normal((0.5, 0.5), 0.02)
    picture = np.zeros((side, side))
    fill_ellipse(picture, (x, y + 0.05), (0.4, 0.62), 0, 0.6)
    fill_ellipse(picture, (x - 0.02, y - 0.02), (rng.normal(0.26, 0.02), 0.38), rng.normal(8, 3), 0.25)
    fill_ellipse(picture, (x - 0.13, y + 0.16), (0.13, 0.17), 30, 0.6)
    for k in range(9):
        fill_ellipse(picture, (x + 0.27 - 0.006 * (k - 4) ** 2, y - 0.4 + 0.1 * k), (0.05, 0.035), 0, 0.95)
    return blur(picture, 0.012)


def draw_slice(side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a cross-section of the chest: dark lungs on both sides of heart and spine, surrounded by air."""
    x, y = rng.normal((0.5, 0.5), 0.02)
    picture = np.zeros((side, side))
    fill_ellipse(picture, (x, y), (0.45, rng.normal(0.33, 0.02)), 0, 0.6)
    for sign in (-1, 1):
        fill_ellipse(picture, (x + 0.21 * sign, y), (0.16, rng.normal(0.24, 0.02)), 8 * sign, 0.08)
    fill_ellipse(picture, (x + 0.05, y - 0.06), (0.13, 0.12), 20, 0.65)
    fill_ellipse(picture, (x, y + 0.2), (0.06, 0.06), 0, 0.95)
    return blur(picture, 0.004)


def draw_hand(side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a palm and five fingers with their bones."""
    x, y = rng.normal((0.5, 0.68), 0.02)
    picture = np.zeros((side, side))
    fill_ellipse(picture, (x, y), (0.2, 0.24), 0, 0.45)
    for k, angle in enumerate(np.deg2rad([-62, -22, -5, 11, 28]) + rng.normal(0, 0.04)):
        direction = np.array([np.sin(angle), -np.cos(angle)])
        for half_width, level in ((0.045, 0.45), (0.02, 0.95)):
            for begin in (0.12, 0.3, 0.42):
                distance = (begin + 0.075) * (0.8 if k == 0 else 1)
                center = tuple((x, y) + distance * direction)
                fill_ellipse(picture, center, (half_width, 0.085), float(np.rad2deg(angle)), level)
    return blur(picture, 0.006)


def fill_ellipse(picture: np.ndarray, center: tuple, axes: tuple, angle: float, level: float) -> None:
    """Fill an ellipse; lengths are fractions of the side, the angle is in degrees."""
    points = [tuple(int(round(value * len(picture))) for value in pair) for pair in (center, axes)]
    cv2.ellipse(picture, *points, angle, 0, 360, level, -1)


def blur(picture: np.ndarray, width: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), width * len(picture))


def scale(picture: np.ndarray) -> Image:
    """Scale values to uint8, the lowest to 0 and the highest to 255."""
    return cv2.normalize(picture.astype(np.float32), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def detect(
    predictor: Predictor, case: str, pictures: Sequence[Image]
) -> tuple[list[Image | None], list[pipeline.Prediction | None], list[str]]:
    """Return standardized images, their predictions and the reasons of flags; None for images that are refused."""
    image_config = predictor.config.image
    images: list[Image | None] = []
    reasons = [""] * len(pictures)
    for i, picture in enumerate(pictures):
        image_file = radiograph.Radiograph(np.ascontiguousarray(picture), case, "png")
        try:
            images.append(
                preprocessing.standardize(
                    image_file,
                    size=image_config.size,
                    gamma=image_config.gamma,
                    equalize=image_config.equalize,
                    borders=image_config.borders,
                )
            )
        except ValueError as error:
            images.append(None)
            reasons[i] = str(error)
    results: list[pipeline.Prediction | None] = [None] * len(pictures)
    accepted = {i: image for i, image in enumerate(images) if image is not None}
    if accepted:
        predictions = predictor.predict(np.stack(list(accepted.values())))
        for i, prediction in zip(accepted, predictions, strict=True):
            results[i] = prediction
            reasons[i] = predictor.to_row(prediction)["ood_reason"]
    return images, results, reasons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--workdir", type=Path, required=True, help="run directory of a classifier with its OOD detector"
    )
    parser.add_argument("--split", default="test", help="split of the run's data (default: %(default)s)")
    parser.add_argument("--count", type=int, default=50, help="images per case (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="folder of images to use as an additional case")
    parser.add_argument("--sheet", help="image file to draw some images of each case to")
    parser.add_argument("--json", help="file to write the results to")
    options = parser.parse_args()
    predictor = load_predictor(options.workdir)
    rng = np.random.default_rng(0)
    config = predictor.config
    if not predictor.has_ood_detector:
        parser.error(f"{options.workdir} has no OOD detector; create it with --mode=fit_ood")
    split = dataset.load_split(config, options.split)
    sample = split.select(np.sort(rng.permutation(len(split))[: options.count]))
    patients = [patient or path for patient, path in zip(sample.patients, sample.paths, strict=True)]
    corrupted = corrupt(sample.images, rng)
    origins = dict.fromkeys(corrupted, patients) | {PHOTOGRAPHS: [i % NUM_PHOTOGRAPHS for i in range(options.count)]}
    origins["blank"] = [0] * options.count  # blank images differ only in their level
    other_images = load_other_images(options.count, rng)
    cases = corrupted | other_images | draw_other_images(options.count, config.image.size, rng)
    if options.folder:
        cases[options.folder.name] = [
            radiograph.read(file).pixels for file in files.list_files(options.folder).radiographs
        ]
    rows = []
    panels = []
    print("| case | n | flagged | 95% interval | most frequent reason |\n|---|---|---|---|---|")
    for case, pictures in cases.items():
        images, results, reasons = detect(predictor, case, pictures)
        flagged = sum(map(bool, reasons)) / len(reasons)
        design_effect = bootstrap.design_effect(origins.get(case, range(len(reasons))))
        low, high = intervals.wilson(flagged, len(reasons) / design_effect)
        counts = Counter(reason for joined in reasons if joined for reason in joined.split("; "))
        row = {"case": case, "n": len(reasons), "flagged": flagged}
        row |= {"design_effect": design_effect, "interval": [low, high], "reasons": Counter(reasons)}
        rows.append(row)
        most_frequent = ", ".join(f"{reason} ({count})" for reason, count in counts.most_common(1))
        print(f"| {case} | {row['n']} | {flagged:.2f} | {low:.2f} to {high:.2f} | {most_frequent} |", flush=True)
        for image, result, reason in list(zip(images, results, reasons, strict=True))[:SHEET_COLUMNS]:
            if result is None:
                continue
            color = plotting.RIGHT if bool(reason) == (case != UNCHANGED) else plotting.WRONG
            overlay = plotting.overlay(image, predictor.lung_mask(result), None)
            panels.append((overlay, f"{case}\n{reason or 'not flagged'}", color))
    if options.sheet:
        plotting.draw_sheet(panels, 2 * SHEET_COLUMNS, options.sheet)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
