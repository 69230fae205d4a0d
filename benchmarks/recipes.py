"""Train every published recipe on one data set with one budget, and compare them with a guess from the source alone.

    make recipes BENCHMARK=benchmark.csv
    python -m benchmarks.recipes --findings=data/findings --lungs=data/lungs --segmenter=runs/benchmark_segment

Trains each recipe (`benchmarks/small_budget.py` lists what is reduced), evaluates it on the validation and the test
split, and writes OUT/recipes.md and OUT/curves.png, the learning curves. The same command resumes an interrupted run.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt

from benchmarks import small_budget
from cxrjax.models import from_config, registry
from cxrjax.runs import run_dir
from cxrjax.runtime import atomic_files
from cxrjax.runtime.formatting import format_ci

SPLITS = ("val", "test")
COST = "cost.json"


class Recipe(NamedTuple):
    """A config with changed settings."""

    name: str
    config: str
    flags: tuple[str, ...] = ()
    lungs: bool = True  # whether it needs lung masks
    segmenter: str = ""  # recipe of its segmenter, if it preprocesses radiographs differently from the common one


LUNGS = [Recipe(name, name) for name in ("oh2020:segment", "manastahir:segment")]
# Some masks of the benchmark distinguish the left and the right lung, so images are not mirrored.
LUNGS.append(Recipe("singhaxn:segment", "singhaxn:segment", ("--config.augmentation.dihedral=0.0",)))
LUNGS.append(Recipe("oh2020:segment, U-Net", "oh2020:segment", ("--config.segmenter.architecture=unet",)))
GLOBAL = "--config.patches.mode=global"
UNMASKED = "--config.patches.mask_lungs=False"
FINDINGS = [
    Recipe("oh2020:classify", "oh2020:classify"),
    Recipe("oh2020:classify, unmasked", "oh2020:classify", (UNMASKED,)),
    Recipe("oh2020:classify, global", "oh2020:classify", (GLOBAL,)),
    Recipe("oh2020:classify, global, unmasked", "oh2020:classify", (GLOBAL, UNMASKED), lungs=False),
]
FINDINGS += [
    Recipe("manastahir:classify", "manastahir:classify"),
    Recipe("singhaxn:classify", "singhaxn:classify", segmenter="singhaxn:segment"),
]
FINDINGS += [
    Recipe(name, name, lungs=False)
    for name in (
        *(f"fsarshad:{network}" for network in ("cnn1", "cnn2", "cnn3", "vgg19", "resnet101", "densenet201")),
        *(f"hieu2695:{variant}" for variant in ("baseline", "focal", "weighted", "oversampled", "freeze", "full")),
        *(f"hieu2695:{network}" for network in ("resnet34", "groups", "densenet121", "vgg16")),
    )
]
# With random weights nothing is frozen, so it would equal hieu2695:full.
UNFROZEN = "hieu2695:freeze"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--findings", default="data/findings", help="prepared data set with findings")
    parser.add_argument("--lungs", default="data/lungs", help="prepared data set with lung masks")
    parser.add_argument("--segmenter", default="runs/benchmark_segment", help="run directory of the common segmenter")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"), help="folder of the runs and the table")
    parser.add_argument("--published", action="store_true", help="start with the published weights of the recipes")
    parser.add_argument("--only", default="", help="only recipes whose name contains this text")
    options = parser.parse_args()
    if options.published:
        options.out /= "published"
    recipes = LUNGS + [recipe for recipe in FINDINGS if options.published or recipe.name != UNFROZEN]
    failed = [recipe.name for recipe in recipes if options.only in recipe.name and not run(recipe, options)]
    report = format_tables(options.out)
    print(report)
    for name in failed:
        print(f"failed: {name}")
    atomic_files.atomic_write(options.out / "recipes.md", report.encode())
    draw_curves(options.out)
    return 1 if failed else 0


def folder(recipe: Recipe, out: Path) -> Path:
    """Return the run directory of a recipe."""
    return out / recipe.name.replace(", ", "-").replace(":", "_")


def run(recipe: Recipe, options: argparse.Namespace) -> bool:
    """Train and evaluate a recipe unless its results exist; return whether it succeeded."""
    workdir = folder(recipe, options.out)
    data = options.lungs if recipe in LUNGS else options.findings
    config = f"--config=benchmarks/small_budget.py:{recipe.config}{',published' if options.published else ''}"
    commands = [[config, f"--config.data.dir={data}", *recipe.flags]]
    if recipe in FINDINGS and recipe.lungs:
        segmenter = options.out / recipe.segmenter.replace(":", "_") if recipe.segmenter else options.segmenter
        commands[0].append(f"--config.segmenter.workdir={segmenter}")
    commands += [["--mode=evaluate", f"--split={split}"] for split in SPLITS]
    products = [COST, *(f"evaluation/{split}/metrics.json" for split in SPLITS)]
    for command, product in zip(commands, products, strict=True):
        if (workdir / product).exists():
            continue
        print(f"{recipe.name}: {' '.join(command)}", flush=True)
        before = cpu_seconds()
        is_resumed = (workdir / "metrics.jsonl").exists()
        process = subprocess.run([sys.executable, "-m", "cxrjax.main", f"--workdir={workdir}", *command])
        if process.returncode:
            return False
        if product == COST:
            seconds = None if is_resumed else cpu_seconds() - before  # those of an interrupted process are not known
            cost = {"cpu_seconds": seconds, "weights": count_weights(workdir)}
            atomic_files.atomic_write(workdir / COST, json.dumps(cost).encode())
    return True


def count_weights(workdir: Path) -> int:
    """Return the number of weights of the network of a run."""
    config = run_dir.load_config(workdir)
    network = from_config.segmenter(config) if config.task == "segment" else from_config.classifier(config)
    return registry.count_parameters(from_config.zero_variables(network))


def cpu_seconds() -> float:
    """Return the CPU seconds of all child processes that have ended, summed over cores."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def format_tables(out: Path) -> str:
    """Return the metrics of all finished runs as Markdown tables."""
    epochs = small_budget.EPOCHS
    lines = [
        "| lungs | millions of weights | CPU minutes | Dice, val | Dice, test | Jaccard, test |",
        "|---|---|---|---|---|---|",
    ]
    for recipe, scores, size, minutes in read_finished(LUNGS, out):
        dice = [format_ci(split["all"]["structures"]["lungs"]["dice"]) for split in scores]
        jaccard = format_ci(scores[-1]["all"]["structures"]["lungs"]["jaccard"])
        lines.append(f"| {recipe.name} | {size:.1f} | {minutes} | {' | '.join(dice)} | {jaccard} |")
    lines += [
        f"\n{epochs['segment']} epochs at {small_budget.SIDE}².\n",
        "| findings | millions of weights | CPU minutes | macro F1, val | macro F1, test | accuracy | AUROC |",
        "|---|---|---|---|---|---|---|",
    ]
    finished = list(read_finished(FINDINGS, out))
    for recipe, scores, size, minutes in finished:
        f1 = [format_ci(split["all"]["macro"]["f1"]) for split in scores]
        accuracy = format_ci(scores[-1]["all"]["accuracy"])
        auroc = format_ci(scores[-1]["all"]["macro"]["auroc"])
        lines.append(f"| {recipe.name} | {size:.1f} | {minutes} | {' | '.join([*f1, accuracy, auroc])} |")
    if finished:
        baselines = [split["source_baseline"] for split in finished[0][1]]
        f1 = [format_ci(baseline["macro"]["f1"]) for baseline in baselines]
        accuracy = format_ci(baselines[-1]["accuracy"])
        lines.append(f"| **the source alone, without pixels** | | | {' | '.join(f1)} | {accuracy} | |")
    lines.append(
        f"\n{epochs['classify']} epochs; patches of {small_budget.SIDE}² of radiographs of "
        f"{small_budget.RADIOGRAPH}², or radiographs resized to {small_budget.SIDE}²; {small_budget.VOTES} votes.\n"
    )
    return "\n".join(lines)


