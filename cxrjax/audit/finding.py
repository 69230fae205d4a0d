"""Result of an audit in one sentence for readers without a background in machine learning."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cxrjax.audit import criteria
from cxrjax.audit.criteria import Numbers
from cxrjax.audit.metrics import HEADLINE, share_of_score
from cxrjax.runtime.formatting import format_label, join_labels

# What goes with the label, and what reaches the score, by the name of an experiment.
WORDINGS = {
    "source": ("with the source of the radiographs (hospital or collection)", "a guess that never sees the image"),
    "view": ("with the projection", "a guess that never sees the image"),
    "resolution": ("with the size of the image", "a guess that never sees the image"),
    "file_format": ("with the file format", "a guess that never sees the image"),
    "metadata": ("with source, projection, size and file format", "a guess that never sees the image"),
    "background": ("with what lies beside the lungs", "a small network that sees no lung"),
    "lung_box": ("with the lungs' size and position", "a small network that sees a black box in place of the lungs"),
    "border": ("with the border of the image", "a small network that sees only the outer tenth of each side"),
}

MEAN_SCORE = "a macro AUROC"  # name of `HEADLINE` in a sentence
CLASS_SCORE = "an AUROC"  # of the score of one class
MAX_NAMES = 3  # of classes in one sentence


class Finding(NamedTuple):
    """Main result of an audit."""

    sentence: str
    shortcut: Numbers | None  # entry of audit.json of the shortcut with the highest score; None if none was scored
    label: str = ""  # the class that the sentence is about; "" if it is about all


def find(audit: Numbers) -> Finding:
    """Return the main result of an audit.

    Args:
        audit: the content of audit.json.
    """
    score = audit["scores"][HEADLINE]["value"]
    shortcuts = _shortcuts(audit)
    strongest = shortcuts[0] if shortcuts else None
    if score is None:
        return Finding(
            f"Nothing can be told apart here: all radiographs are {join_labels(audit['labels'])}.", strongest
        )
    chance = audit["chance"]
    shuffled = [
        entry for entry in audit["experiments"] if entry["name"].startswith("shuffled_labels") and entry["scores"]
    ]
    if shuffled and _are_scored(shuffled) and criteria.leaks(shuffled, chance):
        return Finding(
            "Something leaks: a network that was trained on shuffled labels still does better than chance, so that no "
            "score here can be relied on.",
            strongest,
        )
    if strongest is None:
        return Finding(f"The network reaches {MEAN_SCORE} of {score:.2f}, and no shortcut could be tried.", None)
    if all(entry["share"] is None for entry in shortcuts):
        return Finding(
            f"The network cannot be told from chance: it reaches {MEAN_SCORE} of {score:.2f}, where a guess reaches "
            f"{chance[HEADLINE]:.2f}.",
            strongest,
        )
    effective = [entry for entry in shortcuts if criteria.is_found(entry)]
    if hidden := criteria.hidden_classes(audit):
        return name_classes(hidden, audit["classes"])
    if effective:
        return Finding(_name_shortcut(effective[0], score), effective[0])
    title = strongest["title"]
    reached = strongest["scores"][HEADLINE]["value"]
    upper_bounds = [share_of_score(entry["share"])[1] for entry in shortcuts if entry["share"]]
    if max(upper_bounds) > criteria.MAX_UNEXPLAINED:
        return Finding(
            f"Too few radiographs (n = {audit['n']}) to say whether a shortcut is at work: the network reaches "
            f"{MEAN_SCORE} of {score:.2f}, the strongest shortcut tried, the {title}, {reached:.2f}.",
            strongest,
        )
    tried = "The one shortcut tried does" if len(shortcuts) == 1 else f"The {len(shortcuts)} shortcuts tried do"
    return Finding(
        f"{tried} not explain the score: the {title} {format_reached(MEAN_SCORE, reached, score)}.", strongest
    )


def format_reached(metric: str, reached: float, score: float) -> str:
    """Return "reaches an AUROC of 0.88, the network 0.93", what a shortcut reaches beside a network's score.

    Args:
        metric: name of both scores with its article, such as `MEAN_SCORE`.
        reached: score of the shortcut.
        score: score of the network.
    """
    if reached > score:
        return f"reaches {metric} of {reached:.2f}, more than the network, {score:.2f}"
    return f"reaches {metric} of {reached:.2f}, the network {score:.2f}"


def _shortcuts(audit: Numbers) -> list[Any]:
    """Return the scored shortcuts, that of the highest score first."""
    scored = [entry for entry in criteria.scored_shortcuts(audit) if entry["scores"][HEADLINE]["value"] is not None]
    return sorted(scored, key=lambda entry: entry["scores"][HEADLINE]["value"], reverse=True)


def _are_scored(experiments: list[Any]) -> bool:
    return all(entry["scores"][HEADLINE]["value"] is not None for entry in experiments)


def _name_shortcut(shortcut: Numbers, score: float) -> str:
    """Return the sentence on an effective shortcut."""
    companion, agent = _wording(shortcut)
    extent = "goes" if criteria.reaches_most(shortcut) else "goes in part"
    reached = shortcut["scores"][HEADLINE]["value"]
    return f"The label {extent} {companion}: {agent} {format_reached(MEAN_SCORE, reached, score)}."


def name_classes(hidden: Mapping[str, Numbers], classes: Mapping[str, Numbers]) -> Finding:
    """Return the finding on the classes that the same shortcut explains as the first one.

    Args:
        hidden: classes with their shortcuts, of `criteria.hidden_classes`.
        classes: class -> scores of the network.
    """
    label, shortcut = next(iter(hidden.items()))
    names = [name for name, strongest in hidden.items() if strongest["name"] == shortcut["name"]]
    subject, verb = _name_labels(names)
    companion, agent = _wording(shortcut)
    reached = format_reached(
        CLASS_SCORE, shortcut["classes"][label]["auroc"]["value"], classes[label]["auroc"]["value"]
    )
    of_label = f" for {format_label(label)}," if len(names) > 1 else ""
    return Finding(f"{subject} {verb} {companion}:{of_label} {agent} {reached}.", shortcut, label)


def _name_labels(labels: Sequence[str]) -> tuple[str, str]:
    """Return labels as the subject of a sentence, at most `MAX_NAMES` by name, and "goes" or "go"."""
    if len(labels) == 1:
        return _capitalize(format_label(labels[0])), "goes"
    if len(labels) <= MAX_NAMES:
        return _capitalize(join_labels(labels)), "go"
    names = ", ".join(map(format_label, labels[:MAX_NAMES]))
    return f"{_capitalize(names)} and {len(labels) - MAX_NAMES} more", "go"


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]


def _wording(shortcut: Numbers) -> tuple[str, str]:
    return WORDINGS.get(shortcut["name"], (f"with the {shortcut['title']}", "it"))
