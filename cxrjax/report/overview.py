"""First screen of a report: its result in one sentence, the scores that it rests on, and six radiographs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cxrjax.audit import criteria, finding, progress
from cxrjax.audit.metrics import HEADLINE
from cxrjax.report import cases, external_view
from cxrjax.report.first_screen import AUROC_NOTE, Bar, Overview, class_auroc_note
from cxrjax.report.inputs import ReportInputs
from cxrjax.runtime.formatting import format_count

EXAMPLES = 3  # right ones, and as many wrong ones
_NO_EVIDENCE = "So the score of the network is no evidence that it recognizes a disease."
STALE_AUDIT = "The audit is of other predictions than the scores: the split was evaluated again since."


def summarize(inputs: ReportInputs) -> Overview:
    """Return the overview of a run on one split."""
    if not inputs.classes:
        return _summarize_masks(inputs)
    if inputs.external is not None:
        return external_view.summarize(inputs)
    network = inputs.scores["all"]["macro"]["auroc"]
    if inputs.is_audit_stale:
        return _summarize_scores(inputs, network)._replace(detail=STALE_AUDIT)
    if inputs.audit is not None:
        found = finding.find(inputs.audit)
        if found.label:
            bars = _class_bars(found, inputs.audit["classes"])
            return Overview(found.sentence, "", tuple(bars), class_auroc_note(found.label), needs_audit=False)
        reached = found.shortcut["scores"][HEADLINE] if found.shortcut else None
        bars = _finding_bars(found, inputs.audit["scores"][HEADLINE], reached, inputs.chance[HEADLINE])
        return Overview(found.sentence, "", tuple(bars), AUROC_NOTE, needs_audit=False)
    return _summarize_scores(inputs, network)


def _class_bars(found: finding.Finding, classes: Mapping[str, Any]) -> list[Bar]:
    """Return the bars of a finding on one class.

    Args:
        found: its `label` is the class.
        classes: class -> scores of the network.
    """
    assert found.shortcut
    reached = found.shortcut["classes"][found.label]["auroc"]
    return _finding_bars(found, classes[found.label]["auroc"], reached, 0.5)


def _finding_bars(found: finding.Finding, network: Any, reached: Any, chance: float | None) -> list[Bar]:
    """Return the bars of the network, of the shortcut of a finding if it has one, and of chance."""
    bars = [Bar("the network", "network", network)]
    if found.shortcut:
        bars.append(Bar(f"best shortcut: {found.shortcut['title']}", "shortcut", reached))
    return [*bars, Bar("chance", "chance", chance)]


def _find_hidden_classes(scores: Mapping[str, Any], baseline: Mapping[str, Any]) -> finding.Finding | None:
    """Return the finding on the classes that the source alone explains, and not the mean of all; None without any.

    Args:
        scores: scores of the network, "all" of metrics.json.
        baseline: scores of the source alone, in the same form.
    """
    source = {
        "name": "source",
        "title": "source alone",
        "category": "shortcut",
        "scores": baseline["macro"],
        "share": None,
        "classes": baseline["classes"],
    }
    hidden = criteria.hidden_classes({"experiments": [source], "chance": {HEADLINE: 0.5}, "classes": scores["classes"]})
    return finding.name_classes(hidden, scores["classes"]) if hidden else None


def _summarize_scores(inputs: ReportInputs, network: Mapping[str, Any]) -> Overview:
    """Return the overview of a classifier that was not audited."""
    cases_of = format_count(len(inputs.rows), "radiograph")
    unit = AUROC_NOTE
    baseline = inputs.scores["source_baseline"]
    source = baseline["macro"]["auroc"] if baseline else {"value": None}
    chance = inputs.chance[HEADLINE]
    metric = finding.MEAN_SCORE
    if network["value"] is None and not inputs.is_multi_label:
        metric = "an accuracy"
        network = inputs.scores["all"]["accuracy"]
        source = inputs.scores["source_baseline"]["accuracy"]
        chance = inputs.chance["accuracy"]
        unit = "share of correct predictions (accuracy)"
    bars = [Bar("the network", "network", network)]
    if has_several_sources(inputs.rows) and source["value"] is not None:
        bars.append(Bar("source alone, without the image", "shortcut", source))
    bars.append(Bar("chance", "chance", chance))
    score = f"{metric} of –" if network["value"] is None else f"{metric} of {network['value']:.2f}"
    level = "" if chance is None else f", where chance is {chance:.2f}"
    if inputs.is_external:
        sentence = f"On {cases_of} of another data set the network reaches {score}{level}; these were not audited."
        detail = "An audit covers the data of training only: how much of this score a shortcut reaches is not known."
        return Overview(sentence, detail, tuple(bars), unit, needs_audit=False)
    untested = "whether it sees the disease or a shortcut was not tested"
    sentence = f"On {cases_of} the network reaches {score}{level}; {untested}."
    reached = source["value"]
    value = network["value"]
    if reached is not None and value is not None and _reaches_most(bars):
        companion, agent = finding.WORDINGS["source"]
        sentence = f"The label goes {companion}: {agent} {finding.format_reached(metric, reached, value)}."
    elif baseline and (found := _find_hidden_classes(inputs.scores["all"], baseline)):
        sentence = found.sentence
        bars = _class_bars(found, inputs.scores["all"]["classes"])
        unit = class_auroc_note(found.label)
    return Overview(sentence, _describe_audited(inputs, bars), tuple(bars), unit, needs_audit=True)


def _describe_audited(inputs: ReportInputs, bars: Sequence[Bar]) -> str:
    """Return what of an audit there is of a run without audit.json, and what is missing; the command follows it."""
    if inputs.audit_progress is not None:
        return f"The audit is not finished: {progress.describe(inputs.audit_progress)}; both are listed below."
    if any(bar.kind == "shortcut" for bar in bars):
        return (
            "Measured so far is what the source alone reaches, without the image. No audit of the image was made: how "
            "much of the score its background, its border, the size of the lungs or a mark reaches was not measured."
        )
    return "An audit measures how much of the score can be reached without seeing a lung; none was made."


def _reaches_most(bars: Sequence[Bar]) -> bool:
    """Return whether the source alone reaches most of what the network is above chance; False without that bar."""
    values = {bar.kind: bar.number["value"] if isinstance(bar.number, Mapping) else bar.number for bar in bars}
    if "shortcut" not in values or None in values.values():
        return False
    gain = values["network"] - values["chance"]
    return gain > 0 and values["shortcut"] - values["chance"] >= criteria.MOST * gain


def _summarize_masks(inputs: ReportInputs) -> Overview:
    """Return the overview of a segmenter."""
    scores = inputs.scores["all"]
    bars = [Bar(name, "structure", s["dice"]) for name, s in scores["structures"].items() if s["support"]]
    unit = "1 is perfect, 0 is no overlap: the Dice coefficient of predicted and true masks"
    failures = f" In {scores['failed']} of them no lungs were found." if scores["failed"] else ""
    lungs = scores["structures"].get("lungs")
    if lungs is None or lungs["dice"]["value"] is None:
        return Overview(
            f"Lungs were segmented in {format_count(len(inputs.rows), 'radiograph')}.",
            failures,
            tuple(bars),
            unit,
            False,
        )
    overlap = f"overlap the true ones by {lungs['dice']['value']:.2f} of 1"
    sentence = f"On {format_count(lungs['support'], 'radiograph')} the predicted lungs {overlap}."
    return Overview(sentence, failures.strip(), tuple(bars), unit, needs_audit=False)


def has_several_sources(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the rows have more than one source, without which a guess from the source says nothing."""
    return len({row.get("source", "") for row in rows}) > 1


def select_examples(worst_first: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows shown on the first screen: the most confident right ones, then the most confident wrong ones.

    Args:
        worst_first: rows of `cases.sort_worst_first`.

    Returns:
        At most `EXAMPLES` right and as many wrong rows, of different labels where there are such; of a segmenter the
        rows of the highest and of the lowest overlap.
    """
    if worst_first and "prediction" not in worst_first[0]:
        scored = [row for row in worst_first if not np.isnan(row["dice_lungs"])]
        best = scored[: -EXAMPLES - 1 : -1]
        return best + [row for row in worst_first[:EXAMPLES] if row not in best]
    wrong = [row for row in worst_first if cases.is_wrong(row) and row["prediction"]]
    right = [row for row in reversed(worst_first) if not cases.is_wrong(row)]
    return _of_different_labels(right) + _of_different_labels(wrong)


def _of_different_labels(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first `EXAMPLES` rows of a sequence, preferring the first of each label."""
    first_of_label = {row["label"]: row for row in reversed(rows)}
    firsts = [row for row in rows if first_of_label[row["label"]] is row]
    others = [row for row in rows if first_of_label[row["label"]] is not row]
    return [*firsts, *others][:EXAMPLES]
