"""From the numbers of an audit to one paragraph, and to what the data set cannot support."""

from collections.abc import Mapping, Sequence
from typing import Any

from cxrjax.audit import criteria
from cxrjax.audit.criteria import Numbers
from cxrjax.audit.formatting import format_ci, format_percent, join_words, name_place
from cxrjax.audit.metrics import HEADLINE, share_of_score
from cxrjax.evaluation import tables

NAMES = {"macro_auroc": "macro AUROC", "macro_f1": "macro F1", "accuracy": "accuracy"}


def conclude(audit: Numbers) -> dict[str, Any]:
    """The verdict on an audit.

    Args:
        audit: what audit.json says, without its verdict.

    Returns:
        {"paragraph", "sentences", "cannot_support"}: the sentences make up the paragraph, which ends with what cannot
        be supported; there with the reasons.
    """
    by_name = {one["name"]: one for one in audit["controls"] if one["scores"]}
    claims = _cannot_support(audit, by_name)
    sentences = [
        *(
            *_score(audit),
            *_shortcuts(audit),
            *_left(audit, by_name),
            *_box(by_name),
            *_content(by_name),
            *_elsewhere(audit, by_name),
        ),
        *(*_altered(audit, by_name), *_marks(by_name), *_shuffled(audit)),
    ]
    if claims:
        sentences.append(f"This data set can therefore not support {'; nor '.join(claim for claim, _ in claims)}.")
    return {
        "paragraph": " ".join(sentences),
        "sentences": sentences,
        "cannot_support": [f"{claim}: {reason}" for claim, reason in claims],
    }


def _score(audit: Numbers) -> list[str]:
    score, chance = audit["score"], audit["chance"]
    known = [name for name in NAMES if score[name]["value"] is not None]
    reached = ", ".join(f"{NAMES[name]} {format_ci(score[name])}" for name in known)
    blind = ", ".join(f"{chance[name]:.2f}" for name in known)
    what = tables.describe_counts(audit)
    unit = "radiograph" if tables.lacks_patient_ids(audit) else "patient"
    said = [
        f"On {what} the network reaches {reached} (in brackets: 95% intervals by {unit}); a guess that knows "
        f"nothing reaches {blind}."
    ]
    if HEADLINE not in known:
        said.append(f"There is no {NAMES[HEADLINE]} here, for all are {join_words(list(audit['labels']))}.")
    if shared := audit.get("shared_patients", 0):
        said.append(
            f"{shared} of the patients are in training too: what a network remembers of them is in every score here."
        )
    if audit["validation"]:
        said.append("The network was chosen by these very radiographs, so that its score is too good.")
    return said


def _shortcuts(audit: Numbers) -> list[str]:
    if audit["score"][HEADLINE]["value"] is None:
        return []
    tried = [one for one in audit["controls"] if one["kind"] == "shortcut" and one["scores"]]
    if all(one["share"] is None for one in tried):
        return ["The score cannot be told from chance, so that there is nothing for a shortcut to explain."]
    tried.sort(key=_reached, reverse=True)
    found = [one for one in tried if criteria.is_found(one)]
    if not found:
        return [_none_found(tried, audit["chance"][HEADLINE])]
    said = []
    for by, how in (
        ("table", "with no look at the picture"),
        ("small network", "by a small network that sees no more"),
    ):
        of = [one for one in found if one["by"] == by]
        if of:
            reached = f"a macro AUROC of {format_ci(of[0]['scores'][HEADLINE])} is reached, {how}"
            also = join_words([f"{one['title']} {one['share']['value']:.0%}" for one in of[1:]])
            rest = f" ({also})" if also else ""
            share = f"{format_percent(of[0]['share'])} of what the score is above chance"
            said.append(f"From the {of[0]['title']} {reached}: {share}{rest}.")
    return said + [text for one in found for text in _place(one)]


def _none_found(tried: Sequence[Numbers], chance: float) -> str:
    """That no shortcut of some is found, the strongest first, as far as their intervals tell."""
    first, ends = tried[0], [share_of_score(one["share"])[1] for one in tried if one["share"]]
    most = min(max([0.0, *ends]), 1.0) if ends else 1.0
    reached = f"reaches a macro AUROC of {format_ci(first['scores'][HEADLINE])}, where chance is {chance:.2f}"
    room = f"the intervals leave room for {most:.0%} of what the score is above chance"
    if most > criteria.ROOM:
        return (
            "The radiographs are too few to tell whether a shortcut is at work: the strongest tried, the "
            f"{first['title']}, {reached}, and {room}."
        )
    if len(tried) == 1:
        return f"The one shortcut tried is not found: the {first['title']} {reached}; {room}."
    return (
        f"None of the {len(tried)} shortcuts tried is found: the strongest, the {first['title']}, {reached}; {room} at "
        "most."
    )


