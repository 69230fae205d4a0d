"""Morphometry by hand and against phantoms; comparisons of groups against SciPy, by hand and by simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from cxrjax.evaluation import morphometry
from cxrjax.inference import lung_geometry
from cxrjax.metrics import hypothesis_tests
from cxrjax.ops import lung_masks, patches
from cxrjax.ops import morphometry as ops_morphometry
from data_prep.phantom import draw
from data_prep.phantom.anatomy import draw_anatomy, heart_outline, lung_outline

KEY = jax.random.key(0)


def measure(image, structures, extent=(np.nan, np.nan)):
    lungs = np.asarray(lung_masks.lung_union(structures))
    values = ops_morphometry.measure_lungs(image, lungs, structures, jnp.array(extent), KEY, 30, 8)
    ratio = lung_geometry.cardiothoracic_ratio(structures)
    measures = {name: float(value) for name, value in values.items()} | {"cardiothoracic_ratio": ratio}
    assert set(measures) == set(morphometry.MEASURES)
    return measures


@pytest.fixture
def chest():
    structures = np.zeros((40, 50), np.uint8)
    structures[5:30, 4:18], structures[8:35, 30:46] = 3, 2
    structures[25:33, 16:36] = 1
    structures[2, 49] = 1  # a speck of heart, which is ignored
    return structures


def test_measure_lungs_by_hand(chest):
    image = np.where(chest == 3, 51, 102).astype(np.uint8)
    right, left = (chest == 3).sum(), (chest == 2).sum()
    values = measure(image, chest, extent=(400.0, 200.0))
    assert values["right_lung_area_fraction"] == pytest.approx(right / 2000)
    assert values["left_lung_area_mm2"] == pytest.approx(left * 10 * 4)
    assert values["lung_area_mm2"] == pytest.approx((left + right) * 40, rel=1e-5)
    assert values["cardiothoracic_ratio"] == pytest.approx(20 / 42)  # columns 16..35 over 4..45
    gray = np.repeat([0.2, 0.4], [right, left])
    assert values["lung_intensity_mean"] == pytest.approx(gray.mean(), rel=1e-4)
    assert values["lung_intensity_variance"] == pytest.approx(gray.var(), rel=1e-4)
    assert values["intensity_variance_within_patches"] == pytest.approx(0, abs=1e-9)  # no patch of 8 holds both lungs
    assert 0.003 < values["intensity_variance_between_patches"] <= 0.01


def test_variance_between_and_within_patches_add_up(chest):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, chest.shape).astype(np.uint8)
    values = measure(image, chest)
    lungs = np.asarray(lung_masks.lung_union(chest))
    centers = patches.sample_patch_centers(KEY, lungs, 30)
    pixels = np.asarray(patches.extract_patches(image / 255, centers, 8))[
        np.asarray(patches.extract_patches(lungs, centers, 8))
    ]
    total = values["intensity_variance_between_patches"] + values["intensity_variance_within_patches"]
    assert total == pytest.approx(pixels.var(), rel=1e-4)


def test_measures_of_missing_structures_are_nan(chest):
    image = np.full(chest.shape, 9, np.uint8)
    for missing in (1, 2, 3):
        values = measure(image, np.where(chest == missing, 0, chest).astype(np.uint8))
        assert np.isnan(values["cardiothoracic_ratio"]) and np.isfinite(values["lung_area_fraction"])
        assert np.isnan(values["lung_area_mm2"])
    assert all(np.isnan(value) for value in measure(image, np.zeros_like(chest)).values())


@pytest.mark.parametrize("number", range(6))
def test_cardiothoracic_ratio_of_phantoms_is_recovered(number):
    """It is measured in the masks; the truth is that of the drawn outlines."""
    size = 256
    phantom = draw("normal", np.random.default_rng(number), size)
    person = draw_anatomy(np.random.default_rng(number).spawn(5)[0])
    heart = person.to_pixels(heart_outline(person), size)[:, 0]
    lungs = np.concatenate([person.to_pixels(lung_outline(person, side), size) for side in (-1, 1)])
    values = measure(phantom.pixels, phantom.structures)
    truth = np.ptp(heart) / np.ptp(lungs[:, 0])
    assert values["cardiothoracic_ratio"] == pytest.approx(truth, abs=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_group_tests_equal_scipy_and_delta_counts_pairs(seed):
    rng = np.random.default_rng(seed)
    a, b, c = (np.round(rng.normal(shift, 1, n), 1) for shift, n in ((0, 14), (0.7, 9), (0.3, 11)))
    labels = ["a"] * 14 + ["b"] * 9 + ["c"] * 11
    result = hypothesis_tests.compare_groups({"x": np.concatenate([a, b, c])}, labels, [""] * 34, ["a", "b", "c"])
    kruskal = stats.kruskal(a, b, c)
    assert result["across"][0]["p"] == pytest.approx(kruskal.pvalue)
    first = result["pairs"][0]
    assert first["groups"] == ["a", "b"] and first["p"] == pytest.approx(stats.mannwhitneyu(a, b).pvalue)
    assert first["delta"] == pytest.approx(np.sign(a[:, None] - b).mean())
    assert first["interval"][0] < first["delta"] < first["interval"][1]


def test_interval_of_cliffs_delta_covers_the_truth():
    """Normal groups one deviation apart: delta is 2 Phi(1 / sqrt 2) - 1."""
    rng = np.random.default_rng(0)
    truth = 2 * stats.norm.cdf(1 / np.sqrt(2)) - 1
    ends = np.array([hypothesis_tests.cliffs_delta(rng.normal(1, 1, 25), rng.normal(0, 1, 20))[1] for _ in range(2000)])
    assert 0.93 < ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean() < 0.975


def test_groups_that_do_not_overlap_still_have_an_interval():
    delta, (low, high) = hypothesis_tests.cliffs_delta(np.arange(10, 20), np.arange(8))
    z2 = stats.norm.ppf(0.975) ** 2
    assert (delta, low, high) == (1.0, pytest.approx((8 - z2) / (8 + z2)), 1.0)
    assert hypothesis_tests.cliffs_delta(np.arange(8), np.arange(10, 20))[1] == [-1.0, -low]


def test_holm_by_hand():
    np.testing.assert_allclose(hypothesis_tests.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(hypothesis_tests.holm([0.5, 0.9]), [1, 1])
    assert hypothesis_tests.holm([]).size == 0


def test_patients_count_once_and_missing_values_do_not_count():
    values, labels = [1.0, 3.0, 5.0, np.nan, 7.0, 9.0], ["a", "a", "a", "a", "b", "a"]
    patients = ["p", "p", "q", "r", "p", ""]
    np.testing.assert_array_equal(hypothesis_tests.by_patient(values, labels, patients, "a"), [2, 5, 9])
    result = hypothesis_tests.compare_groups({"x": values}, labels, patients, ["a", "b"])
    assert result == {"across": [], "pairs": []}  # b has one patient
    same = hypothesis_tests.compare_groups({"x": [4.0] * 8}, ["a", "b"] * 4, [""] * 8, ["a", "b"])
    assert same["across"][0]["p"] == 1.0 and same["pairs"][0]["delta"] == 0.0


def test_comparison_is_computed_from_the_rows_alone(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {"path": f"{i}.png", "patient_id": str(i), "source": "s" + "ab"[i % 2], "split": "test", "label": "ab"[i % 2]}
        | {name: rng.normal(i % 2, 0.2) for name in morphometry.MEASURES}
        | {"lung_area_mm2": np.nan}
        for i in range(24)
    ]
    morphometry.write_rows(tmp_path / "morphometry.csv", rows)
    read = morphometry.read_rows(tmp_path / "morphometry.csv")
    assert [row["path"] for row in read] == [row["path"] for row in rows] and np.isnan(read[0]["lung_area_mm2"])
    assert read[5]["lung_intensity_mean"] == pytest.approx(rows[5]["lung_intensity_mean"], rel=1e-5)
    result = morphometry.compare_rows(tmp_path)
    assert result["sources"] == {"a": ["sa"], "b": ["sb"]}
    assert {test["measure"] for test in result["across"]} == set(morphometry.MEASURES) - {"lung_area_mm2"}
    assert all(test["p_holm"] < 0.05 and test["delta"] < -0.9 for test in result["pairs"])
    assert (tmp_path / "box_plots.png").exists() and (tmp_path / "differences.json").exists()
    assert "may be one of sources" in morphometry.format_comparison(result)
