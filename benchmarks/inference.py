"""Measure the time from a file to its prediction with N votes and a saliency map, and of each stage.

    python -m benchmarks.inference --radiograph=FILE.png --torch-python=TORCH/bin/python --original=DIR --json=FILE.json

ResNet18 classifies 100 patches of 224² pixels from the lungs of a radiograph of 1024², which FC-DenseNet103 segments at
256², in float32 with untrained weights that all competitors share (`synthetic.py`). Competitors: optimized PyTorch,
without and with torch.compile; onnxruntime for the classifier; and, with `--original`, the three programs of the
original (`competitors/original.py` lists the fixes), also with their checkpoints read once instead of for every patch.
A stage is measured alone with its input ready; "sample, crop and classify patches" includes all three. For several
files, every core processes its own file, in cxrjax and in PyTorch. With `--dense`, cxrjax classifies the whole
radiograph once, and every window of the last feature map votes; the competitors do not change.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import print_report
from benchmarks.runner import OURS, Competitor, interleave, parse, pytorch_variants, start_ours
from cxrjax.config import recipes
from cxrjax.runs import run_dir

MORE = {
    "radiograph": {"required": True, "type": Path, "help": "frontal chest radiograph, PNG or JPEG"},
    "original": {"type": Path, "help": "checkout of the original; without it, the original is skipped"},
    "votes": {"type": int, "default": 100, "help": "patches per radiograph (default: %(default)s)"},
    "dense": {
        "action": "store_true",
        "help": "use dense voting in cxrjax (see cxrjax/inference/strategies/sliding_windows.py) instead of N patches",
    },
    "batch-size": {"type": int, "default": 20, "help": "patches that PyTorch and onnxruntime classify at once"},
}

DENSE = {f"patches.{name}": recipes.load("benchmark:dense").patches[name] for name in ("mode", "context_pixels")}


def compare(competitors: list[Competitor]) -> dict[str, dict[str, float]]:
    """Return how much the results of each peer differ from those of cxrjax, to check that all do the same work."""
    ours = competitors[0].results()
    differences = {}
    for peer in competitors[1:]:
        theirs = peer.results()
        errors = {"pixels of the radiograph that differ": float((ours["image"] != theirs["image"]).mean())}
        if "logits" in ours:
            errors["largest difference of logits relative to the largest logit"] = _relative_error(
                ours["logits"], theirs["logits"]
            )
        if "lungs" in theirs:
            errors["pixels of the lungs that differ"] = float((ours["lungs"] != theirs["lungs"]).mean())
        differences[peer.name] = errors
    return differences


def _relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(ours).max())


def main() -> None:
    options = parse(__doc__, MORE)
    votes = 10 if options.quick else options.votes
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        changes = {"patches.count": votes} | (DENSE if options.dense else {})
        with start_ours("write runs", folder=folder, changes=changes):
            config = run_dir.load_config(Path(folder) / "classifier")
        path = str(options.radiograph.resolve())
        common: dict[str, Any] = {"folder": folder, "path": path, "votes": votes}
        sizes = {"image_size": config.image.size, "patch_size": config.patches.size, "batch_size": options.batch_size}

        def enter(name: str, module: str, **settings: Any) -> Competitor:
            return stack.enter_context(
                Competitor(name, options.torch_python, module, "predict file", common | settings)
            )

        competitors = [stack.enter_context(start_ours("predict file", folder=folder, path=path))]
        for name, compiled in pytorch_variants(options).items():
            competitors.append(enter(name, "pytorch", compiled=compiled, segmenter_size=config.segmenter.size, **sizes))
        if options.torch_python:
            competitors.append(enter("onnxruntime", "onnx", **sizes))
        differences = compare(competitors)
        if options.torch_python and options.original:
            original = str(options.original.resolve())
            competitors.append(enter("original", "original", original=original, cached=False))
            competitors.append(enter("original, read once", "original", original=original, cached=True))
        seconds = interleave(competitors, options.rounds)
        title = f"Prediction of one file: N = {votes}" + (", cxrjax with dense voting" if options.dense else "")
        print_report(title, competitors, seconds, options.json, {"votes": votes, "differences": differences})
        for name, errors in differences.items():
            print(f"{name} compared with {OURS}: " + "; ".join(f"{what} {value:.1e}" for what, value in errors.items()))


if __name__ == "__main__":
    main()
