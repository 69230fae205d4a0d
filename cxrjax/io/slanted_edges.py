"""Find straight edges between a radiograph and its surround that do not run along the frame.

A rotated image, or a rotated collimator, leaves corners of one gray level with a straight inner edge. Air beside the
body is as uniform, but its edge is curved. So an edge counts only where it is straight, and where a second edge is
parallel or at right angles to it, or where it runs from end to end of its side.
"""

from typing import NamedTuple

import numpy as np

from cxrjax.io.crop import Crop, inward_lines

LONGEST_SIDE = 512  # pixels of the coarse image that is searched
CLOCKWISE = {"top": 1, "bottom": -1, "left": -1, "right": 1}  # sign of an edge's slope in an image rotated clockwise
STEEPEST = np.tan(np.deg2rad(20))
FLATTEST = np.tan(np.deg2rad(0.4))  # a flatter edge runs along the frame
SAME_ANGLE = np.deg2rad(0.8)  # angles that differ by less are the same
CORNER = 0.01  # share of the side of the block that gives a corner's level
SHORTEST = 0.15  # share of its side along which an edge has to be seen
STRAIGHT = 0.6  # share of the lines on which the corner's level ends at the edge
STRAIGHT_ALONE = 0.75  # the same of an edge that no other confirms
STRAIGHT_CONFIRMED = 0.3  # the same of an edge whose angle two others have
OUTSIDE = 0.97  # share of the pixels outside an edge that have the corner's level
PICKED_LINES = 24  # lines whose pairs are tried


class Edge(NamedTuple):
    """A line in the coordinates of `inward_lines`: its depth is `offset + slope * line`."""

    offset: float
    slope: float
    straight: float  # share of the lines it crosses on which the corner's level ends there
    length: float  # share of the side that it crosses