def _place(control: Numbers) -> list[str]:
    place = control.get("place")
    if not place or place["agreement"] <= criteria.TOGETHER or place["drop"] < criteria.CARRIES:
        return []
    return [f"What the {control['title']} tells of {place['class']} lies in {name_place(place)}."]


def _left(audit: Numbers, by_name: Numbers) -> list[str]:
    found = [one for one in audit["controls"] if one["kind"] == "shortcut" and criteria.is_found(one)]
    said = []
    if found:
        strongest = max(found, key=_reached)
        share = strongest["share"]
        low, high = (max(0.0, 1 - bound) for bound in reversed(share_of_score(share)))
        if low == 0:
            said.append(
                f"With the {strongest['title']} explained, nothing of the score is sure to be left for the lungs."
            )
        else:
            left = {"value": 1 - share["value"], "interval": [low, high]}
            said.append(
                f"What the {strongest['title']} does not reach is {format_percent(left)} of the score above chance."
            )
    within = by_name["within_source"]["scores"][HEADLINE] if "within_source" in by_name else None
    if within and within["value"] is not None:
        chance = audit["chance"][HEADLINE]
        told = criteria.is_above(within, chance) or criteria.is_below(within, chance)
        end = "" if told else ", which cannot be told from chance"
        said.append(
            "Among radiographs of one source, where the source cannot help, the network's macro AUROC is "
            f"{format_ci(within)}{end}."
        )
    return said


def _content(by_name: Numbers) -> list[str]:
    if "whole" not in by_name:
        return []
    whole = f"A small network trained for comparison reaches {format_ci(by_name['whole']['scores'][HEADLINE])}"
    if "lungs" not in by_name:
        return [f"{whole}."]
    return [f"{whole} on whole radiographs and {format_ci(by_name['lungs']['scores'][HEADLINE])} on the lungs alone."]


def _box(by_name: Numbers) -> list[str]:
    """Say how much the background's box tells by itself."""
    if not {"background", "box"} <= by_name.keys() or not criteria.is_found(by_name["background"]):
        return []
    return [
        "In the background the lungs are a black box, and the box by itself, which tells their size and place and "
        f"where none were found, reaches {format_ci(by_name['box']['scores'][HEADLINE])}."
    ]


def _elsewhere(audit: Numbers, by_name: Numbers) -> list[str]:
    left = by_name.get("leave_source_out")
    if not left or not left["against"]:
        return []
    said = (
        "Of radiographs whose source is left out of training, and whose class is known from another, the small network "
        f"recognises {format_percent(left['scores']['accuracy'])}, where it recognised {format_percent(left['against']['accuracy'])} "
        "with the source"
    )
    change = left["change"]["accuracy"]
    if criteria.is_below(change, 0) and not criteria.collapses(left, audit["chance"]):
        said += f": recognition falls by {format_percent(_fall(change))}"
    return [f"{said}."]


def _altered(audit: Numbers, by_name: Numbers) -> list[str]:
    said, chance = [], audit["chance"][HEADLINE]
    for name, what in (("common_levels_network", "grey levels"), ("common_resolution_network", "sharpness")):
        change = by_name[name]["change"] if name in by_name else None
        if change and criteria.is_below(change[HEADLINE], 0):
            said.append(
                f"With the {what} of all radiographs made alike the network loses {format_ci(_fall(change[HEADLINE]))} "
                "of macro AUROC, by the loss of a source's mark or by being shown what it never saw."
            )
    for name in ("background_network", "border_network"):
        seen = by_name[name]["scores"][HEADLINE] if name in by_name else None
        if criteria.is_above(seen, chance + criteria.SEEN):
            said.append(f"Shown the {by_name[name]['title']}, the network itself still reaches {format_ci(seen)}.")
    return said


def _marks(by_name: Numbers) -> list[str]:
    said = []
    for mark in (by_name[name] for name in ("marker_outside", "marker_inside") if name in by_name):
        turned = f"a {mark['title']} turned {format_percent(mark['flips'])} of the findings"
        if mark["flips"]["value"] is None:
            everything = f"every radiograph was found to be {mark['target']} already"
            said.append(f"a {mark['title']} could not be tried, for {everything}")
        elif criteria.is_caught(mark):
            said.append(f"{turned} and was seen in its place, {name_place(mark['place'])}")
        else:
            seen = f"was seen in its place in {mark['place']['hits']:.0%} of the pictures"
            said.append(f"{turned} and {seen}: this audit is blind to such a one")
    return [f"As a test of the audit itself, {'; '.join(said)}."] if said else []


