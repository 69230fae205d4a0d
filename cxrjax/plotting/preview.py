"""Small image of one radiograph with outlines and a caption, drawn with OpenCV and Pillow to follow a training."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxrjax.plotting.fonts import load_font

# Layout in dots.
SIDE = 320  # of the radiograph
LINE = 20  # height of a line of the caption
_MARGIN = 6
_FRACTION_BITS = 4  # of the coordinates of outlines


def draw_preview(
    image: NDArray[np.uint8],
    outlines: Sequence[tuple[NDArray[np.bool_], tuple[int, int, int]]],
    caption: Sequence[Sequence[tuple[str, str]]],
) -> NDArray[np.uint8]:
    """Draw a radiograph with the outlines of masks, and a caption below it on black.

    Args:
        image: standardized radiograph uint8 [S, S].
        outlines: (mask bool [S, S], color as RGB in 0..255); later ones are drawn over earlier ones.
        caption: lines of (text, color) that follow one another; what does not fit into the width is cut off.

    Returns:
        RGB uint8 [SIDE + LINE * number of lines + 2 * margin, SIDE, 3].
    """
    scale = SIDE / len(image)
    resized = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    rgb = np.asarray(cv2.cvtColor(resized, cv2.COLOR_GRAY2RGB), np.uint8)
    for mask, color in outlines:
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            points = (contour[:, 0] + 0.5) * scale - 0.5
            fixed = np.rint(points * 2**_FRACTION_BITS).astype(np.int32)
            cv2.polylines(rgb, [fixed], True, color, 1, cv2.LINE_AA, _FRACTION_BITS)
    preview = Image.new("RGB", (SIDE, SIDE + LINE * len(caption) + 2 * _MARGIN), "black")
    preview.paste(Image.fromarray(rgb), (0, 0))
    draw = ImageDraw.Draw(preview)
    font = load_font(6.5)
    y = SIDE + _MARGIN + LINE / 2
    for segments in caption:
        x = float(_MARGIN)
        for text, color in segments:
            draw.text((x, y), text, color, font, "lm")
            x += font.getlength(text)
        y += LINE
    return np.asarray(preview)
