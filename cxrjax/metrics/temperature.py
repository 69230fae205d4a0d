"""Temperature scaling of probabilities (Guo et al. 2017)."""

import numpy as np
from jaxtyping import Float, Int

HOTTEST = 20.0  # highest temperature of the search, whose inverse is the lowest
_TINY = float(np.finfo(np.float32).tiny)  # smallest normal probability of a float32 network


def apply_temperature(
    probabilities: Float[np.ndarray, "*batch k"], temperature: float
) -> Float[np.ndarray, "*batch k"]:
    """Scale probabilities by a temperature: above 1 flattens them, below 1 sharpens them; zeros stay zeros.

    The order, and so the predicted class, does not change (Guo et al. 2017, section 4.2). NaN stays NaN.
    """
    raised = (probabilities / np.maximum(probabilities.max(-1, keepdims=True), _TINY)) ** (1 / temperature)
    return raised / np.maximum(raised.sum(-1, keepdims=True), _TINY)


def apply_event_temperature(
    probabilities: Float[np.ndarray, "*batch"], temperature: float
) -> Float[np.ndarray, "*batch"]:
    """Scale the probabilities of an event, such as one of several findings, by a temperature."""
    return apply_temperature(two_sided(probabilities), temperature)[..., 1]


def two_sided(probabilities: Float[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch 2"]:
    """Return the probabilities of the complement of an event, and of the event."""
    return np.stack([1 - probabilities, probabilities], axis=-1)


def fit_temperature(probabilities: Float[np.ndarray, "n k"], truth: Int[np.ndarray, "n"]) -> float:
    """Fit the temperature of maximal likelihood (Guo et al. 2017, section 4.2), with Platt's targets.

    Where all predictions are correct, the likelihood has no maximum: it rises as the temperature falls. The targets are
    therefore those of Platt 1999 (section 2.2): the true class of a radiograph has 1 - 1 / (n + 2), and the other
    classes share the rest, as if one more radiograph were of another class.

    Args:
        probabilities: of n > 0 radiographs that the network was not trained on.
        truth: index of the true class.

    Returns:
        The temperature, within 1 / HOTTEST and HOTTEST; see `is_at_bound`.
    """
    from scipy.optimize import minimize_scalar  # it takes a while to import, and predictions do not need it

    count = probabilities.shape[1]
    doubt = 1 / (len(truth) + 2)
    targets = np.where(np.arange(count) == truth[:, None], 1 - doubt, doubt / max(count - 1, 1))

    def surprise(log_temperature: float) -> float:
        scaled = apply_temperature(probabilities, np.exp(log_temperature))
        return -(targets * np.log(np.maximum(scaled, _TINY))).sum(1).mean()

    bound = np.log(HOTTEST)
    optimum = minimize_scalar(surprise, bounds=(-bound, bound), method="bounded")
    return float(np.exp(optimum.x))  # pyright: ignore[reportAttributeAccessIssue] SciPy is not typed


def is_at_bound(temperature: float) -> bool:
    """Return whether a temperature is at an end of the range of `fit_temperature`, so that the optimum is beyond it."""
    return bool(abs(np.log(temperature)) > np.log(HOTTEST) - 0.01)
