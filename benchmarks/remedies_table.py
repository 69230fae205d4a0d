"""Table and summary of the benchmark of remedies, from its results alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

NO_SHORTCUT = 0.5
WANTED_GAIN = 0.8  # of what the shortcut takes
_HEADER = """# Remedies against known shortcuts

Written by `python -m benchmarks.remedies` from the trainings done so far, each of 500 phantoms of 64², 8 epochs and
about 20 CPU seconds. Phantoms of five classes; one feature is planted so that it goes with COVID-19 by a strength
(1: it reveals the class; 0.5: it says nothing). All numbers are the
area under the ROC curve of COVID-19 against the other classes, means over the seeds; the interval in brackets is that
of the first seed, 95%, by radiograph.

- clean: on the test split, where the feature goes with the class as in training.
- broken: on radiographs where it says nothing of the class.
- regained: of the difference on the broken split between the training without a remedy and one on data where the
  feature says nothing, over the seeds that all three have. Differences below 0.02 are left out.
- against, with: on the clean split, as the audit computes them from a user's own test radiographs: how many pairs of a
  COVID-19 and another radiograph are ranked rightly where the feature points to the wrong one, and where it points to
  the right one. Undefined at strength 1, where no pair is against the feature.

At strength 1 no radiograph separates the class from the feature, and `cxrjax train` says so before the first step. The
loss `bias_balanced` then gives the output of COVID-19 no gradient at all: its score is that of radiographs that
resemble none of the other classes. The interval of one seed is up to 0.1 wide; a smaller difference of two remedies
of one seed says nothing. At strength 0.95 five of the 100 radiographs of COVID-19 in training lack the feature, and 20
of the 400 others have it: what a remedy by source learns of the rest, it learns from these.
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
        _format_section(feature, strength, remedies, groups[feature, NO_SHORTCUT].get("none", []))
        for (feature, strength), remedies in sorted(groups.items())
        if strength != NO_SHORTCUT
    ]
    return "\n".join([*sections, _summarize(results)])


def _format_section(
    feature: str,
    strength: float,
    remedies: Mapping[str, Sequence[Mapping[str, Any]]],
    reference: Sequence[Mapping[str, Any]],
) -> str:
    lines = [
        f"## {feature}, strength {strength:g}",
        "",
        f"Without the shortcut, a training reaches {_number(_broken(reference))} on the broken split.",
        "",
        "| remedy | seeds | clean | broken | regained | against | with |",
        "|---|---|---|---|---|---|---|",
    ]
    gains: dict[str, float] = {}
    ordered = sorted(remedies.items(), key=lambda item: (item[0] != "none", -np.nan_to_num(_broken(item[1]))))
    for remedy, cells in ordered:
        refused = [cell["refused"] for cell in cells if "refused" in cell]
        if refused:
            lines.append(f"| {remedy} | {len(cells)} | refused: {refused[0]} | | | | |")
            continue
        first = cells[0]["broken"]
        regained = _regained(cells, remedies.get("none", []), reference)
        if remedy != "none" and not np.isnan(regained):
            gains[remedy] = regained
        interval = f"{_number(_broken(cells))} ({first['low']:.2f} to {first['high']:.2f})"
        clean = np.mean([cell["test"]["auroc"] for cell in cells])
        against = np.mean([_pairs(cell, "against_source") for cell in cells])
        along = np.mean([_pairs(cell, "with_source") for cell in cells])
        percent = "–" if np.isnan(regained) or remedy == "none" else f"{regained:.0%}"
        pairs = f"{_number(against)} | {_number(along)}"
        lines.append(f"| {remedy} | {len(cells)} | {clean:.3f} | {interval} | {percent} | {pairs} |")
    if gains:
        best = max(gains, key=lambda remedy: gains[remedy])
        verdict = "as wanted" if gains[best] >= WANTED_GAIN else f"{WANTED_GAIN:.0%} was wanted"
        if strength == 1:
            verdict = "no radiograph of the class lacks the feature, so that a remedy can only remove its place"
        lines += ["", f"The most is regained by {best}, {gains[best]:.0%}; {verdict}."]
    return "\n".join([*lines, ""])


def _summarize(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the rank correlations of the audit's measures with the broken score, within features and strengths."""
    by_group: dict[tuple[str, float], list[tuple[float, ...]]] = defaultdict(list)
    for cell in results:
        if "refused" not in cell and NO_SHORTCUT < cell["strength"] < 1:
            measures = (_pairs(cell, "against_source"), _estimate(cell), _share(cell))
            by_group[cell["feature"], cell["strength"]].append((*measures, cell["broken"]["auroc"]))
    groups = [np.array(rows) for rows in by_group.values() if len(rows) > 2]
    if not groups:
        return "## The audit and the broken split\n\nToo few trainings for a rank correlation.\n"
    columns = np.concatenate([rows - rows.mean(0) for rows in groups])
    against, estimate, share = (spearmanr(columns[:, k], columns[:, -1]).statistic for k in range(3))
    raw = np.concatenate(groups)
    error = float(np.abs(raw[:, 1] - raw[:, -1]).mean())
    return (
        "## The audit and the broken split\n\n"
        f"Over {len(columns)} trainings at strengths below 1, each compared with the mean of its feature and strength, "
        f"the rank correlation with the score on the broken split is {against:.2f} of the pairs against the source "
        f"(0.8 or more was wanted), {estimate:.2f} of the mean of the pairs within a source (half), against it and "
        f"with it (a quarter each), and {share:.2f} of the share of the score that the source alone reaches. That mean "
        "is what a score would be where the source says nothing, and is on average "
        f"{error:.3f} from the score on the broken split. The share divides the score of the source by that of the "
        "network on data where the source helps, where a network that gives up the source scores lower: it describes "
        "what data allow, and cannot rank remedies.\n"
    )


def _regained(
    cells: Sequence[Mapping[str, Any]], plain: Sequence[Mapping[str, Any]], reference: Sequence[Mapping[str, Any]]
) -> float:
    """Return the part of the loss by a shortcut that a remedy regains, over the seeds that all have; NaN if undefined.

    Args:
        cells: trainings with the remedy.
        plain: trainings without a remedy.
        reference: trainings on data where the feature says nothing.
    """
    seeds = set.intersection(*({cell["seed"] for cell in group} for group in (cells, plain, reference)))

    def mean(group: Sequence[Mapping[str, Any]]) -> float:
        return _broken([cell for cell in group if cell["seed"] in seeds])

    loss = mean(reference) - mean(plain)
    return (mean(cells) - mean(plain)) / loss if loss > 0.02 else float("nan")


def _broken(cells: Sequence[Mapping[str, Any]]) -> float:
    """Return the mean score on the broken split; NaN without trainings."""
    scores = [cell["broken"]["auroc"] for cell in cells if "refused" not in cell]
    return float(np.mean(scores)) if scores else float("nan")


def _pairs(cell: Mapping[str, Any], name: str) -> float:
    """Return how many pairs of the clean split are ranked rightly; NaN where there are none."""
    value = cell["test"].get(name)
    return float("nan") if value is None else value


def _estimate(cell: Mapping[str, Any]) -> float:
    """Return the score that is expected where the source says nothing, from the clean split."""
    pairs = _pairs(cell, "against_source") + _pairs(cell, "with_source")
    return _pairs(cell, "within_source") / 2 + pairs / 4


def _share(cell: Mapping[str, Any]) -> float:
    """Return the part of the clean score above chance that the source alone reaches."""
    gain = cell["test"]["auroc"] - 0.5
    return (cell["test"]["source"] - 0.5) / gain if gain > 0.01 else float("nan")


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
