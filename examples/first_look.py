"""Find the lungs in three phantoms, or in your own radiographs: python examples/first_look.py FOLDER [FILE ...].

It needs no data and no training: the model "lungs" comes with the package.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

import cxrjax as cx
from data_prep.phantom.draw import draw

LABELS = ("normal", "bacterial", "covid19")


def main(folder: str, *files: str) -> None:
    """Write the figure and the label map of each radiograph to a folder."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths = [Path(file) for file in files]
    if not paths:
        for number, label in enumerate(LABELS):
            paths.append(target / f"phantom_{label}.png")
            cv2.imwrite(str(paths[-1]), draw(label, np.random.default_rng(number)).pixels)
    model = cx.load("lungs")
    for path, prediction in zip(paths, model.predict(paths), strict=True):
        prediction.save(target, ["figure", "mask"])
        print(f"{path}: lung confidence {prediction.lung_confidence:.2f}; figure and label map are in {target}")


if __name__ == "__main__":
    main(*sys.argv[1:])
