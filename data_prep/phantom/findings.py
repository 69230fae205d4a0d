"""Findings of the phantom: the fraction 0..1 of the lungs' air that is filled, by class.

normal          nothing
bacterial       one consolidated lobe with a sharp fissure and dark bronchi (air bronchogram)
tuberculosis    infiltrates with nodules in the upper zones, and cavities with thick walls
viral           reticular lines and thickened bronchial walls in both lungs, spreading from the hila
covid19         ground-glass opacities in both lungs, near the pleura and the base
"""

import cv2
import numpy as np

from data_prep.phantom.curves import blur, cloud, draw_lines

LESION_LEVEL = 0.25  # a pixel is lesion if the local mean of the added attenuation exceeds this fraction of its peak
# Values in a label map of structures.
_LEFT = 2
_RIGHT = 3


class LungCoordinates:
    """Position of each pixel in its lung, which determines where findings appear; arrays are float32 [n, n]."""

    def __init__(self, structures: np.ndarray):
        """Compute the coordinates from `structures`, uint8 [n, n] with 2 for the left and 3 for the right lung."""
        self.size = structures.shape[0]
        self.lungs = structures >= _LEFT
        self.side = {value: structures == value for value in (_LEFT, _RIGHT)}
        self.down = np.zeros(structures.shape, np.float32)  # 0 at the apex, 1 at the base
        self.out = np.zeros(structures.shape, np.float32)  # 0 on the side of the hilum, 1 at the outer border
        for value, mask in self.side.items():
            rows = np.flatnonzero(mask.any(1))
            columns = np.flatnonzero(mask.any(0))
            y = np.interp(np.arange(self.size), [rows[0], rows[-1]], [0, 1]).astype(np.float32)
            x = np.interp(np.arange(self.size), [columns[0], columns[-1]], [0, 1]).astype(np.float32)
            self.down += mask * y[:, None]
            self.out += mask * (x if value == _LEFT else 1 - x)
        depth = cv2.distanceTransform(self.lungs.astype(np.uint8), cv2.DIST_L2, 3) / self.size
        self.edge = 1 - np.minimum(depth / 0.09, 1)  # 1 at the pleura, 0 in the middle
        self.hilum = np.hypot(1.1 * self.out, 1.5 * (self.down - 0.5))  # distance from the hilum


