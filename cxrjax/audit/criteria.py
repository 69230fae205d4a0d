"""Criteria of the verdict: the thresholds from which an audit states a result. The thresholds are ours."""

from collections.abc import Mapping, Sequence
from typing import Any

from cxrjax.audit.metrics import HEADLINE, share_of_score

MIN_SHARE = 0.1  # lower bound of the interval of a shortcut's share from which it is reported. There are a dozen
# intervals, and one in forty lies above chance by chance
MOST = 0.5  # share of the score from which a label goes with a shortcut; below, it goes with it in part
MAX_UNEXPLAINED = 0.3  # upper bound of the intervals up to which the audit states that it finds no shortcut
MAX_SHARE_WIDTH = 1.0  # width of a share's interval, the whole score, above which only one of its ends is reported
MIN_DECISIVE = 0.9  # lower bound of recall and specificity from which a shortcut alone identifies a class
MIN_FLIP_RATE = 0.5  # lower bound of the share of predictions that a marker flips: most of them
MIN_AGREEMENT = 0.5  # share of the images in which a location must be the same to be reported: most of them
MIN_DROP = 0.1  # drop of the probability of a class, when a location is occluded, from which it is reported
MIN_TRANSFER = 0.5  # share of its accuracy, or of its AUROC above chance, that the probe network must keep in a source
# that is left out of training
MAX_DEPENDENCE = 0.1  # AUROC by which pairs may be ranked worse where the source misleads, for a network that does not
# depend on it
MIN_NETWORK_GAIN = 0.05  # AUROC above chance from which the audited network predicts a label outside the lungs
MAX_DETECTABLE_LEAK = 0.2  # AUROC above chance: if only a larger leak is detectable, the verdict says so
MIN_LEAK = 0.05  # lower bound of AUROC above chance that each network trained on shuffled labels reaches, for a leak

Numbers = Mapping[str, Any]


def is_above(number: Numbers | None, limit: float) -> bool:
    """Return whether the whole interval of a number lies above a limit; False without a number."""
    return bool(number and share_of_score(number)[0] > limit)


def is_below(number: Numbers | None, limit: float) -> bool:
    """Return whether the whole interval of a number lies below a limit; False without a number."""
    return bool(number and share_of_score(number)[1] < limit)


def is_wide(share: Numbers) -> bool:
    """Return whether the interval of a share is wider than the whole score."""
    low, high = share_of_score(share)
    return high - low > MAX_SHARE_WIDTH


def is_inconclusive(share: Numbers) -> bool:
    """Return whether the interval of a share is too wide to say anything.

    It is then wider than the whole score, and neither lies above `MOST` nor below `MAX_UNEXPLAINED`.
    """
    low, high = share_of_score(share)
    return is_wide(share) and low < MOST and high > MAX_UNEXPLAINED


def is_found(experiment: Numbers) -> bool:
    """Return whether the share of the score that an experiment reaches is large enough, and known well enough."""
    share = experiment["share"]
    return is_above(share, MIN_SHARE) and not is_inconclusive(share)


def reaches_most(experiment: Numbers) -> bool:
    """Return whether an experiment reaches most of the score; False without a share."""
    return experiment["share"] is not None and experiment["share"]["value"] >= MOST


def scored_shortcuts(audit: Numbers) -> list[Numbers]:
    """Return the experiments of an audit that try a shortcut and have scores."""
    return [entry for entry in audit["experiments"] if entry["category"] == "shortcut" and entry["scores"]]


