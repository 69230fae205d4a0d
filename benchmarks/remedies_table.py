"""Format the results of the benchmark of remedies as benchmarks/REMEDIES.md."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

NO_SHORTCUT = 0.5
TARGET_GAIN = 0.8  # fraction of the loss by the shortcut
_HEADER = """# Remedies against known shortcuts

The benchmark plants one feature in phantoms of five classes, so that it is associated with COVID-19, and measures how
much of the resulting damage each remedy undoes. The strength is the strength of the association: at 1 the feature
reveals the class, at 0.5 it says nothing about it. `python -m benchmarks.remedies` writes this file from the
trainings finished so far; each uses 500 phantoms of 64² pixels and 8 epochs, and takes about 20 CPU seconds.

All scores are the area under the ROC curve of COVID-19 against the other classes, averaged over the seeds. The
interval in brackets is the 95% interval by radiograph of the first seed. The columns:

- clean: the score on the test split, where the feature is associated with the class as in training.
- broken: the score on radiographs where the feature says nothing about the class.
- regained: the gain of the remedy on the broken split, as a fraction of the difference between a training on data
  where the feature says nothing and a training without a remedy, over the seeds that all three have, with the lowest
  and the highest of the single seeds in brackets. It is missing if this difference is below 0.02.
- against, with: how often a pair of a radiograph with COVID-19 and another one is ranked correctly on the clean
  split, for pairs in which the feature points to the wrong radiograph, and for pairs in which it points to the right
  one. The audit computes both from a user's own test radiographs. At strength 1 "against" is undefined, since there
  are no such pairs.

At strength 1, no radiograph separates the class from the feature, and `cxrjax train` reports this before the first
step. The loss `bias_balanced` then gives the output of COVID-19 no gradient: its score is that of radiographs that
resemble none of the other classes. The interval of one seed is up to 0.1 wide, so a smaller difference between two
remedies with one seed each is not meaningful. At strength 0.95, five of the 100 radiographs with COVID-19 in training
lack the feature, and 20 of the 400 others have it; a remedy by source can learn about these rare combinations only
from these radiographs.
"""


def format_report(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the content of benchmarks/REMEDIES.md, without its section on real radiographs.

    Args:
        results: contents of the files of all cells.
    """
    groups: dict[tuple[str, float], dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        groups[result["feature"], result["strength"]][result["remedy"]].append(result)
    seeds = len({result["seed"] for result in results})
    sections = [_HEADER, f"Trainings so far: {len(results)}, with {seeds} {'seed' if seeds == 1 else 'seeds'}.\n"]
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
        f"A training on data without the shortcut reaches {_number(_broken(reference))} on the broken split.",
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
        against_source = np.mean([_pairs(cell, "against_source") for cell in cells])
        with_source = np.mean([_pairs(cell, "with_source") for cell in cells])
        percent = "–" if np.isnan(regained) or remedy == "none" else f"{regained:.0%}"
        by_seed = [_regained([cell], remedies.get("none", []), reference) for cell in cells]
        if percent != "–" and len(cells) > 1 and not np.isnan(by_seed).any():
            percent += f" ({min(by_seed):.0%} to {max(by_seed):.0%})"
        pairs = f"{_number(against_source)} | {_number(with_source)}"
        lines.append(f"| {remedy} | {len(cells)} | {clean:.3f} | {interval} | {percent} | {pairs} |")
    if gains:
        best = max(gains, key=lambda remedy: gains[remedy])
        outcome = "met" if gains[best] >= TARGET_GAIN else "missed"
        conclusion = f"the target of {TARGET_GAIN:.0%} is {outcome}"
        if strength == 1:
            conclusion = "no radiograph of the class lacks the feature, so a remedy can only remove its region"
        lines += ["", f"The best remedy, {best}, regains {gains[best]:.0%}; {conclusion}."]
    return "\n".join([*lines, ""])


def _summarize(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the section on the rank correlations of the audit's measures with the score on the broken split."""
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
        "the rank correlation with the score on the broken split is:\n\n"
        f"- {against:.2f} for the pairs against the source (target: at least 0.8);\n"
        f"- {estimate:.2f} for a weighted mean of the pairs within a source (weight one half), against the source and "
        "with the source (one quarter each);\n"
        f"- {share:.2f} for the share of the score that the source alone reaches.\n\n"
        "The weighted mean estimates the score where the source says nothing, and differs from the score on the broken "
        f"split by {error:.3f} on average. The share divides the score of the source by that of the network on data "
        "where the source helps. A network that does not use the source scores lower there, so the share describes "
        "what the data allow, and cannot rank remedies.\n"
    )


def _regained(
    cells: Sequence[Mapping[str, Any]], plain: Sequence[Mapping[str, Any]], reference: Sequence[Mapping[str, Any]]
) -> float:
    """Return the fraction of the loss by a shortcut that a remedy regains; NaN if undefined.

    Only seeds that all three groups have are used.

    Args:
        cells: trainings with the remedy.
        plain: trainings without a remedy.
        reference: trainings on data where the feature says nothing about the class.
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
    """Return the fraction of pairs of the clean split that are ranked correctly; NaN without such pairs."""
    value = cell["test"].get(name)
    return float("nan") if value is None else value


def _estimate(cell: Mapping[str, Any]) -> float:
    """Return the expected score where the source says nothing about the class, estimated from the clean split."""
    pairs = _pairs(cell, "against_source") + _pairs(cell, "with_source")
    return _pairs(cell, "within_source") / 2 + pairs / 4


def _share(cell: Mapping[str, Any]) -> float:
    """Return the fraction of the clean score above chance that the source alone reaches; NaN if undefined."""
    gain = cell["test"]["auroc"] - 0.5
    return (cell["test"]["source"] - 0.5) / gain if gain > 0.01 else float("nan")


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
