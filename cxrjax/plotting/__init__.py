"""Pictures for people: scores, learning curves, radiographs with lungs and maps drawn on them. Written whole."""

from cxrjax.plotting.audit import draw_audit
from cxrjax.plotting.box_plots import draw_box_plots
from cxrjax.plotting.confusion import draw_confusion
from cxrjax.plotting.curves import draw_learning_curves, draw_rates
from cxrjax.plotting.faithfulness import draw_faithfulness
from cxrjax.plotting.radiographs import draw_finding, draw_sheet, overlay, tint
from cxrjax.plotting.ranking import Ranked, draw_ranking
from cxrjax.plotting.reliability import Calibrated, draw_reliability
from cxrjax.plotting.shares import Band, draw_shares
from cxrjax.plotting.style import RIGHT, WRONG

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
