"""Measure the effect of borders around radiographs on gray levels, predictions, and the OOD detector.

    python -m benchmarks.borders --run=RUN --data=DATA [--split=test] [--count=20] [--borders=bottom] [--json=FILE]

Adds each border to the first radiographs of a split, as a file would contain it, and prints one row per border: the
accuracy, how many radiographs the OOD detector flags, and how much the 5th, 50th, and 95th percentile of the gray
levels inside the border change (mean over the radiographs, of 255). `--borders=bottom` measures the original's method.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from cxrjax.data import preprocessing, tfds_store
from cxrjax.inference.predictor import Predictor, load_predictor
from cxrjax.io import radiograph
from cxrjax.io.borders import METHODS
from cxrjax.io.crop import restore
from cxrjax.io.radiograph import Radiograph

NONE = "none"
PERCENTILES = (5, 50, 95)
NOISE = 6  # gray levels of 256: 0 to 5


class Bordered(NamedTuple):
    """A radiograph with a border: both arrays [H, W], uint8 or uint16, and bool where the radiograph is."""

    pixels: np.ndarray
    inside: np.ndarray


def pad(pixels: np.ndarray, vertical: float, horizontal: float, level: float) -> Bordered:
    """Add margins at opposite sides, as fractions of the height and the width, with a level from 0 to 1."""
    rows = round(vertical * pixels.shape[0])
    columns = round(horizontal * pixels.shape[1])
    widths = ((rows, rows), (columns, columns))
    value = round(level * _white_level(pixels))
    return Bordered(np.pad(pixels, widths, constant_values=value), np.pad(np.ones(pixels.shape, bool), widths))


def letterbox(pixels: np.ndarray) -> Bordered:
    """Place a radiograph in a black frame of 16:9."""
    height, width = pixels.shape
    return pad(pixels, 0, max(0, (16 / 9 * height / width - 1) / 2), 0)


def rotate(bordered: Bordered, degrees: float, level: float = 0) -> Bordered:
    """Rotate an image in its frame; the corners get a level from 0 to 1."""
    height, width = bordered.pixels.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    value = round(level * _white_level(bordered.pixels))
    pixels = cv2.warpAffine(bordered.pixels, matrix, (width, height), borderValue=value)
    inside = cv2.warpAffine(bordered.inside.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST)
    return Bordered(pixels, inside > 0)


def add_noise(bordered: Bordered) -> Bordered:
    """Replace the border with noise of a few levels."""
    unit = (_white_level(bordered.pixels) + 1) // 256
    noise = unit * np.random.default_rng(0).integers(0, NOISE, bordered.pixels.shape)
    return bordered._replace(pixels=np.where(bordered.inside, bordered.pixels, noise).astype(bordered.pixels.dtype))


def compress(bordered: Bordered, quality: int = 90) -> Bordered:
    """Compress as JPEG, at 8 bit."""
    pixels = bordered.pixels if bordered.pixels.dtype == np.uint8 else (bordered.pixels >> 8).astype(np.uint8)
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return bordered._replace(pixels=cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE))


def write_text(bordered: Bordered) -> Bordered:
    """Burn a marker and a line of text into the left and the upper margin."""
    pixels = bordered.pixels.copy()
    top = int(np.argmax(bordered.inside.any(axis=1)))
    left = int(np.argmax(bordered.inside.any(axis=0)))
    white = int(_white_level(pixels))
    cv2.putText(pixels, "R", (left // 4, pixels.shape[0] // 3), 0, left / 40, white, max(1, left // 20))
    cv2.putText(pixels, "AP PORTABLE 12:30", (left, top // 2), 0, top / 80, white, max(1, top // 60))
    return bordered._replace(pixels=pixels)


def without_border(pixels: np.ndarray) -> Bordered:
    """Return a radiograph without a border."""
    return Bordered(pixels, np.ones(pixels.shape, bool))


CASES: dict[str, Callable[[np.ndarray], Bordered]] = {
    NONE: without_border,
    "no border, JPEG": lambda pixels: compress(without_border(pixels)),
    "black 15% on all sides": lambda pixels: pad(pixels, 0.15, 0.15, 0),
    "the same, JPEG": lambda pixels: compress(pad(pixels, 0.15, 0.15, 0)),
    "the same, with text": lambda pixels: write_text(pad(pixels, 0.15, 0.15, 0)),
    "noise 0 to 5, 15% on all sides": lambda pixels: add_noise(pad(pixels, 0.15, 0.15, 0)),
    "the same noise, JPEG": lambda pixels: compress(add_noise(pad(pixels, 0.15, 0.15, 0))),
    "black 25% left and right": lambda pixels: pad(pixels, 0, 0.25, 0),
    "letterbox 16:9": letterbox,
    "letterbox 16:9, noise, JPEG": lambda pixels: compress(add_noise(letterbox(pixels))),
    "white 10% on all sides": lambda pixels: pad(pixels, 0.1, 0.1, 1),
    "gray 10% on all sides": lambda pixels: pad(pixels, 0.1, 0.1, 0.5),
    "rotated 7°, black corners": lambda pixels: rotate(without_border(pixels), 7),
    "rotated 7°, noise": lambda pixels: add_noise(rotate(without_border(pixels), 7)),
    "rotated 7°, white corners": lambda pixels: rotate(without_border(pixels), 7, 1),
    "rotated 3° in noise of 15%": lambda pixels: add_noise(rotate(pad(pixels, 0.15, 0.15, 0), 3)),
}


def percentiles(bordered: Bordered, image: np.ndarray, crop: Any) -> np.ndarray:
    """Return the percentiles of a standardized radiograph's gray levels inside the border."""
    framed = restore(image.astype(np.float32), crop, bordered.pixels.shape, fill=np.nan)
    levels = framed[bordered.inside]
    return np.percentile(levels[~np.isnan(levels)], PERCENTILES)


