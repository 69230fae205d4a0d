"""Figures of an evaluation: confusion matrix, ROC, calibration, proportions, saliency curves and box plots."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from cxrjax.plotting import palette, style
from cxrjax.runtime.formatting import format_count

CURVES_WIDTH = 4.8  # inches; that of a phone, on which figures are legible without being reduced
BOX_PLOT_COLUMNS = 2  # panels per row of `draw_box_plots`

DASHED: dict[str, Any] = {"color": palette.PALE, "linewidth": 1, "linestyle": (0, (4, 3)), "zorder": 1}


class RocCurve(NamedTuple):
    """ROC and precision-recall curve of one class against the others; all values in 0..1."""

    name: str
    false_positive_rate: ArrayLike  # [g], rising
    sensitivity: ArrayLike  # [g], rising; also called recall
    precision: ArrayLike  # [g]
    prevalence: float  # precision at chance level
    num_radiographs: int  # whose truth is known
    num_positive: int  # of these
    areas: tuple[str, str]  # areas under the two curves, as text for the legends
    points: Sequence[tuple[float, float]] = ()  # (false positive rate, sensitivity) of operating points to be marked


class ReliabilityCurve(NamedTuple):
    """Bins of a reliability diagram."""

    name: str
    mean_confidence: ArrayLike  # [b] in 0..1
    accuracy: ArrayLike  # [b] in 0..1
    low: ArrayLike  # [b] in 0..1, lower bound of the accuracy
    high: ArrayLike  # [b] in 0..1, upper bound of the accuracy
    num_predictions: int  # in all bins


class CurveWithCI(NamedTuple):
    """Curve with a confidence interval at each point."""

    name: str
    x: Sequence[float]  # [g]
    y: ArrayLike  # [g] in 0..1
    low: ArrayLike  # [g] in 0..1
    high: ArrayLike  # [g] in 0..1


@matplotlib.rc_context(style.STYLE)
def draw_confusion(matrix: NDArray[np.integer], classes: Sequence[str], path: str | os.PathLike) -> None:
    """Draw a confusion matrix: radiographs per label (rows) and prediction (columns), with shares of the row.

    Args:
        matrix: [K, K], or [K, K + 1] with the radiographs without a prediction in the last column, which is drawn only
            if there are any.
        classes: the K class names.
        path: the PNG to write.
    """
    matrix = np.asarray(matrix)
    support = matrix.sum(1)
    predictions = [*classes, "no prediction"][: matrix.shape[1]]
    if len(predictions) > len(classes) and not matrix[:, -1].any():
        matrix = matrix[:, :-1]
        predictions = predictions[:-1]
    share = matrix / np.maximum(support, 1)[:, None]

    width = 1.05 * len(predictions) + 1.7
    height = 0.85 * len(classes) + 0.9
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.pcolormesh(share, cmap="Blues", vmin=0, vmax=1, edgecolor="white", linewidth=2)
    for (row, column), count in np.ndenumerate(matrix):
        color = "white" if share[row, column] > 0.55 else palette.INK if count else palette.PALE
        percent = "" if not count else "< 1%" if share[row, column] < 0.005 else f"{share[row, column]:.0%}"
        axes.text(column + 0.5, row + 0.5, str(count), va="bottom", size=12, ha="center", color=color)
        axes.text(column + 0.5, row + 0.56, percent, va="top", size=8, ha="center", color=color)
    axes.set_xticks(np.arange(len(predictions)) + 0.5, ["\n".join(palette.wrap(name, 13)) for name in predictions])
    axes.set_yticks(np.arange(len(classes)) + 0.5, [f"{c}\nn = {n}" for c, n in zip(classes, support, strict=True)])
    axes.set(xlabel="prediction", ylabel="label")
    axes.set_title(f"{format_count(int(matrix.sum()), 'radiograph')},\nnumber and share of the label")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    style.save(figure, path)


@matplotlib.rc_context(style.STYLE)
def draw_roc_curves(curves: Sequence[RocCurve], path: str | os.PathLike) -> None:
    """Draw the ROC curves of the classes; chance level is dashed, operating points are dots.

    Args:
        curves: one per class, at least one.
        path: the PNG or SVG to write.
    """
    figure, axes = _square_axes(curves)
    axes.plot([0, 1], [0, 1], **DASHED)
    for curve in curves:
        label = f"{curve.name}: {curve.areas[0]}, n = {curve.num_positive}"
        (line,) = axes.plot(curve.false_positive_rate, curve.sensitivity, linewidth=1.6, label=label)
        for x, y in curve.points:
            axes.plot(x, y, "o", color=line.get_color(), markersize=5, markeredgecolor=palette.PAPER)
    axes.set(xlabel="1 − specificity (0 to 1)", ylabel="sensitivity (0 to 1)")
    axes.set_title(f"ROC curves of {describe_sizes(curves)}")
    _frame_unit_square(axes, "area under the curve (95% interval), radiographs of the class")
    style.save(figure, path)


@matplotlib.rc_context(style.STYLE)
def draw_precision_recall(curves: Sequence[RocCurve], path: str | os.PathLike) -> None:
    """Draw the precision of the classes over their recall, in steps; the prevalence of each, chance level, is dashed.

    Args:
        curves: one per class, at least one.
        path: the PNG or SVG to write.
    """
    figure, axes = _square_axes(curves)
    for curve in curves:
        label = f"{curve.name}: {curve.areas[1]}, n = {curve.num_positive}"
        (line,) = axes.plot(curve.sensitivity, curve.precision, drawstyle="steps-pre", label=label, linewidth=1.6)
        axes.axhline(curve.prevalence, **DASHED | {"color": line.get_color(), "alpha": 0.5})
    axes.set(xlabel="recall (0 to 1)", ylabel="precision (0 to 1)")
    axes.set_title(f"Precision-recall curves of {describe_sizes(curves)}")
    _frame_unit_square(axes, "average precision (95% interval), radiographs of the class")
    style.save(figure, path)


def describe_sizes(curves: Sequence[RocCurve]) -> str:
    """Return the number of radiographs as text, "100 radiographs"; of several findings, "90 to 100 radiographs"."""
    sizes = sorted({curve.num_radiographs for curve in curves})
    largest = format_count(sizes[-1], "radiograph")
    return largest if len(sizes) == 1 else f"{sizes[0]} to {largest}"


def _square_axes(curves: Sequence[object]) -> tuple[Figure, Axes]:
    """Return a figure that is high enough for a legend below with a line for each curve, and its square axes."""
    figure = Figure(figsize=(CURVES_WIDTH, CURVES_WIDTH + 0.5 + 0.175 * len(curves)), layout="constrained")
    return figure, figure.subplots()


def _frame_unit_square(axes: Axes, legend_title: str) -> None:
    """Limit both axes to 0..1, and write the legend below, where no curve is."""
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    style.write_legend_below(axes, legend_title)


@matplotlib.rc_context(style.STYLE)
def draw_reliability(curves: Sequence[ReliabilityCurve], path: str | os.PathLike) -> None:
    """Draw a reliability diagram (Murphy & Winkler 1977): accuracy over confidence, ideally on the diagonal.

    Args:
        curves: at least one.
        path: the PNG or SVG to write.
    """
    figure, axes = _square_axes(curves)
    axes.plot([0, 1], [0, 1], **DASHED)
    for k, curve in enumerate(curves):
        accuracy = np.asarray(curve.accuracy)
        axes.errorbar(
            np.asarray(curve.mean_confidence),
            accuracy,
            np.abs([accuracy - curve.low, curve.high - accuracy]),
            label=f"{curve.name}, n = {curve.num_predictions}",
            marker=palette.MARKERS[k % len(palette.MARKERS)],
            markersize=5,
            linewidth=1.6,
            elinewidth=1,
        )
    axes.set(
        xlim=(0, 1.01),
        ylim=(0, 1.01),
        aspect="equal",
        title=f"Reliability of {format_count(curves[0].num_predictions, 'prediction')}",
    )
    axes.set(xlabel="probability of the prediction (mean of a bin, 0 to 1)", ylabel="accuracy (0 to 1, 95% interval)")
    axes.grid()
    style.write_legend_below(axes, "ECE: expected calibration error (95% interval); dashed: ideal")
    style.save(figure, path)


@matplotlib.rc_context(style.STYLE)
def draw_proportions(
    curves: Sequence[CurveWithCI],
    title: str,
    labels: tuple[str, str],
    path: str | os.PathLike,
    logarithmic: bool = False,
) -> None:
    """Draw proportions over a parameter, each curve with its interval as a band; the vertical axis ends at 1.

    Args:
        curves: at least one.
        title: title of the figure, with the number of radiographs.
        labels: of the horizontal and of the vertical axis.
        path: the PNG or SVG to write.
        logarithmic: whether the horizontal axis is logarithmic; its ticks are then the x values of the first curve.
    """
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    axes = figure.subplots()
    for k, curve in enumerate(curves):
        marker = palette.MARKERS[k % len(palette.MARKERS)]
        (line,) = axes.plot(curve.x, curve.y, marker=marker, markersize=4, linewidth=1.8, label=curve.name)
        axes.fill_between(curve.x, curve.low, curve.high, color=line.get_color(), alpha=0.15, linewidth=0)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xticks(curves[0].x, [f"{x:g}" for x in curves[0].x])
        axes.minorticks_off()
    bottom = min(float(np.min(curve.low)) for curve in curves)
    axes.set(xlabel=labels[0], ylabel=labels[1], ylim=(max(0.0, bottom - 0.05), 1.01))
    axes.set_title(title)
    axes.grid()
    style.write_legend_below(axes, "bands: 95% intervals")
    style.save(figure, path)


@matplotlib.rc_context(style.STYLE)
def draw_faithfulness(curves: Mapping[str, Any], num_maps: int, path: str | os.PathLike) -> None:
    """Draw the deletion and, below it, the insertion curve of saliency maps, each with that of a random order.

    Args:
        curves: "fractions" [steps + 1] of the pixels; and for each of "deletion", "deletion_control", "insertion" and
            "insertion_control" the "value" (probability of the predicted class), "low" and "high" (None if unknown).
        num_maps: radiographs with a map, of which the curves are means.
        path: the PNG or SVG to write.
    """
    figure = Figure(figsize=(4.8, 6.4), layout="constrained")
    panels = figure.subplots(2, 1)
    shares = np.array(curves["fractions"])
    for axes, (name, verb) in zip(panels, (("deletion", "deleted"), ("insertion", "inserted")), strict=True):
        areas = []
        for key, label, color, line in (
            (name, "the map's hottest first", palette.BLUE, "-"),
            (f"{name}_control", "a random order", palette.ORANGE, "--"),
        ):
            value = np.array(curves[key]["value"], np.float64)
            low = np.array(curves[key]["low"], np.float64)
            high = np.array(curves[key]["high"], np.float64)
            axes.plot(shares, value, line, color=color, linewidth=1.8, label=label)
            axes.fill_between(shares, low, high, color=color, alpha=0.18, linewidth=0)
            areas.append(np.trapezoid(value, shares))
        axes.set_title(f"{name}: area {areas[0]:.2f}; in a random order {areas[1]:.2f}")
        axes.set(xlabel=f"share of the pixels {verb} (0 to 1)", xlim=(0, 1), ylim=(0, 1))
        axes.grid(axis="y")
        axes.set_ylabel("probability of the prediction (0 to 1)")
    figure.suptitle(
        f"Saliency maps of {format_count(num_maps, 'radiograph')}, means and 95% intervals", size=10, x=0.02, ha="left"
    )
    style.write_legend_below(panels[1])
    style.save(figure, path)


@matplotlib.rc_context(style.STYLE)
def draw_box_plots(panels: Mapping[str, Mapping[str, ArrayLike]], title: str, path: str | os.PathLike) -> None:
    """Draw one panel per measure with one box per class, and every value as a dot.

    A box spans the quartiles; its whiskers reach to 1.5 times their distance.

    Args:
        panels: name of a measure with its unit -> class -> its values, at least one.
        title: of the figure, which says what a value is of.
        path: the PNG or SVG to write.

    Raises:
        ValueError: there are no panels.
    """
    if not panels:
        raise ValueError(f"{path}: there is nothing to draw")
    max_classes = max(len(classes) for classes in panels.values())
    rows = -(-len(panels) // BOX_PLOT_COLUMNS)
    width = BOX_PLOT_COLUMNS * max(2.6, 0.72 * max_classes + 0.6)
    figure = Figure(figsize=(width, 2.9 * rows + 0.25), layout="constrained")
    grid = figure.subplots(rows, BOX_PLOT_COLUMNS, squeeze=False).ravel()
    for axes, (measure, classes) in zip(grid, panels.items(), strict=False):
        samples = [np.asarray(values, np.float64) for values in classes.values()]
        median_style = {"color": palette.INK, "linewidth": 1.4}
        boxes = axes.boxplot(samples, widths=0.55, showfliers=False, patch_artist=True, medianprops=median_style)
        for box in boxes["boxes"]:
            box.set(facecolor=palette.SKY, edgecolor=palette.FAINT, alpha=0.55)
        jitter = np.random.default_rng(0)
        for k, values in enumerate(samples, start=1):
            x = k + jitter.uniform(-0.18, 0.18, len(values))
            axes.plot(x, values, ".", color=palette.BLUE, markersize=4, alpha=0.6, markeredgewidth=0)
        names = []
        for name, values in zip(classes, samples, strict=True):
            names.append("\n".join([*palette.wrap(name, 12), f"n = {len(values)}"]))
        axes.set_xticks(range(1, len(names) + 1), names, size=6.5)
        axes.set_title("\n".join(palette.wrap(measure, 34)), size=8.5)
        axes.tick_params(axis="y", labelsize=7)
        axes.grid(axis="y")
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    figure.suptitle(title, size=9, x=0.02, ha="left")
    style.save(figure, path)
