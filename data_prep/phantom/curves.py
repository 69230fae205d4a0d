"""Drawing functions of the phantom: curves, filled shapes and smooth noise."""

import cv2
import numpy as np

_SUBPIXEL_BITS = 4


def smooth(points: np.ndarray, closed: bool, steps: int = 12) -> np.ndarray:
    """Interpolate points with a Catmull-Rom curve.

    Args:
        points: [n, 2] float, n >= 3.
        closed: whether the last point is connected to the first.
        steps: points of the curve per input point.

    Returns:
        [m, 2] float, passing through every input point.
    """
    points = np.asarray(points, np.float64)
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    before = padded[:-3, None]
    start = padded[1:-2, None]
    end = padded[2:-1, None]
    after = padded[3:, None]
    s = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = 0.5 * (
        2 * start
        + (end - before) * s
        + (2 * before - 5 * start + 4 * end - after) * s**2
        + (3 * start - before - 3 * end + after) * s**3
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


def band(center: np.ndarray, half_width: np.ndarray | float) -> np.ndarray:
    """Return the outline [2n, 2] of a band around a center line [n, 2]; `half_width` is a scalar or [n]."""
    tangent = np.gradient(center, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1) / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9)
    offset = normal * np.broadcast_to(np.asarray(half_width, float), len(center))[:, None]
    return np.concatenate([center + offset, (center - offset)[::-1]])


def fill(size: int, outlines: list[np.ndarray], value: float = 1.0) -> np.ndarray:
    """Fill outlines ([n, 2] pixels, x then y) with a value and anti-aliased edges: float32 [size, size]."""
    canvas = np.zeros((size, size), np.uint8)
    for outline in outlines:
        cv2.fillPoly(canvas, [_to_fixed_point(outline)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return canvas.astype(np.float32) * np.float32(value / 255)


def inside(size: int, outline: np.ndarray) -> np.ndarray:
    """Return the pixels inside an outline [n, 2]: bool [size, size]."""
    canvas = np.zeros((size, size), np.uint8)
    cv2.fillPoly(canvas, [_to_fixed_point(outline)], 1, cv2.LINE_8, _SUBPIXEL_BITS)
    return canvas.astype(bool)


def draw_lines(size: int, lines: np.ndarray, width: float) -> np.ndarray:
    """Draw open lines [k, n, 2] in pixels, fainter if `width` < 1 pixel: float32 [size, size] in 0..1."""
    canvas = np.zeros((size, size), np.uint8)
    thickness = max(1, round(width))
    level = int(255 * min(1.0, width))
    cv2.polylines(canvas, list(_to_fixed_point(lines)), False, level, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    return canvas.astype(np.float32) / 255


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur a float32 [n, n] image with a Gaussian of `sigma` pixels; a large sigma is applied on a coarser grid."""
    if sigma < 3:
        kernel_size = 2 * int(np.ceil(3 * sigma)) + 1
        return cv2.GaussianBlur(image, (kernel_size, kernel_size), sigma, borderType=cv2.BORDER_REPLICATE)
    size = image.shape[0]
    factor = 2 if sigma < 12 else 8
    small = cv2.resize(image, (size // factor, size // factor), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)


def cloud(rng: np.random.Generator, size: int, grain: float, octaves: int = 1) -> np.ndarray:
    """Draw a smooth random field.

    Args:
        rng: random generator.
        size: side in pixels.
        grain: size of the largest structures, as a fraction of the side.
        octaves: number of fields that are added, each with half the grain and half the amplitude of the previous one.

    Returns:
        float32 [size, size], mean 0 and variance about 1.
    """
    total = np.zeros((size, size), np.float32)
    power = 0.0
    for octave in range(octaves):
        cells = max(4, round(2**octave / grain) + 3)
        coarse = rng.standard_normal((cells, cells), dtype=np.float32)
        total += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC) * 0.5**octave
        power += 0.25**octave * 0.55
    return total / np.float32(np.sqrt(power))


def _to_fixed_point(points: np.ndarray) -> np.ndarray:
    return np.round(points * 2**_SUBPIXEL_BITS).astype(np.int32)
