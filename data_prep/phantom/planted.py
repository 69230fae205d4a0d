"""Features planted in the phantom that go with one class, with a chosen strength of correlation.

A feature of strength s is in the fraction s of the radiographs of `PLANTED_LABEL`, and in the fraction 1 - s of those
of each other class: 1 makes it a sign of the class, and at 0.5 it says nothing of it. Radiographs that show a feature
come from a source that is named after it, as if one hospital had its scanner, its marker or its patients.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import cv2
import numpy as np

from cxrjax.config import LABELS
from data_prep.phantom.overlays import add_corner_marker
from data_prep.record import PreparationError

FEATURES = ("texture", "marker", "border", "lung_size")
PLANTED_LABEL = "covid19"  # because published collections of COVID-19 have shortcuts
BROKEN = "broken"  # split in which half of the radiographs of each class show each feature
_TEXTURE_DEVIATION = 8.0  # gray levels, of the scan lines
_TEXTURE_ROWS = 128  # scan lines per image
_EDGE_INSET = 0.03  # fraction of the side, of the bright edge of a film


def parse(text: str) -> dict[str, float]:
    """Parse "FEATURE=STRENGTH,…", as "texture=0.95,marker=0.8"; "" gives {}.

    Raises:
        PreparationError: a feature is unknown, or a strength is not in 0..1.
    """
    strengths = {}
    for part in filter(None, text.split(",")):
        feature, _, number = part.partition("=")
        try:
            strength = float(number)
        except ValueError:
            strength = -1.0
        if feature not in FEATURES or not 0 <= strength <= 1:
            raise PreparationError(
                f"--planted={text}: {part!r} is not FEATURE=STRENGTH with one of {', '.join(FEATURES)} and a strength "
                "from 0 to 1"
            )
        strengths[feature] = strength
    return strengths


def choose_features(label: str, number: int, count: int, seed: int, strengths: Mapping[str, float]) -> tuple[str, ...]:
    """Return the features of radiograph `number` of the `count` of a class, in the order of `FEATURES`.

    Each feature is in exactly the fraction of the class that its strength means, rounded to radiographs, and
    independent of the other features.
    """
    shares = {feature: strength if label == PLANTED_LABEL else 1 - strength for feature, strength in strengths.items()}
    return tuple(
        feature
        for feature in FEATURES
        if feature in shares and _order(seed, label, feature, count)[number] < round(shares[feature] * count)
    )


@cache
def _order(seed: int, label: str, feature: str, count: int) -> np.ndarray:
    """Return a random order of the radiographs of a class, int [count]."""
    return np.random.default_rng([seed, LABELS.index(label), FEATURES.index(feature), count]).permutation(count)


def draw_options(features: tuple[str, ...], strengths: Mapping[str, float]) -> dict[str, Any]:
    """Return the keyword arguments of `draw` by which a patient has, or lacks, the planted lung size.

    The lungs of children are smaller: they are planted as patients of 1 to 13 years among adults.
    """
    return {"is_child": "lung_size" in features} if "lung_size" in strengths else {}


def add_features(pixels: np.ndarray, features: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Add the planted features to an image; uint8 [n, n] in and out."""
    overlays: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "texture": lambda image: add_scan_lines(image, rng),
        "border": add_film_edge,
        "marker": add_corner_marker,
    }
    for feature, overlay in overlays.items():
        if feature in features:
            pixels = overlay(pixels)
    return pixels


def add_scan_lines(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add the texture of a scanner whose lines differ in gain: each row of lines is brighter or darker throughout."""
    size = pixels.shape[0]
    offsets = rng.normal(0, _TEXTURE_DEVIATION, _TEXTURE_ROWS)
    lines = offsets[np.arange(size) * _TEXTURE_ROWS // size]
    return np.clip(pixels + lines[:, None], 0, 255).round().astype(np.uint8)


def add_film_edge(pixels: np.ndarray) -> np.ndarray:
    """Add the bright edge of a film, a thin frame inside the image, which cropping of uniform borders leaves."""
    edged = pixels.copy()
    size = pixels.shape[0]
    inset = round(_EDGE_INSET * size)
    thickness = max(1, round(0.01 * size))
    cv2.rectangle(edged, (inset, inset), (size - 1 - inset, size - 1 - inset), 235, thickness)
    return edged
