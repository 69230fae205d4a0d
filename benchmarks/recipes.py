"""Every published recipe on one data set, at one budget, side by side with what the source alone tells.

    make recipes BENCHMARK=benchmark.csv
    python -m benchmarks.recipes --findings=data/findings --lungs=data/lungs --segmenter=runs/benchmark_segment

Trains each (`benchmarks/reduced.py` says what is made smaller), evaluates it on the validation and the test split, and
writes OUT/recipes.md, and OUT/curves.png with how each was learnt. Begun again, it goes on where it stopped.
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

from benchmarks import reduced
from cxrjax.models import from_config, registry
from cxrjax.runs import run_dir
from cxrjax.runtime import atomic_files
from cxrjax.runtime.formatting import format_ci

SPLITS = ("val", "test")
COST = "cost.json"


class Recipe(NamedTuple):
    """A config, and what is asked of it beside."""

    name: str
    config: str
    flags: tuple[str, ...] = ()
    lungs: bool = True  # whether they are looked for
    segmenter: str = ""  # the recipe that finds them, where the one that serves all reads radiographs otherwise


LUNGS = [Recipe(name, name) for name in ("oh2020:segment", "manastahir:segment")]
# Some masks of the benchmark tell the left lung from the right, and so it mirrors none.
LUNGS.append(Recipe("singhaxn:segment", "singhaxn:segment", ("--config.augmentation.dihedral=0.0",)))
LUNGS.append(Recipe("oh2020:segment, U-Net", "oh2020:segment", ("--config.segmenter.architecture=unet",)))
GLOBAL, UNMASKED = "--config.patches.mode=global", "--config.patches.mask_lungs=False"
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
# Random weights are not frozen, and so it is hieu2695:full.
UNFROZEN = "hieu2695:freeze"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--findings", default="data/findings", help="the prepared radiographs with findings")
    parser.add_argument("--lungs", default="data/lungs", help="the prepared radiographs with masks of the lungs")
    parser.add_argument("--segmenter", default="runs/benchmark_segment", help="the run that finds lungs for all")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"), help="where the runs and the table go")
    parser.add_argument("--published", action="store_true", help="begin with the weights that the recipes begin with")
    parser.add_argument("--only", default="", help="recipes of which this is a part of the name")
    options = parser.parse_args()
    if options.published:
        options.out /= "published"
    chosen = LUNGS + [recipe for recipe in FINDINGS if options.published or recipe.name != UNFROZEN]
    failed = [recipe.name for recipe in chosen if options.only in recipe.name and not run(recipe, options)]
    for text in (report := format_tables(options.out)), *(f"failed: {name}" for name in failed):
        print(text)
    atomic_files.atomic_write(options.out / "recipes.md", report.encode())
    draw_curves(options.out)
    return 1 if failed else 0


def folder(recipe: Recipe, out: Path) -> Path:
    """The run directory of a recipe."""
    return out / recipe.name.replace(", ", "-").replace(":", "_")


def run(recipe: Recipe, options: argparse.Namespace) -> bool:
    """Train and evaluate a recipe, as far as that is not done; whether it could be."""
    workdir = folder(recipe, options.out)
    data = options.lungs if recipe in LUNGS else options.findings
    config = f"--config=benchmarks/reduced.py:{recipe.config}{',published' if options.published else ''}"
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
        before, goes_on = cpu_seconds(), (workdir / "metrics.jsonl").exists()
        done = subprocess.run([sys.executable, "-m", "cxrjax.main", f"--workdir={workdir}", *command])
        if done.returncode:
            return False
        if product == COST:
            spent = None if goes_on else cpu_seconds() - before  # that of a process which was stopped is not known
            cost = {"cpu_seconds": spent, "weights": count_weights(workdir)}
            atomic_files.atomic_write(workdir / COST, json.dumps(cost).encode())
    return True


def count_weights(workdir: Path) -> int:
    """How many weights the network of a run has."""
    config = run_dir.load_config(workdir)
    network = from_config.segmenter(config) if config.task == "segment" else from_config.classifier(config)
    return registry.count_parameters(from_config.zero_variables(network))


def cpu_seconds() -> float:
    """Seconds of computing of all processes that were started and have ended, over all cores."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def format_tables(out: Path) -> str:
    """What all runs that are done scored, in Markdown."""
    epochs = reduced.EPOCHS
    lines = [
        "| lungs | millions of weights | CPU minutes | Dice, val | Dice, test | Jaccard, test |",
        "|---|---|---|---|---|---|",
    ]
    for recipe, scores, size, minutes in done(LUNGS, out):
        dice = [format_ci(one["all"]["structures"]["lungs"]["dice"]) for one in scores]
        jaccard = format_ci(scores[-1]["all"]["structures"]["lungs"]["jaccard"])
        lines.append(f"| {recipe.name} | {size:.1f} | {minutes} | {' | '.join(dice)} | {jaccard} |")
    lines += [
        f"\n{epochs['segment']} passes over the training split at {reduced.SIDE}².\n",
        "| findings | millions of weights | CPU minutes | macro F1, val | macro F1, test | accuracy | AUROC |",
        "|---|---|---|---|---|---|---|",
    ]
    finished = list(done(FINDINGS, out))
    for recipe, scores, size, minutes in finished:
        f1 = [format_ci(one["all"]["macro"]["f1"]) for one in scores]
        rest = [
            format_ci(scores[-1]["all"]["accuracy"]),
            format_ci(scores[-1]["all"]["macro"]["auroc"]),
        ]
        lines.append(f"| {recipe.name} | {size:.1f} | {minutes} | {' | '.join(f1 + rest)} |")
    if finished:
        alone = [one["source_baseline"] for one in finished[0][1]]
        f1, accuracy = (
            [format_ci(one["macro"]["f1"]) for one in alone],
            format_ci(alone[-1]["accuracy"]),
        )
        lines.append(f"| **the source alone, no pixel seen** | | | {' | '.join(f1)} | {accuracy} | |")
    lines.append(
        f"\n{epochs['classify']} passes over the training split; patches of {reduced.SIDE}² of radiographs of "
        f"{reduced.RADIOGRAPH}², or these shrunk to {reduced.SIDE}²; {reduced.VOTES} votes.\n"
    )
    return "\n".join(lines)


