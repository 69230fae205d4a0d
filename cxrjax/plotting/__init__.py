"""Figures: radiographs with lungs and saliency maps, scores, learning curves. Files are written atomically."""

from cxrjax.plotting.audit import draw_audit
from cxrjax.plotting.evaluation import (
    CurveWithCI,
    ReliabilityCurve,
    RocCurve,
    draw_box_plots,
    draw_confusion,
    draw_faithfulness,
    draw_proportions,
    draw_reliability,
    draw_roc_curves,
)
from cxrjax.plotting.prediction_figure import encode_figure, encode_overlay
from cxrjax.plotting.radiographs import colorize, draw_sheet, overlay
from cxrjax.plotting.style import RIGHT, WRONG
from cxrjax.plotting.training import draw_learning_curves, draw_lr_curve

__all__ = [
    "CurveWithCI",
    "RIGHT",
    "ReliabilityCurve",
    "RocCurve",
    "WRONG",
    "colorize",
    "draw_audit",
    "draw_box_plots",
    "draw_confusion",
    "draw_faithfulness",
    "draw_learning_curves",
    "draw_lr_curve",
    "draw_proportions",
    "draw_reliability",
    "draw_roc_curves",
    "draw_sheet",
    "encode_figure",
    "encode_overlay",
    "overlay",
]
