"""Result of an audit as questions, each with a short answer and the number that it rests on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cxrjax.audit import criteria
from cxrjax.audit.criteria import Numbers
from cxrjax.audit.formatting import format_ci, format_percent, format_share
from cxrjax.audit.metrics import HEADLINE, share_of_score
from cxrjax.runtime.formatting import format_count

YES = "yes"
IN_PART = "in part"
NO = "no"
UNDECIDED = "too few to say"
NOT_DONE = "not tried"

# Questions on shortcuts, with the experiments that answer them; the one of the highest share counts.
_SHORTCUTS = {
    "Can the label be guessed before the image is seen?": ("source", "view", "resolution", "file_format", "metadata"),
    "Can it be read beside the lungs?": ("background", "border"),
    "Do the lungs' size and position give it away?": ("lung_box",),
}
# Questions on a property of all images that is made alike, with the experiment of the audited network.
_PROPERTIES = {
    "Does the network depend on a source's gray levels?": "common_levels_network",
    "Does it depend on the sharpness?": "common_resolution_network",
}
_MARKERS = {
    "Would this audit notice a mark in the corner?": "marker_outside",
    "Would it notice a mark in the lungs?": "marker_inside",
}


class Answer(NamedTuple):
    """A question of the audit, its answer in a word or two, and the number."""

    question: str
    answer: str
    figure: str


def list_answers(audit: Numbers) -> list[Answer]:
    """Return the questions of an audit with their answers.

    Args:
        audit: the content of audit.json.
    """
    by_name = {entry["name"]: entry for entry in audit["experiments"]}
    scored = {name: entry for name, entry in by_name.items() if entry["scores"]}
    chance = audit["chance"]
    answers = [_answer_shortcut(question, names, by_name) for question, names in _SHORTCUTS.items()]
    answers.append(_answer_content(scored))
    answers.append(_answer_within_source(by_name.get("within_source"), chance[HEADLINE]))
    answers.append(answer_against_source(by_name.get("against_source")))
    answers.append(_answer_left_out(by_name.get("leave_source_out"), audit))
    answers.append(_answer_outside(scored, chance[HEADLINE]))
    answers += [_answer_property(question, scored.get(name)) for question, name in _PROPERTIES.items()]
    answers += [_answer_marker(question, scored.get(name)) for question, name in _MARKERS.items()]
    answers.append(_answer_leak(audit, chance))
    shared = audit.get("shared_patients", 0)
    answers.append(
        Answer("Are patients of training among these?", YES if shared else NO, format_count(shared, "patient"))
    )
    return answers


def _answer_shortcut(question: str, names: Sequence[str], by_name: Mapping[str, Numbers]) -> Answer:
    entries = [by_name[name] for name in names if name in by_name and by_name[name]["scores"]]
    if not entries:
        notes = [by_name[name]["note"] for name in names if name in by_name]
        return Answer(question, NOT_DONE, notes[0].removeprefix("not done: ") if notes else "")
    with_share = [entry for entry in entries if entry["share"]]
    if not with_share:
        return Answer(question, UNDECIDED, "the score itself cannot be told from chance")
    strongest = max(with_share, key=lambda entry: (criteria.is_found(entry), entry["share"]["value"]))
    share = strongest["share"]
    figure = f"{strongest['title']}: {format_ci(strongest['scores'][HEADLINE])}"
    if criteria.is_inconclusive(share):
        figure += f"; the test split is too small (n = {share['n']}) to say what share of the score above chance it is"
    else:
        figure += f", {format_share(share)} of the score above chance"
    if criteria.is_found(strongest):
        return Answer(question, YES if criteria.reaches_most(strongest) else IN_PART, figure)
    max_share = max(share_of_score(entry["share"])[1] for entry in with_share)
    return Answer(question, UNDECIDED if max_share > criteria.MAX_UNEXPLAINED else NO, figure)


def _answer_content(scored: Mapping[str, Numbers]) -> Answer:
    question = "What can a small network learn from the lungs alone?"
    if "lungs" not in scored:
        return Answer(question, NOT_DONE, "")
    figure = format_ci(scored["lungs"]["scores"][HEADLINE])
    if "full_image" in scored:
        figure += f"; {format_ci(scored['full_image']['scores'][HEADLINE])} from the whole radiograph"
    return Answer(question, "this much", figure)


def _answer_within_source(entry: Numbers | None, chance: float) -> Answer:
    question = "Is anything left among radiographs of one source?"
    if entry is None or not entry["scores"] or entry["scores"][HEADLINE]["value"] is None:
        return Answer(question, NOT_DONE, entry["note"].removeprefix("not done: ") if entry else "")
    score = entry["scores"][HEADLINE]
    answer = YES if criteria.is_above(score, chance) else UNDECIDED
    return Answer(question, answer, f"{format_ci(score)}, where chance is {chance:.2f}")


def answer_against_source(entry: Numbers | None) -> Answer:
    """Return the answer of the pairs in which the source points to the wrong radiograph.

    Args:
        entry: of these pairs in the audit; None if they were not ranked.
    """
    question = "Does the network follow the source where it misleads?"
    if entry is None or not entry["scores"] or entry["scores"][HEADLINE]["value"] is None:
        return Answer(question, NOT_DONE, entry["note"].removeprefix("not done: ") if entry else "")
    figure = f"right in {format_percent(entry['scores'][HEADLINE])} of pairs where the source points to the wrong one"
    if entry["reference"]:
        figure += f", and in {format_percent(entry['reference'][HEADLINE])} where it points to the right one"
    if criteria.follows_source(entry):
        return Answer(question, YES, figure)
    if criteria.depends_on_source(entry):
        return Answer(question, IN_PART, figure)
    return Answer(question, NO if criteria.rules_out_dependence(entry) else UNDECIDED, figure)


def _answer_left_out(entry: Numbers | None, audit: Numbers) -> Answer:
    question = "Is a class recognized in a source that was not trained on?"
    metric = criteria.transfer_metric(audit)
    if entry is None or not entry["scores"] or not entry["reference"] or entry["scores"][metric]["value"] is None:
        return Answer(question, NOT_DONE, entry["note"].removeprefix("not done: ") if entry else "")
    score = entry["scores"][metric]
    reference = entry["reference"][metric]
    if metric == HEADLINE:
        figure = f"{format_ci(score)}, and {format_ci(reference)} with the source trained on"
    else:
        figure = f"{format_percent(score)} are right, and {format_percent(reference)} with the source trained on"
    if criteria.collapses(entry, audit):
        return Answer(question, NO, figure)
    is_lower = criteria.is_below(entry["difference"][metric], 0)
    return Answer(question, "less well" if is_lower else YES, figure)


def _answer_outside(scored: Mapping[str, Numbers], chance: float) -> Answer:
    question = "Does the network itself find it without the lungs?"
    entries = [scored[name] for name in ("background_network", "border_network") if name in scored]
    values = [entry for entry in entries if entry["scores"][HEADLINE]["value"] is not None]
    if not values:
        return Answer(question, NOT_DONE, "the network is shown the lungs alone, or no lungs were segmented")
    strongest = max(values, key=lambda entry: entry["scores"][HEADLINE]["value"])
    score = strongest["scores"][HEADLINE]
    answer = YES if criteria.is_above(score, chance + criteria.MIN_NETWORK_GAIN) else NO
    return Answer(question, answer, f"{strongest['title']}: {format_ci(score)}")


def _answer_property(question: str, entry: Numbers | None) -> Answer:
    if entry is None or not entry["difference"] or entry["difference"][HEADLINE]["value"] is None:
        return Answer(question, NOT_DONE, "")
    change = entry["difference"][HEADLINE]
    answer = YES if criteria.is_below(change, 0) else "not seen"
    return Answer(question, answer, f"the score changes by {format_ci(change)} once it is alike for all")


def _answer_marker(question: str, entry: Numbers | None) -> Answer:
    if entry is None or entry.get("flip_rate", {"value": None})["value"] is None:
        return Answer(question, NOT_DONE, "")
    figure = f"it turns {format_percent(entry['flip_rate'])} of the predictions, and is located in "
    figure += f"{entry['place']['hit_rate']:.0%}"
    return Answer(question, YES if criteria.is_caught(entry) else NO, figure)


def _answer_leak(audit: Numbers, chance: Numbers) -> Answer:
    question = "Does a network trained on shuffled labels do better than chance?"
    entries = [
        entry for entry in audit["experiments"] if entry["name"].startswith("shuffled_labels") and entry["scores"]
    ]
    values = [entry["scores"][HEADLINE]["value"] for entry in entries]
    if not values or None in values:
        return Answer(question, NOT_DONE, "")
    figure = " to ".join(dict.fromkeys(f"{value:.2f}" for value in (min(values), max(values))))
    if criteria.leaks(entries, chance):
        return Answer(question, YES, f"{figure}: something leaks, and no score here can be relied on")
    is_blind = criteria.least_leak(entries, chance) > chance[HEADLINE] + criteria.MAX_DETECTABLE_LEAK
    return Answer(question, UNDECIDED if is_blind else NO, figure)
