"""Figure and overlay of one prediction as PNG, drawn with OpenCV and Pillow: functions of arrays, which threads share.

Matplotlib takes ten times as long for the same figure, more than the networks take for the radiograph on a GPU.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cxrjax.io.crop import Frame
from cxrjax.plotting import palette
from cxrjax.plotting.fonts import load_font
from cxrjax.plotting.radiographs import CONTOUR, FOOT, SCALE_NOTE, overlay
from cxrjax.runtime.formatting import format_label

# Layout in dots.
WIDTH = 1200  # without a map
MAP_WIDTH = 1600  # with one
MARGIN = 45
IMAGE_WIDTH = 480  # of a radiograph that is not taller than IMAGE_HEIGHT at this width
IMAGE_HEIGHT = 640
IMAGE_GAP = 15
COLOR_BAR_WIDTH = 13
TITLE_LINE = 36
HEAD = 75  # above the images, beside the lines of the title
FOOT_HEIGHT = 52
BAR_HEIGHT = 21
CLASS_HEIGHT = 63  # of the two bars of a class
AXIS_LEFT = 225  # at least, where the bars begin
AXIS_RIGHT = 975
_LABEL_GAP = 10
_PNG = (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP)  # two thirds of the bytes of the default filter
_FRACTION_BITS = 4  # of the coordinates of contours


def encode_figure(
    image: NDArray[np.uint8],
    lungs: NDArray[np.bool_] | None,
    map: NDArray[np.floating] | None,
    frame: Frame,
    *,
    title_lines: Sequence[str],
    probabilities: Sequence[float] | None,
    votes: Sequence[int] | None,
    classes: Sequence[str],
    map_heading: str = "saliency map",
    num_patches: int | None = None,
    thresholds: Sequence[float] = (),
) -> bytes:
    """Draw a radiograph plain, with its lung contour and with its saliency map, and below the votes of its patches.

    Args:
        image: standardized radiograph uint8 [S, S]; it is drawn in the proportions of its file.
        lungs: lung mask bool [S, S], empty if no lungs were found; None if the radiograph was not segmented.
        map: saliency map [S, S] in 0..1, or None.
        frame: of the square in its file.
        title_lines: the first is printed large, the others below it.
        probabilities: [K] mean class probabilities over the patches; None or NaN if there were no patches.
        votes: [K] patches that voted for each class, or None.
        classes: the K class names; () of a run that trained a segmenter.
        map_heading: printed above the saliency map.
        num_patches: that voted yes or no on each finding; None if each voted for one class.
        thresholds: [K] probabilities from which on findings are predicted; () if each patch voted for one class.

    Returns:
        A PNG, WIDTH pixels wide, MAP_WIDTH with a map.
    """
    total = 0 if votes is None else sum(votes) if num_patches is None else num_patches
    if not total:
        votes = None
    title, *subtitles = title_lines
    lines = [(line, load_font(13, is_bold=True), palette.INK) for line in palette.wrap(title, 58)]
    for subtitle in subtitles:
        lines += [(line, load_font(9.5), palette.FAINT) for line in palette.wrap(subtitle, 92)]
    panels = _draw_panels(image, lungs, map, frame, map_heading)
    image_height = len(panels[0][1])
    top = HEAD + TITLE_LINE * len(lines)
    bottom = top + image_height
    height = bottom + (112 + CLASS_HEIGHT * len(classes) if votes is not None else 67) + FOOT_HEIGHT

    width = WIDTH if map is None else MAP_WIDTH
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for k, (line, font, color) in enumerate(lines):
        draw.text((MARGIN, 60 + TITLE_LINE * k), line, color, font, "ls")
    left = MARGIN
    for heading, rgb in panels:
        sheet.paste(Image.fromarray(rgb), (left, top))
        draw.text((left, top - 8), heading, palette.FAINT, load_font(9), "ls")
        left += rgb.shape[1] + IMAGE_GAP
    if map is not None:
        _draw_color_bar(sheet, draw, left, top, image_height)
    if votes is not None:
        _draw_votes(draw, bottom + 60, probabilities, votes, classes, total, thresholds)
    elif classes:
        draw.text((MARGIN, bottom + 45), "No patch was voted on.", palette.INK, load_font(9), "ls")
    draw.text((width - MARGIN, height - 21), FOOT, palette.FAINT, load_font(7), "rs")
    return _encode_rgb(np.asarray(sheet))


def encode_overlay(
    image: NDArray[np.uint8], lungs: NDArray[np.bool_] | None, map: NDArray[np.floating] | None, frame: Frame
) -> bytes:
    """Draw the saliency map and the lung contour over a radiograph, at the size of its file.

    Args:
        image: standardized radiograph uint8 [S, S].
        lungs: lung mask bool [S, S], or None.
        map: saliency map [S, S] in 0..1, or None.
        frame: of the square in its file.

    Returns:
        A PNG of frame.height x frame.width pixels; cropped borders are black.
    """
    return _encode_rgb(draw_overlay(image, lungs, map, frame))


def draw_overlay(
    image: NDArray[np.uint8], lungs: NDArray[np.bool_] | None, map: NDArray[np.floating] | None, frame: Frame
) -> NDArray[np.uint8]:
    """Return the overlay that `encode_overlay` encodes: RGB uint8 [frame.height, frame.width, 3]."""
    smooth = None if lungs is None else frame.restore(lungs.astype(np.float32)) > 0.5
    restored = None if map is None else frame.restore(map)
    return overlay(_restore_levels(image, frame), smooth, restored)


def _restore_levels(image: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    """Map gray levels over the square to a frame: uint8 [height, width]."""
    return np.rint(frame.restore(image.astype(np.float32))).astype(np.uint8)


def _draw_panels(
    image: NDArray[np.uint8],
    lungs: NDArray[np.bool_] | None,
    map: NDArray[np.floating] | None,
    frame: Frame,
    map_heading: str,
) -> list[tuple[str, NDArray[np.uint8]]]:
    """Return the headings and the RGB images of a figure: one to three, of equal size."""
    reduction = min(IMAGE_WIDTH / frame.width, IMAGE_HEIGHT / frame.height)
    panel = frame.resize(max(1, round(frame.height * reduction)), max(1, round(frame.width * reduction)))
    levels = _restore_levels(image, panel)
    plain = overlay(levels, None, None)
    panels = [("radiograph", plain)]
    if lungs is not None:
        outlined = plain.copy()
        _draw_contour(outlined, lungs, panel)
        panels.append(("lungs" if lungs.any() else "no lungs found", outlined))
    if map is not None:
        panels.append((map_heading, overlay(levels, None, panel.restore(map))))
    return panels


def _draw_contour(rgb: NDArray[np.uint8], lungs: NDArray[np.bool_], frame: Frame) -> None:
    """Draw the outline of a lung mask [S, S] on an image of a frame, smoothed along its edges."""
    outlines, _ = cv2.findContours(lungs.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    for outline in outlines:
        points = frame.locate(outline[:, 0, ::-1], len(lungs))[:, ::-1]
        fixed = np.rint(points * 2**_FRACTION_BITS).astype(np.int32)
        cv2.polylines(rgb, [fixed], True, CONTOUR, 2, cv2.LINE_AA, _FRACTION_BITS)


def _draw_color_bar(sheet: Image.Image, draw: ImageDraw.ImageDraw, left: int, top: int, height: int) -> None:
    """Draw the colors of a saliency map, on a medium gray, with ticks at 0, 0.5 and 1."""
    ramp = np.repeat(np.linspace(1, 0, height)[:, None], COLOR_BAR_WIDTH, axis=1)
    sheet.paste(Image.fromarray(overlay(np.full(ramp.shape, 128, np.uint8), None, ramp)), (left, top))
    right = left + COLOR_BAR_WIDTH
    for level in (0, 0.5, 1):
        y = top + round((1 - level) * (height - 1))
        draw.line((right, y, right + 6, y), palette.INK, 2)
        draw.text((right + 13, y), f"{level:g}", palette.INK, load_font(7), "lm")
    right_edge = MAP_WIDTH - MARGIN
    draw.text((right_edge, top + height + 20), f"color bar: {SCALE_NOTE}", palette.FAINT, load_font(7), "rm")


def _draw_votes(
    draw: ImageDraw.ImageDraw,
    top: int,
    probabilities: Sequence[float] | None,
    votes: Sequence[int],
    classes: Sequence[str],
    total: int,
    thresholds: Sequence[float],
) -> None:
    """Draw two bars per class: its share of the `total` votes and its mean probability, with a tick at a threshold."""
    counts = [f"{count} of {total}" for count in votes]
    groups: list[tuple] = [(palette.BLUE, "votes", [count / total for count in votes], counts, ())]
    if probabilities is not None and np.isfinite(probabilities).all():
        texts = [f"{probability:.2f}" for probability in probabilities]
        if thresholds:
            pairs = zip(texts, thresholds, strict=True)
            texts = [f"{text}, predicted from {threshold:.2f} on" for text, threshold in pairs]
        groups.append((palette.ORANGE, "mean probability", list(probabilities), texts, thresholds))
    font = load_font(9)
    small = load_font(7.5)
    names = [_shorten(format_label(name), font, 380) for name in classes]
    left = max(AXIS_LEFT, MARGIN + _LABEL_GAP + round(max(font.getlength(name) for name in names)))
    bottom = top + CLASS_HEIGHT * len(classes)
    for level in (0.5, 1):
        x = left + round(level * (AXIS_RIGHT - left))
        draw.line((x, top, x, bottom), "#E6E6E6", 2)
    key = left
    for color, label, *_ in groups:
        draw.rectangle((key, top - 25, key + 22, top - 12), color)
        draw.text((key + 32, top - 18), label, palette.INK, font, "lm")
        key += 64 + round(font.getlength(label))
    for k, name in enumerate(names):
        middle = top + CLASS_HEIGHT * k + CLASS_HEIGHT // 2
        draw.text((left - _LABEL_GAP, middle), name, palette.INK, font, "rm")
        y = middle - (BAR_HEIGHT * len(groups) + len(groups) - 1) // 2
        for color, _, shares, texts, ticks in groups:
            end = left + round(shares[k] * (AXIS_RIGHT - left))
            if end > left:
                draw.rectangle((left, y, end - 1, y + BAR_HEIGHT - 1), color)
            if ticks:
                x = left + round(ticks[k] * (AXIS_RIGHT - left))
                draw.line((x, y - 3, x, y + BAR_HEIGHT + 3), palette.INK, 3)
                end = max(end, x)
            draw.text((end + 7, y + BAR_HEIGHT // 2), texts[k], palette.FAINT, small, "lm")
            y += BAR_HEIGHT + 1
    draw.rectangle((left - 2, top, left - 1, bottom + 1), palette.PALE)
    draw.rectangle((left, bottom, AXIS_RIGHT, bottom + 1), palette.PALE)
    for level in (0, 0.5, 1):
        x = left + round(level * (AXIS_RIGHT - left))
        draw.text((x, bottom + 9), f"{level:g}", palette.INK, font, "mt")


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Cut a text off at a width in dots, with an ellipsis."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _encode_rgb(rgb: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), _PNG)[1].tobytes()