def read(directory: str, split: str, count: int) -> Iterator[tuple[Radiograph, str]]:
    """Read the first radiographs of a split, with their labels."""
    for stored in islice(tfds_store.iter_records(directory, split), count):
        yield radiograph.decode(stored["image"], stored["path"]), stored["label"]


def measure(predictor: Predictor, cases: list[tuple[Radiograph, str]], method: str) -> dict[str, dict[str, Any]]:
    """Measure all borders; return the rows of the table by border."""
    image_config = predictor.config.image
    rows: dict[str, dict[str, Any]] = {}
    without: list[np.ndarray] = []
    for name, add_border in CASES.items():
        images = []
        levels = []
        for original, _ in cases:
            bordered = add_border(original.pixels.max() - original.pixels if original.inverted else original.pixels)
            bordered_radiograph = Radiograph(bordered.pixels, original.path, "png")
            borders = preprocessing.find_borders(bordered_radiograph, method)
            image = preprocessing.standardize(
                bordered_radiograph, size=image_config.size, gamma=image_config.gamma, equalize=image_config.equalize,
                borders=borders,
            )  # fmt: skip
            images.append(image)
            levels.append(percentiles(bordered, image, borders.crop))
        without = without or levels
        predictions = [predictor.to_row(prediction) for prediction in predictor.predict(np.stack(images))]
        correct = [row.get("prediction") == label for row, (_, label) in zip(predictions, cases, strict=True)]
        differences = np.abs(np.array(levels) - np.array(without))
        rows[name] = {
            "accuracy": float(np.mean(correct)) if predictor.classes else None,
            "flagged": sum(bool(row.get("ood_reason")) for row in predictions) if predictor.has_ood_detector else None,
            "mean_difference": differences.mean(axis=0).tolist(),
            "largest_difference": differences.max(axis=0).tolist(),
        }
    return rows


def print_table(rows: dict[str, dict[str, Any]], count: int) -> None:
    """Print one row per border, in Markdown."""
    print(f"| border | accuracy | flagged of {count} | mean change of p5, p50, p95 | largest change |")
    print("|---|---|---|---|---|")
    for name, row in rows.items():
        accuracy = "–" if row["accuracy"] is None else f"{row['accuracy']:.2f}"
        flagged = "–" if row["flagged"] is None else row["flagged"]
        mean = ", ".join(f"{difference:.1f}" for difference in row["mean_difference"])
        largest = ", ".join(f"{difference:.1f}" for difference in row["largest_difference"])
        print(f"| {name} | {accuracy} | {flagged} | {mean} | {largest} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="run directory")
    parser.add_argument("--data", help="a prepared data set (default: the run's own)")
    parser.add_argument("--split", default="test", help="split to read (default: %(default)s)")
    parser.add_argument("--count", type=int, default=20, help="radiographs per border (default: %(default)s)")
    parser.add_argument("--borders", choices=METHODS, help="method of finding borders (default: the run's)")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    options = parser.parse_args()
    predictor = load_predictor(options.run)
    cases = list(read(options.data or predictor.config.data.dir, options.split, options.count))
    rows = measure(predictor, cases, options.borders or predictor.config.image.borders)
    print_table(rows, len(cases))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def _white_level(pixels: np.ndarray) -> int:
    """Return the level of white: 255 for uint8, else the highest value of the pixels."""
    return 255 if pixels.dtype == np.uint8 else int(pixels.max())


if __name__ == "__main__":
    main()
