"""Votes: how long from a file to its finding with N votes and a map, and how long each stage?

    python -m benchmarks.votes --radiograph=FILE.png --torch-python=TORCH/bin/python --original=DIR --json=votes.json

ResNet18 on 100 crops of 224² from the lungs, found by FC-DenseNet103 at 256², of a radiograph of 1024², float32, with
weights that nobody trained and everyone shares (`made_up.py`). Beside cxrjax: PyTorch as a good engineer would write
it, without and with torch.compile; onnxruntime for the classifier; and, where its checkout is named, the original's own
three programs (`contestants/original.py` says what was mended), also with its checkpoints read once and not anew for
every crop. A stage is timed alone, its input ready; "draw, crop, classify" is the three at once. Of several files each
core examines its own, in ours and in PyTorch. With `--dense` ours looks once, at the whole radiograph, and takes every
window of the last feature map for a vote; the others do as before.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import tell
from benchmarks.side_by_side import OURS, Contestant, parse, peer_forms, race, start_ours
from cxrjax.config import recipes
from cxrjax.runs import run_dir

MORE = {
    "radiograph": {"required": True, "type": Path, "help": "a frontal chest radiograph, PNG or JPEG"},
    "original": {"type": Path, "help": "a checkout of the original; without it, it is left out"},
    "votes": {"type": int, "default": 100, "help": "N"},
    "dense": {
        "action": "store_true",
        "help": "ours by dense voting (see cxrjax/inference/strategies/sliding_windows.py) and not by N crops",
    },
    "chunk": {"type": int, "default": 20, "help": "crops that the peers classify at once"},
}

DENSE = {f"patches.{name}": recipes.load("benchmark:dense").patches[name] for name in ("mode", "context_pixels")}


def compare(contestants: list[Contestant]) -> dict[str, dict[str, float]]:
    """How far the peers' results are from ours: that it is the same work."""
    ours, differences = contestants[0].results(), {}
    for peer in contestants[1:]:
        theirs = peer.results()
        differences[peer.name] = each = {
            "pixels of the radiograph that differ": float((ours["image"] != theirs["image"]).mean())
        }
        if "logits" in ours:
            each["logits, largest difference over the largest"] = _relative(ours["logits"], theirs["logits"])
        if "lungs" in theirs:
            each["pixels of the lungs that differ"] = float((ours["lungs"] != theirs["lungs"]).mean())
    return differences


def _relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(ours).max())


def main() -> None:
    given = parse(__doc__, MORE)
    votes = 10 if given.quick else given.votes
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        changes = {"patches.count": votes} | (DENSE if given.dense else {})
        with start_ours("runs", folder=folder, changes=changes):
            config = run_dir.load_config(Path(folder) / "classifier")
        picture = str(given.radiograph.resolve())
        common: dict[str, Any] = {"folder": folder, "picture": picture, "votes": votes}
        sizes = {"size": config.image.size, "patch": config.patches.size, "chunk": given.chunk}

        def enter(name: str, module: str, **settings: Any) -> Contestant:
            return stack.enter_context(Contestant(name, given.torch_python, module, "votes", common | settings))

        contestants = [stack.enter_context(start_ours("votes", folder=folder, picture=picture))]
        for name, compiled in peer_forms(given).items():
            contestants.append(enter(name, "pytorch", compiled=compiled, narrow=config.segmenter.size, **sizes))
        if given.torch_python:
            contestants.append(enter("onnxruntime", "onnx", **sizes))
        differences = compare(contestants)
        if given.torch_python and given.original:
            original = str(given.original.resolve())
            contestants.append(enter("original", "original", original=original, cached=False))
            contestants.append(enter("original, read once", "original", original=original, cached=True))
        seconds = race(contestants, given.rounds)
        question = f"Votes: N = {votes}" + (", ours every window" if given.dense else "")
        tell(question, contestants, seconds, given.json, {"votes": votes, "differences": differences})
        for name, each in differences.items():
            print(f"{name} against {OURS}: " + "; ".join(f"{what} {value:.1e}" for what, value in each.items()))


if __name__ == "__main__":
    main()
