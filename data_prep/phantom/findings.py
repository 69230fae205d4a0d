"""What disease does to the lungs: a share 0..1 of their air that is filled, by place and pattern of each class.

normal          nothing
bacterial       one lobe consolidated, sharp at its fissure, open bronchi still dark in it
tuberculosis    upper-zone infiltrates with nodules, and cavities with a thick wall
viral           both lungs, spreading from the hila: a net of lines, thickened bronchial walls
covid19         both lungs, toward the edge and the base: patches of soft ground glass
"""

import cv2
import numpy as np

from data_prep.phantom.curves import blur, cloud, draw_lines

LESION_LEVEL = 0.25  # a pixel is lesion where the local mean of what was added is above this share of its peak
_LEFT, _RIGHT = 2, 3


class Fields:
    """Where a pixel lies in its lung: the coordinates that findings choose their place by, each float32 [n, n]."""

    def __init__(self, structures: np.ndarray):
        """`structures` uint8 [n, n] with 2 the left and 3 the right lung."""
        self.size = structures.shape[0]
        self.lungs = structures >= _LEFT
        self.side = {which: structures == which for which in (_LEFT, _RIGHT)}
        self.down = np.zeros(structures.shape, np.float32)  # 0 at the apex, 1 at the base
        self.out = np.zeros(structures.shape, np.float32)  # 0 at the hilum's side, 1 at the outer border
        for which, mask in self.side.items():
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            y = np.interp(np.arange(self.size), [rows[0], rows[-1]], [0, 1]).astype(np.float32)
            x = np.interp(np.arange(self.size), [columns[0], columns[-1]], [0, 1]).astype(np.float32)
            self.down += mask * y[:, None]
            self.out += mask * (x if which == _LEFT else 1 - x)
        depth = cv2.distanceTransform(self.lungs.astype(np.uint8), cv2.DIST_L2, 3) / self.size
        self.edge = 1 - np.minimum(depth / 0.09, 1)  # 1 at the pleura, 0 in the middle
        self.hilum = np.hypot(1.1 * self.out, 1.5 * (self.down - 0.5))  # distance from it


