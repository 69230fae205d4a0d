"""Style of all figures, and functions to wrap their texts and save them.

The colors follow Okabe and Ito (Color Universal Design, 2008), so that color-blind readers can distinguish them; those
of captions are darkened to be readable as text. Saliency maps are in inferno, which is perceptually uniform.
"""

import io
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from numpy.typing import NDArray

from cxrjax.runtime import atomic_files

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # older versions of Matplotlib lack it

BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#007A5A"
RED = "#C84A00"
PURPLE = "#A8518A"
SKY = "#56B4E9"
INK = "#222222"
FAINT = "#6B6B6B"
PALE = "#A8A8A8"
RIGHT = GREEN  # captions of correct predictions
WRONG = RED  # captions of wrong predictions
MARKERS = "os^D"  # of the curves of a figure, in turn
DOTS_PER_INCH = 150
STYLE: "dict[RcKeyType, Any]" = {
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
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY]),
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text, for screen readers and searches
    "svg.hashsalt": "cxrjax",  # equal figures give equal files
}


def wrap(text: str, width: int) -> list[str]:
    """Wrap a text into lines of at most `width` characters; at least one line is returned."""
    return [part for line in text.splitlines() for part in textwrap.wrap(line, width) or [""]] or [""]


def save(figure: Figure, path: str | os.PathLike, images: Sequence[tuple[int, int, NDArray[np.uint8]]] = ()) -> None:
    """Write a figure atomically, as PNG or SVG according to the suffix of the file.

    Args:
        figure: the figure.
        path: the file, ending in .png or .svg.
        images: (left, top, RGB uint8 [h, w, 3]), in dots, copied unchanged onto the figure of a PNG. Matplotlib would
            resample and blend them, which takes longer than drawing everything else.
    """
    if Path(path).suffix == ".svg":
        svg = io.BytesIO()
        figure.savefig(svg, format="svg", facecolor="white", metadata={"Date": None})
        atomic_files.atomic_write(path, svg.getvalue())
        return
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    bgr = cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)
    for left, top, rgb in images:
        bgr[top : top + rgb.shape[0], left : left + rgb.shape[1]] = rgb[..., ::-1]
    png = cv2.imencode(".png", bgr)[1].tobytes()  # several times as fast as Matplotlib's encoder
    atomic_files.atomic_write(path, png)
