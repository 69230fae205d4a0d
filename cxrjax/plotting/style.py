"""How every figure looks, and how it is saved.

Colours follow Okabe and Ito (Color Universal Design, 2008), so that colour-blind readers tell them apart; those of
captions are darkened to be read as text. Maps are in inferno, which is even to the eye.
"""

import io
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxrjax.runtime import atomic_files

BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#007A5A", "#C84A00", "#A8518A", "#56B4E9"
RIGHT, WRONG, INK, FAINT, PALE = GREEN, RED, "#222222", "#6B6B6B", "#A8A8A8"
DOTS_PER_INCH = 150
STYLE = {
    "figure.dpi": DOTS_PER_INCH,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a file name may hold dollar signs
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": PALE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": matplotlib.cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY]),
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text, for screen readers and searches
    "svg.hashsalt": "cxrjax",  # equal figures are equal files
}


def wrap(text: str, width: int) -> list[str]:
    """The lines of a text, none longer than `width` characters; at least one."""
    return [part for line in text.splitlines() for part in textwrap.wrap(line, width) or [""]] or [""]


def save(figure: Figure, path: str | os.PathLike, pictures: Sequence[tuple[int, int, NDArray[np.uint8]]] = ()) -> None:
    """Writes a figure as what the file's name ends in, .png or .svg; the file appears whole.

    Args:
        figure: what Matplotlib draws.
        path: of the file.
        pictures: of a PNG: (left, top, RGB uint8 [h, w, 3]) in dots, laid over the figure as they are; Matplotlib would
            resample and blend them, which takes longer than all that it draws.
    """
    if Path(path).suffix == ".svg":
        words = io.BytesIO()
        figure.savefig(words, format="svg", facecolor="white", metadata={"Date": None})
        atomic_files.atomic_write(path, words.getvalue())
        return
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    dots = cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)
    for left, top, rgb in pictures:
        dots[top : top + rgb.shape[0], left : left + rgb.shape[1]] = rgb[..., ::-1]
    atomic_files.atomic_write(
        path, cv2.imencode(".png", dots)[1].tobytes()
    )  # several times as fast as Matplotlib's own
