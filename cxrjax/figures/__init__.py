"""Pictures for people: scores, learning curves, radiographs with lungs and maps drawn on them. Written whole."""

from cxrjax.figures.box_plots import draw_box_plots
from cxrjax.figures.confusion import draw_confusion
from cxrjax.figures.curves import draw_learning_curves, draw_rates
from cxrjax.figures.radiographs import draw_finding, draw_sheet, overlay
from cxrjax.figures.style import RIGHT, WRONG

__all__ = [
    "RIGHT",
    "WRONG",
    "draw_box_plots",
    "draw_confusion",
    "draw_finding",
    "draw_learning_curves",
    "draw_rates",
    "draw_sheet",
    "overlay",
]
