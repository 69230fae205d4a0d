"""Matplotlib's style of all figures, and a function to save them."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from cxrjax.plotting import palette
from cxrjax.runtime import atomic_files

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # older versions of Matplotlib lack it

STYLE: "dict[RcKeyType, Any]" = {
    "figure.dpi": palette.DOTS_PER_INCH,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": palette.INK,
    "text.parse_math": False,  # a file name may hold dollar signs
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": palette.PALE,
    "axes.labelcolor": palette.INK,
    "xtick.color": palette.INK,
    "ytick.color": palette.INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(
        color=[palette.BLUE, palette.ORANGE, palette.GREEN, palette.RED, palette.PURPLE, palette.SKY]
    ),
    "grid.color": palette.GRID,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text, for screen readers and searches
    "axes.facecolor": "none",
    "svg.hashsalt": "cxrjax",  # equal figures give equal files
}


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
        figure.savefig(svg, format="svg", facecolor="none", metadata={"Date": None})
        atomic_files.atomic_write(path, _add_dark_colors(svg.getvalue().decode()).encode())
        return
    figure.set_facecolor("white")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    bgr = cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)
    for left, top, rgb in images:
        bgr[top : top + rgb.shape[0], left : left + rgb.shape[1]] = rgb[..., ::-1]
    png = cv2.imencode(".png", bgr)[1].tobytes()  # several times as fast as Matplotlib's encoder
    atomic_files.atomic_write(path, png)


def write_legend_below(axes: Axes, title: str = "", gap: float = 0.5, columns: int = 1) -> None:
    """Write the legend below the axes, where no curve is.

    Args:
        axes: with labeled curves.
        title: explains the entries; "" for none.
        gap: inches between the axes and the legend, for ticks and label of the horizontal axis.
        columns: of entries.
    """
    below = ScaledTranslation(0, -gap, axes.figure.dpi_scale_trans)
    legend = axes.legend(
        loc="upper left",
        bbox_to_anchor=(-0.02, 0),
        bbox_transform=axes.transAxes + below,
        borderaxespad=0,
        fontsize=8,
        ncols=columns,
        title=title,
        title_fontsize=8,
        alignment="left",
    )
    legend.get_title().set_color(palette.FAINT)


def _add_dark_colors(svg: str) -> str:
    """Return an SVG with a style sheet that replaces its colors by those of a dark page, where a reader prefers one.

    The colors in the elements are those of a light page, which programs without support for style sheets show.
    """
    rules = "".join(
        f'[style*="{name}: {color}" i]{{{name}:{dark} !important}}'
        for color, dark in palette.DARK.items()
        for name in ("fill", "stroke")
        if color.lower() in svg.lower()
    )
    sheet = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    position = svg.index(">", svg.index("<svg")) + 1
    return f"{svg[:position]}{sheet}{svg[position:]}"
