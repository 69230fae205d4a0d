"""Verdict of an audit: its numbers as one paragraph, and the claims that the data set cannot support."""

from collections.abc import Sequence
from typing import Any

from cxrjax.audit import advice, claims, criteria, finding
from cxrjax.audit.criteria import Numbers
from cxrjax.audit.formatting import format_ci, format_percent, format_share, join_words, name_place
from cxrjax.audit.metrics import HEADLINE, share_of_score
from cxrjax.runtime.formatting import describe_counts, format_label, join_labels, lacks_patient_ids, pick_form

NAMES = {"macro_auroc": "macro AUROC", "macro_f1": "macro F1", "accuracy": "accuracy"}


def conclude(audit: Numbers) -> dict[str, Any]:
    """Return the verdict on an audit.

    Args:
        audit: the content of audit.json without its verdict.

    Returns:
        {"paragraph", "sentences", "cannot_support", "remedies"}: the paragraph joins the sentences and ends with the
        claims that the data set cannot support, and with what can and cannot be done; "cannot_support" has these
        claims with their reasons, "remedies" the result of `advice.conclude`.
    """
    by_name = {experiment["name"]: experiment for experiment in audit["experiments"] if experiment["scores"]}
    unsupported = claims.list_unsupported(audit, by_name)
    sentences = [
        *_score(audit),
        *_shortcuts(audit),
        *_unexplained(audit, by_name),
        *_against_source(by_name),
        *_box(by_name),
        *_content(by_name),
        *_left_out_source(by_name, audit),
        *_altered(audit, by_name),
        *_markers(by_name),
        *_shuffled_labels(audit),
    ]
    if unsupported:
        sentences.append(f"This data set can therefore not support {'; nor '.join(claim for claim, _ in unsupported)}.")
    remedies = advice.conclude(audit)
    sentences += advice.describe(remedies)
    return {
        "paragraph": " ".join(sentences),
        "sentences": sentences,
        "cannot_support": [f"{claim}: {reason}" for claim, reason in unsupported],
        "remedies": remedies,
    }


def _score(audit: Numbers) -> list[str]:
    score = audit["scores"]
    chance = audit["chance"]
    defined = [name for name in NAMES if score[name]["value"] is not None]
    values = ", ".join(f"{NAMES[name]} {format_ci(score[name])}" for name in defined)
    chance_values = ", ".join(f"{chance[name]:.2f}" for name in defined)
    cases = describe_counts(audit)
    unit = "radiograph" if lacks_patient_ids(audit) else "patient"
    sentences = [
        f"On {cases}, the network reaches {values} (in brackets: 95% intervals by {unit}); a prediction at "
        f"chance reaches {chance_values}."
    ]
    if HEADLINE not in defined:
        sentences.append(f"There is no {NAMES[HEADLINE]} here, for all are {join_labels(audit['labels'])}.")
    if shared := audit.get("shared_patients", 0):
        sentences.append(
            f"{shared} of the patients {pick_form(shared, 'is', 'are')} in training too: what a network remembers of "
            "them is in every score here."
        )
    if audit["selected_on_split"]:
        sentences.append("The network was chosen by these very radiographs, so that its score is too high.")
    return sentences


def _shortcuts(audit: Numbers) -> list[str]:
    if audit["scores"][HEADLINE]["value"] is None:
        return []
    shortcuts = criteria.scored_shortcuts(audit)
    if all(entry["share"] is None for entry in shortcuts):
        return ["The score is not distinguishable from chance, so that there is nothing for a shortcut to explain."]
    shortcuts.sort(key=_share_value, reverse=True)
    effective = [entry for entry in shortcuts if criteria.is_found(entry)]
    if not effective:
        return _explained_classes(audit) or [_no_shortcut(shortcuts, audit)]
    sentences = []
    for model, explanation in (
        ("metadata", "without the image"),
        ("small network", "by a small network that gets nothing else"),
    ):
        of_model = [entry for entry in effective if entry["model"] == model]
        if of_model:
            strongest = of_model[0]
            score = f"{finding.MEAN_SCORE} of {format_ci(strongest['scores'][HEADLINE])} is reached, {explanation}"
            others = join_words([f"{entry['title']} {format_share(entry['share'], True)}" for entry in of_model[1:]])
            others = f" ({others})" if others else ""
            share = f"{format_share(strongest['share'])} of what the score is above chance"
            sentences.append(f"From the {strongest['title']} {score}: {share}{others}.")
    return sentences + _explained_classes(audit) + [sentence for entry in effective for sentence in _location(entry)]


def _explained_classes(audit: Numbers) -> list[str]:
    """Return a sentence on each class of `criteria.hidden_classes`."""
    return [
        f"For {format_label(name)} the {entry['title']} reaches {finding.CLASS_SCORE} of "
        f"{format_ci(entry['classes'][name]['auroc'])}, and the network {format_ci(audit['classes'][name]['auroc'])}: "
        "the mean over the classes hides it."
        for name, entry in criteria.hidden_classes(audit).items()
    ]


