"""onnxruntime for the classifier only: the PyTorch version with folded batch norms, exported as ONNX."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from benchmarks.competitors import preparation
from benchmarks.competitors.pytorch_networks import ResNet18, fold_norms
from benchmarks.competitors.pytorch_predictor import load
from benchmarks.competitors.worker import CLASSIFY, Workload, count_cores, serve


def classify(folder: str, path: str, votes: int, batch_size: int, image_size: int, patch_size: int) -> Workload:
    """Sample, crop and classify patches of a radiograph, and return the last feature maps; all pixels count as lung.

    Args:
        folder: of the weights.
        path: image file.
        votes: number of patches.
        batch_size: patches classified at once.
        image_size: side of the radiograph, in pixels.
        patch_size: side of a patch, in pixels.
    """
    session = _open(folder, patch_size)
    image = preparation.standardize(preparation.read(path), image_size)
    rng = np.random.default_rng(0)

    def run(patches: np.ndarray) -> list[np.ndarray]:
        x = np.repeat(patches[:, None].astype(np.float32) / 255, 3, axis=1)
        batches = [session.run(None, {"x": x[i : i + batch_size]}) for i in range(0, len(x), batch_size)]
        return [np.concatenate(outputs) for outputs in zip(*batches, strict=True)]

    def classify_random_patches() -> list[np.ndarray]:
        return run(preparation.crop(image, rng.integers(0, image_size, (votes, 2)), patch_size))

    def results() -> dict[str, Any]:
        patches = preparation.crop(image, preparation.reference_centers(image_size), patch_size)
        return {"image": image, "logits": run(patches)[0]}

    return Workload({CLASSIFY: classify_random_patches}, {"onnxruntime": onnxruntime.__version__}, results)


def _open(folder: str, patch_size: int) -> onnxruntime.InferenceSession:
    network = fold_norms(load(ResNet18(4), folder, "classifier"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count_cores()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "classifier.onnx"
        x = torch.zeros(2, 3, patch_size, patch_size)
        shapes = ({0: torch.export.Dim("patches")},)
        torch.onnx.export(network, (x,), path, input_names=["x"], dynamic_shapes=shapes, dynamo=True, verbose=False)
        return onnxruntime.InferenceSession(path, options)


if __name__ == "__main__":
    serve({"predict file": classify})