def find_content(pixels: np.ndarray, tolerance: float) -> np.ndarray | None:
    """Find the slanted rectangle that holds the anatomy.

    Args:
        pixels: [h, w], without rectangular margins.
        tolerance: how far the surround's values may be from their level.

    Returns:
        [4, 2] float, its corners (x, y) in pixels, which may lie outside the image; None where no edge is slanted.
    """
    step = -(-max(pixels.shape) // LONGEST_SIDE)
    coarse = pixels[::step, ::step].astype(np.float32)
    levels = _corner_levels(coarse, tolerance)
    if not levels:
        return None
    sides = {side: _run_lengths(coarse, side, levels, tolerance) for side in Crop._fields}
    edges = {}
    for side, runs in sides.items():
        candidates = [edge for side_runs in runs if (edge := _fit_edge(side_runs))]
        if candidates:
            edges[side] = max(candidates, key=lambda edge: edge.straight * edge.length)
    edges = _choose(edges, sides)
    return None if not edges else _corners(edges, coarse.shape) * step


class _Runs(NamedTuple):
    """Runs of pixels with the level of a corner, inward from a side."""

    lengths: np.ndarray  # int [n], pixels from the frame to the first of another level
    near: np.ndarray  # bool [n, depth], pixels of the level


def _corner_levels(coarse: np.ndarray, tolerance: float) -> list[float]:
    """Return the levels of the corners that are uniform, without repeating those within the tolerance."""
    size = max(2, round(CORNER * min(coarse.shape)))
    levels: list[float] = []
    for rows in (slice(None, size), slice(-size, None)):
        for columns in (slice(None, size), slice(-size, None)):
            block = coarse[rows, columns]
            level = float(np.median(block))
            if np.abs(block - level).max() <= tolerance and all(abs(level - other) > tolerance for other in levels):
                levels.append(level)
    return levels


def _run_lengths(coarse: np.ndarray, side: str, levels: list[float], tolerance: float) -> list[_Runs]:
    lines = inward_lines(coarse, side, LONGEST_SIDE)
    runs = []
    for level in levels:
        near = np.abs(lines - level) <= tolerance
        lengths = np.where(near.all(axis=1), near.shape[1], np.argmin(near, axis=1))
        runs.append(_Runs(lengths, near))
    return runs


def _fit_edge(runs: _Runs) -> Edge | None:
    """Fit the straight line on which most runs end; None where too few runs end inside the image."""
    usable = _usable_lines(runs)
    if usable is None:
        return None
    picked = usable[np.linspace(0, len(usable) - 1, PICKED_LINES).astype(int)]
    first_index, second_index = np.triu_indices(PICKED_LINES, 1)
    first = picked[first_index]
    second = picked[second_index]
    apart = second - first >= SHORTEST / 2 * len(runs.lengths)
    first = first[apart]
    second = second[apart]
    if not first.size:
        return None
    lengths = runs.lengths.astype(float)
    slopes = (lengths[second] - lengths[first]) / (second - first)
    offsets = lengths[first] - slopes * first
    deviations = np.abs(slopes[:, None] * usable + offsets[:, None] - lengths[usable])
    on_line = deviations <= _thickness(runs)
    on_best = usable[on_line[np.argmax(on_line.sum(axis=1))]]
    slope, offset = np.polyfit(on_best, lengths[on_best], 1)
    return _verify(runs, float(offset), float(slope))


def _fit_offset(runs: _Runs, slope: float) -> Edge | None:
    """Fit the offset of a line of known slope."""
    usable = _usable_lines(runs)
    if usable is None:
        return None
    offsets = np.sort(runs.lengths[usable] - slope * usable)
    together = np.searchsorted(offsets, offsets + 2 * _thickness(runs), side="right") - np.arange(len(offsets))
    start = int(np.argmax(together))
    return _verify(runs, float(np.median(offsets[start : start + together[start]])), slope)


def _usable_lines(runs: _Runs) -> np.ndarray | None:
    usable = np.flatnonzero((runs.lengths > 0) & (runs.lengths < runs.near.shape[1]))
    return usable if len(usable) >= SHORTEST * len(runs.lengths) else None


def _thickness(runs: _Runs) -> float:
    """Return how far from a line a run may end to be on it, in pixels."""
    return max(1.0, 0.004 * len(runs.lengths))


def _verify(runs: _Runs, offset: float, slope: float) -> Edge | None:
    """Return a line as an edge; None where it is too steep or short, or crosses what is not of the level."""
    count, depth = runs.near.shape
    depths = offset + slope * np.arange(count)
    crossed = (depths >= 1) & (depths < depth)
    length = float(crossed.mean())
    if abs(slope) > STEEPEST or length < SHORTEST:
        return None
    outside = np.arange(depth) < depths[:, None] - _thickness(runs)
    if outside.any() and runs.near[outside].mean() < OUTSIDE:
        return None
    straight = float((np.abs(runs.lengths - depths)[crossed] <= _thickness(runs)).mean())
    return Edge(offset, slope, straight, length)


def _choose(edges: dict[str, Edge], sides: dict[str, list[_Runs]]) -> dict[str, Edge]:
    """Return the edges that are straight and confirmed, and those of their angle at the other sides."""
    slanted = {side: edge for side, edge in edges.items() if edge.straight >= STRAIGHT and abs(edge.slope) >= FLATTEST}
    angles = {side: CLOCKWISE[side] * np.arctan(edge.slope) for side, edge in slanted.items()}
    agreeing = [
        [side for side in angles if abs(angles[side] - angle) <= SAME_ANGLE] for angle in angles.values()
    ]  # fmt: skip
    confirmed = max(agreeing, key=len, default=[])
    if len(confirmed) < 2:
        alone = {s: e for s, e in slanted.items() if e.straight >= STRAIGHT_ALONE and e.length >= 1 - SHORTEST}
        return alone if len(alone) == 1 else {}
    chosen = {side: slanted[side] for side in confirmed}
    tangent = float(np.tan(np.mean([angles[side] for side in confirmed])))
    for side in sides.keys() - chosen.keys():
        candidates = [edge for runs in sides[side] if (edge := _fit_offset(runs, CLOCKWISE[side] * tangent))]
        best = max(candidates, key=lambda edge: edge.straight * edge.length, default=None)
        if best is not None and best.straight >= STRAIGHT_CONFIRMED:
            chosen[side] = best
    return chosen


def _corners(edges: dict[str, Edge], shape: tuple[int, int]) -> np.ndarray:
    """Return where neighboring edges meet, clockwise from the upper left; the frame stands in for a missing edge."""
    height, width = shape
    none = Edge(0.0, 0.0, 0.0, 0.0)
    top = edges.get("top", none)
    bottom = edges.get("bottom", none)
    left = edges.get("left", none)
    right = edges.get("right", none)
    # As a x + b y = c: the depth of a side is y, height - 1 - y, x, or width - 1 - x.
    last_row = height - 1 if "bottom" in edges else height
    last_column = width - 1 if "right" in edges else width
    lines = {
        "top": (-top.slope, 1.0, top.offset),
        "bottom": (bottom.slope, 1.0, last_row - bottom.offset),
        "left": (1.0, -left.slope, left.offset),
        "right": (1.0, right.slope, last_column - right.offset),
    }
    meetings = (("top", "left"), ("top", "right"), ("bottom", "right"), ("bottom", "left"))
    equations = np.array([[lines[one], lines[other]] for one, other in meetings])
    return np.linalg.solve(equations[:, :, :2], equations[:, :, 2:])[:, :, 0]
