"""Table and summary of the benchmark of remedies, from its results alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

NO_SHORTCUT = 0.5
WANTED_GAIN = 0.8  # of what the shortcut takes
_HEADER = """# Remedies against known shortcuts

Written by `python -m benchmarks.remedies` from the trainings done so far. Phantoms of five classes; one feature is
planted so that it goes with COVID-19 by a strength (1: it reveals the class; 0.5: it says nothing). All numbers are the
area under the ROC curve of COVID-19 against the other classes, means over the seeds; the interval in brackets is that
of the first seed, 95%, by radiograph.

- clean: on the test split, where the feature goes with the class as in training.
- broken: on radiographs where it says nothing of the class.
- regained: of the difference on the broken split between the training without a remedy and one on data where the
  feature says nothing. Differences below 0.02 are left out.
- share: of the clean score above chance, how much the source alone reaches, as the audit computes it.

At strength 1 no radiograph separates the class from the feature, and `cxrjax train` says so before the first step. The
loss `bias_balanced` then gives the output of COVID-19 no gradient at all: its score is that of radiographs that
resemble none of the other classes. The interval of one seed is about 0.16 wide; a smaller difference of two remedies
of one seed says nothing.
"""


def format_report(results: Sequence[Mapping[str, Any]]) -> str:
    """Return benchmarks/REMEDIES.md.

    Args:
        results: contents of the cells' files.
    """
    groups: dict[tuple[str, float], dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        groups[result["feature"], result["strength"]][result["remedy"]].append(result)
    seeds = len({result["seed"] for result in results})
    sections = [_HEADER, f"Trainings so far: {len(results)}, of {seeds} {'seed' if seeds == 1 else 'seeds'}.\n"]
    sections += [
        _format_section(feature, strength, remedies, _broken(groups[feature, NO_SHORTCUT].get("none", [])))
        for (feature, strength), remedies in sorted(groups.items())
        if strength != NO_SHORTCUT
    ]
    return "\n".join([*sections, _summarize(results)])


def _format_section(
    feature: str, strength: float, remedies: Mapping[str, Sequence[Mapping[str, Any]]], reference: float
) -> str:
    lines = [
        f"## {feature}, strength {strength:g}",
        "",
        f"Without the shortcut, a training reaches {_number(reference)} on the broken split.",
        "",
        "| remedy | seeds | clean | broken | regained | share |",
        "|---|---|---|---|---|---|",
    ]
    plain = _broken(remedies.get("none", []))
    gains: dict[str, float] = {}
    ordered = sorted(remedies.items(), key=lambda item: (item[0] != "none", -np.nan_to_num(_broken(item[1]))))
    for remedy, cells in ordered:
        refused = [cell["refused"] for cell in cells if "refused" in cell]
        if refused:
            lines.append(f"| {remedy} | {len(cells)} | refused: {refused[0]} | | | |")
            continue
        first = cells[0]["broken"]
        regained = (_broken(cells) - plain) / (reference - plain) if reference - plain > 0.02 else np.nan
        if remedy != "none" and not np.isnan(regained):
            gains[remedy] = regained
        interval = f"{_number(_broken(cells))} ({first['low']:.2f} to {first['high']:.2f})"
        clean = np.mean([cell["test"]["auroc"] for cell in cells])
        share = np.mean([_share(cell) for cell in cells])
        percent = "–" if np.isnan(regained) or remedy == "none" else f"{regained:.0%}"
        lines.append(f"| {remedy} | {len(cells)} | {clean:.3f} | {interval} | {percent} | {share:.0%} |")
    if gains:
        best = max(gains, key=lambda remedy: gains[remedy])
        verdict = "as wanted" if gains[best] >= WANTED_GAIN else f"{WANTED_GAIN:.0%} was wanted"
        lines += ["", f"The most is regained by {best}, {gains[best]:.0%}; {verdict}."]
    return "\n".join([*lines, ""])


def _summarize(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the rank correlation of the audit's share and the broken score, within features and strengths."""
    by_group: dict[tuple[str, float], list[tuple[float, float]]] = defaultdict(list)
    for cell in results:
        if "refused" not in cell and cell["strength"] != NO_SHORTCUT:
            by_group[cell["feature"], cell["strength"]].append((_share(cell), cell["broken"]["auroc"]))
    centered = [np.array(pairs) - np.mean(pairs, axis=0) for pairs in by_group.values() if len(pairs) > 2]
    if not centered:
        return "## Share and score\n\nToo few trainings for a rank correlation.\n"
    pairs = np.concatenate(centered)
    correlation = spearmanr(pairs[:, 0], pairs[:, 1]).statistic
    return (
        "## Share and score\n\n"
        f"Over {len(pairs)} trainings, each compared with the mean of its feature and strength, the rank correlation "
        f"of the audit's share with the score on the broken split is {correlation:.2f}; the share would have to fall "
        "when and only when that score rises (-0.8 or less was wanted). The share divides the score of the source by "
        "that of the network, both above chance: a network that gives up the shortcut scores lower on the clean split, "
        "where the shortcut holds, so that its share rises. It describes a score on given data, and cannot rank "
        "remedies.\n"
    )


def _broken(cells: Sequence[Mapping[str, Any]]) -> float:
    """Return the mean score on the broken split; NaN without trainings."""
    scores = [cell["broken"]["auroc"] for cell in cells if "refused" not in cell]
    return float(np.mean(scores)) if scores else float("nan")


def _share(cell: Mapping[str, Any]) -> float:
    """Return the part of the clean score above chance that the source alone reaches."""
    gain = cell["test"]["auroc"] - 0.5
    return (cell["test"]["source"] - 0.5) / gain if gain > 0.01 else float("nan")


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
