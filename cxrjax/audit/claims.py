"""Claims that the data set of an audit cannot support, whatever the network does."""

from collections.abc import Mapping, Sequence

from cxrjax.audit import criteria, finding
from cxrjax.audit.criteria import Numbers
from cxrjax.audit.formatting import format_ci, format_percent, join_words
from cxrjax.audit.metrics import HEADLINE
from cxrjax.runtime.formatting import format_label, join_labels


def list_unsupported(audit: Numbers, by_name: Numbers) -> list[tuple[str, str]]:
    """Return the claims that a data set cannot support, each with its reason.

    Args:
        audit: the content of audit.json without its verdict.
        by_name: its experiments that have scores, by name.
    """
    claims = []
    all_sources = {source for counts in audit["sources"].values() for source in counts}
    if len(all_sources) == 1:
        reason = f"all radiographs come from one source, {min(all_sources)}"
        claims.append(("any claim of how the network does elsewhere", reason))
    else:
        is_multi_label = audit.get("targets") == "multi"
        claims += inseparable_findings(audit["sources"]) if is_multi_label else _inseparable(audit["sources"])
    for name in ("source", "metadata") if len(all_sources) > 1 else ():
        if classes := criteria.decided(by_name.get(name)):
            reason = f"knowing the {_sufficient(by_name[name], classes)}"
            claims.append((f"any score of {join_labels(classes)}", reason))
            break
    for name, entry in criteria.hidden_classes(audit).items():
        reached = finding.format_reached(
            finding.CLASS_SCORE, entry["classes"][name]["auroc"]["value"], audit["classes"][name]["auroc"]["value"]
        )
        claims.append((f"that {format_label(name)} is recognized by the disease", f"the {entry['title']} {reached}"))
    for entry in audit["experiments"]:
        effective = entry["category"] == "shortcut" and entry["model"] == "small network" and criteria.is_found(entry)
        if effective and (classes := criteria.decided(entry)):
            claim = f"that the lungs distinguish {join_labels(classes)}"
            claims.append((claim, f"seeing the {_sufficient(entry, classes)}"))
    if audit.get("shared_patients", 0):
        claims.append(("any score, on patients that the network has not seen", "patients of training are in the split"))
    left_out = by_name.get("leave_source_out")
    if left_out and left_out["reference"] and criteria.collapses(left_out, audit):
        metric = criteria.transfer_metric(audit)
        score = left_out["scores"][metric]
        if metric == HEADLINE:
            reason = f"the small network reaches {finding.MEAN_SCORE} of {format_ci(score)}"
        else:
            reason = f"the small network recognizes {format_percent(score)}"
        claims.append(("that a class is recognized in a source that was not trained on", reason))
    return claims


def inseparable_findings(sources: Mapping[str, Mapping[str, Sequence[int]]]) -> list[tuple[str, str]]:
    """Return the claim on the findings that no source has both with and without, with its reason; [] without any.

    Args:
        sources: finding -> source -> [number of radiographs without it, number with it].
    """
    names = [
        name
        for name, counts in sources.items()
        if any(present for _, present in counts.values()) and not any(all(pair) for pair in counts.values())
    ]
    if not names:
        return []
    claim = f"that anything but the source distinguishes radiographs with {join_labels(names)} from those without"
    return [(claim, "no source has both radiographs with and radiographs known to be without")]


def _inseparable(sources: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str]]:
    """Return the claims that the sources of the classes leave without ground, each with its reason.

    If the sources of a class have no other class, the source alone may predict that class. If two of the other classes
    have no source in common, the source alone may separate these two, but no more: within their sources, which have
    other classes too, the source is uninformative.

    Args:
        sources: label -> source -> number of radiographs.
    """
    mixed_sources = {
        source
        for source in {name for counts in sources.values() for name in counts}
        if sum(source in counts for counts in sources.values()) > 1
    }
    isolated = {label: sorted(counts) for label, counts in sources.items() if not mixed_sources & set(counts)}
    claims = []
    if isolated:
        classes = join_words(
            [f"{format_label(label)} (alone in {join_words(names)})" for label, names in isolated.items()]
        )
        reason = "a class that is alone in its source cannot be separated from it"
        claims.append((f"that anything but the source distinguishes {classes}", reason))
    other_labels = [label for label in sources if label not in isolated]
    labels_by_disjoint: dict[tuple[str, ...], list[str]] = {}
    for label in other_labels:
        disjoint = tuple(other for other in other_labels if not set(sources[label]) & set(sources[other]))
        if disjoint:
            labels_by_disjoint.setdefault(disjoint, []).append(label)
    claimed_sets: list[set[str]] = []
    for disjoint, labels in labels_by_disjoint.items():
        if {*labels, *disjoint} in claimed_sets:
            continue
        claimed_sets.append({*labels, *disjoint})
        reason = f"{join_labels(labels)} and {join_labels(disjoint)} have no source in common"
        claims.append(
            (f"that anything but the source distinguishes {join_labels(labels)} from {join_labels(disjoint)}", reason)
        )
    return claims


def _sufficient(entry: Numbers, classes: Sequence[str]) -> str:
    scores = [
        f"{format_label(label)}: recall {values['recall']['value']:.2f}, "
        f"specificity {values['specificity']['value']:.2f}"
        for label, values in entry["classes"].items()
        if label in classes
    ]
    return f"{entry['title']} is enough ({'; '.join(scores)})"
