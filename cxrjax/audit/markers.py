"""Where a network looks, by hiding it; and how many findings a planted mark turns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax.audit import perturbations
from cxrjax.data import batch as cohort
from cxrjax.metrics import bootstrap, confidence, prediction_arrays

CELLS = 8  # a side; a cell is a little larger than a mark. Ours
ASKED = 64  # pictures at most, evenly over those there are: bounds the time. Ours


def occlusion_peak(
    ask: Callable[[NDArray], NDArray], images: NDArray, lungs: NDArray, target: int
) -> dict[str, Any] | None:
    """Where what speaks for a class lies: the cell of a picture that lowers its probability most when it is greyed.

    Args:
        ask: pictures uint8 [n, S, S] -> probabilities [n, K].
        images: uint8 [n, S, S].
        lungs: bool [n, S, S].
        target: the class.

    Returns:
        {"row", "column"} of the middle of the usual cell, shares of the side; "agreement": the share of the pictures
        whose cell is that one or touches it; "inside": the share of those whose cell lies in the lungs for the greater
        part; "drop": what the probability falls by on average; "peaks": cells [n, 2]. None where there is no picture.
    """
    kept = _sample(len(images))
    if not len(kept):
        return None
    images, lungs = images[kept], lungs[kept]
    edges = np.linspace(0, images.shape[1], CELLS + 1).astype(int)
    grey = images.mean((1, 2), keepdims=True).astype(np.uint8)
    before, drops = ask(images)[:, target], np.zeros((len(images), CELLS, CELLS))
    covered = np.zeros_like(drops)
    for row, column in np.ndindex(CELLS, CELLS):
        cell = slice(None), slice(*edges[row : row + 2]), slice(*edges[column : column + 2])
        hidden = images.copy()
        hidden[cell] = grey
        drops[:, row, column] = before - ask(hidden)[:, target]
        covered[:, row, column] = lungs[cell].mean((1, 2))
    flat = drops.reshape(len(images), -1).argmax(1)
    peaks = np.stack(np.divmod(flat, CELLS), 1)
    usual = np.array(divmod(int(np.bincount(flat).argmax()), CELLS))
    near = (abs(peaks - usual) <= 1).all(1)
    return {
        "row": float((usual[0] + 0.5) / CELLS),
        "column": float((usual[1] + 0.5) / CELLS),
        "agreement": float(near.mean()),
        "inside": float((covered.reshape(len(images), -1)[np.arange(len(flat)), flat] > 0.5).mean()),
        "drop": float(drops.reshape(len(images), -1).max(1).mean()),
        "peaks": peaks.tolist(),
    }


def marker_hit_rate(peaks: Sequence[Sequence[int]], lungs: NDArray, inside: bool) -> dict[str, Any]:
    """Whether the peaks that `locate` found are where marks were planted; chance hits one in seven at most.

    Args:
        peaks: of `locate`, on pictures with a mark each.
        lungs: bool [n, S, S], what `locate` was given.
        inside: see `perturbations.mark`.

    Returns:
        {"hits": the share of the peaks that are the cell of their picture's mark or touch it, "cells": those [n, 2]}.
    """
    corners = [perturbations.marker_box(mask, inside) for mask in lungs[_sample(len(lungs))]]
    middles = np.array([np.asarray(corner) + side / 2 for corner, side in corners])
    cells = (CELLS * middles / lungs.shape[1]).astype(int)
    return {"hits": float((abs(cells - peaks) <= 1).all(1).mean()), "cells": cells.tolist()}


def add_markers(
    split: cohort.RadiographBatch, lungs: NDArray, rows: NDArray, inside: bool, batch: int
) -> cohort.RadiographBatch:
    """A split with a mark on the radiographs at `rows`; see `perturbations.mark`."""
    images = split.images.copy()
    for at, count in cohort.padded_batches(len(rows), batch):
        marked = perturbations.add_marker(images[rows[at]], lungs[rows[at]], inside)
        images[rows[at][:count]] = np.asarray(marked)[:count]
    return cohort.with_columns(split, images=images)


def flip_rate(
    marked: Sequence[Mapping[str, Any]], unmarked: Sequence[Mapping[str, Any]], target: str
) -> dict[str, Any]:
    """Of the radiographs that are not of a class and were not found to be: the share found so once marked.

    Args:
        marked: rows of radiographs with the mark.
        unmarked: rows of the same, in the same order, without.
        target: the class whose mark it is.

    Returns:
        {"value", "interval", "n"}.
    """
    free = [row["label"] != target and row["finding"] not in ("", target) for row in unmarked]
    turned = np.array([ok and row["finding"] == target for ok, row in zip(free, marked, strict=True)], float)
    patients = prediction_arrays.patients(marked)
    free = np.array(free, float)
    tree = bootstrap.bootstrap(lambda weights: confidence.proportion(weights @ turned, weights @ free), patients)
    return confidence.summarize(tree, patients, len(marked))


def _sample(count: int) -> NDArray:
    return np.linspace(0, count - 1, min(ASKED, count)).astype(int)