def hidden_classes(audit: Numbers) -> dict[str, Numbers]:
    """Return the classes that a shortcut explains while no shortcut explains the mean over all classes.

    A shortcut explains a class if it reaches most of the network's AUROC above chance. Since many intervals are
    compared, their lower bound must reach half of `MOST` too.

    Args:
        audit: the content of audit.json; an older one, which lacks the scores of the classes, has no such class.

    Returns:
        class -> entry of the shortcut that reaches the largest share of it; the class of the largest share first.
    """
    shortcuts = scored_shortcuts(audit)
    if any(reaches_most(entry) for entry in shortcuts):
        return {}
    chance = audit["chance"][HEADLINE]
    found: list[tuple[float, str, Numbers]] = []
    for name, scores in audit.get("classes", {}).items():
        for shortcut in shortcuts:
            share, low = _class_share(scores["auroc"], shortcut["classes"].get(name, {}).get("auroc"), chance)
            if share >= MOST and low >= MOST / 2:
                found.append((share, name, shortcut))
    explained: dict[str, Numbers] = {}
    for _, name, shortcut in sorted(found, key=lambda item: item[0], reverse=True):
        explained.setdefault(name, shortcut)
    return explained


def _class_share(network: Numbers, reached: Numbers | None, chance: float) -> tuple[float, float]:
    """Return the share of a network's AUROC above chance that a shortcut reaches, and its lower bound; or zeros."""
    if not reached or reached["value"] is None or network["value"] is None or network["value"] <= chance:
        return 0.0, 0.0
    gain = network["value"] - chance
    return (reached["value"] - chance) / gain, (share_of_score(reached)[0] - chance) / gain


def decided(experiment: Numbers | None) -> list[str]:
    """Return the classes that an experiment separates from all others, by recall and specificity.

    F1 is not used, since it is high for a frequent class without any information.
    """
    classes = experiment["classes"] if experiment else {}
    return [
        name
        for name, scores in classes.items()
        if all(is_above(scores[key], MIN_DECISIVE) for key in ("recall", "specificity"))
    ]


def is_caught(marker: Numbers) -> bool:
    """Return whether a planted marker flipped most predictions and was located correctly in most images."""
    return is_above(marker["flip_rate"], MIN_FLIP_RATE) and marker["place"]["hit_rate"] > MIN_AGREEMENT


def follows_source(against_source: Numbers) -> bool:
    """Return whether the network ranks most pairs as the source does where the source is wrong."""
    return is_below(against_source["scores"][HEADLINE], 0.5)


def depends_on_source(against_source: Numbers) -> bool:
    """Return whether the network ranks pairs better where the source points to the right radiograph."""
    difference = against_source["difference"]
    return bool(difference) and is_below(difference[HEADLINE], 0)


def rules_out_dependence(against_source: Numbers) -> bool:
    """Return whether the interval excludes that the network ranks pairs against the source much worse."""
    difference = against_source["difference"]
    return bool(difference) and is_above(difference[HEADLINE], -MAX_DEPENDENCE)


def transfer_metric(audit: Numbers) -> str:
    """Return the metric by which a source that was left out of training is judged.

    It is the accuracy of labels. Of several findings, most of which are rare, it is `HEADLINE`: a network that calls
    none of them has a high accuracy.
    """
    return HEADLINE if audit.get("targets") == "multi" else "accuracy"


def collapses(left_out: Numbers, audit: Numbers) -> bool:
    """Return whether recognition collapses in a source that was left out of training."""
    metric = transfer_metric(audit)
    chance = audit["chance"][metric]
    reference = left_out["reference"][metric]["value"]
    if reference is None:
        return False
    if metric == HEADLINE:
        return is_below(left_out["scores"][metric], chance + MIN_TRANSFER * max(reference - chance, 0))
    return is_below(left_out["scores"][metric], max(MIN_TRANSFER * reference, chance))


def leaks(shuffled: Sequence[Numbers], chance: Numbers) -> bool:
    """Return whether every network that was trained on shuffled labels is better than chance."""
    return all(is_above(experiment["scores"][HEADLINE], chance[HEADLINE] + MIN_LEAK) for experiment in shuffled)


def least_leak(shuffled: Sequence[Numbers], chance: Numbers) -> float:
    """Return the AUROC above which `leaks` would detect a leak, by the widest of the intervals."""
    scores = [experiment["scores"][HEADLINE] for experiment in shuffled]
    return min(chance[HEADLINE] + MIN_LEAK + max(score["value"] - share_of_score(score)[0] for score in scores), 1.0)
