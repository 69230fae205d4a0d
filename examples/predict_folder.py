"""Predict all radiographs of a folder, and print one line per file: python examples/predict_folder.py RUN FOLDER."""

import sys

import cxrjax as cx


def main(run: str, folder: str) -> None:
    """Print path, label, confidence, and the reason why an image is unlike the training radiographs or has no label."""
    model = cx.load(run)
    paths = cx.find_radiographs(folder)
    for path, prediction in zip(paths, model.predict_iter(paths, errors="return"), strict=True):
        if isinstance(prediction, Exception):
            print(prediction)  # the message names the file
        else:
            reason = prediction.ood_reason or prediction.reason
            print(f"{path}: {prediction.label} {prediction.confidence:.2f} {reason}".rstrip())


if __name__ == "__main__":
    main(*sys.argv[1:])