def _no_shortcut(shortcuts: Sequence[Numbers], audit: Numbers) -> str:
    """Return the sentence for an audit without effective shortcuts, as far as their intervals allow.

    Args:
        shortcuts: entries of the shortcuts, the strongest first.
        audit: the content of audit.json without its verdict.
    """
    strongest = shortcuts[0]
    upper_bounds = [share_of_score(entry["share"])[1] for entry in shortcuts if entry["share"]]
    max_share = min(max([0.0, *upper_bounds]), 1.0) if upper_bounds else 1.0
    chance = audit["chance"][HEADLINE]
    score = f"reaches {finding.MEAN_SCORE} of {format_ci(strongest['scores'][HEADLINE])}, where chance is {chance:.2f}"
    room = f"the intervals leave room for {max_share:.0%} of what the score is above chance"
    if max_share > criteria.MAX_UNEXPLAINED:
        return (
            f"The test split is too small (n = {audit['n']}) to say whether a shortcut is at work: the strongest "
            f"tried, the {strongest['title']}, {score}, and {room}."
        )
    if len(shortcuts) == 1:
        return f"The one shortcut tried is not found: the {strongest['title']} {score}; {room}."
    return (
        f"None of the {len(shortcuts)} shortcuts tried is found: the strongest, the {strongest['title']}, {score}; "
        f"{room} at most."
    )


def _location(entry: Numbers) -> list[str]:
    place = entry.get("place")
    if not place or place["agreement"] <= criteria.MIN_AGREEMENT or place["drop"] < criteria.MIN_DROP:
        return []
    return [f"In the {entry['title']}, {format_label(place['class'])} is recognized by {name_place(place)}."]


def _unexplained(audit: Numbers, by_name: Numbers) -> list[str]:
    """Return the sentences on the part of the score that the shortcuts do not explain."""
    effective = [
        entry for entry in audit["experiments"] if entry["category"] == "shortcut" and criteria.is_found(entry)
    ]
    sentences = []
    if effective:
        strongest = max(effective, key=_share_value)
        share = strongest["share"]
        low, high = [max(0.0, 1 - bound) for bound in reversed(share_of_score(share))]
        if low == 0:
            sentences.append(
                f"With the {strongest['title']} explained, nothing of the score is sure to be left for the lungs."
            )
        else:
            remainder = {"value": 1 - share["value"], "interval": [low, high]}
            sentences.append(
                f"What the {strongest['title']} does not reach is {format_percent(remainder)} of the score above "
                "chance."
            )
    within = by_name["within_source"]["scores"][HEADLINE] if "within_source" in by_name else None
    if within and within["value"] is not None:
        chance = audit["chance"][HEADLINE]
        significant = criteria.is_above(within, chance) or criteria.is_below(within, chance)
        suffix = "" if significant else ", which is not distinguishable from chance"
        sentences.append(
            "Among radiographs of one source, where the source cannot help, the network's macro AUROC is "
            f"{format_ci(within)}{suffix}."
        )
    return sentences


def _against_source(by_name: Numbers) -> list[str]:
    """Return the sentence on the pairs of radiographs whose sources mislead the network."""
    entry = by_name.get("against_source")
    if not entry or not entry["reference"] or entry["scores"][HEADLINE]["value"] is None:
        return []
    sentence = (
        "Of two radiographs of which the source points to the wrong one, the network ranks the right one higher in "
        f"{format_percent(entry['scores'][HEADLINE])}, and in {format_percent(entry['reference'][HEADLINE])} where the "
        "source points to the right one"
    )
    if criteria.follows_source(entry):
        conclusion = ": it follows the source more than the radiograph"
    elif criteria.depends_on_source(entry):
        conclusion = ": part of its score is the source"
    elif criteria.rules_out_dependence(entry):
        conclusion = f": by the source it gains less than {criteria.MAX_DEPENDENCE:.1f} of AUROC"
    else:
        conclusion = ", which too few radiographs decide"
    scores = {name: values["auroc"] for name, values in entry["classes"].items()}
    lowest = min(scores, key=lambda name: scores[name]["value"])
    worst = f" (least for {format_label(lowest)}, {format_percent(scores[lowest])})" if len(scores) > 1 else ""
    return [f"{sentence}{worst}{conclusion}."]


def _content(by_name: Numbers) -> list[str]:
    if "full_image" not in by_name:
        return []
    score = format_ci(by_name["full_image"]["scores"][HEADLINE])
    sentence = f"A small network trained for comparison reaches {finding.MEAN_SCORE} of {score}"
    if "lungs" not in by_name:
        return [f"{sentence}."]
    lungs_score = format_ci(by_name["lungs"]["scores"][HEADLINE])
    return [f"{sentence} on whole radiographs and {lungs_score} on the lungs alone."]


