"""Radiographs of a report: their order, and their images."""

import re

import numpy as np
import pytest

from cxrjax.config import default_config
from cxrjax.data import batch
from cxrjax.inference import pipeline
from cxrjax.io.crop import Crop, Frame
from cxrjax.report import cases
from tests.helpers.report_page import HOSTILE, ROWS, row


def test_sort_worst_first_by_status_error_and_confidence():
    order = [each["path"] for each in cases.sort_worst_first(ROWS)]
    assert order == [HOSTILE, "wrong-unsure.png", "none.png", "right-unsure.png", "right-sure.png"]
    masks = [{"path": p, "status": s, "dice_lungs": d} for p, s, d in
             [("a", "ok", 0.9), ("b", "ok", np.nan), ("c", "no lungs found", np.nan), ("d", "ok", 0.1)]]  # fmt: skip
    assert [each["path"] for each in cases.sort_worst_first(masks)] == ["c", "d", "a", "b"]


class Stub:
    """A predictor with lungs in the left half of every image and saliency in its middle row."""

    config = default_config()

    def saliency(self, result):
        return result.saliency

    def predict(self, images):
        for image in images:
            lungs = np.zeros(image.shape, bool)
            lungs[:, : len(image) // 2] = True
            heat = np.zeros(image.shape, np.float32)
            heat[len(image) // 2] = 1
            blank = dict.fromkeys(pipeline.Prediction._fields, 0)
            yield pipeline.Prediction(**blank | {"lung_mask": lungs, "saliency": heat})


def make_batch(count, side):
    rng = np.random.default_rng(0)
    paths = [f"{k}.png" for k in range(count)]
    blank = {name: [""] * count for name in batch.RadiographBatch._fields}
    images = rng.integers(0, 255, (count, side, side)).astype(np.uint8)
    masks, kinds = np.zeros((count, side, side), np.uint8), np.full(count, -1)
    return batch.RadiographBatch(**blank | {
        "paths": paths, "images": images, "masks": masks, "mask_types": kinds, "image_ids": batch.hash_images(images),
        "lesions": None, "ages": np.zeros(count),
    })  # fmt: skip


class Stored(batch.RadiographBatch):
    """A batch in place of a data set, of radiographs of 60 x 40 pixels of which 10 rows are cut."""

    def frame(self, row):
        return Frame(60, 40, Crop(10, 0, 0, 0))


def render_stored(predictor, stored_batch, rows, **options):
    return cases.render_cases(predictor, Stored(*stored_batch), rows, **options)


def test_case_images_end_at_the_size_limit():
    stored_batch, rows = make_batch(6, 64), [row(f"{k}.png", "normal", "viral", 0.5) for k in (5, 3, 1)]
    every = render_stored(Stub(), stored_batch, rows, side=64, megabytes=1)
    sizes = [case.images.num_bytes for case in every]
    assert [case.row["path"] for case in every] == ["5.png", "3.png", "1.png"] and min(sizes) > 1000
    some = render_stored(Stub(), stored_batch, rows, side=64, megabytes=(sum(sizes[:2]) + 1) / 1e6)
    assert [case.images == other.images for case, other in zip(some, every, strict=True)] == [True, True, False]
    assert {case.images.aspect for case in every} == {50 / 40}
    shown_first = render_stored(Stub(), stored_batch, rows[:2], examples=[rows[2]], side=64, megabytes=0)
    assert [(case.row["path"], case.number, case.example) for case in shown_first] == [
        ("5.png", 1, None), ("3.png", 2, None), ("1.png", 3, 0)]  # fmt: skip
    assert [case.images is None for case in shown_first] == [True, True, False]
    assert some[2].images is None and some[2].row["path"] == "1.png"
    with pytest.raises(ValueError, match="7.png: was evaluated, but is not in this data set"):
        render_stored(Stub(), stored_batch, [row("7.png", "normal", "viral", 0.5)], side=64, megabytes=1)


def test_equal_paths_of_two_sources_have_their_own_images():
    stored_batch = batch.with_columns(
        make_batch(3, 64), paths=["a.png", "1.png", "1.png"], sources=["here", "here", "there"]
    )
    two = [row("1.png", "normal", "viral", 0.5) | {"source": source} for source in ("there", "here")]
    there, here = (case.images.radiograph for case in render_stored(Stub(), stored_batch, two, side=64, megabytes=1))
    alone = batch.with_columns(make_batch(3, 64), paths=["a.png", "here.png", "there.png"])
    rows = [row(f"{source}.png", "normal", "viral", 0.5) for source in ("there", "here")]
    assert [there, here] == [
        case.images.radiograph for case in render_stored(Stub(), alone, rows, side=64, megabytes=1)
    ]
    with pytest.raises(ValueError, match="1.png: was evaluated, but is not in this data set"):
        render_stored(Stub(), stored_batch, [two[0] | {"source": "elsewhere"}], side=64, megabytes=1)


def test_case_has_its_map_with_and_without_lungs():
    class Blind(Stub):
        def predict(self, images):
            for diagnosis in super().predict(images):
                yield diagnosis._replace(lung_mask=np.zeros_like(diagnosis.lung_mask))

    rows = [row("0.png", "normal", "viral", 0.5), row("1.png", "normal", "", float("nan"))]
    pictures = [case.images for case in render_stored(Blind(), make_batch(2, 64), rows, side=64, megabytes=1)]
    assert pictures[0].saliency and pictures[0].lungs == "" and pictures[1].saliency == ""


def test_svg_path_follows_the_border_of_the_mask():
    mask = np.zeros((50, 50), bool)
    mask[10:20, 5:40] = True
    numbers = np.array(re.findall(r"([\d.]+),([\d.]+)", cases.svg_path(mask)), float)
    np.testing.assert_allclose(numbers.min(0), (11, 21), atol=0.11)  # the middle of pixels 5 and 10, of 50
    np.testing.assert_allclose(numbers.max(0), (79, 39), atol=0.11)
    assert cases.svg_path(np.zeros((50, 50), bool)) == ""
