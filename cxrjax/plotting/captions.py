"""Text in the pixels of an image."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxrjax.plotting import palette
from cxrjax.plotting.fonts import load_font

_HEIGHT = 1 / 40  # of a line of text, in parts of the shorter side of the image
_COLOR = (255, 209, 64)


def burn_in(image: NDArray[np.uint8], lines: Sequence[str]) -> NDArray[np.uint8]:
    """Write lines of text at the lower left of an image, in bright letters with a black outline.

    Args:
        image: RGB uint8 [H, W, 3].
        lines: the text. A line that is wider than the image is written in smaller letters.

    Returns:
        A copy with the text.
    """
    height, width = image.shape[:2]
    line_height = max(1, round(min(height, width) * _HEIGHT))
    sheet = Image.fromarray(image)
    draw = ImageDraw.Draw(sheet)
    bottom = height - line_height // 2
    for line in reversed(lines):
        points = line_height * 72 / palette.DOTS_PER_INCH
        length = load_font(points, is_bold=True).getlength(line)
        font = load_font(points * min(1, (width - line_height) / max(length, 1)), is_bold=True)
        stroke = max(1, line_height // 8)
        draw.text((line_height // 2, bottom), line, _COLOR, font, "ld", stroke_width=stroke, stroke_fill="black")
        bottom -= round(line_height * 1.4)
    return np.array(sheet)
