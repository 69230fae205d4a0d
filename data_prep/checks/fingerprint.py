"""What a radiograph looks like, in a few kilobytes, and whether two of them are the same picture.

Chest radiographs resemble each other, so it takes two steps. A perceptual hash (the signs of low frequencies, as pHash
of phash.org, but 256 of them) tells in nanoseconds which pairs are worth a look: one in a thousand. A look lays the
fine detail of two thumbnails on each other: ribs and vessels of one patient never fit those of another.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from cxrjax.io.radiograph import Radiograph

# Measured on the 1,627 radiographs of the benchmark and on altered copies of each (JPEG of quality 20, half the size,
# brightness +-5%, up to 3% cropped off every side, and all of it together): the hash of a copy was always within 64
# bits, of strangers one pair in 1,500; the likeness of a copy was 0.874 or more, that of strangers 0.847 or less.
NEAR_BITS, SAME_LIKENESS = 64, 0.86

_FREQUENCIES, _HASHED_SIDE = 16, 32  # a hash has 16 x 16 bits
_WORDS = _FREQUENCIES**2 // 64
_SIDE, _CROP = 256, 8  # pixels: radiographs are shrunk to this square, then cropped by 3%
_WINDOWS = [  # what a crop may have left, as (rows, columns): all, the middle, and the four corners
    (slice(None), slice(None)),
    (slice(_CROP, -_CROP), slice(_CROP, -_CROP)),
    *(
        (rows, columns)
        for rows in (slice(_CROP, None), slice(-_CROP))
        for columns in (slice(_CROP, None), slice(-_CROP))
    ),
]
_THUMBNAIL, _FINE, _RIM = 64, 2.0, 4  # its side; sigma of the blur that leaves the detail; rim that is not compared
_CONTRAST = 2.0  # of the mean: what exceeds it (letters, painted boxes) counts no more than a rib
_CHUNK = 256  # radiographs compared with all others at once
_SEARCH = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 50, 1e-4)


class Fingerprint(NamedTuple):
    """Hashes of each window uint64 [6, 4], the whole radiograph's first, and a thumbnail uint8 [64, 64]."""

    hashes: np.ndarray
    thumbnail: np.ndarray


def compute(radiograph: Radiograph) -> Fingerprint:
    """The fingerprint of a radiograph; size, depth and aspect ratio do not matter to it."""
    square = _shrink(radiograph.pixels.astype(np.float32), _SIDE)
    square = cv2.normalize(-square if radiograph.inverted else square, None, 0, 255, cv2.NORM_MINMAX)
    hashes = np.stack([_hash(square[window]) for window in _WINDOWS])
    return Fingerprint(hashes, np.rint(_shrink(square, _THUMBNAIL)).astype(np.uint8))


def find_near(fingerprints: Sequence[Fingerprint]) -> Iterator[list[tuple[int, int]]]:
    """Pairs whose hashes are near: any window of the one to the whole of the other.

    Memory is bounded: 10,000 fingerprints take 45 MB, and the search as much.

    Yields:
        Pairs (smaller index, larger index), a list for every 256 fingerprints; no pair comes twice.
    """
    hashes = np.stack([fingerprint.hashes for fingerprint in fingerprints])
    for start in range(0, len(hashes), _CHUNK):
        part = slice(start, start + _CHUNK)
        later = hashes[start:]
        near = _are_near(hashes[part], later[:, 0]) | _are_near(later, hashes[part, 0]).T
        pairs = np.argwhere(near)
        yield [tuple(pair) for pair in (start + pairs[pairs[:, 0] < pairs[:, 1]]).tolist()]


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """How far two thumbnails show the same detail, once shift and scale are undone.

    Args:
        one: uint8 [64, 64].
        other: uint8 [64, 64].

    Returns:
        The correlation, at most 1; `SAME_LIKENESS` or more for copies.
    """
    one, other = _detail(one), _detail(other)
    warp = max(_STARTS, key=lambda start: _correlate(one, other, start))
    best = _correlate(one, other, warp)
    with contextlib.suppress(cv2.error):  # it does not converge on what does not fit
        _, found = cv2.findTransformECC(one, other, warp.copy(), cv2.MOTION_AFFINE, _SEARCH, None, 3)
        best = max(best, _correlate(one, other, found))
    return best


def _shrink(pixels: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)


def _hash(picture: np.ndarray) -> np.ndarray:
    low = cv2.dct(_shrink(picture, _HASHED_SIDE))[:_FREQUENCIES, :_FREQUENCIES].ravel()
    return np.packbits(low > np.median(low)).view(np.uint64)


def _are_near(windows: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Whether any window [n, 6, 4] is near a whole [m, 4]: bool [n, m]."""
    near = np.zeros((len(windows), len(wholes)), bool)
    for window in range(len(_WINDOWS)):
        bits = np.zeros(near.shape, np.uint16)
        for word in range(_WORDS):
            bits += np.bitwise_count(windows[:, window, word, None] ^ wholes[None, :, word])
        near |= bits <= NEAR_BITS
    return near


def _detail(thumbnail: np.ndarray) -> np.ndarray:
    picture = thumbnail.astype(np.float32)
    fine = picture - cv2.GaussianBlur(picture, (0, 0), _FINE)
    return np.clip(fine / (np.abs(fine).mean() + 1e-6), -_CONTRAST, _CONTRAST)


def _correlate(fixed: np.ndarray, moving: np.ndarray, warp: np.ndarray) -> float:
    """Correlation where both are known, 0 where that is too little; `warp` leads from `fixed` to `moving`."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    known = cv2.warpAffine(np.ones_like(moving), warp, moving.shape, flags=flags) > 0.99
    known &= _INNER
    if known.sum() < 0.8 * _INNER.sum():
        return 0.0
    a, b = fixed[known], cv2.warpAffine(moving, warp, moving.shape, flags=flags)[known]
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b) + 1e-6))


def _crop_warps() -> list[np.ndarray]:
    """From a thumbnail to that of each window of it, and back: float32 [2, 3]."""
    warps = []
    for rows, columns in _WINDOWS:
        (top, bottom, _), (left, right, _) = rows.indices(_SIDE), columns.indices(_SIDE)
        across, down = (right - left) / _SIDE, (bottom - top) / _SIDE
        step = _THUMBNAIL / _SIDE
        warp = [[across, 0, left * step + (across - 1) / 2], [0, down, top * step + (down - 1) / 2]]
        warps.append(np.array(warp, np.float32))
    return [*warps, *(cv2.invertAffineTransform(warp) for warp in warps[1:])]


_INNER = np.pad(np.ones((_THUMBNAIL - 2 * _RIM,) * 2, bool), _RIM)
_STARTS = _crop_warps()
