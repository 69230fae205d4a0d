"""Detection of the margins around a radiograph.

A margin is a strip at one side of the frame whose pixels have nearly one gray level: the padding of a letterbox, the
shutter of a collimator, the rim of a digitized film. It may be black, white, or gray, may carry the noise of a JPEG
file, and may contain a marker or a line of text. The content inside may be slanted, by a slightly rotated collimator or
a rotated image (see `slanted_edges`).

Everything is measured on a few hundred lines of the image, so that a search takes a few milliseconds at any size.
"""

from typing import NamedTuple

import cv2
import numpy as np

from cxrjax.io.crop import Crop, cut, inward_lines
from cxrjax.io.slanted_edges import find_content

METHODS = ("uniform", "bottom", "none", "square")  # of `find`; see config.image.borders
TOLERANCE = 6  # gray levels of 256 around a margin's level; the noise of a JPEG file stays within it
SAMPLED_LINES = 384  # lines across a side that are examined
RINGING = 9  # pixels beside an edge that JPEG compression disturbs: a block, and one
TILT = 0.007  # maximum tilt of an edge along the frame, relative to its length: 0.4 degrees
# Minimum fractions of the pixels of a line that have the margin's level:
UNIFORM = 0.995  # in a line without marker or text
OUTERMOST = 0.85  # in the outermost line, which may cross a marker
BEFORE_EDGE = 0.95  # in the margin's last lines, which must not cross anatomy
WITH_TEXT = 0.8  # in the mean over all lines of a margin
TEXT_LINE = 0.3  # in a line through a marker or a line of text
BEYOND_EDGE = 0.6  # maximum fraction of pixels with the margin's level in the first line beyond an edge
STEP = 3 * TOLERANCE  # gray levels of 256 by which the image differs from a noisy margin at an edge
LONGEST_TEXT = 0.08  # maximum extent of a marker or a line of text, as a fraction of the side
LARGEST_STEP = 40  # gray levels of 256; larger steps are clipped, so that no marker outweighs an edge
CLEAR_STEP = 3  # minimum ratio of the step at a clear edge to the median step
THINNEST_AIR = 2  # minimum number of uniform lines of air without a straight edge
SMALLEST_CONTENT = 0.25  # fraction of each side that is never cut
ROUNDS = 8  # maximum number of nested margins


class Borders(NamedTuple):
    """The area around the anatomy in a radiograph.

    Attributes:
        crop: the rectangular margins.
        content: [4, 2] float, the corners (x, y) of the slanted rectangle that contains the anatomy, in pixels of the
            cropped image; pixels outside it are not part of the radiograph. None where the edges run along the frame.
    """

    crop: Crop
    content: np.ndarray | None = None