def _box(by_name: Numbers) -> list[str]:
    """Return the sentence on the score of the background's box by itself."""
    if not {"background", "lung_box"} <= by_name.keys() or not criteria.is_found(by_name["background"]):
        return []
    score = format_ci(by_name["lung_box"]["scores"][HEADLINE])
    return [
        "In the background the lungs are a black box, and the box by itself, which shows their size and "
        f"position and whether any were found, reaches {finding.MEAN_SCORE} of {score}."
    ]


def _left_out_source(by_name: Numbers, audit: Numbers) -> list[str]:
    left_out = by_name.get("leave_source_out")
    metric = criteria.transfer_metric(audit)
    if not left_out or not left_out["reference"] or left_out["scores"][metric]["value"] is None:
        return []
    score = left_out["scores"][metric]
    reference = left_out["reference"][metric]
    change = left_out["difference"][metric]
    falls = criteria.is_below(change, 0) and not criteria.collapses(left_out, audit)
    if metric == HEADLINE:
        sentence = (
            "On radiographs whose source is left out of training the small network reaches "
            f"{finding.MEAN_SCORE} of {format_ci(score)}, where it reached {format_ci(reference)} with the source"
        )
        fall = f": the score falls by {format_ci(_negate(change))}"
    else:
        sentence = (
            "Of radiographs whose source is left out of training, and whose class is known from another, the small "
            f"network recognizes {format_percent(score)}, where it recognized {format_percent(reference)} with the "
            "source"
        )
        fall = f": recognition falls by {format_percent(_negate(change))}"
    return [f"{sentence}{fall if falls else ''}."]


def _altered(audit: Numbers, by_name: Numbers) -> list[str]:
    sentences = []
    chance = audit["chance"][HEADLINE]
    for name, property_name in (("common_levels_network", "gray levels"), ("common_resolution_network", "sharpness")):
        change = by_name[name]["difference"] if name in by_name else None
        if change and criteria.is_below(change[HEADLINE], 0):
            sentences.append(
                f"With the {property_name} of all radiographs made alike the network loses "
                f"{format_ci(_negate(change[HEADLINE]))} of macro AUROC, by the loss of a source's mark or "
                "because such images are not in its training data."
            )
    for name in ("background_network", "border_network"):
        score = by_name[name]["scores"][HEADLINE] if name in by_name else None
        if criteria.is_above(score, chance + criteria.MIN_NETWORK_GAIN):
            sentences.append(
                f"Shown the {by_name[name]['title']}, the network itself still reaches {finding.MEAN_SCORE} of "
                f"{format_ci(score)}."
            )
    return sentences


def _markers(by_name: Numbers) -> list[str]:
    clauses = []
    for marker in (by_name[name] for name in ("marker_outside", "marker_inside") if name in by_name):
        flips = f"a {marker['title']} turned {format_percent(marker['flip_rate'])} of the predictions"
        if marker["flip_rate"]["value"] is None:
            reason = f"every radiograph was predicted to be {marker['target']} already"
            clauses.append(f"a {marker['title']} could not be tried, for {reason}")
        elif criteria.is_caught(marker):
            clauses.append(f"{flips} and was seen in its place, {name_place(marker['place'])}")
        else:
            hits = f"was seen in its place in {marker['place']['hit_rate']:.0%} of the images"
            clauses.append(f"{flips} and {hits}: this audit is blind to such a one")
    return [f"As a test of the audit itself, {'; '.join(clauses)}."] if clauses else []


def _shuffled_labels(audit: Numbers) -> list[str]:
    shuffled = [
        entry for entry in audit["experiments"] if entry["name"].startswith("shuffled_labels") and entry["scores"]
    ]
    values = [entry["scores"][HEADLINE]["value"] for entry in shuffled]
    if not values or None in values:
        return []
    low = min(values)
    high = max(values)
    value_range = f"{low:.2f} to {high:.2f}" if len(values) > 1 else f"{low:.2f}"
    if criteria.leaks(shuffled, audit["chance"]):
        return [
            f"With labels shuffled the small network still reaches {finding.MEAN_SCORE} of {value_range}: something "
            "leaks, and no score here can be relied on."
        ]
    times = f" (shuffled {len(values)} times)" if len(values) > 1 else ""
    sentence = f"With labels shuffled the small network reaches {finding.MEAN_SCORE} of {value_range}{times}"
    least = criteria.least_leak(shuffled, audit["chance"])
    if least > audit["chance"][HEADLINE] + criteria.MAX_DETECTABLE_LEAK:
        return [f"{sentence}, but only a leak that lifts it above {least:.2f} could be seen among so few radiographs."]
    return [f"{sentence}: no leak is seen, where one that lifts it above {least:.2f} would be."]


def _negate(change: Numbers) -> Numbers:
    return {"value": -change["value"], "interval": [-bound for bound in reversed(share_of_score(change))]}


def _share_value(entry: Numbers) -> float:
    return entry["share"]["value"] if entry["share"] else float("-inf")
