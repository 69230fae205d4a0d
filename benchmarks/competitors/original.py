"""The authors' original programs, run from a copy of a checkout with a few fixes.

Runs the three programs of the authors' Deep-Learning-COVID-19-on-CXR-using-Limited-Training-Data-Sets on one
radiograph: `segmentation/inference.py`, which writes the mask; `classification/inference.py`, which samples and
classifies N patches, one at a time; `classification/visualize_cnn.py`, which samples N more, classifies each and
computes its Grad-CAM from gradients. FIXES lists the edits, applied to a copy, without which they do not run.

Needs torch, torchvision, matplotlib, scikit-learn, Pillow, OpenCV and pytorch-gradcam 0.2.1.
"""

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.competitors.worker import PREDICT_FILE, Workload, count_cores, serve

FOLDERS = ("Normal", "COVID-19", "Virus", "bacteria", "TB")  # folders that the programs search
SEGMENTER = "checkpoint/model_v1.1.pth"
CLASSIFIER = "checkpoint/name_newset/100.pth"

# File, text, replacement; {votes} is N.
FIXES = (
    # NumPy 2 no longer widens uint8(255) + 1.
    ("segmentation/mydataset.py", "num_bin = images.max()+1", "num_bin = int(images.max())+1"),
    # The programs do not read from the folder that the previous program writes to.
    ("segmentation/header.py", '"../output/"', '"../output/test/"'),
    ("classification/header.py", "'/media/depecher/5TB_hard/COVID_classification/'", "'../output/'"),
    ("classification/visualize_cnn.py", "'../data/test/COVID/'", "'../output/test/COVID-19/'"),
    ("classification/header.py", "repeat = 100", "repeat = {votes}"),
    # The weights of ImageNet are not downloaded, since the checkpoint replaces them.
    ("classification/inference.py", "use_pretrained=True", "use_pretrained=False"),
    ("classification/visualize_cnn.py", "use_pretrained=True", "use_pretrained=False"),
    # One test radiograph instead of 445, and no loader processes; the original starts four for each patch.
    ("classification/inference.py", "range(445)", "range(1)"),
    ("classification/inference.py", "num_workers=4", "num_workers=0"),
    # The programs end with the votes and the map, without the report and the plots.
    ("classification/inference.py", "cm = confusion_matrix(y_true, y_pred)", "return y_pred"),
    ("classification/visualize_cnn.py", "plt.imshow(final_combined)", "continue"),
)


def predict_file(original: str, folder: str, path: str, votes: int, cached: bool) -> Workload:
    """Predict a file with votes and a saliency map.

    Args:
        original: the checkout.
        folder: of the weights.
        path: image file.
        votes: number of patches.
        cached: whether a checkpoint is read once; the original reads it for each patch of a map.

    Raises:
        ValueError: the checkout is of another version, which does not contain the text of a fix.
    """
    root = Path(tempfile.mkdtemp())
    for name in ("segmentation", "classification", "utils"):
        shutil.copytree(Path(original) / name, root / name)
    for name, old, new in FIXES:
        text = (root / name).read_text()
        if old not in text:
            raise ValueError(f"{Path(original) / name}: is of another version: it does not contain {old!r}")
        (root / name).write_text(text.replace(old, new.format(votes=votes)))
    for name in FOLDERS:
        (root / "data" / name).mkdir(parents=True)
        (root / "output" / "test" / name).mkdir(parents=True)
    shutil.copy(path, root / "data" / "COVID-19")
    _write_checkpoints(root, folder)
    if cached:
        torch.load = cache(torch.load)
    segment, classify, visualize = programs = _load(root)

    def predict() -> None:
        for program in programs:
            program()

    stages = {
        PREDICT_FILE: predict,
        "original: file to mask": segment,
        "original: votes": classify,
        "original: saliency map": visualize,
    }
    return Workload(stages, {"torch": torch.__version__})


def _write_checkpoints(root: Path, folder: str) -> None:
    """Write the common weights as checkpoints of the original, whose segmenter takes gray levels from 0 to 255."""
    segmenter = load_file(Path(folder) / "segmenter.safetensors")
    segmenter["firstconv.weight"] /= 255
    classifier = load_file(Path(folder) / "classifier.safetensors")
    for path, state in ((SEGMENTER, segmenter), (CLASSIFIER, classifier)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        torch.save({"test_sampler": [], "epoch": 0, "model_state_dict": state}, root / path)


def _load(root: Path) -> list[Callable[[], Any]]:
    """Import the three programs and return their main functions; changes to the folder in which they expect to run."""
    sys.path[:0] = [str(root), str(root / "segmentation")]
    os.chdir(root / "classification")
    os.environ["MPLBACKEND"] = "Agg"
    _declare_torchvision_operators()
    programs = ("inference", "classification.inference", "classification.visualize_cnn")
    return [importlib.import_module(name).main for name in programs]


def _declare_torchvision_operators() -> None:
    """Make torchvision importable if it was built for another torch; its compiled operators are not called."""
    try:
        importlib.import_module("torchvision")
        return
    except RuntimeError:  # operator torchvision::nms does not exist
        sys.modules.pop("torchvision", None)
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


if __name__ == "__main__":
    torch.set_num_threads(count_cores())
    serve({"predict file": predict_file})