def read_finished(recipes: list[Recipe], out: Path) -> Iterator[tuple[Recipe, list[dict[str, Any]], float, str]]:
    """Yield each evaluated recipe with its metrics per split, its weights in millions, and its CPU minutes if known."""
    for recipe in recipes:
        paths = [folder(recipe, out) / "evaluation" / split / "metrics.json" for split in SPLITS]
        if all(path.exists() for path in paths):
            cost = json.loads((folder(recipe, out) / COST).read_text())
            scores = [json.loads(path.read_text()) for path in paths]
            minutes = "–" if cost["cpu_seconds"] is None else f"{cost['cpu_seconds'] / 60:.1f}"
            yield recipe, scores, cost["weights"] / 1e6, minutes


def draw_curves(out: Path) -> None:
    """Draw the learning curves: training and validation loss over epochs, one panel per recipe."""
    histories = [(recipe, folder(recipe, out) / "metrics.jsonl") for recipe in LUNGS + FINDINGS]
    histories = [(recipe, path) for recipe, path in histories if path.exists()]
    if not histories:
        return
    columns = 4
    rows = -(-len(histories) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(12, 2.2 * rows), squeeze=False, layout="constrained")
    for axes in panels.flat[len(histories) :]:
        axes.set_axis_off()
    for axes, (recipe, path) in zip(panels.flat, histories, strict=False):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for key in ("train/loss", "val/loss"):
            points = [(record["epoch"], record[key]) for record in records if record.get(key) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=key)
        axes.set_title(recipe.name, fontsize=8)
        axes.tick_params(labelsize=7)
    panels[0, 0].legend(fontsize=7, frameon=False)
    figure.savefig(out / "curves.png", dpi=120)


if __name__ == "__main__":
    sys.exit(main())