def find(pixels: np.ndarray, *, inverted: bool = False, method: str = "uniform") -> Borders:
    """Find the borders of a radiograph.

    Args:
        pixels: [H, W] uint8 or uint16.
        inverted: whether air is bright, as in MONOCHROME1.
        method: "uniform", margins of nearly one level at any side; "bottom", only a lower border of exactly the level
            of no exposure, as in Oh et al. 2020; "none"; or "square", all but the middle square, whatever the pixels
            show, as torchxrayvision's `XRayCenterCrop`.

    Raises:
        ValueError: unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"config.image.borders={method!r} is unknown; available: {', '.join(METHODS)}")
    if method == "none":
        return Borders(Crop())
    if method == "square":
        return Borders(_outside_square(*pixels.shape))
    crop = Crop(bottom=pixels.shape[0] - count_rows_above_border(pixels, inverted=inverted))
    if method == "bottom":
        return Borders(crop)
    crop = _find_margins(pixels, crop, inverted)
    inner = cut(pixels, crop)
    content = find_content(inner, TOLERANCE * _unit(inner))
    return Borders(crop) if content is None else _cut_to_content(Borders(crop, content), inner.shape)


def _outside_square(height: int, width: int) -> Crop:
    """Return the crop that leaves the middle square; a line beside it is cut off on the side that upstream cuts."""
    side = min(height, width)
    top = height // 2 - side // 2
    left = width // 2 - side // 2
    return Crop(top=top, bottom=height - side - top, left=left, right=width - side - left)


def count_rows_above_border(pixels: np.ndarray, *, inverted: bool = False) -> int:
    """Count the rows above the blank lower border; at least the upper half always remains.

    A blank pixel is 0 (the highest value if inverted); a border row is blank across its full width, as are all rows
    below it. Oh et al. 2020 examine the center column alone and cut at its first zero below mid-height. Both agree on a
    true border, but here a black pixel in the abdomen does not remove the lower part of the image.
    """
    blank = pixels.max() if inverted else 0
    half = pixels.shape[0] // 2
    occupied = np.flatnonzero((pixels[half:] != blank).any(axis=1))
    return half + (int(occupied[-1]) + 1 if occupied.size else 0)


def content_mask(borders: Borders, shape: tuple[int, int]) -> np.ndarray | None:
    """Return a mask of the content, uint8 [h, w] of 0 and 1 over the cropped image; None if all pixels are content."""
    if borders.content is None:
        return None
    mask = np.zeros(shape, np.uint8)
    return cv2.fillConvexPoly(mask, np.rint(borders.content).astype(np.int32), 1)


def _cut_to_content(borders: Borders, shape: tuple[int, int]) -> Borders:
    """Shrink the crop to the bounding box of the slanted content; `shape` is the height and width of the crop."""
    crop = borders.crop
    content = borders.content
    assert content is not None
    lower_x, lower_y = np.maximum(np.floor(content.min(axis=0)), 0).astype(int).tolist()
    upper_x, upper_y = np.minimum(np.ceil(content.max(axis=0)) + 1, shape[::-1]).astype(int).tolist()
    tight = Crop(
        crop.top + lower_y, crop.bottom + shape[0] - upper_y, crop.left + lower_x, crop.right + shape[1] - upper_x
    )
    return Borders(tight, content - (lower_x, lower_y))


def _find_margins(pixels: np.ndarray, crop: Crop, inverted: bool) -> Crop:
    """Extend a crop by the margins at all sides, from the outermost inward."""
    smallest = [max(16, round(SMALLEST_CONTENT * length)) for length in pixels.shape]
    air_levels: dict[str, float] = {}  # of cropped air, so that fading air is not followed into the body
    for _ in range(ROUNDS):
        before = crop
        for side in Crop._fields:
            inner = cut(pixels, crop)
            if inner.shape[0] < smallest[0] or inner.shape[1] < smallest[1]:
                return crop
            lines = inward_lines(inner, side, SAMPLED_LINES)
            unit = _unit(inner)
            margin = _find_margin(lines, unit, _air(inner, inverted))
            if margin.width == lines.shape[1]:  # the half has one level: there is no content
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
    """Return the width of one of 256 gray levels in pixel values; for 16 bits, relative to the range in use."""
    if pixels.dtype == np.uint8:
        return 1.0
    lowest, highest = np.percentile(pixels[::16, ::16], (0.5, 99.5))
    return max(1.0, (highest - lowest) / 255)


class _Margin(NamedTuple):
    """A margin at one side; its width is 0 if there is none."""

    width: int
    level: float
    has_edge: bool


def _air(pixels: np.ndarray, inverted: bool) -> int:
    """Return the pixel value of no exposure."""
    coarse = pixels[::8, ::8]
    return int(coarse.max() if inverted else coarse.min())


def _find_margin(lines: np.ndarray, unit: float, air: float) -> _Margin:
    """Find the margin at the start of inward lines.

    Args:
        lines: [n, depth], see `crop.inward_lines`.
        unit: width of one of 256 gray levels.
        air: pixel value of no exposure.
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
    """Count the uniform lines from the side inward, including lines through a marker or text between uniform lines.

    Args:
        shares: [depth], fraction of the pixels at each depth that have the margin's level.
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
    """Return the depth at which a straight edge along the side ends the margin; 0 if there is none.

    Args:
        lines: [n, depth].
        level: pixel value of the margin.
        shares: [depth], fraction of the pixels at each depth that have the margin's level.
        unit: width of one of 256 gray levels.
        exact: whether the margin has exactly one value, so that the edge is not blurred.
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
    """Return the depth of the steepest gray level step near an edge that is blurred by ringing and interpolation.

    If the edge is tilted, the depth of its outer end is returned; if the level only fades, 0.

    Args:
        lines: [n, depth].
        edge: approximate depth of the edge, pixels from the side.
        unit: width of one of 256 gray levels.
    """
    start = max(0, edge - RINGING)
    strip = lines[:, start : edge + RINGING + 1].astype(np.float32)
    steps = np.minimum(np.abs(np.diff(strip, axis=1)), LARGEST_STEP * unit)
    halves = [half.mean(axis=0) for half in np.array_split(steps, 2)]
    depths = [start + int(np.argmax(half)) + 1 for half in halves]
    tilt = abs(depths[0] - depths[1])
    if tilt > 2 and all(map(_is_clear, halves)):
        return max(1, min(depths) - tilt // 2)
    mean_steps = steps.mean(axis=0)
    return start + int(np.argmax(mean_steps)) + 1 if _is_clear(mean_steps) else 0


def _is_clear(steps: np.ndarray) -> bool:
    """Return whether the largest step stands out against the median, as at an edge."""
    return bool(steps.max() >= CLEAR_STEP * np.median(steps))
