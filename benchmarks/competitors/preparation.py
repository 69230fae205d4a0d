"""Preprocessing for the competitors in NumPy and OpenCV, equal to `cxrjax.data.preprocessing`.

Only a blank lower border is cropped (`config.image.borders = "bottom"`).
"""

import cv2
import numpy as np

GAMMA = 0.5
MIN_COMPONENT_FRACTION = 0.005  # of the mask's pixels; smaller components are removed


def read(path: str) -> np.ndarray:
    """Read an image of any bit depth: [H, W]."""
    return cv2.imread(path, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE)


def standardize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Crop the blank lower border, equalize the histogram, apply gamma, and resize: uint8 [size, size]."""
    half = len(pixels) // 2
    pixels = pixels[: half + 1 + np.flatnonzero(pixels[half:].any(1))[-1]]
    depth = np.iinfo(pixels.dtype).max + 1
    counts = cv2.calcHist([pixels], [0], None, [depth], [0, depth]).ravel()
    cumulated = counts.astype(np.int64).cumsum()
    lowest = cumulated[np.flatnonzero(counts)[0]]
    quantiles = np.clip((cumulated - lowest) / (pixels.size - lowest), 0, 1)
    levels = cv2.LUT(pixels, (255 * quantiles**GAMMA).astype(np.float32))
    height, width = levels.shape
    levels = cv2.resize(levels, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA)
    levels = cv2.resize(levels, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.rint(np.clip(levels, 0, 255)).astype(np.uint8)


def postprocess_mask(mask: np.ndarray) -> np.ndarray:
    """Return the two largest components of a mask bool [s, s] with filled holes."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    largest = 1 + np.argsort(areas)[::-1][:2]
    components = [label for label in largest if areas[label - 1] >= MIN_COMPONENT_FRACTION * mask.size]
    lungs = np.isin(labels, components)
    _, outside = cv2.connectedComponents(np.pad(~lungs, 1, constant_values=True).astype(np.uint8), connectivity=8)
    return outside[1:-1, 1:-1] != outside[0, 0]


def crop(image: np.ndarray, centers: np.ndarray, size: int) -> np.ndarray:
    """Crop squares around centers [N, 2] from a zero-padded image [H, W]: [N, size, size]."""
    padded = np.pad(image, size // 2)
    return np.stack([padded[row : row + size, column : column + size] for row, column in centers])


def reference_centers(size: int) -> list[tuple[int, int]]:
    """Return the centers of the four patches of a radiograph on which the logits of all competitors are compared."""
    near = size // 4
    far = 3 * size // 4
    return [(near, near), (near, far), (far, near), (far, far)]
