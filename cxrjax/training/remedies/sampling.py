"""Sampling probabilities that break the correlation of source and class.

Equal shares of all (source, class) cells are the "RWG" of Idrissi et al. 2022, "Simple data balancing achieves
competitive worst-group-accuracy" (section 3). A source of one class says nothing of what distinguishes the class within
a source; its radiographs can be drawn seldom or left out.
"""

from collections.abc import Sequence

import numpy as np

from cxrjax.config import Config
from cxrjax.training.remedies import matching
from cxrjax.training.remedies.sources import Sources


def sampling_weights(
    config: Config, sources: Sources, labels: np.ndarray, strata: Sequence[str] = ()
) -> np.ndarray | None:
    """Return the probability by which each training radiograph is drawn: float [n] of sum 1; None without a remedy.

    Args:
        config: config of the run.
        sources: sources of the n training radiographs.
        labels: int [n], index of the class of each.
        strata: stratum of each by `matching.list_strata`, where `remedy.match` is set.

    Raises:
        ValueError: a class would have no radiograph left, two remedies contradict each other, or the sampler does not
            draw by probabilities.
    """
    remedy = config.remedy
    if not remedy.balance and not remedy.match and remedy.single_class_weight == 1:
        return None
    if remedy.balance and remedy.match:
        raise ValueError("remedy.balance and remedy.match both say how often a class is drawn; set one of them")
    if config.training.sampler == "oversample":
        raise ValueError(
            "training.sampler=oversample visits each radiograph, and remedy.balance, match and single_class_weight "
            "draw at random; choose shuffle or balanced"
        )
    is_single = (sources.counts > 0).sum(1) == 1
    single_weight = np.where(is_single[sources.ids], remedy.single_class_weight, 1.0)
    _check_classes_remain(config.classifier.classes, labels[single_weight > 0])
    if remedy.match:
        weights = single_weight * matching.sampling_weights(strata, labels, len(config.classifier.classes))
    elif remedy.balance:
        weights = single_weight / sources.counts[sources.ids, labels]
    elif config.training.sampler == "balanced":
        weights = single_weight / np.bincount(labels, single_weight)[labels]
    else:
        weights = single_weight
    return weights / weights.sum()


def _check_classes_remain(classes: Sequence[str], remaining: np.ndarray) -> None:
    lost = [name for index, name in enumerate(classes) if index not in set(remaining.tolist())]
    if lost:
        raise ValueError(
            f"remedy.single_class_weight=0 leaves out every radiograph of {lost[0]}, whose sources have no other "
            f"class: no training can tell {lost[0]} from them; add radiographs of it from a source that has others, "
            "or leave the class out"
        )
