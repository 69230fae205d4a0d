"""Learning rates worked by hand."""

import jax.numpy as jnp
import pytest

from cxrjax.training import schedules

REST = {"warmup_steps": 0, "milestones": (), "lr_factor": 0.1, "cycles": 1, "one_cycle": (0.25, 25.0, 1e5)}


def rates(name, peak, total, steps, **changed):
    schedule = schedules.build_schedule(name, peak, total, **(REST | changed))
    return [float(schedule(jnp.int32(step))) for step in steps]


def test_steps_fall_at_the_milestones():
    found = rates("steps", 1e-4, 100, (0, 69, 70, 80, 95), milestones=(0.7, 0.8, 0.9))
    assert found == pytest.approx([1e-4, 1e-4, 1e-5, 1e-6, 1e-7], rel=1e-5)


def test_milestones_that_round_to_one_step_all_count():
    found = rates("steps", 1.0, 5, (0, 3, 4), milestones=(0.7, 0.8, 0.9))  # steps 3.5, 4 and 4.5
    assert found == pytest.approx([1, 1, 1e-3], rel=1e-5)


def test_cosine_rises_then_falls_to_zero():
    assert rates("cosine", 2.0, 110, (0, 5, 10, 60, 110), warmup_steps=10) == pytest.approx([0, 1, 2, 1, 0], abs=1e-6)


def test_each_cycle_of_a_cosine_begins_at_the_peak():
    found = rates("cosine", 2.0, 40, (0, 5, 10, 15, 20, 30), cycles=4)
    assert found == pytest.approx([2, 1, 2, 1, 2, 2], abs=1e-5)
    with pytest.raises(ValueError, match="warmup"):
        rates("cosine", 2.0, 40, (0,), cycles=4, warmup_steps=1)


def test_one_cycle_equals_fastai():
    """combined_cos(0.25, max / 25, max, max / 1e5): the middle of each half is the mean of its ends."""
    found = rates("one_cycle", 1e-2, 80, (0, 10, 20, 50, 80))
    expected = [4e-4, (4e-4 + 1e-2) / 2, 1e-2, (1e-2 + 1e-7) / 2, 1e-7]
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-9)
    momentum = schedules.build_one_cycle(0.95, 0.85, 0.95, 80, 0.25)
    assert [float(momentum(step)) for step in (0, 10, 20, 50, 80)] == pytest.approx([0.95, 0.9, 0.85, 0.9, 0.95])


def test_constant_and_plateau_schedules_are_constant():
    assert rates("constant", 0.5, 10, (0, 9)) == rates("plateau", 0.5, 10, (0, 9)) == [0.5, 0.5]


def test_a_plateau_waits_its_patience_then_divides_the_rate():
    """Keras's ReduceLROnPlateau(patience=2, factor=0.5, min_delta=0.01) on these scores, by hand."""
    plateau, scales = schedules.init_plateau(), []
    for score in (0.50, 0.505, 0.52, 0.52, 0.51, 0.52, 0.52, 0.60):
        plateau = schedules.update_plateau(plateau, score, patience=2, factor=0.5, delta=0.01)
        scales.append(float(plateau.scale))
    assert scales == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    assert float(plateau.best) == pytest.approx(0.60) and int(plateau.stale) == 0
