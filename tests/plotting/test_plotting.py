"""Overlays, figures and contact sheets by their pixels and texts, and atomic writing of figures."""

import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import ImageDraw
from scipy import ndimage

from cxrjax import plotting
from cxrjax.io.crop import Crop, Frame
from cxrjax.plotting import palette, radiographs, style
from cxrjax.plotting import sheet as sheet_layout

CLASSES = ["normal", "bacterial", "tuberculosis", "viral", "covid19"]


@pytest.fixture(scope="module")
def radiograph(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """A JSRT radiograph and its lungs, uint8 and bool [200, 200]."""
    image, labels = (
        cv2.imread(str(shared / "data/jsrt" / folder / "JPCLN001.png"), cv2.IMREAD_GRAYSCALE)
        for folder in ("images", "masks")
    )
    return image, labels >= 2


def drawn(monkeypatch, draw, *arguments) -> Figure:
    """Return the figure that a function would save."""
    saved = []
    monkeypatch.setattr(style, "save", lambda figure, path, images=(): saved.append(figure))
    draw(*arguments, "unused.png")
    return saved[0]


def words(figure: Figure) -> set[str]:
    """Return all visible text."""
    axes = [*figure.axes]
    texts = [*figure.texts, *(text for a in axes for text in (*a.texts, *a.get_xticklabels(), *a.get_yticklabels()))]
    titles = [title for a in axes for title in (a.get_title("left"), a.get_xlabel(), a.get_ylabel())]
    return {text.get_text() for text in texts} | set(titles)


def pixels(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]


def test_contour_is_the_boundary_of_the_mask_and_nothing_else(radiograph):
    image, lungs = radiograph
    rgb = plotting.overlay(image, lungs, None)
    contour = (rgb == radiographs.CONTOUR).all(-1)
    np.testing.assert_array_equal(contour, lungs & ~ndimage.binary_erosion(lungs))
    np.testing.assert_array_equal(rgb[~contour], np.repeat(image[~contour][:, None], 3, 1))


def test_contour_is_closed_where_the_image_cuts_the_lung():
    lungs = np.ones((8, 8), bool)
    contour = (plotting.overlay(np.zeros((8, 8), np.uint8), lungs, None) == radiographs.CONTOUR).all(-1)
    assert contour.sum() == 28
    assert not contour[1:-1, 1:-1].any()


def test_zero_map_does_not_change_the_overlay(radiograph):
    image, _ = radiograph
    for nothing in (np.zeros(image.shape), np.full(image.shape, np.nan), np.full(image.shape, -1.0)):
        np.testing.assert_array_equal(plotting.overlay(image, None, nothing), plotting.overlay(image, None, None))


def test_map_colors_brighten_and_leave_the_radiograph_visible():
    ramp = np.linspace(0, 1, 101)[None]
    black, white = (plotting.overlay(np.full(ramp.shape, v, np.uint8), None, ramp)[0].astype(int) for v in (0, 255))
    assert (np.diff(black.sum(1)) >= 0).all() and black[-1].sum() == black.sum(1).max() > 600 * radiographs.OPACITY
    # What lies under the map keeps at least 1 - OPACITY of its contrast.
    assert (white - black).min() >= 255 * (1 - radiographs.OPACITY) - 1
    above = plotting.overlay(np.zeros((1, 1), np.uint8), None, np.full((1, 1), 7.0))
    np.testing.assert_array_equal(above[0, 0], black[-1])


def test_layers_of_another_shape_are_refused():
    image = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match=r"map of \(2, 2\) do not lie on a radiograph of \(4, 4\)"):
        plotting.overlay(image, None, np.zeros((2, 2)))


def test_confusion_shows_counts_and_row_shares(monkeypatch):
    matrix = np.array([[300, 99, 0], [1, 3, 0]])
    shown = words(drawn(monkeypatch, plotting.draw_confusion, matrix, ["normal", "covid19"]))
    assert {"300", "99", "75%", "25%", "normal\nn = 399", "covid19\nn = 4", "prediction", "label"} <= shown
    assert "no prediction" not in shown
    matrix[1, 2], matrix[0, 1] = 2, 1
    assert {"no prediction", "2", "33%", "< 1%"} <= words(
        drawn(monkeypatch, plotting.draw_confusion, matrix, ["normal", "covid19"])
    )


