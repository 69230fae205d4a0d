"""Find the margins around a radiograph.

A margin is a strip at one side of the frame whose pixels have nearly one gray level: the padding of a letterbox, the
shutter of a collimator, the rim of a digitized film. It may be black, white, or gray, may carry the noise of a JPEG
file, and may hold a marker or a line of text. What is left inside may be slanted, by a slightly turned collimator or a
rotated picture (see `slanted_edges`).

Everything is measured on a few hundred lines of the picture, so that a search takes a few milliseconds at any size.
"""

from typing import NamedTuple

import cv2
import numpy as np

from cxrjax.io.crop import Crop, cut, inward_lines
from cxrjax.io.slanted_edges import find_content

METHODS = ("uniform", "bottom")  # of `find`; see config.image.borders
TOLERANCE = 6  # gray levels of 256 around a margin's level; the noise of a JPEG file stays within it
SAMPLED_LINES = 384  # lines across a side that are looked at
RINGING = 9  # pixels beside an edge that JPEG compression disturbs: a block, and one
TILT = 0.007  # by which share of its length an edge may lean and still run along the frame: 0.4 degrees
UNIFORM = 0.995  # share of the pixels of a line that have the margin's level, where it holds nothing else
OUTERMOST = 0.85  # the same of the outermost line, where a marker may stand
BEFORE_EDGE = 0.95  # the same of the margin's last lines, which no anatomy may cross
BEYOND_EDGE = 0.6  # at most so many pixels of the first line beyond an edge have the margin's level
STEP = 3 * TOLERANCE  # gray levels of 256 by which the picture differs from a noisy margin at an edge
WITH_TEXT = 0.8  # mean share over all lines of a margin
TEXT_LINE = 0.3  # the same of a line through a marker or a line of text
LONGEST_TEXT = 0.08  # share of the side that a marker or a line of text takes
LARGEST_STEP = 40  # gray levels of 256 that a step counts at most, so that no marker outweighs an edge
CLEAR_STEP = 3  # times the median step, of an edge that is seen clearly
THINNEST_AIR = 2  # uniform lines of air, where no straight edge ends them
SMALLEST_CONTENT = 0.25  # share of each side that is never cut
ROUNDS = 8  # margins inside one another that are looked for


class Borders(NamedTuple):
    """What surrounds the anatomy in a radiograph.

    Attributes:
        crop: the rectangular margins.
        content: [4, 2] float, the corners (x, y) of the slanted rectangle that holds the anatomy, in pixels of the cut
            picture; what lies outside is surround. None where the edges run along the frame.
    """

    crop: Crop
    content: np.ndarray | None = None


def find(pixels: np.ndarray, *, inverted: bool = False, method: str = "uniform") -> Borders:
    """Find the borders of a radiograph.

    Args:
        pixels: [H, W] uint8 or uint16.
        inverted: air is bright, as in MONOCHROME1.
        method: "uniform", margins of nearly one level at any side; or "bottom", only a lower border of exactly the
            level of no exposure, as Oh et al. 2020 cut it.

    Raises:
        ValueError: no such method.
    """
    if method not in METHODS:
        raise ValueError(f"no config.image.borders called {method!r}; there are {', '.join(METHODS)}")
    crop = Crop(bottom=pixels.shape[0] - rows_without_border(pixels, inverted=inverted))
    if method == "bottom":
        return Borders(crop)
    crop = _find_margins(pixels, crop, inverted)
    inner = cut(pixels, crop)
    content = find_content(inner, TOLERANCE * _unit(inner))
    return Borders(crop) if content is None else _cut_to_content(Borders(crop, content), inner.shape)


def rows_without_border(pixels: np.ndarray, *, inverted: bool = False) -> int:
    """Count the rows above the blank lower border; at least the upper half always stays.

    Blank is a pixel of 0 (where inverted: of the highest value); a border row is blank from side to side, like all
    below it. The original looks at the center column alone and cuts at its first zero below mid-height. On a true
    border both agree, but here one black pixel in the abdomen does not cost the picture its lower part.
    """
    blank = pixels.max() if inverted else 0
    half = pixels.shape[0] // 2
    occupied = np.flatnonzero((pixels[half:] != blank).any(axis=1))
    return half + (int(occupied[-1]) + 1 if occupied.size else 0)


def mask_content(borders: Borders, shape: tuple[int, int]) -> np.ndarray | None:
    """Return the pixels of the cut picture [h, w] that are no surround, as uint8 0 or 1; None where all are."""
    if borders.content is None:
        return None
    mask = np.zeros(shape, np.uint8)
    return cv2.fillConvexPoly(mask, np.rint(borders.content).astype(np.int32), 1)


def _cut_to_content(borders: Borders, shape: tuple[int, int]) -> Borders:
    """Cut off what lies beyond the slanted content, of which `shape` is the height and width of the picture."""
    crop, content = borders
    lower_x, lower_y = np.maximum(np.floor(content.min(axis=0)), 0).astype(int).tolist()
    upper_x, upper_y = np.minimum(np.ceil(content.max(axis=0)) + 1, shape[::-1]).astype(int).tolist()
    tight = Crop(
        crop.top + lower_y, crop.bottom + shape[0] - upper_y, crop.left + lower_x, crop.right + shape[1] - upper_x
    )
    return Borders(tight, content - (lower_x, lower_y))


