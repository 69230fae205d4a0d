"""Pictures for people: scores, learning curves, radiographs with lungs and maps drawn on them. Written whole."""

from cxrjax.plotting.audit import draw_audit
from cxrjax.plotting.box_plots import draw_box_plots
from cxrjax.plotting.confusion import draw_confusion
from cxrjax.plotting.curves import draw_learning_curves, draw_lr_curve
from cxrjax.plotting.faithfulness import draw_faithfulness
from cxrjax.plotting.radiographs import draw_prediction, draw_sheet, overlay, tint
from cxrjax.plotting.ranking import RocCurve, draw_roc_curves
from cxrjax.plotting.reliability import ReliabilityCurve, draw_reliability
from cxrjax.plotting.shares import CurveWithCI, draw_shares
from cxrjax.plotting.style import RIGHT, WRONG

__all__ = [
    "CurveWithCI",
    "ReliabilityCurve",
    "RIGHT",
    "RocCurve",
    "WRONG",
    "draw_audit",
    "draw_box_plots",
    "draw_confusion",
    "draw_faithfulness",
    "draw_prediction",
    "draw_learning_curves",
    "draw_roc_curves",
    "draw_lr_curve",
    "draw_reliability",
    "draw_shares",
    "draw_sheet",
    "overlay",
    "tint",
]
