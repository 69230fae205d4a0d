"""The checks and the sentence of the saliency verdict."""

import numpy as np
import pytest

from cxrjax.config import default_config
from cxrjax.evaluation import saliency_verdict
from cxrjax.metrics.confidence import mean_interval

MAPS = default_config().saliency_eval


def judge(count: int = 40, spread: float = 0.02, **changed: float):
    """Return the verdict on good maps with `changed` metrics; every radiograph is of a different patient."""
    rng = np.random.default_rng(0)
    means = {
        "energy_in_lungs": 0.8, "energy_in_lungs_chance": 0.4, "deletion": 0.2, "deletion_control": 0.4,
        "insertion": 0.6, "insertion_control": 0.4, "resampled_correlation": 0.9, "resampled_ssim": 0.9,
        "resampled_overlap": 0.8, "randomized_50_correlation": 0.3, "randomized_50_ssim": 0.3,
        "randomized_50_overlap": 0.2,
        "randomized_100_correlation": 0.1, "randomized_100_ssim": 0.1, "randomized_100_overlap": 0.1,
        "phase_randomized_correlation": 0.1, "phase_randomized_ssim": 0.0, "phase_randomized_overlap": 0.1,
        "energy_in_lesions": 0.6, "energy_in_lesions_chance": 0.3, "pointing_game": 0.8, "pointing_game_chance": 0.3,
    }  # fmt: skip
    rows = [
        {"path": str(i), "patient_id": str(i)} | {k: rng.normal(v, spread) for k, v in (means | changed).items()}
        for i in range(count)
    ]
    curves = [{name: np.full(5, 0.5) for name in saliency_verdict.CURVES}] * count
    return saliency_verdict.summarize_checks(rows, curves, MAPS, seed=0)


def test_good_maps_pass_in_one_sentence():
    judged = judge()
    assert set(judged["checks"].values()) == {saliency_verdict.PASSED}
    assert judged["verdict"].startswith("These maps change when") and judged["verdict"].count(".") == 1
    assert "but" not in judged["verdict"] and "open" not in judged["verdict"]


def test_map_independent_of_weights_is_worthless_despite_other_checks():
    judged = judge(randomized_100_correlation=0.9)
    assert judged["verdict"].startswith("These maps are worthless: they hardly change") and "0.9" in judged["verdict"]
    assert "lesions" not in judged["verdict"]


def test_failed_checks_are_named():
    judged = judge(resampled_correlation=0.2, deletion=0.5)
    assert judged["checks"]["resampling"] == judged["checks"]["deletion"] == saliency_verdict.FAILED
    assert (
        "; but they show pixels that the prediction does not need and change when other patches are drawn."
        in judged["verdict"]
    )


def test_check_within_chance_is_inconclusive():
    judged = judge(spread=0.5, count=12, insertion=0.41)
    assert judged["checks"]["insertion"] == saliency_verdict.INCONCLUSIVE
    assert "it is unclear whether they" in judged["verdict"]


def test_checks_of_one_patient_are_inconclusive():
    judged = judge(count=1)
    assert (
        set(judged["checks"].values()) == {saliency_verdict.INCONCLUSIVE}
        and judged["metrics"]["deletion"]["interval"] is None
    )
    assert judged["verdict"].startswith("It is unclear whether these maps change")


def test_metrics_without_values_are_left_out():
    nan = dict.fromkeys(
        ("energy_in_lesions", "energy_in_lesions_chance", "pointing_game", "pointing_game_chance"), np.nan
    )
    judged = judge(**nan)
    assert "lesions" not in judged["checks"] and "energy_in_lesions" not in judged["metrics"]
    assert "lesion" not in saliency_verdict.format_table(judged)


def test_table_lists_randomized_layers_in_ascending_order():
    table = saliency_verdict.format_table(judge())
    assert table.index(" 50% randomized") < table.index("100% randomized")
    assert table.splitlines()[-1].startswith("These maps")


def test_mean_interval_equals_intervals_of_scores():
    """Of 20 values that are 0 or 1 it is Clopper and Pearson's; of a difference it is that of their MOVER."""
    values, names = np.repeat([1.0, 0.0], [15, 5]), [str(i) for i in range(20)]
    assert tuple(mean_interval(values, names, 0, bounded=True)) == pytest.approx((0.509, 0.913), abs=0.02)
    assert tuple(mean_interval(np.ones(20), names, 0, bounded=True)) == pytest.approx((0.025 ** (1 / 20), 1))
    gain = mean_interval(values, names, 0, bounded=True, less=np.full(20, 0.25))  # a constant moves both ends alone
    np.testing.assert_allclose(gain, mean_interval(values, names, 0, bounded=True) - 0.25, atol=1e-9)
    assert np.isnan(mean_interval(np.full(20, 0.3), names, 0)).all()  # its variance is unknown
    both = mean_interval(np.stack([values, 1 - values], 1), names, 0, bounded=True)
    np.testing.assert_allclose(both[:, 0], 1 - both[::-1, 1], atol=1e-9)


def test_mean_interval_of_few_patients_covers_the_truth():
    """Eight patients with two equal radiographs each: percentiles of resamples cover the truth in 88%, not in 95%."""
    rng = np.random.default_rng(0)
    names = np.repeat(np.arange(8), 2).astype(str)
    covered = 0
    for _ in range(100):
        low, high = mean_interval(np.repeat(rng.beta(4, 2, 8), 2), names, 0, bounded=True)
        covered += low <= 2 / 3 <= high
    assert covered >= 91


def test_mean_interval_resamples_patients_not_radiographs():
    values = np.random.default_rng(0).normal(size=400)
    low, high = mean_interval(values, [str(i) for i in range(400)], 0)
    half = 1.96 * values.std() / np.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert tuple(mean_interval(values, [""] * 400, 0)) == (low, high)  # unknown: each radiograph counts as a patient
    twice = mean_interval(np.repeat(values, 4), np.repeat(np.arange(400), 4).astype(str), 0)
    assert twice[1] - twice[0] == pytest.approx(high - low, rel=0.1)  # four times the radiographs, no more patients
    assert np.isnan(mean_interval([1.0, 2.0], ["a", "a"], 0)).all()
