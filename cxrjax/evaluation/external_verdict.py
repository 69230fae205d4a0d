"""Verdict of an external evaluation: collections where the network holds or falls, and origin of the pooled score."""

from collections.abc import Mapping, Sequence
from typing import Any

from scipy.special import ndtri

from cxrjax.metrics import intervals
from cxrjax.runtime.formatting import format_label, join_words

HOLDS = "holds"
FALLS = "falls"
UNCLEAR = "too few to say"
NOT_JUDGED = "own split at chance"
MARGIN = 0.1  # fall of the mean sensitivity up to which a network holds; our choice
MIN_SHARE = 0.1  # share of the pooled AUROC above 0.5 that differences between collections make up, to be reported
MOST = 0.5  # share from which they make up most of it
MAX_NAMES = 3  # collections that a sentence names


def judge(
    difference: Mapping[str, Any] | None,
    num_judged: int,
    margin: float = MARGIN,
    own: Mapping[str, Any] | None = None,
) -> str:
    """Return whether a network holds in a collection or falls; or why that cannot be said.

    The interval is widened for the number of collections that are judged at once (Bonferroni). Without a shift
    anywhere, the probability of a false fall is then that of a single collection.

    Args:
        difference: mean score here less that on the own split, such as sensitivity, with its 95% interval; None
            without one.
        num_judged: number of collections.
        margin: fall up to which the network holds.
        own: scores on the own split, see `is_at_chance`.
    """
    if is_at_chance(own):
        return NOT_JUDGED
    if not difference or difference["value"] is None or difference["interval"] is None:
        return UNCLEAR
    widening = ndtri(1 - intervals.TAIL / num_judged) / ndtri(1 - intervals.TAIL)
    value = difference["value"]
    low = value + (difference["interval"][0] - value) * widening
    high = value + (difference["interval"][1] - value) * widening
    if low > -margin:
        return HOLDS
    return FALLS if high < 0 else UNCLEAR


def is_at_chance(own: Mapping[str, Any] | None) -> bool:
    """Return whether the network does not exceed chance on its own split, so that nothing can hold or fall elsewhere.

    Args:
        own: "own" of `external.assess` or of `external_findings.assess`; {} or None without own radiographs.
    """
    if not own:
        return False
    if "sensitivity" in own:
        score = own["sensitivity"]
        chance = 1 / len(own["classes"])
    else:
        score = own["auroc"]
        chance = 0.5
    return chance < 1 and score["interval"] is not None and score["interval"][0] <= chance


def pooled_share(within: Mapping[str, Any]) -> float | None:
    """Return the share of the pooled AUROC above 0.5 that comes from differences between collections.

    Args:
        within: "within" of `external.assess`.

    Returns:
        The share in 0..1; None if the difference may be chance, or is less than `MIN_SHARE`.
    """
    if not within or within["difference"]["interval"] is None:
        return None
    difference = within["difference"]
    gain = within["pooled"]["value"] - 0.5
    if difference["interval"][0] <= 0 or gain <= 0 or difference["value"] < MIN_SHARE * gain:
        return None
    return min(difference["value"] / gain, 1.0)


def conclude(result: Mapping[str, Any]) -> str:
    """Return the first sentence on an external evaluation.

    Args:
        result: result of `external.assess` or of `external_findings.assess`, without its sentence.
    """
    collections = result["collections"]
    names = {
        verdict: [name for name, scores in collections.items() if scores["verdict"] == verdict]
        for verdict in (FALLS, HOLDS, UNCLEAR)
    }
    parts = [_describe_pooled(result), _describe_verdicts(result, names)]
    sentence = "; ".join(part for part in parts if part)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def is_multi_label(result: Mapping[str, Any]) -> bool:
    """Return whether a result is of several findings per radiograph, by `external_findings.assess`."""
    return result.get("targets") == "multi"


def _describe_pooled(result: Mapping[str, Any]) -> str:
    """Return a clause on a pooled AUROC that comes from differences between collections; "" if it does not."""
    pooled = result["pooled"]["auroc"]["value"]
    if len(result["collections"]) < 2 or pooled is None:
        return ""
    if not result["within"]:
        cases = "with and without a finding" if is_multi_label(result) else "of two classes"
        return (
            f"the pooled AUROC of {pooled:.2f} may be one of collections alone, since none of them has enough "
            f"radiographs {cases}"
        )
    share = pooled_share(result["within"])
    if share is None:
        return ""
    extent = "mostly" if share >= MOST else "in part"
    within = result["within"]
    labels = [format_label(label) for label in within["classes"]]
    scope = "" if len(labels) == len(result["pooled"]["classes"]) else f" (of {list_names(labels)})"
    return (
        f"the pooled AUROC{scope} of {within['pooled']['value']:.2f} comes {extent} from differences between the "
        f"collections: within one it is {within['within']['value']:.2f}"
    )


def _describe_verdicts(result: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> str:
    """Return a clause on the collections where the network falls, holds, or has too few radiographs."""
    if not result["own"]:
        return "how the network does on its own radiographs is not known, so that no fall can be measured"
    if is_at_chance(result["own"]):
        score = "AUROC" if is_multi_label(result) else "sensitivity"
        return (
            f"on its own {result['own_split']} split the network's mean {score} does not exceed chance, so that the "
            "network can neither hold nor fall elsewhere"
        )
    count = len(result["collections"])
    if len(names[UNCLEAR]) == count:
        where = names[UNCLEAR][0] if count == 1 else f"any of the {count} collections"
        return f"too few radiographs to say whether the network holds at {where}"
    all_collections = "both collections" if count == 2 else f"all {count} collections"
    all_hold = len(names[HOLDS]) == count > 1
    clauses = []
    if names[HOLDS]:
        clauses.append(f"holds at {all_collections if all_hold else list_names(names[HOLDS])}")
    if names[FALLS]:
        clauses.append(f"falls at {list_names(names[FALLS])}")
    text = f"the network {', and '.join(clauses)}: {_describe_means(result, names[FALLS] or names[HOLDS])}"
    if names[UNCLEAR]:
        text += f"; for {list_names(names[UNCLEAR])} there are too few radiographs to say"
    return text


def _describe_means(result: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return a clause on the mean score in collections, and on the own split for the same classes or findings."""
    judged = [result["collections"][name]["judged"] for name in names]
    spec = ".2f" if is_multi_label(result) else ".0%"
    here = _range([scores["here"]["value"] for scores in judged], spec)
    before = _range([scores["own"]["value"] for scores in judged], spec)
    own = f"on its own {result['own_split']} split"
    if is_multi_label(result):
        return f"the mean AUROC of the findings is {here} there, and {before} {own}"
    return f"it recognizes {here} of each class there on average, and {before} {own}"


def _range(values: Sequence[float], spec: str) -> str:
    """Return the lowest and the highest value, as "51% to 60%"; one where both read the same."""
    return " to ".join(dict.fromkeys(format(value, spec) for value in (min(values), max(values))))


def list_names(names: Sequence[str]) -> str:
    """Return names in words; after the first `MAX_NAMES` only the number of the others."""
    if len(names) <= MAX_NAMES + 1:
        return join_words(names)
    return join_words([*names[:MAX_NAMES], f"{len(names) - MAX_NAMES} others"])
