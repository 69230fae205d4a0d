"""Images of a few validation radiographs with what the network predicts for them, which trackers show over the epochs.

They are drawn from the results of validation, so that no network runs for them.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from cxrjax import plotting
from cxrjax.config.settings import TrackingConfig
from cxrjax.data.batch import STRUCTURES_KNOWN
from cxrjax.ops import lung_masks

_TRUE = (230, 159, 0)  # orange; RGB of the outlines
_PREDICTED = (0, 229, 255)  # cyan
_TEXT = "#FFFFFF"
_TRUE_TEXT = "#E69F00"
_PREDICTED_TEXT = "#00E5FF"
_MAX_CLASSES = 3  # whose votes a caption lists
_HEART = lung_masks.STRUCTURES.index("heart")


def choose_rows(tracking: TrackingConfig, count: int) -> list[int]:
    """Return the rows of `count` validation radiographs that are drawn, evenly spaced: the same in each epoch."""
    if not tracking.trackers or not tracking.num_images:
        return []
    return sorted({round(row) for row in np.linspace(0, count - 1, min(tracking.num_images, count))})


def name(row: int) -> str:
    """Return the name of the image of a validation radiograph, without the name of its file, which may be private."""
    return f"validation/radiograph_{row}"


def draw_lungs(
    image: np.ndarray, truth: np.ndarray, mask_type: int, predicted: np.ndarray, scores: Mapping[str, float]
) -> np.ndarray:
    """Draw the true and the predicted outlines of the lungs, and of the heart where it is annotated.

    Args:
        image: standardized radiograph uint8 [s, s].
        truth: labels of `lung_masks.STRUCTURES` [s, s], or 1 in the lungs.
        mask_type: type of `truth`, see `cxrjax.data.batch`.
        predicted: labels of `lung_masks.STRUCTURES` [s, s].
        scores: of `segmentation.mask_metrics`; the caption has `dice_lungs` and, where it is annotated, `dice_heart`.

    Returns:
        RGB uint8 [h, w, 3].
    """
    text = f"Dice of the lungs {scores['dice_lungs']:.3f}"
    outlines = [
        (np.isin(truth, lung_masks.LUNGS) if mask_type == STRUCTURES_KNOWN else truth > 0, _TRUE),
        (np.isin(predicted, lung_masks.LUNGS), _PREDICTED),
    ]
    if mask_type == STRUCTURES_KNOWN:
        text += f", heart {scores['dice_heart']:.3f}"
        outlines[1:1] = [(truth == _HEART, _TRUE)]
        outlines.append((predicted == _HEART, _PREDICTED))
    legend = [("true", _TRUE_TEXT), (" and ", _TEXT), ("predicted", _PREDICTED_TEXT), (" outline", _TEXT)]
    return plotting.draw_preview(image, outlines, [[(text, _TEXT)], legend])


def draw_votes(
    image: np.ndarray,
    lungs: np.ndarray | None,
    label: str,
    prediction: str,
    votes: Sequence[int],
    classes: Sequence[str],
) -> np.ndarray:
    """Draw the outline of the lungs that the classifier is shown, and write the label, the prediction and the votes.

    Args:
        image: standardized radiograph uint8 [S, S].
        lungs: lung mask bool [S, S]; None without a segmenter.
        label: true class.
        prediction: predicted class; "" if no lungs were found.
        votes: patches that voted for each class.
        classes: names of the classes.

    Returns:
        RGB uint8 [h, w, 3].
    """
    ranked = sorted(zip(votes, classes, strict=True), key=lambda pair: -pair[0])[:_MAX_CLASSES]
    counts = ", ".join(f"{name} {count}" for count, name in ranked if count)
    color = _TEXT if prediction == label else _TRUE_TEXT
    caption = [
        [(f"label {label}", _TEXT)],
        [(f"prediction {prediction}" if prediction else "no prediction: no lungs found", color)],
        [(f"votes {counts}" if prediction else "", _TEXT)],
    ]
    return plotting.draw_preview(image, [] if lungs is None else [(lungs, _PREDICTED)], caption)
