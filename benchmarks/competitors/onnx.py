"""onnxruntime for the classifier only: the PyTorch version with folded batch norms, exported as ONNX."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from benchmarks.competitors import preparation
from benchmarks.competitors.pytorch_networks import ResNet18, fold_norms
from benchmarks.competitors.pytorch_votes import load
from benchmarks.competitors.worker import Work, cores, serve


def classify(folder: str, picture: str, votes: int, chunk: int, size: int, patch: int) -> Work:
    """Draw, cut and classify crops of a radiograph, with the last feature maps; all pixels count as lung.

    Args:
        folder: of the weights.
        picture: image file.
        votes: N.
        chunk: crops classified at once.
        size: side of the radiograph.
        patch: side of a crop.
    """
    session = _open(folder, patch)
    image = preparation.standardise(preparation.read(picture), size)
    rng = np.random.default_rng(0)

    def run(crops: np.ndarray) -> list[np.ndarray]:
        x = np.repeat(crops[:, None].astype(np.float32) / 255, 3, axis=1)
        parts = [session.run(None, {"x": x[i : i + chunk]}) for i in range(0, len(x), chunk)]
        return [np.concatenate(one) for one in zip(*parts, strict=True)]

    def results() -> dict[str, Any]:
        return {"image": image, "logits": run(preparation.crop(image, preparation.spread(size), patch))[0]}

    stages = {
        "draw, crop, classify": lambda: run(preparation.crop(image, rng.integers(0, size, (votes, 2)), patch)),
    }
    return Work(stages, {"onnxruntime": onnxruntime.__version__}, results)


def _open(folder: str, patch: int) -> onnxruntime.InferenceSession:
    network = fold_norms(load(ResNet18(4), folder, "classifier"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "classifier.onnx"
        x = torch.zeros(2, 3, patch, patch)
        shapes = ({0: torch.export.Dim("crops")},)
        torch.onnx.export(network, (x,), path, input_names=["x"], dynamic_shapes=shapes, dynamo=True, verbose=False)
        return onnxruntime.InferenceSession(path, options)


if __name__ == "__main__":
    serve({"votes": classify})
