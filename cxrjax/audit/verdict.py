"""From the numbers of an audit to sentences, and to what the data set cannot support."""

from collections.abc import Mapping, Sequence
from typing import Any

from cxrjax.audit.scores import HEADLINE, reach

FOUND = 0.1  # share that a shortcut's interval must lie above: below, it is not worth a sentence, and a dozen intervals
# are looked at, of which one in forty lies above chance by chance
DECIDED = 0.9  # F1 from which a class is told by a fact about its file: the errors left are those of a good reader
CAUGHT = 0.5  # share of findings that a mark must turn, interval and all: most of them
TOGETHER = 0.5  # share of the pictures in which a place must be the same to be named: most of them
CARRIES = 0.1  # what hiding a place must take from the probability of a class for it to be named. Ours
NAMES = {"macro_auroc": "macro AUROC", "macro_f1": "macro F1", "accuracy": "accuracy"}

Numbers = Mapping[str, Any]


def conclude(audit: Numbers) -> dict[str, Any]:
    """The verdict on an audit.

    Args:
        audit: what audit.json says, without its verdict.

    Returns:
        {"paragraph", "sentences", "cannot_support"}.
    """
    by_name = {one["name"]: one for one in audit["controls"] if one["scores"]}
    sentences = [*_score(audit), *_shortcuts(audit), *_left(audit, by_name), *_content(by_name)]
    sentences += [*_elsewhere(by_name), *_altered(audit, by_name), *_marks(by_name), *_leaks(audit, by_name)]
    return {
        "paragraph": " ".join(sentences),
        "sentences": sentences,
        "cannot_support": _cannot_support(audit, by_name),
    }


def interval(number: Numbers | None) -> str:
    """ "0.87 (0.85 to 0.89)"; a dash where there is no number."""
    if number is None or number["value"] is None:
        return "–"
    if not number["interval"]:
        return f"{number['value']:.2f}"
    return f"{number['value']:.2f} ({number['interval'][0]:.2f} to {number['interval'][1]:.2f})"


def percent(number: Numbers) -> str:
    """ "87% (85% to 89%)"."""
    if not number["interval"]:
        return f"{number['value']:.0%}"
    return f"{number['value']:.0%} ({number['interval'][0]:.0%} to {number['interval'][1]:.0%})"


def name_place(place: Numbers) -> str:
    """ "the upper left corner, outside the lungs", of a place of `planted.locate`."""
    row = ("upper", "middle", "lower")[min(int(3 * place["row"]), 2)]
    column = ("left", "middle", "right")[min(int(3 * place["column"]), 2)]
    if "middle" in (row, column):
        where = "the middle" if row == column else f"the {row if column == 'middle' else column} edge"
    else:
        where = f"the {row} {column} corner"
    return f"{where} of the picture, {'inside' if place['inside'] > TOGETHER else 'outside'} the lungs"


def is_found(control: Numbers) -> bool:
    """Whether a control reaches a part of the score that is worth a sentence."""
    share = control["share"]
    return bool(share and reach(share)[0] > FOUND)


def is_caught(control: Numbers) -> bool:
    """Whether a planted mark turned most findings, and its place was told."""
    low = (control["flips"]["interval"] or [0])[0]
    return low > CAUGHT and (control["place"]["inside"] > TOGETHER) == control["wanted"]


def _score(audit: Numbers) -> list[str]:
    score, chance = audit["score"], audit["chance"]
    reached = ", ".join(f"{NAMES[name]} {interval(score[name])}" for name in NAMES)
    blind = ", ".join(f"{chance[name]:.2f}" for name in NAMES)
    what = f"{audit['n']} radiographs of {audit['patients']} patients"
    return [
        f"On {what} the network reaches {reached} (in brackets: 95% intervals by patient); a guess that knows "
        f"nothing reaches {blind}."
    ]


def _shortcuts(audit: Numbers) -> list[str]:
    tried = [one for one in audit["controls"] if one["kind"] == "shortcut" and one["scores"]]
    if not tried or all(one["share"] is None for one in tried):
        return ["The score cannot be told from chance, so that there is nothing for a shortcut to explain."]
    tried.sort(key=_reached, reverse=True)
    found = [one for one in tried if is_found(one)]
    if not found:
        most = max(reach(one["share"])[1] for one in tried if one["share"])
        first = tried[0]
        return [
            f"None of the {len(tried)} shortcuts tried is found: the strongest, the {first['title']}, reaches a macro "
            f"AUROC of {interval(first['scores'][HEADLINE])}, where chance is {audit['chance'][HEADLINE]:.2f}; the "
            f"intervals leave room for at most {max(most, 0):.0%} of the score."
        ]
    said = []
    for by, how in (
        ("table", "with no look at the picture"),
        ("small network", "by a small network that sees no more"),
    ):
        of = [one for one in found if one["by"] == by]
        if of:
            reached = f"a macro AUROC of {interval(of[0]['scores'][HEADLINE])} is reached, {how}"
            also = join([f"{one['title']} {one['share']['value']:.0%}" for one in of[1:]])
            rest = f" ({also})" if also else ""
            share = f"{percent(of[0]['share'])} of what the score is above chance"
            said.append(f"From the {of[0]['title']} {reached}: {share}{rest}.")
    return said + [text for one in found for text in _place(one)]


def _place(control: Numbers) -> list[str]:
    place = control.get("place")
    if not place or place["agreement"] <= TOGETHER or place["drop"] < CARRIES:
        return []
    return [f"What the {control['title']} tells of {place['class']} lies at {name_place(place)}."]


