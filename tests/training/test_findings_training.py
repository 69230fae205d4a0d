"""Training with several findings: loss, sampling labels and validation."""

import jax
import numpy as np
import pytest

from cxrjax.config import default_config, freeze
from cxrjax.data import batch
from cxrjax.inference import lung_segmenter
from cxrjax.training import classification, objectives

COUNT, SIZE = 6, 40
FINDINGS = [{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": -1.0}, {"a": 1.0}, {"b": 1.0}, {"a": 0.0, "b": 0.0}, {}]


@pytest.fixture(scope="module")
def task():
    config = default_config()
    config.task = "classify"
    config.classifier.architecture, config.classifier.classes = "hieu2695_baseline", ("a", "b")
    config.classifier.targets = "multi"
    config.patches.mode, config.patches.mask_lungs, config.patches.size = "global", False, SIZE
    config.training.metric = "macro_auroc"
    images = np.random.default_rng(0).integers(1, 255, (COUNT, SIZE, SIZE)).astype(np.uint8)
    names = [f"{i}" for i in range(COUNT)]
    radiographs = batch.RadiographBatch(
        paths=names,
        patients=names,
        sources=names,
        labels=[""] * COUNT,
        image_ids=batch.hash_images(images),
        images=images,
        masks=images > 0,
        mask_types=np.full(COUNT, -1, np.int32),
        lesions=None,
        views=[""] * COUNT,
        sexes=[""] * COUNT,
        ages=np.full(COUNT, np.nan, np.float32),
        fov_mm=np.full((COUNT, 2), np.nan, np.float32),
        findings=FINDINGS,
    )
    frozen = freeze(config)
    segmenter = lung_segmenter.LungSegmenter(frozen, None)
    return classification.build(frozen, radiographs, radiographs, segmenter)


def test_training_step_ignores_unknown_targets(task):
    variables = task.init(jax.random.key(0))
    run = jax.jit(jax.value_and_grad(task.loss, has_aux=True))

    def step(labels):
        data = task.data | {"labels": labels}
        (loss, _), gradient = run(variables["params"], variables["batch_stats"], data, jax.random.key(1))
        return float(loss), jax.tree.leaves(gradient)

    table = task.data["labels"]
    np.testing.assert_array_equal(table[:2], [[1, 0], [0, -1]])
    assert np.isnan(table[5]).all() and table.dtype == np.float32
    loss, gradient = step(table)
    assert loss == pytest.approx(np.log(2), abs=0.4) and any(np.abs(leaf).max() > 0 for leaf in gradient)
    unknown = np.where(table == -1, np.nan, table)  # uncertain entries are ignored by default
    assert step(unknown)[0] == loss
    nothing, gradient = step(np.full_like(table, np.nan))
    assert nothing == 0 and all((leaf == 0).all() for leaf in gradient)


def test_radiographs_are_sampled_by_their_positive_findings(task):
    expected = [[True, False], [False, False], [True, False], [False, True], [False, False], [False, False]]
    np.testing.assert_array_equal(task.sampling_labels, expected)


def test_validation_has_the_metrics_of_several_findings(task):
    validation = task.validate(task.init(jax.random.key(0)))
    assert tuple(validation.metrics) == objectives.FINDING_METRICS
    assert 0 <= validation.metrics["macro_auroc"] <= 1
    assert validation.metrics["loss"] == pytest.approx(np.log(2), abs=0.4)
