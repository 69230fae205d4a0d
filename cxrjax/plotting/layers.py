"""Layers of a radiograph on a page, each in the proportions of the file: gray levels, saliency map and outlines."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrjax.io.crop import Frame
from cxrjax.plotting.radiographs import OPACITY, colorize


def encode_radiograph(image: NDArray[np.uint8], frame: Frame, max_side: int) -> bytes:
    """Encode a standardized radiograph as a gray PNG in the proportions of its file.

    Args:
        image: uint8 [S, S].
        frame: of the square in its file.
        max_side: pixels of the longer side, at most; the file's own size if that is smaller.

    Returns:
        The PNG; cropped borders are black.
    """
    reduced = _reduce(frame, max_side)
    levels = np.rint(reduced.restore(image.astype(np.float32))).astype(np.uint8)
    return cv2.imencode(".png", levels)[1].tobytes()


def encode_map_layer(map: NDArray[np.floating], frame: Frame, max_side: int) -> bytes:
    """Encode a saliency map as the PNG of its `color_layer`.

    Args:
        map: [S, S] in 0..1; values are clipped and NaN counts as 0.
        frame: of the square in its file.
        max_side: pixels of the longer side, at most.
    """
    return cv2.imencode(".png", color_layer(_reduce(frame, max_side).restore(map)))[1].tobytes()


def color_layer(map: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return a saliency map as colors whose opacity is the value of the map.

    Drawn over the radiograph at the opacity `OPACITY` it is what `overlay` draws.

    Args:
        map: [H, W] in 0..1; values are clipped and NaN counts as 0.

    Returns:
        uint8 BGRA [H, W, 4], as OpenCV encodes it.
    """
    colors, opacity = colorize(map)
    alpha = np.rint(opacity / OPACITY * 255).astype(np.uint8)
    return np.concatenate([colors[..., ::-1], alpha], axis=-1)


def encode_color_scale(length: int) -> bytes:
    """Encode the colors of a saliency map from 0, at the left, to 1 as a PNG of 1 x `length` pixels."""
    colors, _ = colorize(np.linspace(0, 1, length)[None])
    return cv2.imencode(".png", colors[..., ::-1])[1].tobytes()


def outline_path(mask: NDArray[np.bool_], frame: Frame, tolerance: float = 0.001) -> str:
    """Return the outline of a mask, holes included, as an SVG path in pixels of the file; "" if the mask is empty.

    Args:
        mask: bool [S, S].
        frame: of the square in its file.
        tolerance: maximal distance of the outline from the mask, as a share of the side of the mask.
    """
    contours: Sequence[NDArray] = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
    rings = [cv2.approxPolyDP(contour, tolerance * len(mask), True)[:, 0, ::-1] for contour in contours]
    located = [frame.locate(ring, len(mask)) + 0.5 for ring in rings if len(ring) > 2]  # + 0.5: SVG counts from corners
    return " ".join("M" + " ".join(f"{column:.1f},{row:.1f}" for row, column in ring) + "Z" for ring in located)


def _reduce(frame: Frame, max_side: int) -> Frame:
    """Return a frame whose longer side has at most `max_side` pixels."""
    reduction = min(1.0, max_side / max(frame.height, frame.width))
    return frame.resize(max(1, round(frame.height * reduction)), max(1, round(frame.width * reduction)))