def _left(audit: Numbers, by_name: Numbers) -> list[str]:
    found = [one for one in audit["controls"] if one["kind"] == "shortcut" and is_found(one)]
    said = []
    if found:
        strongest = max(found, key=_reached)
        share = strongest["share"]
        low, high = (max(0.0, 1 - bound) for bound in reversed(reach(share)))
        if low == 0:
            said.append(
                f"With the {strongest['title']} explained, nothing of the score is sure to be left for the lungs."
            )
        else:
            left = {"value": 1 - share["value"], "interval": [low, high]}
            said.append(f"What the {strongest['title']} does not reach is {percent(left)} of the score above chance.")
    if "within_source" in by_name:
        within = by_name["within_source"]["scores"][HEADLINE]
        if within["value"] is not None:
            end = "" if reach(within)[0] > audit["chance"][HEADLINE] else ": no better than chance"
            said.append(f"Among radiographs of one source, where it cannot help, it is {interval(within)}{end}.")
    return said


def _content(by_name: Numbers) -> list[str]:
    if "whole" not in by_name:
        return []
    whole = f"A small network trained for comparison reaches {interval(by_name['whole']['scores'][HEADLINE])}"
    if "lungs" not in by_name:
        return [f"{whole}."]
    return [f"{whole} on whole radiographs and {interval(by_name['lungs']['scores'][HEADLINE])} on the lungs alone."]


def _elsewhere(by_name: Numbers) -> list[str]:
    if "leave_source_out" not in by_name:
        return []
    left = by_name["leave_source_out"]
    now, before = left["scores"]["accuracy"], left["against"]["accuracy"]
    return [
        "Of radiographs whose source is left out of training, and whose class is known from another, that network "
        f"recognises {percent(now)}, where it recognised {percent(before)} with the source."
    ]


def _altered(audit: Numbers, by_name: Numbers) -> list[str]:
    said, chance = [], audit["chance"][HEADLINE]
    for name, what in (("common_levels_network", "grey levels"), ("common_resolution_network", "sharpness")):
        change = by_name.get(name, {}).get("change")
        if change and reach(change[HEADLINE])[1] < 0:
            low, high = reach(change[HEADLINE])
            fall = {"value": -change[HEADLINE]["value"], "interval": [-high, -low]}
            said.append(
                f"With the {what} of all radiographs made alike the network loses {interval(fall)} of macro AUROC, by "
                "the loss of a source's mark or by being shown what it never saw."
            )
    for name in ("background_network", "border_network"):
        seen = by_name[name]["scores"][HEADLINE] if name in by_name else None
        if seen and reach(seen)[0] > chance + FOUND / 2:
            said.append(f"Shown the {by_name[name]['title']}, the network itself still reaches {interval(seen)}.")
    return said


def _marks(by_name: Numbers) -> list[str]:
    marks = [by_name[name] for name in ("marker_outside", "marker_inside") if name in by_name]
    if not marks:
        return []
    said = []
    for mark in marks:
        turned = f"turned {percent(mark['flips'])} of the findings"
        if is_caught(mark):
            said.append(f"a {mark['title']} {turned} and was seen at {name_place(mark['place'])}")
        else:
            said.append(f"a {mark['title']} {turned} and was not caught, so that this audit is blind to such a one")
    return [f"As a test of the audit itself, {'; '.join(said)}."]


def _leaks(audit: Numbers, by_name: Numbers) -> list[str]:
    if "shuffled_labels" not in by_name:
        return []
    shuffled, chance = by_name["shuffled_labels"]["scores"][HEADLINE], audit["chance"][HEADLINE]
    if shuffled["value"] is None:
        return []
    if reach(shuffled)[0] > chance + FOUND / 2:
        return [
            f"With labels shuffled it still reaches {interval(shuffled)}: something leaks, and no score here holds."
        ]
    return [f"With labels shuffled a network stays at chance, {interval(shuffled)}, as it must."]


def _cannot_support(audit: Numbers, by_name: Numbers) -> list[str]:
    sources, claims = audit["sources"], []
    everywhere = {source for of in sources.values() for source in of}
    single = {label: next(iter(of)) for label, of in sources.items() if len(of) == 1}
    if len(everywhere) == 1:
        claims.append(f"how the network does elsewhere: all radiographs come from one source, {min(everywhere)}")
    elif single:
        held = join([f"{label} (only in {source})" for label, source in single.items()])
        claims.append(f"that {held} are told by disease and not by source: a class of one source cannot be separated "
                      "from it")  # fmt: skip
    for name in ("source", "facts"):
        classes = by_name[name]["classes"] if name in by_name else {}
        decided = [label for label, of in classes.items() if (of["f1"]["value"] or 0) >= DECIDED]
        if decided and len(everywhere) > 1:
            said = join([f"{label} (F1 {classes[label]['f1']['value']:.2f})" for label in decided])
            claims.append(f"a score of {said}: the {by_name[name]['title']} decides the label")
            break
    for one in audit["controls"]:
        if one["kind"] == "shortcut" and one["by"] == "small network" and is_found(one):
            told = [label for label, of in one["classes"].items() if (of["f1"]["value"] or 0) >= DECIDED]
            if told:
                claims.append(f"that {join(told)} are found in the lungs: the {one['title']} tells them")
    if "leave_source_out" in by_name:
        change = by_name["leave_source_out"]["change"]["accuracy"]
        if reach(change)[1] < 0:
            claims.append("that a class is recognised in a source that was not trained on")
    return claims


def join(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else ""


def _reached(control: Numbers) -> float:
    return control["share"]["value"] if control["share"] else float("-inf")
