"""Figures: radiographs with lungs and saliency maps, scores, learning curves. Files are written atomically.

The modules are imported when they are used, since predictions need OpenCV alone and Matplotlib takes long to import.
"""

from typing import TYPE_CHECKING

from cxrjax.runtime.lazy_imports import lazy_imports as _lazy_imports

if TYPE_CHECKING:  # the same names for type checkers
    from cxrjax.plotting.audit import draw_audit as draw_audit
    from cxrjax.plotting.captions import burn_in as burn_in
    from cxrjax.plotting.evaluation import CurveWithCI as CurveWithCI
    from cxrjax.plotting.evaluation import ReliabilityCurve as ReliabilityCurve
    from cxrjax.plotting.evaluation import RocCurve as RocCurve
    from cxrjax.plotting.evaluation import draw_box_plots as draw_box_plots
    from cxrjax.plotting.evaluation import draw_confusion as draw_confusion
    from cxrjax.plotting.evaluation import draw_faithfulness as draw_faithfulness
    from cxrjax.plotting.evaluation import draw_precision_recall as draw_precision_recall
    from cxrjax.plotting.evaluation import draw_proportions as draw_proportions
    from cxrjax.plotting.evaluation import draw_reliability as draw_reliability
    from cxrjax.plotting.evaluation import draw_roc_curves as draw_roc_curves
    from cxrjax.plotting.findings import draw_precision_panels as draw_precision_panels
    from cxrjax.plotting.findings import draw_reliability_panels as draw_reliability_panels
    from cxrjax.plotting.findings import draw_roc_panels as draw_roc_panels
    from cxrjax.plotting.layers import color_layer as color_layer
    from cxrjax.plotting.layers import encode_color_scale as encode_color_scale
    from cxrjax.plotting.layers import encode_map_layer as encode_map_layer
    from cxrjax.plotting.layers import encode_radiograph as encode_radiograph
    from cxrjax.plotting.layers import outline_path as outline_path
    from cxrjax.plotting.palette import RIGHT as RIGHT
    from cxrjax.plotting.palette import WRONG as WRONG
    from cxrjax.plotting.prediction_figure import draw_overlay as draw_overlay
    from cxrjax.plotting.prediction_figure import encode_figure as encode_figure
    from cxrjax.plotting.prediction_figure import encode_overlay as encode_overlay
    from cxrjax.plotting.preview import draw_preview as draw_preview
    from cxrjax.plotting.radiographs import OPACITY as OPACITY
    from cxrjax.plotting.radiographs import SCALE_NOTE as SCALE_NOTE
    from cxrjax.plotting.radiographs import overlay as overlay
    from cxrjax.plotting.sheet import draw_sheet as draw_sheet
    from cxrjax.plotting.training import draw_learning_curves as draw_learning_curves
    from cxrjax.plotting.training import draw_lr_curve as draw_lr_curve

__getattr__, __dir__, __all__ = _lazy_imports(
    __name__,
    {
        "CurveWithCI": "cxrjax.plotting.evaluation:CurveWithCI",
        "OPACITY": "cxrjax.plotting.radiographs:OPACITY",
        "SCALE_NOTE": "cxrjax.plotting.radiographs:SCALE_NOTE",
        "RIGHT": "cxrjax.plotting.palette:RIGHT",
        "ReliabilityCurve": "cxrjax.plotting.evaluation:ReliabilityCurve",
        "RocCurve": "cxrjax.plotting.evaluation:RocCurve",
        "WRONG": "cxrjax.plotting.palette:WRONG",
        "burn_in": "cxrjax.plotting.captions:burn_in",
        "color_layer": "cxrjax.plotting.layers:color_layer",
        "draw_audit": "cxrjax.plotting.audit:draw_audit",
        "draw_box_plots": "cxrjax.plotting.evaluation:draw_box_plots",
        "draw_confusion": "cxrjax.plotting.evaluation:draw_confusion",
        "draw_faithfulness": "cxrjax.plotting.evaluation:draw_faithfulness",
        "draw_learning_curves": "cxrjax.plotting.training:draw_learning_curves",
        "draw_lr_curve": "cxrjax.plotting.training:draw_lr_curve",
        "draw_overlay": "cxrjax.plotting.prediction_figure:draw_overlay",
        "draw_precision_panels": "cxrjax.plotting.findings:draw_precision_panels",
        "draw_precision_recall": "cxrjax.plotting.evaluation:draw_precision_recall",
        "draw_preview": "cxrjax.plotting.preview:draw_preview",
        "draw_proportions": "cxrjax.plotting.evaluation:draw_proportions",
        "draw_reliability": "cxrjax.plotting.evaluation:draw_reliability",
        "draw_reliability_panels": "cxrjax.plotting.findings:draw_reliability_panels",
        "draw_roc_curves": "cxrjax.plotting.evaluation:draw_roc_curves",
        "draw_roc_panels": "cxrjax.plotting.findings:draw_roc_panels",
        "draw_sheet": "cxrjax.plotting.sheet:draw_sheet",
        "encode_color_scale": "cxrjax.plotting.layers:encode_color_scale",
        "encode_figure": "cxrjax.plotting.prediction_figure:encode_figure",
        "encode_map_layer": "cxrjax.plotting.layers:encode_map_layer",
        "encode_overlay": "cxrjax.plotting.prediction_figure:encode_overlay",
        "encode_radiograph": "cxrjax.plotting.layers:encode_radiograph",
        "outline_path": "cxrjax.plotting.layers:outline_path",
        "overlay": "cxrjax.plotting.radiographs:overlay",
    },
)
