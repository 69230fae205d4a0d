"""Measure how much longer `--mode=predict` takes for a folder than its networks alone.

    python -m benchmarks.folder --radiograph=FILE.png --count=500 --torch-python=TORCH/bin/python --json=folder.json

The folder has links to one file. "Networks alone" are those of cxrjax, loaded and applied to as many preprocessed
images; `predict` also reads and preprocesses each file and writes the table, without other files (`--save=`), with
figures, and with all kinds of files. The networks are those of `inference.py`, or of a run (`--run`). PyTorch reads
each file and computes the label and the map with the same networks, one file per core, and writes nothing.
torchxrayvision reads each file and classifies it with its DenseNet121 at 224 pixels, without lungs, patches or maps.

CPU seconds are of the process and its children. Unlike the time, they hardly depend on other load on the machine.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.results import describe_machine, save, write_table
from benchmarks.runner import Competitor, parse, start_ours
from cxrjax.runs import run_dir

NETWORKS = "networks alone"
RATIOS = {"with figures": "figures", "without figures": "table"}  # stages that are compared with the networks alone


def main() -> None:
    more: dict[str, dict[str, Any]] = {
        "radiograph": {"required": True, "type": Path, "help": "frontal chest radiograph"},
        "count": {"type": int, "default": 500, "help": "files in the folder"},
        "run": {"type": Path, "help": "run directory of a classifier; without it, random networks"},
        "xrayvision-python": {"help": "Python interpreter with torchxrayvision and torchvision"},
    }
    options = parse(__doc__, more)
    count = 4 if options.quick else options.count
    radiograph = options.radiograph.resolve()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        radiographs = Path(place, "radiographs")
        radiographs.mkdir()
        for number in range(count):
            (radiographs / f"{number:05}{radiograph.suffix}").symlink_to(radiograph)
        if not options.run:
            changes = {"patches.count": 10} if options.quick else {}
            with start_ours("write runs", folder=place, changes=changes):
                pass
        run = options.run or Path(place, "classifier")
        folder = {"run": str(run), "radiographs": str(radiographs), "output": place}
        competitors = [stack.enter_context(start_ours("folder", **folder))]
        if options.torch_python and not options.run:
            config = run_dir.load_config(run)
            settings = {"folder": place, "radiographs": str(radiographs), "votes": config.patches.count}
            settings |= {"image_size": config.image.size, "patch_size": config.patches.size}
            settings |= {"segmenter_size": config.segmenter.size, "batch_size": 20, "compiled": False}
            peer = Competitor("PyTorch", options.torch_python, "pytorch", "folder", settings)
            competitors.append(stack.enter_context(peer))
        if options.xrayvision_python:
            peer = Competitor(
                "torchxrayvision", options.xrayvision_python, "xrayvision", "folder", {"radiographs": str(radiographs)}
            )
            competitors.append(stack.enter_context(peer))
        costs: dict[str, list[dict[str, float]]] = {}
        for turn in range(options.rounds + 1):
            for competitor in competitors:
                for stage in competitor.stages:
                    cost = competitor.measure(stage)
                    if turn:  # the first turn includes compilation
                        costs.setdefault(f"{competitor.name}, {stage}", []).append(cost)
        metadata = {competitor.name: competitor.metadata for competitor in competitors}
    fastest = {name: {key: min(cost[key] for cost in turns) for key in turns[0]} for name, turns in costs.items()}
    alone = fastest[f"{competitors[0].name}, {NETWORKS}"]
    rows = [
        [
            name,
            *(f"{cost[key]:.1f} ({cost[key] / alone[key]:.2f})" for key in ("seconds", "cpu")),
            f"{cost['peak']:.0f}",
        ]
        for name, cost in fastest.items()
    ]
    print(f"\nA folder of {count} files; the fastest of {options.rounds} turns (multiple of the networks alone)\n")
    print(write_table(["program", "s", "CPU s", "peak memory, MB"], rows))
    for name, stage in RATIOS.items():
        ratio = fastest[f"{competitors[0].name}, {stage}"]["seconds"] / alone["seconds"]
        print(f"{name} / {NETWORKS}: {ratio:.3f}")
    save(options.json, "Folder", {"machine": describe_machine(), "count": count, "metadata": metadata, "costs": costs})


if __name__ == "__main__":
    main()
