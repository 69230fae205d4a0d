"""Pictures for people: scores, learning curves, radiographs with lungs and maps drawn on them. Written whole."""

from cxrjax.figures.audit import draw_audit
from cxrjax.figures.box_plots import draw_box_plots
from cxrjax.figures.confusion import draw_confusion
from cxrjax.figures.curves import draw_learning_curves, draw_rates
from cxrjax.figures.faithfulness import draw_faithfulness
from cxrjax.figures.radiographs import draw_finding, draw_sheet, overlay, tint
from cxrjax.figures.ranking import Ranked, draw_ranking
from cxrjax.figures.reliability import Calibrated, draw_reliability
from cxrjax.figures.shares import Band, draw_shares
from cxrjax.figures.style import RIGHT, WRONG

__all__ = [
    "Band",
    "Calibrated",
    "RIGHT",
    "Ranked",
    "WRONG",
    "draw_audit",
    "draw_box_plots",
    "draw_confusion",
    "draw_faithfulness",
    "draw_finding",
    "draw_learning_curves",
    "draw_ranking",
    "draw_rates",
    "draw_reliability",
    "draw_shares",
    "draw_sheet",
    "overlay",
    "tint",
]