def _find_margins(pixels: np.ndarray, crop: Crop, inverted: bool) -> Crop:
    """Widen a crop by the margins at all sides, from the outermost to those inside others."""
    smallest = [max(16, round(SMALLEST_CONTENT * length)) for length in pixels.shape]
    air_levels: dict[str, float] = {}  # of air that was cut; so that air which fades is not followed into the body
    for _ in range(ROUNDS):
        before = crop
        for side in Crop._fields:
            inner = cut(pixels, crop)
            if inner.shape[0] < smallest[0] or inner.shape[1] < smallest[1]:
                return crop
            lines = inward_lines(inner, side, SAMPLED_LINES)
            unit = _unit(inner)
            margin = _find_margin(lines, unit, _air(inner, inverted))
            if margin.width == lines.shape[1]:  # all is of one level, and there is nothing to look at inside
                continue
            if margin.width and not margin.has_edge:
                change = abs(margin.level - air_levels.setdefault(side, margin.level))
                if change > TOLERANCE / 2 * unit:
                    continue
            crop = crop._replace(**{side: getattr(crop, side) + margin.width})
        if crop == before:
            break
    return crop


def _unit(pixels: np.ndarray) -> float:
    """Return the width of one of 256 gray levels in the values of the pixels: at 16 bit, by the range that is used."""
    if pixels.dtype == np.uint8:
        return 1.0
    lowest, highest = np.percentile(pixels[::16, ::16], (0.5, 99.5))
    return max(1.0, (highest - lowest) / 255)


class _Margin(NamedTuple):
    """A margin at one side; its width is 0 where there is none."""

    width: int
    level: float
    has_edge: bool


def _air(pixels: np.ndarray, inverted: bool) -> int:
    """Return the level of no exposure."""
    coarse = pixels[::8, ::8]
    return int(coarse.max() if inverted else coarse.min())


def _find_margin(lines: np.ndarray, unit: float, air: float) -> _Margin:
    """Find the margin at the start of some lines.

    Args:
        lines: [n, depth].
        unit: of 256 gray levels.
        air: level of no exposure.
    """
    outermost = lines[:, 0].astype(np.float32)
    level = float(np.median(outermost))
    deviation = np.abs(outermost - level)
    if (deviation <= TOLERANCE * unit).mean() < OUTERMOST:
        return _Margin(0, level, False)
    constant = (deviation == 0).mean() >= UNIFORM
    for tolerance in (0.0, TOLERANCE * unit) if constant else (TOLERANCE * unit,):
        shares = ((lines >= level - tolerance) & (lines <= level + tolerance)).mean(axis=0)
        width = _find_edge(lines, level, shares, unit, exact=tolerance == 0)
        if width:
            return _Margin(width, level, True)
        width = _uniform_width(shares)
        if abs(level - air) <= TOLERANCE * unit and width >= THINNEST_AIR:
            return _Margin(width, level, False)
    return _Margin(0, level, False)


def _uniform_width(shares: np.ndarray) -> int:
    """Return how many lines are uniform from the side on, those through a marker or text between uniform ones included.

    Args:
        shares: [depth], of the pixels at each depth that have the margin's level.
    """
    uniform = shares >= UNIFORM
    width = int(np.argmin(np.append(uniform, False)))
    readable = int(np.argmin(np.append(shares >= TEXT_LINE, False)))
    longest = round(2 * LONGEST_TEXT * len(shares))
    while width:
        again = width + int(np.argmax(np.append(uniform[width:readable], True)))
        if again >= readable or again - width > longest:
            break
        width = again + int(np.argmin(np.append(uniform[again:], False)))
    return width


def _find_edge(lines: np.ndarray, level: float, shares: np.ndarray, unit: float, *, exact: bool) -> int:
    """Return where a straight edge along the side ends the margin; 0 where none does.

    Args:
        lines: [n, depth].
        level: of the margin.
        shares: [depth], of the pixels at each depth that have the margin's level.
        unit: of 256 gray levels.
        exact: the level is met exactly, so that nothing blurs the edge.
    """
    uniform = _uniform_width(shares)
    edge = uniform + int(np.argmax(np.append(shares[uniform:] <= BEYOND_EDGE, True)))
    if edge in (0, len(shares)):
        return 0
    blurred = max(2, min(RINGING, round(0.04 * len(shares))), round(TILT * 2 * len(shares)))
    if shares[max(0, edge - blurred) : edge].max() < BEFORE_EDGE or shares[:edge].mean() < WITH_TEXT:
        return 0
    if exact:
        return int(np.flatnonzero(shares[:edge] >= BEFORE_EDGE)[-1]) + 1
    beside = np.abs(lines[:, edge : edge + blurred + 1].astype(np.float32) - level) <= STEP * unit
    if beside.mean(axis=0).min() > BEYOND_EDGE:
        return 0
    return _find_step(lines, edge, unit)


def _find_step(lines: np.ndarray, edge: int, unit: float) -> int:
    """Return where the gray level rises or falls most near an edge that ringing and interpolation blur.

    Where the edge leans, nothing beyond its outer end is cut off; where the level only fades, 0 is returned.

    Args:
        lines: [n, depth].
        edge: pixels from the side.
        unit: of 256 gray levels.
    """
    first = max(0, edge - RINGING)
    strip = lines[:, first : edge + RINGING + 1].astype(np.float32)
    steps = np.minimum(np.abs(np.diff(strip, axis=1)), LARGEST_STEP * unit)
    halves = [half.mean(axis=0) for half in np.array_split(steps, 2)]
    places = [first + int(np.argmax(half)) + 1 for half in halves]
    lean = abs(places[0] - places[1])
    if lean > 2 and all(map(_is_clear, halves)):
        return max(1, min(places) - lean // 2)
    together = steps.mean(axis=0)
    return first + int(np.argmax(together)) + 1 if _is_clear(together) else 0


def _is_clear(steps: np.ndarray) -> bool:
    """Return whether one of the steps stands out, as it does at an edge and not where the level fades."""
    return bool(steps.max() >= CLEAR_STEP * np.median(steps))
