"""Apply the models of the package to phantoms and your radiographs: cxrjax demo FOLDER [FILE ...].

It needs no data and no training. The models learned from real radiographs; the Dice on the phantoms, whose lungs are
known exactly, is therefore lower than their cards state. Pixels of the heart are left out of it: of a phantom, the
model "lungs" labels most of the heart as lung.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

import cxrjax as cx
from cxrjax.io.predictions_csv import UNDECIDED
from data_prep.phantom.draw import draw

MODELS = ("lungs", "findings-demo")
LABELS = ("normal", "bacterial", "covid19")
HEART = 1  # in label maps; 2 and 3 are the lungs


def main(folder: str, *files: str) -> None:
    """Write the phantoms to FOLDER/radiographs, and the figure and the label map of each radiograph to FOLDER/MODEL."""
    target = Path(folder)
    (target / "radiographs").mkdir(parents=True, exist_ok=True)
    phantoms = {}
    for number, label in enumerate(LABELS):
        phantom = draw(label, np.random.default_rng(number))
        path = target / "radiographs" / f"phantom_{label}.png"
        cv2.imwrite(str(path), phantom.pixels)
        phantoms[path] = phantom.structures
    paths = [*phantoms, *map(Path, files)]
    for name in MODELS:
        model = cx.load(name)
        for path, prediction in zip(paths, model.predict_iter(paths, errors="return"), strict=True):
            if isinstance(prediction, Exception):
                print(f"{name}: {prediction}", file=sys.stderr)
                continue
            figure, _ = prediction.save(target / name, ["figure", "mask"])
            line = f"{name}: {figure}: lung confidence {prediction.lung_confidence:.2f}"
            if model.classes:
                label = prediction.label or "no label"
                line += f", undecided ({label})" if prediction.decision == UNDECIDED else f", {label}"
            elif path in phantoms and prediction.label_map is not None:
                dice = compare(prediction.to_native(prediction.label_map), phantoms[path])
                line += f", Dice of the lungs {dice:.2f}"
            print(line)
        if model.notice:
            print(f"{name}: {model.notice}")


def compare(label_map: np.ndarray, truth: np.ndarray) -> float:
    """Return the Dice of the lungs of two label maps outside the heart of the second."""
    outside = truth != HEART
    found = (label_map > HEART) & outside
    known = (truth > HEART) & outside
    return 2 * (found & known).sum() / (found.sum() + known.sum())
