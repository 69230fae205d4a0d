"""End of an audit's verdict: which remedies of a training can help here, and what no training can do.

The remedies are the settings under `config.remedy` (`cxrjax.training.remedies`). What can be learned at all is decided
by the table of sources and labels alone (`cxrjax.metrics.identifiability`).
"""

from typing import Any

from cxrjax.audit import criteria
from cxrjax.audit.criteria import Numbers
from cxrjax.audit.metrics import HEADLINE
from cxrjax.metrics import identifiability
from cxrjax.runtime.formatting import join_labels, join_words

_METADATA = ("source", "metadata", "resolution", "file_format", "view")
_OUTSIDE = ("background", "border", "lung_box")  # shortcuts outside the lungs
_APPEARANCE = ("common_levels_network", "common_resolution_network")


def conclude(audit: Numbers) -> dict[str, list[str]]:
    """Return what can be done about the shortcuts of an audit.

    Args:
        audit: the content of audit.json without its verdict.

    Returns:
        {"possible", "impossible"}: sentences; the former name settings of a training, and there are none where the
        audit finds no shortcut.
    """
    sources = {source for counts in audit["sources"].values() for source in counts}
    is_multi_label = audit.get("targets") == "multi"  # the remedies of labels and sources are not for findings
    counts = _count_by_source(audit["sources"])
    results = [] if is_multi_label else identifiability.assess(counts)
    confounded = [result for result in results if result.is_confounded] if len(sources) > 1 else []
    impossible = [
        f"{join_labels([result.label])} comes from {join_words(result.sources)} alone: no training can tell it from "
        f"{'that source' if len(result.sources) == 1 else 'those sources'}; radiographs of it from a source with other "
        "labels are needed"
        for result in confounded
    ]
    if is_multi_label and len(sources) > 1:
        impossible = [sentence.rstrip(".") for sentence in identifiability.describe_confounded_findings(counts)]
    if len(sources) == 1:
        impossible = [
            "all radiographs come from one source: what a network does elsewhere needs radiographs of another"
        ]
    by_name = {entry["name"]: entry for entry in audit["experiments"] if entry["scores"]}
    possible = []
    separable = [result.label for result in results if not result.is_confounded]
    against_source = by_name.get("against_source")
    is_source_used = any(_is_found(by_name, name) for name in _METADATA) or (
        against_source is not None and criteria.depends_on_source(against_source)
    )
    if len(sources) > 1 and len(separable) > 1 and is_source_used:
        possible.append(
            f"for {join_labels(separable)}, which share sources, --config.remedy.balance=True or "
            "--config.remedy.loss=bias_balanced takes from the source what it says of the label, and cxrjax "
            "retrain_last_layer does so for the last layer of this run; whether one helps, the pairs against the "
            "source in the audit of the new run tell"
        )
    if any(_is_found(by_name, name) for name in _OUTSIDE):
        possible.append(
            "what lies outside the lungs is hidden by --config.patches.mask_lungs=True (where it is set already, the "
            "outline of the lungs is left), or made to say nothing by --config.remedy.surroundings=1.0; the border is "
            "cut off by --config.patches.center_crop=0.25 with --config.training.augment_probability=0"
        )
    if any(_is_lost(by_name.get(name)) for name in _APPEARANCE):
        possible.append(
            "gray levels and sharpness are varied in training by --config.remedy.appearance=0.5 or "
            "--config.remedy.spectrum=1.0"
        )
    return {"possible": possible, "impossible": impossible}


def describe(advice: dict[str, list[str]]) -> list[str]:
    """Return the advice as at most two sentences."""
    sentences = []
    if advice["possible"]:
        sentences.append(f"What can be tried here: {'; '.join(advice['possible'])}.")
    if advice["impossible"]:
        sentences.append(f"What cannot be done here: {'; '.join(advice['impossible'])}.")
    return sentences


def _count_by_source(sources: Numbers) -> dict[str, dict[str, Any]]:
    """Return {source: {label: count}} of the {label: {source: count}} of audit.json; of findings, pairs of counts."""
    counts: dict[str, dict[str, Any]] = {}
    for label, by_source in sources.items():
        for source, count in by_source.items():
            counts.setdefault(source, {})[label] = count
    return counts


def _is_found(by_name: dict[str, Any], name: str) -> bool:
    entry = by_name.get(name)
    return entry is not None and entry["category"] == "shortcut" and criteria.is_found(entry)


def _is_lost(entry: Numbers | None) -> bool:
    """Return whether the network loses of its score by an experiment that makes all radiographs alike."""
    return bool(entry and entry["difference"] and criteria.is_below(entry["difference"][HEADLINE], 0))