def _shuffled(audit: Numbers) -> list[str]:
    shuffled = [one for one in audit["controls"] if one["name"].startswith("shuffled_labels") and one["scores"]]
    reached = [one["scores"][HEADLINE]["value"] for one in shuffled]
    if not reached or None in reached:
        return []
    low, high = min(reached), max(reached)
    ends = f"{low:.2f} to {high:.2f}" if len(reached) > 1 else f"{low:.2f}"
    if criteria.leaks(shuffled, audit["chance"]):
        return [
            f"With labels shuffled the small network still reaches {ends}: something leaks, and no score here holds."
        ]
    times = f" (shuffled {len(reached)} times)" if len(reached) > 1 else ""
    said = f"With labels shuffled the small network reaches {ends}{times}"
    least = criteria.least_leak(shuffled, audit["chance"])
    if least > audit["chance"][HEADLINE] + criteria.BLIND:
        return [f"{said}, but only a leak that lifts it above {least:.2f} could be seen among so few radiographs."]
    return [f"{said}: no leak is seen, where one that lifts it above {least:.2f} would be."]


def _cannot_support(audit: Numbers, by_name: Numbers) -> list[tuple[str, str]]:
    """Claims, and why each has no ground."""
    claims = []
    everywhere = {source for of in audit["sources"].values() for source in of}
    if len(everywhere) == 1:
        reason = f"all radiographs come from one source, {min(everywhere)}"
        claims.append(("any claim of how the network does elsewhere", reason))
    else:
        claims += _inseparable(audit["sources"])
    for name in ("source", "facts") if len(everywhere) > 1 else ():
        if told := criteria.decided(by_name.get(name)):
            claims.append((f"any score of {join_words(told)}", f"knowing the {_enough(by_name[name], told)}"))
            break
    for one in audit["controls"]:
        found = one["kind"] == "shortcut" and one["by"] == "small network" and criteria.is_found(one)
        if found and (told := criteria.decided(one)):
            claims.append((f"that the lungs are what tells {join_words(told)}", f"seeing the {_enough(one, told)}"))
    if audit.get("shared_patients", 0):
        claims.append(("any score, on patients that the network has not seen", "patients of training are in the split"))
    left = by_name.get("leave_source_out")
    if left and left["against"] and criteria.collapses(left, audit["chance"]):
        reason = f"the small network recognises {format_percent(left['scores']['accuracy'])}"
        claims.append(("that a class is recognised in a source that was not trained on", reason))
    return claims


def _inseparable(sources: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str]]:
    """Return the claims that the sources of the classes leave without ground.

    Nothing but the source may tell a class whose sources hold no other class. Of two other classes that have no source
    in common the same is true of telling one from the other, and of no more: within their sources, which hold other
    classes too, the source tells nothing.
    """
    several = {
        source
        for source in {s for of in sources.values() for s in of}
        if sum(source in of for of in sources.values()) > 1
    }
    alone = {label: sorted(of) for label, of in sources.items() if not several & set(of)}
    claims = []
    if alone:
        held = join_words([f"{label} (alone in {join_words(of)})" for label, of in alone.items()])
        reason = "a class that is alone in its source cannot be separated from it"
        claims.append((f"that anything but the source tells {held}", reason))
    others = [label for label in sources if label not in alone]
    apart: dict[tuple[str, ...], list[str]] = {}
    for label in others:
        if elsewhere := tuple(other for other in others if not set(sources[label]) & set(sources[other])):
            apart.setdefault(elsewhere, []).append(label)
    said: list[set[str]] = []
    for elsewhere, labels in apart.items():
        if {*labels, *elsewhere} in said:
            continue
        said.append({*labels, *elsewhere})
        reason = f"{join_words(labels)} and {join_words(elsewhere)} have no source in common"
        claims.append((f"that anything but the source tells {join_words(labels)} from {join_words(elsewhere)}", reason))
    return claims


def _enough(control: Numbers, told: Sequence[str]) -> str:
    reached = [
        f"{label}: recall {of['recall']['value']:.2f}, specificity {of['specificity']['value']:.2f}"
        for label, of in control["classes"].items()
        if label in told
    ]
    return f"{control['title']} is enough ({'; '.join(reached)})"


def _fall(change: Numbers) -> Numbers:
    return {"value": -change["value"], "interval": [-bound for bound in reversed(share_of_score(change))]}


def _reached(control: Numbers) -> float:
    return control["share"]["value"] if control["share"] else float("-inf")
