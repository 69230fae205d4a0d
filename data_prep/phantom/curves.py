"""Curves, filled shapes and smooth noise: the drawing that anatomy, findings and overlays share."""

import cv2
import numpy as np

_SUBPIXEL_BITS = 4


def smooth(points: np.ndarray, closed: bool, steps: int = 12) -> np.ndarray:
    """Catmull-Rom curve through `points`.

    Args:
        points: [n, 2] float, n >= 3.
        closed: whether the last point joins the first.
        steps: points drawn between two neighbours.

    Returns:
        [m, 2] float, passing through every given point.
    """
    points = np.asarray(points, np.float64)
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    before, start, end, after = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]
    s = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = 0.5 * (
        2 * start
        + (end - before) * s
        + (2 * before - 5 * start + 4 * end - after) * s**2
        + (3 * start - before - 3 * end + after) * s**3
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


def band(centre: np.ndarray, half_width: np.ndarray | float) -> np.ndarray:
    """Outline [2n, 2] of a ribbon around the curve `centre` [n, 2], `half_width` (scalar or [n]) to each side."""
    along = np.gradient(centre, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    offset = across * np.broadcast_to(np.asarray(half_width, float), len(centre))[:, None]
    return np.concatenate([centre + offset, (centre - offset)[::-1]])


def fill(size: int, outlines: list[np.ndarray], value: float = 1.0) -> np.ndarray:
    """Float32 [size, size]: `value` inside any of the `outlines` ([n, 2] pixels, x then y), edges anti-aliased."""
    canvas = np.zeros((size, size), np.uint8)
    for outline in outlines:
        cv2.fillPoly(canvas, [_fixed(outline)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return canvas.astype(np.float32) * np.float32(value / 255)


def inside(size: int, outline: np.ndarray) -> np.ndarray:
    """Bool [size, size]: the pixels inside one `outline` [n, 2]."""
    canvas = np.zeros((size, size), np.uint8)
    cv2.fillPoly(canvas, [_fixed(outline)], 1, cv2.LINE_8, _SUBPIXEL_BITS)
    return canvas.astype(bool)


def draw_lines(size: int, lines: np.ndarray, width: float) -> np.ndarray:
    """Float32 [size, size] in 0..1: open `lines` ([k, n, 2] pixels) of `width` pixels; below one pixel they fade."""
    canvas = np.zeros((size, size), np.uint8)
    thickness = max(1, round(width))
    level = int(255 * min(1.0, width))
    cv2.polylines(canvas, list(_fixed(lines)), False, level, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    return canvas.astype(np.float32) / 255


def blur(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a float32 [n, n] picture by `sigma` pixels; wide ones are made on a coarser grid."""
    if sigma < 3:
        reach = 2 * int(np.ceil(3 * sigma)) + 1
        return cv2.GaussianBlur(picture, (reach, reach), sigma, borderType=cv2.BORDER_REPLICATE)
    size, coarser = picture.shape[0], 2 if sigma < 12 else 8
    small = cv2.resize(picture, (size // coarser, size // coarser), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / coarser, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)


def cloud(rng: np.random.Generator, size: int, grain: float, octaves: int = 1) -> np.ndarray:
    """Smooth random field.

    Args:
        rng: where the numbers come from.
        size: side in pixels.
        grain: size of the largest lumps, as a share of the side.
        octaves: how many halvings of the grain are added, each at half the height.

    Returns:
        float32 [size, size], mean 0 and variance about 1.
    """
    total, power = np.zeros((size, size), np.float32), 0.0
    for octave in range(octaves):
        cells = max(4, round(2**octave / grain) + 3)
        coarse = rng.standard_normal((cells, cells), dtype=np.float32)
        total += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC) * 0.5**octave
        power += 0.25**octave * 0.55
    return total / np.float32(np.sqrt(power))


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(points * 2**_SUBPIXEL_BITS).astype(np.int32)