def fill_air(label: str, structures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the fraction of the air that the finding fills.

    Args:
        label: one of `cxrjax.config.LABELS`.
        structures: uint8 [n, n] label map of the phantom.
        rng: draws extent, position and pattern.

    Returns:
        float32 [n, n] in 0..1, zero outside the lungs except for a rim of a few pixels.
    """
    if label == "normal":
        return np.zeros(structures.shape, np.float32)
    coordinates = LungCoordinates(structures)
    draw = {"bacterial": _bacterial, "tuberculosis": _tuberculosis, "viral": _viral, "covid19": _covid19}[label]
    return limit_to_lungs(draw(coordinates, rng), coordinates)


def limit_to_lungs(filled: np.ndarray, coordinates: LungCoordinates) -> np.ndarray:
    """Return the fraction of the air that a drawn finding fills, as `fill_air` returns it."""
    filled = np.clip(filled, 0, 0.95).astype(np.float32) * coordinates.lungs
    # The air map fades over a few pixels beyond the outline, so the filled region is dilated by the same distance.
    kernel = np.ones((2 * int(0.008 * coordinates.size) + 1,) * 2, np.uint8)
    return np.where(coordinates.lungs, filled, cv2.dilate(filled, kernel))


def lesion_map(added: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Return lesions, uint8 0/1 [n, n]: lung pixels where the mean of `added` exceeds `LESION_LEVEL` of its peak."""
    mean = blur(added, 0.012 * added.shape[0])
    return ((mean > LESION_LEVEL * mean.max()) & (added.max() > 0) & lungs).astype(np.uint8)


def _soft_threshold(height: np.ndarray, region: np.ndarray, fraction: float, softness: float) -> np.ndarray:
    """Return 0..1: about 1 for the highest `fraction` of `region`, with a border of `softness` (units of height)."""
    level = np.quantile(height[region][::7], 1 - fraction)
    return 1 / (1 + np.exp(np.clip(-(height - level) / softness, -30, 30)))


def _bacterial(coordinates: LungCoordinates, rng: np.random.Generator) -> np.ndarray:
    side = rng.choice([_LEFT, _RIGHT])
    lung = coordinates.side[side]
    n = coordinates.size
    is_upper = rng.random() < 0.4
    slope = rng.normal(0.22 if side == _RIGHT and is_upper else 0.3, 0.08)
    height = rng.uniform(0.5, 0.62) if is_upper else rng.uniform(0.36, 0.46)
    below_fissure = coordinates.down + slope * (coordinates.out - 0.5) - height + 0.015 * cloud(rng, n, 0.3)
    depth = -below_fissure if is_upper else below_fissure
    lobe = 1 / (1 + np.exp(np.clip(-depth / 0.012, -30, 30)))  # sharp at the fissure
    extent = -depth + 0.16 * cloud(rng, n, 0.16, 3)
    consolidation = _soft_threshold(extent, lung & (depth > 0), rng.uniform(0.86, 0.99), 0.06)
    bronchi = blur(draw_lines(n, _draw_bronchi(coordinates, side, rng), 0.006 * n), 0.003 * n)
    density = rng.uniform(0.66, 0.85) * (1 + 0.09 * cloud(rng, n, 0.05, 3))
    return lobe * consolidation * (density - 0.25 * bronchi) * lung


def _tuberculosis(coordinates: LungCoordinates, rng: np.random.Generator) -> np.ndarray:
    n = coordinates.size
    lungs = coordinates.lungs
    is_bilateral = rng.random() < 0.6
    worse_side = coordinates.side[rng.choice([_LEFT, _RIGHT])]
    severity = -3.4 * coordinates.down + 0.9 * cloud(rng, n, 0.12, 4)
    severity = severity - np.where(worse_side, 0, 0.5 if is_bilateral else 3.0)
    infiltrate = _soft_threshold(severity, lungs, rng.uniform(0.26, 0.42), 0.25)
    filled = infiltrate * (0.40 + 0.13 * cloud(rng, n, 0.035, 3))
    nodule_region = lungs & (severity > np.quantile(severity[lungs][::7], 0.6))
    for y, x in _draw_positions(nodule_region, int(rng.integers(25, 60)), rng):
        _add_blob(filled, y, x, rng.uniform(0.004, 0.010) * n, 0.32)
    cavity_region = nodule_region & (coordinates.edge < 0.55) & (coordinates.down < 0.45)
    for y, x in _draw_positions(cavity_region, int(rng.integers(1, 4)), rng):
        _add_cavity(filled, y, x, rng.uniform(0.028, 0.05) * n, rng)
    return filled


def _viral(coordinates: LungCoordinates, rng: np.random.Generator) -> np.ndarray:
    n = coordinates.size
    nearness = -coordinates.hilum + 0.22 * cloud(rng, n, 0.2, 2)
    extent = _soft_threshold(nearness, coordinates.lungs, rng.uniform(0.60, 0.85), 0.16)
    reticulation = np.zeros((n, n), np.float32)
    for grain in (0.055, 0.04, 0.028):
        reticulation = reticulation + 0.5 * np.exp(-np.square(cloud(rng, n, grain) / 0.26))
    filled = extent * (0.13 + rng.uniform(0.27, 0.38) * blur(np.minimum(reticulation, 1), 0.002 * n))
    bronchi = np.concatenate([_draw_bronchi(coordinates, side, rng) for side in (_LEFT, _RIGHT)])
    walls = np.maximum(draw_lines(n, bronchi, 0.014 * n) - 1.3 * draw_lines(n, bronchi, 0.006 * n), 0)
    filled += 0.22 * blur(walls, 0.0014 * n) * extent
    perihilar = coordinates.lungs & (coordinates.hilum < 0.55)
    for y, x in _draw_positions(perihilar, int(rng.integers(4, 9)), rng):
        _add_ring(filled, y, x, rng.uniform(0.006, 0.010) * n, wall=0.0035 * n, height=0.26)
    return filled


def _covid19(coordinates: LungCoordinates, rng: np.random.Generator) -> np.ndarray:
    n = coordinates.size
    out = coordinates.out
    severity = 0.9 * coordinates.edge * out + 1.1 * out + 1.6 * coordinates.down + 0.62 * cloud(rng, n, 0.16, 2)
    filled = np.zeros_like(severity)
    for lung in coordinates.side.values():
        filled += lung * _soft_threshold(severity, lung, rng.uniform(0.25, 0.45), 0.16)
    return filled * rng.uniform(0.40, 0.55) * (1 + 0.07 * cloud(rng, n, 0.02))


def _draw_bronchi(coordinates: LungCoordinates, side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw branching bronchi of one lung as lines [k, 5, 2] in pixels, from the hilum outward."""
    rows, columns = np.nonzero(coordinates.side[side])
    out = 1 if side == _LEFT else -1
    hilum = np.array([columns.min() if side == _LEFT else columns.max(), rows.min() + 0.5 * np.ptp(rows)])
    lines = []
    for angle in np.deg2rad(rng.uniform(-75, 75, 9)):
        branches = [(hilum + [out * 0.03 * coordinates.size, 0], angle, 0.085 * coordinates.size)]
        for _ in range(3):
            next_branches = []
            for start, direction, length in branches:
                angles = direction + rng.normal(0, 0.12) * np.linspace(0, 1, 5)[:, None]
                distance = np.linspace(0, length, 5)[:, None]
                line = start + distance * np.concatenate([out * np.cos(angles), np.sin(angles)], 1)
                lines.append(line)
                next_branches += [
                    (line[-1], direction + fork * rng.uniform(0.25, 0.5), 0.75 * length) for fork in (-1, 1)
                ]
            branches = next_branches
    return np.stack(lines)


def _draw_positions(region: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` random (row, column) positions in a region; none if the region is empty."""
    pixels = np.argwhere(region)
    return pixels[rng.integers(0, len(pixels), count)] if len(pixels) else pixels


def _window(image: np.ndarray, y: int, x: int, radius: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a view of `image` around (y, x), with the row and column offsets of its pixels."""
    top = max(0, y - radius)
    left = max(0, x - radius)
    view = image[top : y + radius + 1, left : x + radius + 1]
    return view, (np.arange(view.shape[0]) + top - y)[:, None], np.arange(view.shape[1]) + left - x


def _add_blob(image: np.ndarray, y: int, x: int, radius: float, height: float) -> None:
    view, dy, dx = _window(image, y, x, int(3 * radius) + 1)
    view += height * np.exp(-np.square(np.hypot(dy, dx) / radius) / 1.2)


def _add_ring(image: np.ndarray, y: int, x: int, radius: float, *, wall: float, height: float) -> None:
    view, dy, dx = _window(image, y, x, int(radius + 4 * wall) + 1)
    view += height * np.exp(-np.square((np.hypot(dy, dx) - radius) / wall) / 1.5)


def _add_cavity(image: np.ndarray, y: int, x: int, radius: float, rng: np.random.Generator) -> None:
    """Add a cavity: a thick wall around a region that is filled with air again."""
    view, dy, dx = _window(image, y, x, int(2.2 * radius) + 1)
    bearing = np.arctan2(dy, dx)
    phase_2, phase_3 = rng.uniform(0, 2 * np.pi, 2)
    outline = radius * (1 + 0.13 * np.sin(2 * bearing + phase_2) + 0.08 * np.sin(3 * bearing + phase_3))
    distance = np.hypot(dy, dx) - outline
    view *= 1 / (1 + np.exp(-np.clip(distance / (0.14 * radius), -30, 30)))
    view += rng.uniform(0.35, 0.5) * np.exp(-np.square((distance - 0.1 * radius) / (0.24 * radius)))
