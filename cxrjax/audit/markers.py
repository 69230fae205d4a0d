"""Planted markers: their location by occlusion, and the share of predictions that they flip."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax.audit import perturbations
from cxrjax.audit.experiment_rows import lacks_class, predicts_class
from cxrjax.data.batch import RadiographBatch, padded_batches, with_columns
from cxrjax.metrics import bootstrap, confidence, prediction_arrays

CELLS = 8  # grid cells per side; a cell is a little larger than a marker. Ours
MAX_IMAGES = 64  # evenly spaced over the images; bounds the time. Ours


def occlusion_peak(
    predict: Callable[[NDArray], NDArray], images: NDArray, lungs: NDArray, target: int
) -> dict[str, Any] | None:
    """Find, by occlusion, the grid cell whose removal lowers the probability of a class most.

    An occluded cell is filled with the mean gray level of its image.

    Args:
        predict: images uint8 [n, S, S] -> probabilities [n, K].
        images: uint8 [n, S, S].
        lungs: bool [n, S, S].
        target: index of the class.

    Returns:
        {"row", "column"}: center of the most frequent cell, as a fraction of the side; "agreement": share of the images
        whose cell is the most frequent one or adjacent to it; "inside_lungs": share of the images whose cell lies in
        the lungs by more than half; "drop": mean drop of the probability; "peaks": cells [n, 2]. None without images.
    """
    sample = _sample(len(images))
    if not len(sample):
        return None
    images = images[sample]
    lungs = lungs[sample]
    edges = np.linspace(0, images.shape[1], CELLS + 1).astype(int)
    gray = images.mean((1, 2), keepdims=True).astype(np.uint8)
    reference = predict(images)[:, target]
    drops = np.zeros((len(images), CELLS, CELLS))
    lung_fractions = np.zeros_like(drops)
    for row, column in np.ndindex(CELLS, CELLS):
        cell = slice(None), slice(*edges[row : row + 2]), slice(*edges[column : column + 2])
        occluded = images.copy()
        occluded[cell] = gray
        drops[:, row, column] = reference - predict(occluded)[:, target]
        lung_fractions[:, row, column] = lungs[cell].mean((1, 2))
    flat_peaks = drops.reshape(len(images), -1).argmax(1)
    peaks = np.stack(np.divmod(flat_peaks, CELLS), 1)
    mode = np.array(divmod(int(np.bincount(flat_peaks).argmax()), CELLS))
    near_mode = (abs(peaks - mode) <= 1).all(1)
    peak_lung_fractions = lung_fractions.reshape(len(images), -1)[np.arange(len(flat_peaks)), flat_peaks]
    return {
        "row": float((mode[0] + 0.5) / CELLS),
        "column": float((mode[1] + 0.5) / CELLS),
        "agreement": float(near_mode.mean()),
        "inside_lungs": float((peak_lung_fractions > 0.5).mean()),
        "drop": float(drops.reshape(len(images), -1).max(1).mean()),
        "peaks": peaks.tolist(),
    }


def marker_hit_rate(peaks: Sequence[Sequence[int]], lungs: NDArray, inside: bool) -> dict[str, Any]:
    """Compute the share of the peaks of `occlusion_peak` that are at a planted marker; by chance, at most 1 / 7.

    Args:
        peaks: cells [n, 2] of `occlusion_peak`, of images with one marker each.
        lungs: bool [n, S, S], the lung masks given to `occlusion_peak`.
        inside: see `perturbations.add_marker`.

    Returns:
        {"hit_rate": share of the peaks that are the cell of the marker or adjacent to it, "cells": the cells of the
        markers [n, 2]}.
    """
    boxes = [perturbations.marker_box(mask, inside) for mask in lungs[_sample(len(lungs))]]
    centers = np.array([np.asarray(corner) + side / 2 for corner, side in boxes])
    cells = (CELLS * centers / lungs.shape[1]).astype(int)
    return {"hit_rate": float((abs(cells - peaks) <= 1).all(1).mean()), "cells": cells.tolist()}


def add_markers(
    radiographs: RadiographBatch, lungs: NDArray, rows: NDArray, inside: bool, batch_size: int
) -> RadiographBatch:
    """Return radiographs with a marker at the given rows; see `perturbations.add_marker`."""
    images = radiographs.images.copy()
    for indices, count in padded_batches(len(rows), batch_size):
        marked = perturbations.add_marker(images[rows[indices]], lungs[rows[indices]], inside)
        images[rows[indices][:count]] = np.asarray(marked)[:count]
    return with_columns(radiographs, images=images)


def flip_rate(
    marked: Sequence[Mapping[str, Any]], unmarked: Sequence[Mapping[str, Any]], target: str
) -> dict[str, Any]:
    """Compute the share of predictions that a marker flips to a class.

    It is over the radiographs that are neither labeled nor, without the marker, predicted as that class; of several
    findings, over those that are known not to have the finding.

    Args:
        marked: rows of radiographs with the marker.
        unmarked: rows of the same radiographs, in the same order, without the marker.
        target: the class whose training radiographs have the marker.

    Returns:
        {"value", "interval", "n"}.
    """
    eligible = [
        lacks_class(row, target) and row["prediction"] != "" and not predicts_class(row, target) for row in unmarked
    ]
    flipped = np.array(
        [is_eligible and predicts_class(row, target) for is_eligible, row in zip(eligible, marked, strict=True)], float
    )
    patients = prediction_arrays.patients(marked)
    eligible = np.array(eligible, float)
    tree = bootstrap.bootstrap(lambda weights: confidence.proportion(weights @ flipped, weights @ eligible), patients)
    return confidence.summarize(tree, patients, len(marked))


def _sample(count: int) -> NDArray:
    return np.linspace(0, count - 1, min(MAX_IMAGES, count)).astype(int)
