"""Measure what borders around radiographs do to gray levels, findings, and the gate.

    python -m benchmarks.borders --run=RUN --data=DATA [--split=test] [--count=20] [--borders=bottom] [--json=FILE]

Plants each border around the first radiographs of a split, as a file would hold it, and prints one row per border: the
share of right findings, how many radiographs the gate flags, and how far the 5th, 50th, and 95th percentile of the
gray levels inside the border lie from those without it (mean over the radiographs, of 255). `--borders=bottom` shows
what the original's method does.
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


class Planted(NamedTuple):
    """A radiograph with a border: both arrays [H, W], uint8 or uint16, and bool where the radiograph is."""

    pixels: np.ndarray
    inside: np.ndarray


def pad(pixels: np.ndarray, vertical: float, horizontal: float, level: float) -> Planted:
    """Add margins at opposite sides, as shares of the height and the width, of a level from 0 to 1."""
    rows = round(vertical * pixels.shape[0])
    columns = round(horizontal * pixels.shape[1])
    widths = ((rows, rows), (columns, columns))
    value = round(level * _highest(pixels))
    return Planted(np.pad(pixels, widths, constant_values=value), np.pad(np.ones(pixels.shape, bool), widths))


def letterbox(pixels: np.ndarray) -> Planted:
    """Put a radiograph into a black frame of 16:9."""
    height, width = pixels.shape
    return pad(pixels, 0, max(0, (16 / 9 * height / width - 1) / 2), 0)


def rotate(planted: Planted, degrees: float, level: float = 0) -> Planted:
    """Rotate a picture in its frame; the corners get a level from 0 to 1."""
    height, width = planted.pixels.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    value = round(level * _highest(planted.pixels))
    pixels = cv2.warpAffine(planted.pixels, matrix, (width, height), borderValue=value)
    inside = cv2.warpAffine(planted.inside.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST)
    return Planted(pixels, inside > 0)


def add_noise(planted: Planted) -> Planted:
    """Replace the border by noise of a few levels."""
    unit = (_highest(planted.pixels) + 1) // 256
    noise = unit * np.random.default_rng(0).integers(0, NOISE, planted.pixels.shape)
    return planted._replace(pixels=np.where(planted.inside, planted.pixels, noise).astype(planted.pixels.dtype))


def compress(planted: Planted, quality: int = 90) -> Planted:
    """Compress as JPEG, at 8 bit."""
    pixels = planted.pixels if planted.pixels.dtype == np.uint8 else (planted.pixels >> 8).astype(np.uint8)
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return planted._replace(pixels=cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE))


def write_text(planted: Planted) -> Planted:
    """Burn a marker and a line of text into the left and the upper margin."""
    pixels = planted.pixels.copy()
    top, left = (int(np.argmax(planted.inside.any(axis=axis))) for axis in (1, 0))
    white = int(_highest(pixels))
    cv2.putText(pixels, "R", (left // 4, pixels.shape[0] // 3), 0, left / 40, white, max(1, left // 20))
    cv2.putText(pixels, "AP PORTABLE 12:30", (left, top // 2), 0, top / 80, white, max(1, top // 60))
    return planted._replace(pixels=pixels)


def leave(pixels: np.ndarray) -> Planted:
    """Return a radiograph without a border."""
    return Planted(pixels, np.ones(pixels.shape, bool))


CASES: dict[str, Callable[[np.ndarray], Planted]] = {
    NONE: leave,
    "JPEG alone": lambda pixels: compress(leave(pixels)),
    "black 15% all round": lambda pixels: pad(pixels, 0.15, 0.15, 0),
    "the same, JPEG": lambda pixels: compress(pad(pixels, 0.15, 0.15, 0)),
    "the same, with text": lambda pixels: write_text(pad(pixels, 0.15, 0.15, 0)),
    "noise 0 to 5, 15% all round": lambda pixels: add_noise(pad(pixels, 0.15, 0.15, 0)),
    "the same noise, JPEG": lambda pixels: compress(add_noise(pad(pixels, 0.15, 0.15, 0))),
    "black 25% left and right": lambda pixels: pad(pixels, 0, 0.25, 0),
    "letterbox 16:9": letterbox,
    "letterbox 16:9, noise, JPEG": lambda pixels: compress(add_noise(letterbox(pixels))),
    "white 10% all round": lambda pixels: pad(pixels, 0.1, 0.1, 1),
    "gray 10% all round": lambda pixels: pad(pixels, 0.1, 0.1, 0.5),
    "rotated 7°, black corners": lambda pixels: rotate(leave(pixels), 7),
    "rotated 7°, noise": lambda pixels: add_noise(rotate(leave(pixels), 7)),
    "rotated 7°, white corners": lambda pixels: rotate(leave(pixels), 7, 1),
    "rotated 3° in noise of 15%": lambda pixels: add_noise(rotate(pad(pixels, 0.15, 0.15, 0), 3)),
}


def percentiles(planted: Planted, image: np.ndarray, crop: Any) -> np.ndarray:
    """Return the percentiles of the gray levels inside a border, of a standardized radiograph."""
    framed = restore(image.astype(np.float32), crop, planted.pixels.shape, fill=np.nan)
    levels = framed[planted.inside]
    return np.percentile(levels[~np.isnan(levels)], PERCENTILES)


def read(directory: str, split: str, count: int) -> Iterator[tuple[Radiograph, str]]:
    """Read the first radiographs of a split, with their labels."""
    for stored in islice(tfds_store.iter_records(directory, split), count):
        yield radiograph.decode(stored["image"], stored["path"]), stored["label"]


def measure(examiner: Predictor, cases: list[tuple[Radiograph, str]], method: str) -> dict[str, dict[str, Any]]:
    """Measure every border; see the table."""
    image_config = examiner.config.image
    rows: dict[str, dict[str, Any]] = {}
    without: list[np.ndarray] = []
    for name, plant in CASES.items():
        images = []
        levels = []
        for original, _ in cases:
            planted = plant(original.pixels.max() - original.pixels if original.inverted else original.pixels)
            picture = Radiograph(planted.pixels, original.path, "png")
            borders = preprocessing.find_borders(picture, method)
            image = preprocessing.standardize(
                picture, size=image_config.size, gamma=image_config.gamma, equalize=image_config.equalize,
                borders=borders,
            )  # fmt: skip
            images.append(image)
            levels.append(percentiles(planted, image, borders.crop))
        without = without or levels
        found = [examiner.to_row(one) for one in examiner.predict(np.stack(images))]
        right = [row.get("prediction") == label for row, (_, label) in zip(found, cases, strict=True)]
        differences = np.abs(np.array(levels) - np.array(without))
        rows[name] = {
            "right": float(np.mean(right)) if examiner.classes else None,
            "flagged": sum(bool(row.get("ood_reason")) for row in found) if examiner.has_ood_detector else None,
            "mean_difference": differences.mean(axis=0).tolist(),
            "largest_difference": differences.max(axis=0).tolist(),
        }
    return rows


def print_table(rows: dict[str, dict[str, Any]], count: int) -> None:
    """Print one row per border, in Markdown."""
    print(f"| border | right | flagged of {count} | p5, p50, p95 differ by | at most |\n|---|---|---|---|---|")
    for name, row in rows.items():
        right = "–" if row["right"] is None else f"{row['right']:.2f}"
        flagged = "–" if row["flagged"] is None else row["flagged"]
        mean, largest = (", ".join(f"{x:.1f}" for x in row[f"{key}_difference"]) for key in ("mean", "largest"))
        print(f"| {name} | {right} | {flagged} | {mean} | {largest} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="the run directory of a trained network")
    parser.add_argument("--data", help="a prepared data set (default: the run's own)")
    parser.add_argument("--split", default="test", help="default: %(default)s")
    parser.add_argument("--count", type=int, default=20, help="radiographs per border (default: %(default)s)")
    parser.add_argument("--borders", choices=METHODS, help="how they are found (default: as the run does)")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    examiner = load_predictor(options.run)
    cases = list(read(options.data or examiner.config.data.dir, options.split, options.count))
    rows = measure(examiner, cases, options.borders or examiner.config.image.borders)
    print_table(rows, len(cases))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def _highest(pixels: np.ndarray) -> int:
    """Return white: the highest value of the pixels' depth."""
    return 255 if pixels.dtype == np.uint8 else int(pixels.max())


if __name__ == "__main__":
    main()
