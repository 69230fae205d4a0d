"""How often a run's gate flags what is no upright frontal chest radiograph, and how often what is one.

    python benchmarks/gate.py --workdir=runs/benchmark_classify --sheet=gate.png --json=gate.json [--folder=PICTURES]

The cases: radiographs of a split as they are; the same turned, inverted, or cut; blank pictures; noise; photographs
(three, of scikit-learn and matplotlib, in random crops); a CT slice and two MR slices (of pydicom and matplotlib);
laterals, CT slices and hands that are drawn here, roughly; and what a folder holds, as real laterals: --folder=DIR.
Share flagged, with its Wilson interval, in which the crops of one photograph, and the radiographs of one patient, count
as one; the commonest reason. Every picture goes through standardisation, as a file would; what that refuses, a picture
of a single grey level, counts as flagged.
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

UNTOUCHED, PHOTOGRAPHS = "as they are", "photographs"
PICTURED = 3  # photographs that there are
SHEET = 3  # pictures of each case on the sheet
Picture = np.ndarray


def spoil(images: np.ndarray, rng: np.random.Generator) -> dict[str, list[Picture]]:
    """Radiographs uint8 [n, S, S] as they are, and what is done to them."""
    half = images.shape[1] // 2
    corners = [(int(row), int(column)) for row, column in rng.integers(0, 2, (len(images), 2)) * half]
    return {
        UNTOUCHED: list(images),
        "left for right": [image[:, ::-1] for image in images],
        "inverted": [255 - image for image in images],
        "turned by 90° clockwise": [np.rot90(image, -1) for image in images],
        "turned by 90° counterclockwise": [np.rot90(image) for image in images],
        "turned by 180°": [image[::-1, ::-1] for image in images],
        "upside down": [image[::-1] for image in images],
        "one half": [image[:, c : c + half] for image, (_, c) in zip(images, corners, strict=True)],
        "one corner": [image[r : r + half, c : c + half] for image, (r, c) in zip(images, corners, strict=True)],
    }


def find_others(count: int, rng: np.random.Generator) -> dict[str, list[Picture]]:
    """Real pictures that are no radiographs."""
    photographs = [
        cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY) for image in load_sample_images().images
    ]
    portrait = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    photographs.append(cv2.imread(str(portrait), cv2.IMREAD_GRAYSCALE))

    def cut(image: Picture) -> Picture:
        side = int(rng.uniform(0.5, 1) * min(image.shape))
        row, column = (rng.integers(0, length - side + 1) for length in image.shape)
        return image[row : row + side, column : column + side]

    slices = [dcmread(get_testdata_file(f"{name}_small.dcm", download=False)).pixel_array for name in ("CT", "MR")]
    with cbook.get_sample_data("s1045.ima.gz") as file:
        slices.append(np.frombuffer(file.read(), np.uint16).reshape(256, 256))
    return {
        PHOTOGRAPHS: [cut(photographs[i % PICTURED]) for i in range(count)],
        "CT and MR slices": [scale(one) for one in slices],
    }


def draw_others(count: int, side: int, rng: np.random.Generator) -> dict[str, list[Picture]]:
    """Pictures drawn: what each is known by, and no more."""
    draw: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
        "noise": lambda side, rng: rng.uniform(size=(side, side)),
        "smooth noise": lambda side, rng: cv2.resize(rng.uniform(size=(8, 8)), (side, side)),
        "drawn laterals": draw_lateral,
        "drawn CT slices": draw_slice,
        "drawn hands": draw_hand,
    }
    drawn = {
        name: [scale(one(side, rng) * rng.normal(1, 0.02, (side, side))) for _ in range(count)]
        for name, one in draw.items()
    }
    return {"blank": [np.full((side, side), level, np.uint8) for level in rng.integers(1, 256, count)]} | drawn


def draw_lateral(side: int, rng: np.random.Generator) -> np.ndarray:
    """A trunk from the side: one lung field before the spine, the heart low in front."""
    x, y = rng.normal((0.5, 0.5), 0.02)
    picture = np.zeros((side, side))
    paint(picture, (x, y + 0.05), (0.4, 0.62), 0, 0.6)
    paint(picture, (x - 0.02, y - 0.02), (rng.normal(0.26, 0.02), 0.38), rng.normal(8, 3), 0.25)
    paint(picture, (x - 0.13, y + 0.16), (0.13, 0.17), 30, 0.6)
    for k in range(9):
        paint(picture, (x + 0.27 - 0.006 * (k - 4) ** 2, y - 0.4 + 0.1 * k), (0.05, 0.035), 0, 0.95)
    return soften(picture, 0.012)


def draw_slice(side: int, rng: np.random.Generator) -> np.ndarray:
    """A chest cut across: dark lungs either side of heart and spine, air around."""
    x, y = rng.normal((0.5, 0.5), 0.02)
    picture = np.zeros((side, side))
    paint(picture, (x, y), (0.45, rng.normal(0.33, 0.02)), 0, 0.6)
    for sign in (-1, 1):
        paint(picture, (x + 0.21 * sign, y), (0.16, rng.normal(0.24, 0.02)), 8 * sign, 0.08)
    paint(picture, (x + 0.05, y - 0.06), (0.13, 0.12), 20, 0.65)
    paint(picture, (x, y + 0.2), (0.06, 0.06), 0, 0.95)
    return soften(picture, 0.004)


def draw_hand(side: int, rng: np.random.Generator) -> np.ndarray:
    """A palm and five fingers, each with its bones."""
    x, y = rng.normal((0.5, 0.68), 0.02)
    picture = np.zeros((side, side))
    paint(picture, (x, y), (0.2, 0.24), 0, 0.45)
    for k, angle in enumerate(np.deg2rad([-62, -22, -5, 11, 28]) + rng.normal(0, 0.04)):
        way = np.array([np.sin(angle), -np.cos(angle)])
        for half_width, level in ((0.045, 0.45), (0.02, 0.95)):
            for begin in (0.12, 0.3, 0.42):
                reach = (begin + 0.075) * (0.8 if k == 0 else 1)
                paint(picture, tuple((x, y) + reach * way), (half_width, 0.085), float(np.rad2deg(angle)), level)
    return soften(picture, 0.006)


def paint(picture: np.ndarray, centre: tuple, axes: tuple, angle: float, level: float) -> None:
    """Fills an ellipse; lengths as shares of the side, the angle in degrees."""
    points = [tuple(int(round(value * len(picture))) for value in pair) for pair in (centre, axes)]
    cv2.ellipse(picture, *points, angle, 0, 360, level, -1)


def soften(picture: np.ndarray, width: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), width * len(picture))


def scale(picture: np.ndarray) -> Picture:
    """Any numbers to uint8, lowest to 0 and highest to 255."""
    return cv2.normalize(picture.astype(np.float32), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def judge(
    examiner: Predictor, case: str, pictures: Sequence[Picture]
) -> tuple[list[Picture | None], list[pipeline.Prediction | None], list[str]]:
    """Standardised pictures, what is found in them and why they are flagged; None of what is refused unseen."""
    image_config = examiner.config.image
    images: list[Picture | None] = []
    reasons = [""] * len(pictures)
    for i, picture in enumerate(pictures):
        scan = radiograph.Radiograph(np.ascontiguousarray(picture), case, "png")
        try:
            images.append(
                preprocessing.standardize(
                    scan,
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
    seen = [i for i, image in enumerate(images) if image is not None]
    if seen:
        found = examiner.predict(np.stack([images[i] for i in seen]))
        for i, result in zip(seen, found, strict=True):
            results[i], reasons[i] = result, examiner.to_row(result)["ood_reason"]
    return images, results, reasons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True, help="a classifier's run with its gate")
    parser.add_argument("--split", default="test", help="of the run's data (default: %(default)s)")
    parser.add_argument("--count", type=int, default=50, help="pictures a case (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="pictures of your own, one case more")
    parser.add_argument("--sheet", help="draw some of each case there")
    parser.add_argument("--json", help="write the figures there, too")
    options = parser.parse_args()
    examiner, rng = load_predictor(options.workdir), np.random.default_rng(0)
    config = examiner.config
    if not examiner.has_ood_detector:
        parser.error(f"{options.workdir} has no gate; --mode=fit_ood makes one")
    split = dataset.load_split(config, options.split)
    picked = split.select(np.sort(rng.permutation(len(split))[: options.count]))
    patients = [patient or path for patient, path in zip(picked.patients, picked.paths, strict=True)]
    spoilt = spoil(picked.images, rng)
    origins = dict.fromkeys(spoilt, patients) | {PHOTOGRAPHS: [i % PICTURED for i in range(options.count)]}
    origins["blank"] = [0] * options.count  # whatever the level, they are one picture
    cases = spoilt | find_others(options.count, rng) | draw_others(options.count, config.image.size, rng)
    if options.folder:
        cases[options.folder.name] = [
            radiograph.read(file).pixels for file in files.list_files(options.folder).radiographs
        ]
    rows, panels = [], []
    print("| case | n | flagged | 95% interval | commonest reason |\n|---|---|---|---|---|")
    for case, pictures in cases.items():
        images, results, reasons = judge(examiner, case, pictures)
        flagged = sum(map(bool, reasons)) / len(reasons)
        crowding = bootstrap.design_effect(origins.get(case, range(len(reasons))))
        low, high = intervals.wilson(flagged, len(reasons) / crowding)
        commonest = Counter(reason for joined in reasons if joined for reason in joined.split("; ")).most_common(1)
        row = {"case": case, "n": len(reasons), "flagged": flagged}
        row |= {"crowding": crowding, "interval": [low, high], "reasons": Counter(reasons)}
        rows.append(row)
        said = f"{commonest[0][0]} ({commonest[0][1]})" if commonest else ""
        print(
            f"| {case} | {row['n']} | {row['flagged']:.2f} | {low:.2f} to {high:.2f} | {said} |",
            flush=True,
        )
        for image, result, reason in list(zip(images, results, reasons, strict=True))[:SHEET]:
            if result is None:
                continue
            right = plotting.RIGHT if bool(reason) == (case != UNTOUCHED) else plotting.WRONG
            panels.append(
                (
                    plotting.overlay(image, examiner.lung_mask(result), None),
                    f"{case}\n{reason or 'in place'}",
                    right,
                )
            )
    if options.sheet:
        plotting.draw_sheet(panels, 2 * SHEET, options.sheet)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
