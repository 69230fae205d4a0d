"""AUROC over the pairs in which a bias, such as the source, points to the wrong radiograph of the two.

Kallus & Zhou 2019, "The fairness of risk scores beyond classification: bipartite ranking and the xAUC metric", section
3: the AUROC of the positives of one group against the negatives of another. A pair of a positive and a negative is
bias-conflicting where the source of the negative has the class more often in training than that of the positive (Nam et
al. 2020, "Learning from failure"; Luo et al. 2022 evaluate classifiers of chest radiographs so), and bias-aligned where
it has it less often. A network that follows the source wins the aligned pairs and loses the conflicting ones; a network
that does not depend on it wins as many of both.
"""

import numpy as np
from jaxtyping import Bool, Float

from cxrjax.metrics import roc
from cxrjax.metrics.confidence import Auroc, safe_divide
from cxrjax.metrics.patient_weights import Weights


def conflicting(
    positive: Bool[np.ndarray, "n"],
    scores: Float[np.ndarray, "n"],
    prior: Float[np.ndarray, "n"],
    weights: Weights,
) -> Auroc:
    """Compute the share of the bias-conflicting pairs that are in the right order; ties count half.

    Args:
        positive: whether each radiograph has the class.
        scores: of the network, higher for positive; NaN without a prediction, which loses every pair.
        prior: frequency of the class in the source of each radiograph in training.
        weights: r weightings of the radiographs.

    Returns:
        The share, NaN without such a pair, with the number of positives and of negatives that are in any.
    """
    wins = np.zeros(len(weights))
    pairs = np.zeros(len(weights))
    for value in np.unique(prior[positive]):
        rows = np.where(positive, prior == value, prior > value)
        areas = roc.measure_areas(roc.rank(positive[rows], scores[rows]), weights[:, rows])
        group_pairs = areas.positives * areas.negatives
        wins += np.nan_to_num(areas.auroc) * group_pairs
        pairs += group_pairs
    highest = prior[~positive].max(initial=-np.inf)
    lowest = prior[positive].min(initial=np.inf)
    return Auroc(
        safe_divide(wins, pairs),
        weights[:, positive & (prior < highest)].sum(1),
        weights[:, ~positive & (prior > lowest)].sum(1),
    )


def aligned(
    positive: Bool[np.ndarray, "n"],
    scores: Float[np.ndarray, "n"],
    prior: Float[np.ndarray, "n"],
    weights: Weights,
) -> Auroc:
    """Compute the share of the bias-aligned pairs that are in the right order; see `conflicting`."""
    return conflicting(positive, scores, -prior, weights)