def done(recipes: list[Recipe], out: Path) -> Iterator[tuple[Recipe, list[dict[str, Any]], float, str]]:
    """Of each recipe that is evaluated: its scores on each split, its weights in millions, its CPU minutes if known."""
    for recipe in recipes:
        paths = [folder(recipe, out) / "evaluation" / split / "metrics.json" for split in SPLITS]
        if all(path.exists() for path in paths):
            cost = json.loads((folder(recipe, out) / COST).read_text())
            scores = [json.loads(path.read_text()) for path in paths]
            minutes = "–" if cost["cpu_seconds"] is None else f"{cost['cpu_seconds'] / 60:.1f}"
            yield recipe, scores, cost["weights"] / 1e6, minutes


def draw_curves(out: Path) -> None:
    """How each recipe was learnt: loss of training and validation over passes, a small panel each."""
    learnt = [(recipe, folder(recipe, out) / "metrics.jsonl") for recipe in LUNGS + FINDINGS]
    learnt = [(recipe, path) for recipe, path in learnt if path.exists()]
    if not learnt:
        return
    columns = 4
    figure, panels = plt.subplots(
        -(-len(learnt) // columns),
        columns,
        figsize=(12, 2.2 * -(-len(learnt) // columns)),
        squeeze=False,
        layout="constrained",
    )
    for axes in panels.flat[len(learnt) :]:
        axes.set_axis_off()
    for axes, (recipe, path) in zip(panels.flat, learnt, strict=False):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for key in ("train/loss", "val/loss"):
            known = [(record["epoch"], record[key]) for record in records if record.get(key) is not None]
            if known:
                axes.plot(*zip(*known, strict=True), marker=".", label=key)
        axes.set_title(recipe.name, fontsize=8)
        axes.tick_params(labelsize=7)
    panels[0, 0].legend(fontsize=7, frameon=False)
    figure.savefig(out / "curves.png", dpi=120)


if __name__ == "__main__":
    sys.exit(main())
