"""Measure the time from a file to its prediction with N votes and a saliency map, and of each stage.

    python -m benchmarks.inference --radiograph=FILE.png --torch-python=TORCH/bin/python --original=DIR --json=FILE.json

ResNet18 on 100 crops of 224² from the lungs, segmented by FC-DenseNet103 at 256², of a radiograph of 1024², in float32,
with untrained weights that all competitors share (`synthetic.py`). Competitors: optimized PyTorch, without and with
torch.compile; onnxruntime for the classifier; and, if its checkout is options, the three programs of the original
(`competitors/original.py` lists the fixes), also with its checkpoints read once instead of for every crop. A stage is
timed alone with its input ready; "draw, crop, classify" is all three. For several files, every core processes its own
file, in cxrjax and in PyTorch. With `--dense`, cxrjax classifies the whole radiograph once, and every window of the
last feature map votes; the competitors do not change.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import print_report
from benchmarks.runner import OURS, Competitor, interleave, parse, peer_forms, start_ours
from cxrjax.config import recipes
from cxrjax.runs import run_dir

MORE = {
    "radiograph": {"required": True, "type": Path, "help": "a frontal chest radiograph, PNG or JPEG"},
    "original": {"type": Path, "help": "a checkout of the original; without it, the original is skipped"},
    "votes": {"type": int, "default": 100, "help": "N"},
    "dense": {
        "action": "store_true",
        "help": "cxrjax by dense voting (see cxrjax/inference/strategies/sliding_windows.py) instead of N crops",
    },
    "chunk": {"type": int, "default": 20, "help": "batch size of the peers' classifier"},
}

DENSE = {f"patches.{name}": recipes.load("benchmark:dense").patches[name] for name in ("mode", "context_pixels")}


def compare(competitors: list[Competitor]) -> dict[str, dict[str, float]]:
    """Compare the results of the peers with ours, to check that all do the same work."""
    ours = competitors[0].results()
    differences = {}
    for peer in competitors[1:]:
        theirs = peer.results()
        errors = {"pixels of the radiograph that differ": float((ours["image"] != theirs["image"]).mean())}
        if "logits" in ours:
            errors["logits, largest difference over the largest"] = _relative_error(ours["logits"], theirs["logits"])
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
        with start_ours("runs", folder=folder, changes=changes):
            config = run_dir.load_config(Path(folder) / "classifier")
        picture = str(options.radiograph.resolve())
        common: dict[str, Any] = {"folder": folder, "picture": picture, "votes": votes}
        sizes = {"size": config.image.size, "patch": config.patches.size, "chunk": options.chunk}

        def enter(name: str, module: str, **settings: Any) -> Competitor:
            return stack.enter_context(Competitor(name, options.torch_python, module, "votes", common | settings))

        competitors = [stack.enter_context(start_ours("votes", folder=folder, picture=picture))]
        for name, compiled in peer_forms(options).items():
            competitors.append(enter(name, "pytorch", compiled=compiled, narrow=config.segmenter.size, **sizes))
        if options.torch_python:
            competitors.append(enter("onnxruntime", "onnx", **sizes))
        differences = compare(competitors)
        if options.torch_python and options.original:
            original = str(options.original.resolve())
            competitors.append(enter("original", "original", original=original, cached=False))
            competitors.append(enter("original, read once", "original", original=original, cached=True))
        seconds = interleave(competitors, options.rounds)
        question = f"Inference: N = {votes}" + (", cxrjax with every window" if options.dense else "")
        print_report(question, competitors, seconds, options.json, {"votes": votes, "differences": differences})
        for name, errors in differences.items():
            print(f"{name} against {OURS}: " + "; ".join(f"{what} {value:.1e}" for what, value in errors.items()))


if __name__ == "__main__":
    main()
