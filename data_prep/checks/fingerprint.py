"""Compact fingerprints of radiographs, to decide whether two radiographs show the same image.

Chest radiographs resemble each other, so the comparison takes two steps. A perceptual hash (the signs of low
frequencies, as pHash of phash.org, but 256 of them) selects candidate pairs in nanoseconds each: one in a thousand.
Then the fine details of two thumbnails are aligned: ribs and vessels of one patient never match those of another.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from cxrjax.io.radiograph import Radiograph

# Measured on the 1,627 radiographs of the benchmark and on altered copies of each (JPEG of quality 20, half the size,
# brightness +-5%, up to 3% cropped off every side, and all of these together): the hash of a copy was always within 64
# bits, of different radiographs one pair in 1,500; the similarity of a copy was 0.874 or more, of different radiographs
# 0.847 or less.
MAX_HASH_DISTANCE = 64
MIN_SIMILARITY = 0.86

_FREQUENCIES = 16  # per axis: a hash has 16 x 16 bits
_HASHED_SIDE = 32  # pixels
_WORDS = _FREQUENCIES**2 // 64
_SIDE = 256  # pixels: radiographs are resized to this square
_CROP = 8  # pixels, 3% of the side
_WINDOWS = [  # the regions that a crop may leave, as (rows, columns): all, the middle, and the four corners
    (slice(None), slice(None)),
    (slice(_CROP, -_CROP), slice(_CROP, -_CROP)),
    *(
        (rows, columns)
        for rows in (slice(_CROP, None), slice(-_CROP))
        for columns in (slice(_CROP, None), slice(-_CROP))
    ),
]
_THUMBNAIL = 64  # side, pixels
_DETAIL_SIGMA = 2.0  # pixels: of the blur that is subtracted to leave the fine detail
_BORDER = 4  # pixels at the edge of a thumbnail that are not compared
_MAX_DETAIL = 2.0  # times the mean: larger details (letters, painted boxes) are clipped to weigh no more than a rib
_CHUNK = 256  # radiographs that are compared with all others at once
_SEARCH_CRITERIA = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 50, 1e-4)


class Fingerprint(NamedTuple):
    """Hashes of all windows uint64 [6, 4], that of the full image first, and a thumbnail uint8 [64, 64]."""

    hashes: np.ndarray
    thumbnail: np.ndarray


def compute(radiograph: Radiograph) -> Fingerprint:
    """Compute the fingerprint of a radiograph, which does not depend on size, bit depth or aspect ratio."""
    square = _resize(radiograph.pixels.astype(np.float32), _SIDE)
    square = _stretch_contrast(-square if radiograph.inverted else square)
    hashes = np.stack([_hash(square[window]) for window in _WINDOWS])
    return Fingerprint(hashes, np.rint(_resize(square, _THUMBNAIL)).astype(np.uint8))


def find_near(fingerprints: Sequence[Fingerprint]) -> Iterator[list[tuple[int, int]]]:
    """Find pairs with similar hashes: any window of one radiograph compared to the full image of the other.

    Memory is bounded: 10,000 fingerprints take 45 MB, and the search the same again.

    Yields:
        Pairs (smaller index, larger index), one list per 256 fingerprints; no pair is repeated.
    """
    hashes = np.stack([fingerprint.hashes for fingerprint in fingerprints])
    for start in range(0, len(hashes), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        later = hashes[start:]
        near = _are_near(hashes[chunk], later[:, 0]) | _are_near(later, hashes[chunk, 0]).T
        pairs = start + np.argwhere(near)
        yield [(first, second) for first, second in pairs.tolist() if first < second]


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the correlation of the details of two thumbnails after alignment.

    Args:
        first: uint8 [64, 64].
        second: uint8 [64, 64].

    Returns:
        The correlation, at most 1; `MIN_SIMILARITY` or more for copies.
    """
    fixed = _extract_detail(first)
    moving = _extract_detail(second)
    start = max(_INITIAL_WARPS, key=lambda warp: _correlate(fixed, moving, warp))
    best = _correlate(fixed, moving, start)
    mask = np.ones(moving.shape, np.uint8)
    with contextlib.suppress(cv2.error):  # it does not converge for different images
        _, warp = cv2.findTransformECC(fixed, moving, start.copy(), cv2.MOTION_AFFINE, _SEARCH_CRITERIA, mask, 3)
        best = max(best, _correlate(fixed, moving, warp))
    return best


def _resize(pixels: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)


def _stretch_contrast(pixels: np.ndarray) -> np.ndarray:
    return cv2.normalize(pixels, np.empty_like(pixels), 0, 255, cv2.NORM_MINMAX)


def _hash(pixels: np.ndarray) -> np.ndarray:
    coefficients = cv2.dct(_resize(pixels, _HASHED_SIDE))[:_FREQUENCIES, :_FREQUENCIES].ravel()
    return np.packbits(coefficients > np.median(coefficients)).view(np.uint64)


def _are_near(window_hashes: np.ndarray, full_hashes: np.ndarray) -> np.ndarray:
    """Return bool [n, m]: whether any window of [n, 6, 4] is near a full image of [m, 4]."""
    near = np.zeros((len(window_hashes), len(full_hashes)), bool)
    for window in range(len(_WINDOWS)):
        distance = np.zeros(near.shape, np.uint16)
        for word in range(_WORDS):
            distance += np.bitwise_count(window_hashes[:, window, word, None] ^ full_hashes[None, :, word])
        near |= distance <= MAX_HASH_DISTANCE
    return near


def _extract_detail(thumbnail: np.ndarray) -> np.ndarray:
    pixels = thumbnail.astype(np.float32)
    detail = pixels - cv2.GaussianBlur(pixels, (0, 0), _DETAIL_SIGMA)
    return np.clip(detail / (np.abs(detail).mean() + 1e-6), -_MAX_DETAIL, _MAX_DETAIL)


def _correlate(fixed: np.ndarray, moving: np.ndarray, warp: np.ndarray) -> float:
    """Return the correlation over the overlap, 0 if that is too small; `warp` maps `fixed` to `moving`."""
    height, width = moving.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    overlap = cv2.warpAffine(np.ones_like(moving), warp, (width, height), flags=flags) > 0.99
    overlap &= _INTERIOR
    if overlap.sum() < 0.8 * _INTERIOR.sum():
        return 0.0
    a = fixed[overlap]
    a = a - a.mean()
    b = cv2.warpAffine(moving, warp, (width, height), flags=flags)[overlap]
    b = b - b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b) + 1e-6))


def _crop_warps() -> list[np.ndarray]:
    """Return the warps float32 [2, 3] from a thumbnail to the thumbnail of each window, and their inverses."""
    step = _THUMBNAIL / _SIDE
    warps = []
    for rows, columns in _WINDOWS:
        top, bottom, _ = rows.indices(_SIDE)
        left, right, _ = columns.indices(_SIDE)
        x_scale = (right - left) / _SIDE
        y_scale = (bottom - top) / _SIDE
        warp = [[x_scale, 0, left * step + (x_scale - 1) / 2], [0, y_scale, top * step + (y_scale - 1) / 2]]
        warps.append(np.array(warp, np.float32))
    return [*warps, *(cv2.invertAffineTransform(warp) for warp in warps[1:])]


_INTERIOR = np.pad(np.ones((_THUMBNAIL - 2 * _BORDER,) * 2, bool), _BORDER)
_INITIAL_WARPS = _crop_warps()