@pytest.mark.parametrize("k", [2, 8])
def test_confusion_labels_do_not_overlap(monkeypatch, k):
    names = ["pneumothorax", "cardiomegaly", "consolidation"] * 3
    figure = drawn(monkeypatch, plotting.draw_confusion, np.eye(k, dtype=int) * 1234, names[:k])
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(a.x1 < b.x0 for a, b in zip(boxes, boxes[1:], strict=False))
    assert figure.get_tightbbox().x1 <= figure.get_figwidth()


def test_figures_of_scores_have_titles_units_and_numbers_of_radiographs(monkeypatch):
    roc = [
        plotting.RocCurve(
            "a", [0, 1], [0, 1], [1, 0.2], 0.2, areas=("0.90", "0.80"), num_radiographs=100, num_positive=20
        ),
        plotting.RocCurve(
            "b", [0, 1], [0, 1], [1, 0.1], 0.1, areas=("0.70", "0.60"), num_radiographs=100, num_positive=10
        ),
    ]
    bins = plotting.ReliabilityCurve("ECE 0.1", [0.2, 0.8], [0.3, 0.9], [0.1, 0.7], [0.5, 1.0], num_predictions=98)
    for draw, curves, title, labels, entries in (
        (plotting.draw_roc_curves, roc, "ROC curves of 100 radiographs", ("1 − specificity", "sensitivity"),
         ["a: 0.90, n = 20", "b: 0.70, n = 10"]),
        (plotting.draw_precision_recall, roc, "Precision-recall curves of 100 radiographs", ("recall", "precision"),
         ["a: 0.80, n = 20", "b: 0.60, n = 10"]),
        (plotting.draw_reliability, [bins], "Reliability of 98 predictions",
         ("probability of the prediction (mean of a bin, ", "accuracy ("), ["ECE 0.1, n = 98"]),
    ):  # fmt: skip
        (axes,) = drawn(monkeypatch, draw, curves).axes
        assert axes.get_title("left") == title
        assert axes.get_xlabel().startswith(labels[0]) and axes.get_ylabel().startswith(labels[1])
        assert "0 to 1" in axes.get_xlabel() and "0 to 1" in axes.get_ylabel()
        assert [text.get_text() for text in axes.get_legend().get_texts()] == entries
    panels = drawn(monkeypatch, plotting.draw_roc_panels, [roc[0], roc[1]._replace(num_radiographs=90)])
    assert [axes.get_title("left") for axes in panels.axes[:2]] == ["a\n0.90\nn = 20 of 100", "b\n0.70\nn = 10 of 90"]


def test_learning_curves_mark_the_best_epoch_of_the_requested_score(monkeypatch):
    history = [{"step": 5 * e, "epoch": e, "train/loss": 1.0, "learning_rate": 0.1} for e in (1, 1, 2, 3)]
    history[1]["train/loss"] = 2.0
    for epoch, dice, f1 in ((1, 0.5, 0.9), (2, 0.8, 0.6), (3, float("nan"), None)):
        history.append({"step": 5 * epoch, "epoch": epoch, "val/loss": 1.0, "val/dice": dice, "val/macro_f1": f1})
    figure = drawn(monkeypatch, plotting.draw_learning_curves, history)
    loss, score = figure.axes
    assert score.get_title("left") == "Validation: dice best at epoch 2, 0.800"
    assert (loss.get_ylabel(), score.get_ylabel(), score.get_xlabel()) == ("loss (nats)", "score (0 to 1)", "epoch")
    curves = {line.get_label(): line.get_xydata().tolist() for a in (loss, score) for line in a.lines}
    assert curves["training"] == [[1, 1.5], [2, 1], [3, 1]]
    assert curves["dice"] == [[1, 0.5], [2, 0.8]]
    assert "learning_rate" not in curves
    other = drawn(monkeypatch, lambda h, path: plotting.draw_learning_curves(h, path, "val/macro_f1"), history)
    assert other.axes[1].get_title("left") == "Validation: macro F1 best at epoch 1, 0.900"


def test_a_legend_lies_below_all_curves_and_labels_of_the_learning_curves(tmp_path):
    names = ("macro_f1", "macro_auroc", "accuracy", "worst_class", "worst_group")
    records = [
        {"step": e, "epoch": e, "train/loss": 1 / e, "val/loss": 2 / e} | {f"val/{name}": 1 - 1 / e for name in names}
        for e in range(1, 9)
    ]
    kept = []
    save = style.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", lambda figure, path: (kept.append(figure), save(figure, path)))
        plotting.draw_learning_curves(records, tmp_path / "curves.png", "val/macro_auroc", 350)
    (figure,) = kept
    assert figure.get_suptitle() == "Training on 350 radiographs"
    canvas = figure.bbox
    for axes, following in zip(figure.axes, (figure.axes[1], None), strict=True):
        legend = axes.get_legend().get_window_extent()
        lowest = axes.xaxis.get_tightbbox()
        assert legend.y1 <= (lowest.y0 if lowest and axes is figure.axes[1] else axes.get_window_extent().y0)
        assert legend.y0 >= (following.title.get_window_extent().y1 if following else canvas.y0)
        assert legend.x1 <= canvas.x1


