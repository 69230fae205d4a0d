"""Radiographs with lung contours and saliency maps."""

import cv2
import numpy as np
from numpy.typing import NDArray

CONTOUR = (0, 229, 255)
OPACITY = 0.35  # of a saliency map at 1, so that the anatomy stays visible
SCALE_NOTE = "evidence for the label, 0 none to 1 strongest possible"  # what the colors of a saliency map mean
FOOT = "research use, not for diagnosis"


def overlay(
    image: NDArray[np.uint8], lungs: NDArray[np.bool_] | None, map: NDArray[np.floating] | None
) -> NDArray[np.uint8]:
    """Blend a saliency map over a radiograph, with an opacity that rises with its value, and draw the lung contour.

    Args:
        image: uint8 [S, S].
        lungs: lung mask bool [S, S], or None. The contour is drawn along its inner edge.
        map: saliency map [S, S] in 0..1 (values are clipped; NaN counts as 0), or None.

    Returns:
        uint8 RGB [S, S, 3]; equal to the radiograph where the map is 0 and no contour is drawn.

    Raises:
        ValueError: the shapes differ.
    """
    for name, layer in (("lungs", lungs), ("map", map)):
        if layer is not None and layer.shape != image.shape:
            raise ValueError(f"{name} of {layer.shape} do not lie on a radiograph of {image.shape}")
    rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8)
    if map is not None:
        colors, opacity = colorize(map)
        weight = np.ascontiguousarray(opacity[..., 0])
        rgb = np.asarray(cv2.blendLinear(rgb, colors, 1 - weight, weight), np.uint8)
    if lungs is not None:
        # The contour is a 350th of the longer side wide. The mask is padded, so that the border of the image closes the
        # contour of a lung that it cuts.
        padded = np.pad(lungs, 1).astype(np.uint8)
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        inside = cv2.erode(padded, cross, iterations=max(1, round(max(lungs.shape) / 350)))[1:-1, 1:-1]
        rgb[lungs & (inside == 0)] = CONTOUR
    return rgb


def colorize(map: NDArray[np.floating]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the colors of a saliency map and their opacity.

    Args:
        map: [H, W] in 0..1; values are clipped and NaN counts as 0.

    Returns:
        Colors, RGB uint8 [H, W, 3], and opacity, float32 [H, W, 1] in 0..OPACITY.
    """
    heat = np.clip(np.nan_to_num(map), 0, 1).astype(np.float32)
    bgr = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), np.float32(OPACITY) * heat[..., None]
