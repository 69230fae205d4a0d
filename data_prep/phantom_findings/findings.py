"""Findings that a phantom may have at once: the fraction 0..1 of the lungs' air that they fill.

consolidation   one consolidated lobe with a sharp fissure and dark bronchi, as in bacterial pneumonia
effusion        fluid at the base of one lung or of both, rising to a meniscus at the outer border
infiltration    reticular lines and thickened bronchial walls in both lungs
nodule          one to three dense round nodules
"""

from collections.abc import Collection

import numpy as np

from data_prep.phantom.findings import LungCoordinates, fill_air, limit_to_lungs

FINDINGS = ("consolidation", "effusion", "infiltration", "nodule")
_LABELS = {"consolidation": "bacterial", "infiltration": "viral"}  # of `phantom.findings.fill_air`


def fill_findings(names: Collection[str], structures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the fraction of the air that several findings fill together.

    Each finding has its own random stream, so that it looks the same with and without the others.

    Args:
        names: those of `FINDINGS` that are present.
        structures: uint8 [n, n] label map of the phantom.
        rng: draws extent, position and pattern.

    Returns:
        float32 [n, n] in 0..1: where findings overlap, the air that one leaves is filled by the next.
    """
    left = np.ones(structures.shape, np.float32)
    for name, finding_rng in zip(FINDINGS, rng.spawn(len(FINDINGS)), strict=True):
        if name in names:
            left *= 1 - _fill(name, structures, finding_rng)
    return 1 - left


def _fill(name: str, structures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if name in _LABELS:
        return fill_air(_LABELS[name], structures, rng)
    coordinates = LungCoordinates(structures)
    draw = {"effusion": _effusion, "nodule": _nodule}[name]
    return limit_to_lungs(draw(coordinates, rng), coordinates)


def _effusion(coordinates: LungCoordinates, rng: np.random.Generator) -> np.ndarray:
    filled = np.zeros(coordinates.lungs.shape, np.float32)
    lungs = list(coordinates.side.values())
    is_bilateral = rng.random() < 0.4
    sides = lungs if is_bilateral else [lungs[int(rng.integers(2))]]
    for lung in sides:
        surface = rng.uniform(0.62, 0.82) - rng.uniform(0.16, 0.26) * coordinates.out**3  # highest at the outer border
        depth = np.clip((coordinates.down - surface) / rng.uniform(0.025, 0.05), -30, 30)
        filled += lung * rng.uniform(0.75, 0.92) / (1 + np.exp(-depth))
    return filled


def _nodule(coordinates: LungCoordinates, rng: np.random.Generator) -> np.ndarray:
    n = coordinates.size
    filled = np.zeros(coordinates.lungs.shape, np.float32)
    middle = np.argwhere(coordinates.lungs & (coordinates.edge < 0.6) & (coordinates.down < 0.75))
    rows, columns = np.ogrid[:n, :n]
    for _ in range(int(rng.integers(1, 4))):
        y, x = middle[rng.integers(len(middle))]
        radius = rng.uniform(0.022, 0.040) * n
        distance = np.hypot(rows - y, columns - x) / radius
        filled = np.maximum(filled, rng.uniform(0.6, 0.85) / (1 + np.exp(np.clip(9 * (distance - 1), -30, 30))))
    return filled