def test_the_curve_of_the_learning_rates_has_rates_at_its_ticks(monkeypatch):
    rates = [1e-5, 1e-4, 1e-3, 1e-2]
    figure = drawn(monkeypatch, plotting.draw_lr_curve, rates, [2, 1.5, 1, 3], [2, 1.6, 1.2, 2], 1e-3)
    shown = words(figure)
    assert {"1e-05", "1e-03", "loss (nats)", "Loss by learning rate in 4 steps; suggested: 1.0e-03"} <= shown
    assert not any("$" in text for text in shown)


def test_box_plots_say_what_a_value_is_of_and_how_many_there_are(monkeypatch):
    panels = {"ratio": {"normal": [0.4, 0.5], "viral": [0.6]}, "area, mm²": {"normal": [9.0], "viral": [8.0]}}
    figure = drawn(monkeypatch, plotting.draw_box_plots, panels, "one value per patient")
    assert figure.get_suptitle() == "one value per patient"
    assert [axes.get_title("left") for axes in figure.axes] == ["ratio", "area, mm²"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["normal\nn = 2", "viral\nn = 1"]


def test_learning_curves_without_the_requested_score_are_refused(tmp_path):
    with pytest.raises(ValueError, match="the history has no loss to draw"):
        plotting.draw_learning_curves([], tmp_path / "curves.png")
    with pytest.raises(ValueError, match="the history has no val/dice to draw"):
        plotting.draw_learning_curves([{"step": 1, "train/loss": 1.0}], tmp_path / "curves.png", "val/dice")


def encode(image, lungs, map, frame=None, titles=("a.png",), probabilities=None, votes=None, classes=CLASSES):
    """Return the figure of a prediction as RGB."""
    frame = frame or Frame(*image.shape)
    png = plotting.encode_figure(
        image, lungs, map, frame, title_lines=titles, probabilities=probabilities, votes=votes, classes=classes
    )
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.fixture
def texts(monkeypatch):
    """All texts that Pillow draws."""
    shown = []
    draw = ImageDraw.ImageDraw.text

    def record(self, position, text, *style):
        shown.append(text)
        return draw(self, position, text, *style)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    return shown


def test_figure_has_votes_probabilities_and_the_notice(texts, radiograph):
    image, lungs = radiograph
    votes, probabilities = [8, 15, 3, 12, 62], [0.11, 0.14, 0.05, 0.12, 0.58]
    titles = ["covid19", "$a_file$ with {math}.png"]
    sheet = encode(image, lungs, lungs * 0.5, None, titles, probabilities, votes)
    assert {"62 of 100", "0.58", *titles, "radiograph", "lungs", "saliency map", radiographs.FOOT} <= set(texts)
    assert f"color bar: {radiographs.SCALE_NOTE}" in texts
    assert {"normal", "bacterial", "tuberculosis", "viral", "COVID-19"} <= set(texts)
    for color, shares in ((palette.BLUE, [v / 100 for v in votes]), (palette.ORANGE, probabilities)):
        rgb = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
        lengths = (sheet[:, 225:975] == rgb).all(-1).sum(1)  # an axis of 750 dots
        bars = lengths[lengths > 0][14:]  # below the sample of the legend
        assert np.unique(bars).tolist() == sorted({round(750 * share) for share in shares})


def test_figure_of_a_failed_prediction_states_the_failure(texts, radiograph):
    image, lungs = radiograph
    assert encode(image, np.zeros_like(lungs), None, votes=[0] * 5).shape[1] == 8 * palette.DOTS_PER_INCH
    assert {"no lungs found", "No patch was voted on."} <= set(texts)
    texts.clear()
    encode(image, None, None)
    assert "no lungs found" not in texts and "radiograph" in texts


def test_figure_has_exact_image_pixels_and_a_color_scale():
    """At 150 dots an inch: images of 480 dots, 45 from the left and 15 apart, the colors of a map 13 wide."""
    image, lungs = np.full((700, 700), 77, np.uint8), np.zeros((700, 700), bool)
    lungs[:350] = True
    sheet = encode(image, lungs, lungs * 1.0, None, ["a.png"], [0.5] * 2, [1, 1], CLASSES[:2]).astype(int)
    top = np.flatnonzero((sheet[:, 45 + 300] == 77).all(-1))[-1] - 479  # the foot of the first image is gray
    plain, first, second = (sheet[top : top + 480, left : left + 480] for left in (45, 540, 1035))
    assert (plain == 77).all()
    assert (first[[0, 238], 300] == radiographs.CONTOUR).all() and (first[4:234, 4:-4] == 77).all()
    hot = plotting.overlay(image[:1, :1], None, np.ones((1, 1)))[0, 0]
    assert (second[:239] == hot).all() and (second[241:] == 77).all()
    scale = sheet[top : top + 480, 1530 : 1530 + 13]
    hottest = plotting.overlay(np.full((1, 1), 128, np.uint8), None, np.ones((1, 1)))[0, 0]
    assert (scale[0] == hottest).all() and (scale[-1] == 128).all()
    assert (sheet[top - 1, 45:1543] == 255).all()
    assert (sheet[top : top + 480, [44, 525, 539, 1020, 1034, 1515, 1529]] == 255).all()


def test_figure_and_overlay_have_the_proportions_of_the_file():
    """A square of a file twice as wide as high, whose left half was cut off."""
    frame = Frame(150, 300, Crop(left=150))
    image, lungs = np.full((64, 64), 77, np.uint8), np.zeros((64, 64), bool)
    sheet = encode(image, None, None, frame)
    rows = np.flatnonzero((sheet[:, 500] == 77).all(-1))
    columns = np.flatnonzero((sheet[rows[100]] == 77).all(-1))
    assert (np.ptp(rows) + 1, columns.max()) == (240, 45 + 479) and abs(columns.min() - (45 + 240)) <= 1
    lungs[16:48, :32] = True
    png = plotting.encode_overlay(image, lungs, lungs * 1.0, frame)
    over = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert over.shape == (150, 300, 3) and (over[:, :149] == 0).all()
    rows, columns = np.nonzero((over == radiographs.CONTOUR).all(-1))
    assert (rows.min(), columns.min()) == pytest.approx((150 / 4, 150), abs=1)
    assert (rows.max() + 1, columns.max() + 1) == pytest.approx((150 * 3 / 4, 225), abs=1)


@pytest.mark.parametrize(("count", "columns"), [(1, 5), (3, 2), (7, 3), (12, 4), (11, 11)])
def test_sheet_has_every_panel_at_its_position(tmp_path, count, columns):
    panels = [
        (np.full((64, 64, 3), (20 * k, 90, 255 - 20 * k), np.uint8), f"case {k}", plotting.RIGHT) for k in range(count)
    ]
    plotting.draw_sheet(panels, columns, tmp_path / "sheet.png")
    sheet = pixels(tmp_path / "sheet.png")
    columns = min(columns, count)
    rows = -(-count // columns)
    tile, gap, line = sheet_layout.TILE, sheet_layout.GAP, sheet_layout.LINE
    step = tile + gap
    assert sheet.shape == (rows * (step + line) + gap + line, columns * step + gap, 3)
    for k, (rgb, _, _) in enumerate(panels):
        top, left = gap + k // columns * (step + line), gap + k % columns * step
        assert (sheet[top : top + tile, left : left + tile] == rgb[0, 0]).all()
        assert (sheet[top - 1, left : left + tile] == 255).all()


def test_sheet_keeps_proportions_and_explains_its_colors(tmp_path):
    tall, wide = np.full((64, 32, 3), 90, np.uint8), np.full((32, 64, 3), 90, np.uint8)
    panels = [(tall, "a", palette.INK), (wide, "b", palette.INK)]
    plotting.draw_sheet(panels, 2, tmp_path / "sheet.png", legend="cyan: lungs", has_color_bar=True)
    sheet = pixels(tmp_path / "sheet.png")
    tile, gap, line = sheet_layout.TILE, sheet_layout.GAP, sheet_layout.LINE
    side = int((2 * tile + gap - gap) / (0.5 + 2))  # both fill the row at one height, with one gap between them
    gray = (sheet[: gap + side] == 90).all(-1)
    assert gray.any(1).sum() == side and not gray[:gap].any()
    starts = np.flatnonzero(np.diff(gray[gap].astype(int), prepend=0) == 1)
    ends = np.flatnonzero(np.diff(gray[gap].astype(int), append=0) == -1) + 1
    assert (ends - starts).tolist() == [round(side / 2), 2 * side]
    assert starts[0] == gap and starts[1] - ends[0] == gap and sheet.shape[1] - ends[1] - gap <= 3
    assert len(sheet) == gap + side + gap + line * 4  # a line each: caption, legend, color bar, foot
    hottest = plotting.overlay(np.full((1, 1), 128, np.uint8), None, np.ones((1, 1)))[0, 0]
    assert (sheet[-2 * line :] == hottest).all(-1).any()


def test_sheet_captions_fit_their_tiles_and_have_their_color(monkeypatch):
    captions = [
        "tuberculosis → tuberculosis",
        "39EE8E69-5801-48DE-B6E3-BE7D1BCF3092.jpg",
        "figure1_" + "5e75d0940b" * 6,
    ]
    panels = [(np.zeros((9, 9, 3), np.uint8), c, color) for c, color in zip(captions, ["red", "k", "g"], strict=True)]
    figure = drawn(monkeypatch, plotting.draw_sheet, panels, 3)
    *texts, foot = figure.texts
    assert max(text.get_window_extent().width for text in texts) <= sheet_layout.TILE
    assert "".join(text.get_text() for text in texts) == "".join(captions)
    assert (texts[0].get_color(), texts[-1].get_color(), foot.get_text()) == ("red", "g", radiographs.FOOT)


def test_colors_of_right_and_wrong_have_enough_contrast_on_white():
    def luminance(color: str) -> float:
        values = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    # WCAG 2: text on white needs a contrast of 4.5.
    assert all(1.05 / (luminance(color) + 0.05) >= 4.5 for color in (plotting.RIGHT, plotting.WRONG, palette.FAINT))


def test_interrupted_figure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "confusion.png"
    plotting.draw_confusion(np.eye(2, dtype=int), ["normal", "viral"], path)
    before = path.read_bytes()

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        plotting.draw_confusion(np.ones((2, 2), int), ["normal", "viral"], path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["confusion.png"]


def test_svg_figures_are_transparent_and_have_colors_for_dark_pages(tmp_path):
    curve = plotting.CurveWithCI("a", [0.0, 0.5], [0.5, 0.9], [0.4, 0.8], [0.6, 1.0])
    plotting.draw_proportions([curve], "title", ("x", "y"), tmp_path / "curve.svg")
    svg = (tmp_path / "curve.svg").read_text()
    colors = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg.split("</style>", 1)[1]))
    assert colors and colors <= {color.lower() for color in palette.DARK}  # each has a dark counterpart
    assert "prefers-color-scheme: dark" in svg and all(palette.DARK[c.upper()] in svg for c in colors)
    assert "#ffffff" not in colors


def test_audit_figure_names_patients_only_where_they_are_known(monkeypatch):
    score = {"value": 0.8, "interval": [0.7, 0.9], "n": 12}
    audit = {"n": 12, "patients": 12, "without_patient": 12, "experiments": []}
    audit |= {"scores": {"macro_auroc": score}, "chance": {"macro_auroc": 0.5}}
    unknown = drawn(monkeypatch, plotting.draw_audit, audit, "macro_auroc", {})
    assert unknown.get_suptitle() == "12 radiographs, patients not known: what reaches how much of the score"
    assert unknown.axes[0].get_xlabel() == "macro AUROC, with 95% intervals by radiograph"
    known = drawn(monkeypatch, plotting.draw_audit, audit | {"without_patient": 0}, "macro_auroc", {})
    assert known.get_suptitle().startswith("12 radiographs of 12 patients:")


def test_audit_figure_shows_shares_as_they_are_given(monkeypatch):
    score = {"value": 0.8, "interval": [0.7, 0.9], "n": 12}
    source = {"name": "source", "title": "source alone", "category": "shortcut", "model": "metadata"}
    source |= {"scores": {"macro_auroc": score}, "share": {"value": 1.07, "interval": [0.22, 7.83], "n": 12}}
    audit = {"n": 12, "patients": 12, "without_patient": 12, "experiments": [source]}
    audit |= {"scores": {"macro_auroc": score}, "chance": {"macro_auroc": 0.5}}
    figure = drawn(monkeypatch, plotting.draw_audit, audit, "macro_auroc", {"source": "too few to say"})
    assert "too few to say" in words(figure)
    assert not any("%" in text for text in words(figure) if "intervals" not in text)