def fill_air(label: str, structures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Share of the air that the finding fills.

    Args:
        label: one of `LABELS`.
        structures: uint8 [n, n] label map of the phantom.
        rng: draws extent, place and pattern.

    Returns:
        float32 [n, n] in 0..1, zero outside the lungs but for a rim of a few pixels.
    """
    if label == "normal":
        return np.zeros(structures.shape, np.float32)
    fields = Fields(structures)
    draw = {"bacterial": _bacterial, "tuberculosis": _tuberculosis, "viral": _viral, "covid19": _covid19}[label]
    filled = np.clip(draw(fields, rng), 0, 0.95).astype(np.float32) * fields.lungs
    # The air map fades over a few pixels beyond the outline; what is filled has to reach as far.
    rim = np.ones((2 * int(0.008 * fields.size) + 1,) * 2, np.uint8)
    return np.where(fields.lungs, filled, cv2.dilate(filled, rim))


def lesion_map(added: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Uint8 0/1 [n, n]: in the lungs, where the local mean of `added` exceeds `LESION_LEVEL` of its peak."""
    mean = blur(added, 0.012 * added.shape[0])
    return ((mean > LESION_LEVEL * mean.max()) & (added.max() > 0) & lungs).astype(np.uint8)


def _spread(height: np.ndarray, where: np.ndarray, share: float, softness: float) -> np.ndarray:
    """0..1: the highest `share` of `height` among the pixels `where`, its border `softness` wide (units of height)."""
    level = np.quantile(height[where][::7], 1 - share)
    return 1 / (1 + np.exp(np.clip(-(height - level) / softness, -30, 30)))


def _bacterial(fields: Fields, rng: np.random.Generator) -> np.ndarray:
    which = rng.choice([_LEFT, _RIGHT])
    lung, n = fields.side[which], fields.size
    upper = rng.random() < 0.4
    slope = rng.normal(0.22 if which == _RIGHT and upper else 0.3, 0.08)
    height = rng.uniform(0.5, 0.62) if upper else rng.uniform(0.36, 0.46)
    below = fields.down + slope * (fields.out - 0.5) - height + 0.015 * cloud(rng, n, 0.3)  # the fissure
    within = -below if upper else below
    lobe = 1 / (1 + np.exp(np.clip(-within / 0.012, -30, 30)))  # sharp at the fissure
    body = _spread(-within + 0.16 * cloud(rng, n, 0.16, 3), lung & (within > 0), rng.uniform(0.86, 0.99), 0.06)
    bronchi = blur(draw_lines(n, _streaks(fields, which, rng), 0.006 * n), 0.003 * n)
    dense = rng.uniform(0.66, 0.85) * (1 + 0.09 * cloud(rng, n, 0.05, 3))
    return lobe * body * (dense - 0.25 * bronchi) * lung


def _tuberculosis(fields: Fields, rng: np.random.Generator) -> np.ndarray:
    n = fields.size
    both = rng.random() < 0.6
    worse = rng.choice([_LEFT, _RIGHT])
    zone = -3.4 * fields.down + 0.9 * cloud(rng, n, 0.12, 4) - np.where(fields.side[worse], 0, 0.5 if both else 3.0)
    infiltrate = _spread(zone, fields.lungs, rng.uniform(0.26, 0.42), 0.25)
    filled = infiltrate * (0.40 + 0.13 * cloud(rng, n, 0.035, 3))
    upper = fields.lungs & (zone > np.quantile(zone[fields.lungs][::7], 0.6))
    for y, x in _places(upper, int(rng.integers(25, 60)), rng):
        _stamp(filled, y, x, rng.uniform(0.004, 0.010) * n, 0.32)
    high = upper & (fields.edge < 0.55) & (fields.down < 0.45)
    for y, x in _places(high, int(rng.integers(1, 4)), rng):
        _cavity(filled, y, x, rng.uniform(0.028, 0.05) * n, rng)
    return filled


def _viral(fields: Fields, rng: np.random.Generator) -> np.ndarray:
    n = fields.size
    reach = -fields.hilum + 0.22 * cloud(rng, n, 0.2, 2)
    extent = _spread(reach, fields.lungs, rng.uniform(0.60, 0.85), 0.16)
    net = sum(0.5 * np.exp(-np.square(cloud(rng, n, grain) / 0.26)) for grain in (0.055, 0.04, 0.028))
    filled = extent * (0.13 + rng.uniform(0.27, 0.38) * blur(np.minimum(net, 1), 0.002 * n))
    lines = np.concatenate([_streaks(fields, which, rng) for which in (_LEFT, _RIGHT)])
    wall = np.maximum(draw_lines(n, lines, 0.014 * n) - 1.3 * draw_lines(n, lines, 0.006 * n), 0)
    filled += 0.22 * blur(wall, 0.0014 * n) * extent
    near = fields.lungs & (fields.hilum < 0.55)
    for y, x in _places(near, int(rng.integers(4, 9)), rng):
        _ring(filled, y, x, rng.uniform(0.006, 0.010) * n, 0.0035 * n, 0.26)
    return filled


def _covid19(fields: Fields, rng: np.random.Generator) -> np.ndarray:
    n = fields.size
    place = 0.9 * fields.edge * fields.out + 1.1 * fields.out + 1.6 * fields.down + 0.62 * cloud(rng, n, 0.16, 2)
    filled = np.zeros_like(place)
    for lung in fields.side.values():
        filled += lung * _spread(place, lung, rng.uniform(0.25, 0.45), 0.16)
    return filled * rng.uniform(0.40, 0.55) * (1 + 0.07 * cloud(rng, n, 0.02))


def _streaks(fields: Fields, which: int, rng: np.random.Generator) -> np.ndarray:
    """Branching bronchi of one lung as lines [k, 5, 2] in pixels, from the hilum outward."""
    rows, columns = np.nonzero(fields.side[which])
    out = 1 if which == _LEFT else -1
    hilum = np.array([columns.min() if which == _LEFT else columns.max(), rows.min() + 0.5 * np.ptp(rows)])
    lines = []
    for angle in np.deg2rad(rng.uniform(-75, 75, 9)):
        twigs = [(hilum + [out * 0.03 * fields.size, 0], angle, 0.085 * fields.size)]
        for _ in range(3):
            grown = []
            for start, lean, length in twigs:
                bend = lean + rng.normal(0, 0.12) * np.linspace(0, 1, 5)[:, None]
                reach = np.linspace(0, length, 5)[:, None]
                line = start + reach * np.concatenate([out * np.cos(bend), np.sin(bend)], 1)
                lines.append(line)
                grown += [(line[-1], lean + fork * rng.uniform(0.25, 0.5), 0.75 * length) for fork in (-1, 1)]
            twigs = grown
    return np.stack(lines)


def _places(where: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Up to `count` random (row, column) of the pixels `where`."""
    pixels = np.argwhere(where)
    return pixels[rng.integers(0, len(pixels), count)] if len(pixels) else pixels


def _window(picture: np.ndarray, y: int, x: int, reach: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A view of `picture` around (y, x), with the row and column offsets of its pixels."""
    top, left = max(0, y - reach), max(0, x - reach)
    view = picture[top : y + reach + 1, left : x + reach + 1]
    return view, (np.arange(view.shape[0]) + top - y)[:, None], np.arange(view.shape[1]) + left - x


def _stamp(picture: np.ndarray, y: int, x: int, radius: float, height: float) -> None:
    view, dy, dx = _window(picture, y, x, int(3 * radius) + 1)
    view += height * np.exp(-np.square(np.hypot(dy, dx) / radius) / 1.2)


def _ring(picture: np.ndarray, y: int, x: int, radius: float, wall: float, height: float) -> None:
    view, dy, dx = _window(picture, y, x, int(radius + 4 * wall) + 1)
    view += height * np.exp(-np.square((np.hypot(dy, dx) - radius) / wall) / 1.5)


def _cavity(picture: np.ndarray, y: int, x: int, radius: float, rng: np.random.Generator) -> None:
    """A thick wall around air: what was filled inside is emptied."""
    view, dy, dx = _window(picture, y, x, int(2.2 * radius) + 1)
    bearing = np.arctan2(dy, dx)
    two, three = rng.uniform(0, 2 * np.pi, 2)
    lobed = radius * (1 + 0.13 * np.sin(2 * bearing + two) + 0.08 * np.sin(3 * bearing + three))
    from_wall = np.hypot(dy, dx) - lobed
    view *= 1 / (1 + np.exp(-np.clip(from_wall / (0.14 * radius), -30, 30)))
    view += rng.uniform(0.35, 0.5) * np.exp(-np.square((from_wall - 0.1 * radius) / (0.24 * radius)))
