"""Each remedy against hand-worked numbers of its paper or another implementation."""

import io
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from cxrjax.config import LABELS as PHANTOM_LABELS
from cxrjax.config import default_config, freeze
from cxrjax.data import batch
from cxrjax.data.sampler import BatchSampler
from cxrjax.inference import lung_segmenter
from cxrjax.runs import run_dir
from cxrjax.training import classification, train_step, trainer
from cxrjax.training.remedies import (
    adversary,
    appearance,
    bias_balanced,
    distance_correlation,
    group_dro,
    hooks,
    last_layer,
    matching,
    mixed_sources,
    pairing,
    sampling,
    spectrum,
    surroundings,
    worst_group,
)
from cxrjax.training.remedies.sources import add_sources, index_sources

# Two classes in source a, one in source b.
SOURCES = ["a", "a", "a", "a", "b", "b"]
LABELS = np.array([0, 0, 0, 1, 1, 1])


def config_of(**remedy):
    config = default_config()
    config.task = "classify"
    config.classifier.architecture = "hieu2695_baseline"
    config.classifier.classes = ("normal", "viral")
    config.patches.mode = "global"
    config.patches.mask_lungs = False
    config.patches.size = 32
    config.training.batch_size = 6
    config.training.metric = "worst_group"
    for name, value in remedy.items():
        config.remedy[name] = value
    return config


def weights_of(**remedy):
    return sampling.sampling_weights(freeze(config_of(**remedy)), index_sources(SOURCES, LABELS, 2), LABELS)


def test_sources_are_counted_by_class():
    sources = index_sources(SOURCES, LABELS, 2)
    assert sources.names == ("a", "b")
    assert sources.counts.tolist() == [[3, 1], [0, 2]]
    assert sources.group_counts.tolist() == [3, 1, 0, 2]
    assert add_sources({"x": LABELS}, sources.ids)["sources"].tolist() == [0, 0, 0, 0, 1, 1]
    assert add_sources(lambda row: {"x": row}, sources.ids)(4) == {"x": 4, "sources": 1}


def test_balance_draws_each_class_of_each_source_equally_often():
    np.testing.assert_allclose(weights_of(balance=True), [1 / 9, 1 / 9, 1 / 9, 1 / 3, 1 / 6, 1 / 6])
    rows = BatchSampler(LABELS, 60, "shuffle", seed=0, probabilities=weights_of(balance=True)).epoch_rows(0)
    assert rows.shape == (1, 60)


def test_a_pair_has_one_source_and_two_classes():
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    sources = index_sources(["a", "a", "a", "a", "a", "a", "b", "b"], labels, 3)
    rows = np.repeat([0, 3, 5, 7], 3_000)
    partners = pairing.draw_partners(np.random.default_rng(0), rows, sources, labels)
    shares = np.stack([np.bincount(partners[rows == row], minlength=8) / 3_000 for row in (0, 3, 5, 7)])
    expected = np.array(
        [
            [0, 0, 0, 1 / 4, 1 / 4, 1 / 2, 0, 0],  # half of class 1, and half of class 2, which the source has once
            [1 / 6, 1 / 6, 1 / 6, 0, 0, 1 / 2, 0, 0],
            [1 / 6, 1 / 6, 1 / 6, 1 / 4, 1 / 4, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 1 / 2, 1 / 2],  # its source has one class
        ]
    )
    np.testing.assert_allclose(shares, expected, atol=0.03)  # three standard errors of 3,000 draws
    assert not shares[expected == 0].any()


def test_batches_are_made_of_pairs():
    labels = np.tile([0, 1], 8)
    sources = index_sources(["a"] * 6 + ["b"] * 10, labels, 2)
    draw = partial(pairing.draw_partners, sources=sources, labels=labels)
    sampler = BatchSampler(labels, 4, "shuffle", seed=0, draw_partners=draw)
    rows = sampler.epoch_rows(0)
    firsts, partners = rows[:, ::2], rows[:, 1::2]
    assert rows.shape == (4, 4) and len(np.unique(firsts)) == 8
    assert (sources.ids[firsts] == sources.ids[partners]).all() and (labels[firsts] != labels[partners]).all()
    np.testing.assert_array_equal(sampler.epoch_rows(0), rows)
    with pytest.raises(ValueError, match="pairs need an even training.batch_size, and it is 3"):
        BatchSampler(labels, 3, "shuffle", seed=0, draw_partners=draw)


def test_single_class_weight_reduces_draws_of_sources_of_one_class():
    assert weights_of() is None
    np.testing.assert_allclose(weights_of(single_class_weight=0.5), [0.2, 0.2, 0.2, 0.2, 0.1, 0.1])
    np.testing.assert_allclose(weights_of(single_class_weight=0.0), [0.25] * 4 + [0, 0])
    np.testing.assert_allclose(weights_of(single_class_weight=0.0, balance=True), [1 / 6] * 3 + [1 / 2, 0, 0])


def test_a_class_without_a_mixed_source_cannot_be_left_out():
    labels = np.array([0, 0, 0, 0, 1, 1])
    sources = index_sources(["a", "a", "a", "a", "b", "b"], labels, 3)
    sources.counts[0, 2] = 1  # a third class beside the first one
    with pytest.raises(ValueError, match="leaves out every radiograph of viral, whose sources have no other"):
        sampling.sampling_weights(freeze(config_of(single_class_weight=0.0)), sources, labels)


def test_group_dro_weighs_the_worst_group_as_in_algorithm_1():
    losses = jnp.array([1.0, 3.0, 0.5])
    counts = np.array([4, 1, 0])
    start = group_dro.init_weights(counts)
    np.testing.assert_allclose(start, [0.5, 0.5, 0])
    loss, weights = group_dro.robust_loss(
        losses, jnp.array([0, 1, 1]), start, group_counts=counts, step_size=0.1, adjustment=2.0
    )
    means = np.array([1.0, 1.75])
    expected = 0.5 * np.exp(0.1 * (means + 2.0 / np.sqrt([4, 1])))
    expected /= expected.sum()
    np.testing.assert_allclose(weights, [*expected, 0], rtol=1e-6)
    np.testing.assert_allclose(loss, (expected * means).sum(), rtol=1e-6)


def test_a_group_without_examples_in_a_batch_gains_no_weight():
    start = jnp.array([0.5, 0.5])
    _, weights = group_dro.robust_loss(
        jnp.array([1.0]), jnp.array([0]), start, group_counts=np.array([1, 1]), step_size=0.1, adjustment=9.0
    )
    assert weights[1] < start[1] < weights[0]


def test_bias_balanced_logits_of_single_class_and_balanced_sources():
    prior = bias_balanced.log_prior(np.array([[0, 7], [5, 5]]))
    sources = jnp.array([0, 1])
    logits = jnp.array([[2.0, -1.0], [2.0, -1.0]])
    balanced = bias_balanced.balance_logits(logits, sources, prior)
    np.testing.assert_allclose(jax.nn.softmax(balanced)[0], [0, 1])
    np.testing.assert_allclose(jax.nn.softmax(balanced)[1], jax.nn.softmax(logits)[1], rtol=1e-6)
    gradient = jax.grad(lambda x: jax.nn.log_softmax(bias_balanced.balance_logits(x, sources, prior))[0, 1])
    assert not gradient(logits).any()


def test_adversary_reverses_only_the_gradient_of_the_features():
    weights = adversary.init(jax.random.key(0), 3, 2)
    features = jax.random.normal(jax.random.key(1), (5, 3))
    sources = jnp.array([0, 1, 0, 1, 1])
    gradient = jax.jit(jax.grad(adversary.source_loss, (0, 1)))
    plain = gradient(weights, features, sources, -1.0)
    reversed_ = gradient(weights, features, sources, 0.3)
    np.testing.assert_allclose(reversed_[1], -0.3 * plain[1], rtol=1e-5)
    np.testing.assert_allclose(reversed_[0]["output_kernel"], plain[0]["output_kernel"])


def test_distance_correlation_is_1_of_equal_samples_and_0_of_independent_ones():
    x = jax.random.normal(jax.random.key(0), (12, 3))
    rotated = 5.0 * x[:, [1, 2, 0]] - 7.0
    squared_correlation = jax.jit(distance_correlation.squared_correlation)
    assert squared_correlation(x, rotated) == pytest.approx(1.0, abs=1e-5)
    grid = jnp.stack(jnp.meshgrid(jnp.arange(3.0), jnp.arange(4.0)), -1).reshape(-1, 2)  # a product of two samples
    assert squared_correlation(grid[:, :1], grid[:, 1:]) == pytest.approx(0.0, abs=1e-6)
    assert distance_correlation.source_correlation(x, jnp.zeros(12, int), 2) == 0
    gradient = jax.jit(jax.grad(lambda x: distance_correlation.source_correlation(x, jnp.arange(12) % 2, 2)))
    assert np.isfinite(gradient(x)).all() and np.isfinite(gradient(jnp.zeros((12, 3)))).all()


@pytest.mark.parametrize("quality", [20, 50, 90])
def test_jpeg_compression_equals_pillow(quality):
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(40, 200, (6, 6)), np.ones((8, 8))) + rng.normal(0, 12, (48, 48))
    pixels = np.clip(image, 0, 255).astype(np.uint8)[:45, :43]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file)).astype(float)
    compressed = 255 * np.asarray(appearance.compress_jpeg(jnp.asarray(pixels / 255.0, jnp.float32), quality))
    # Pillow computes with integers: about one coefficient of a block is rounded to the other side, and all pixels are.
    difference = np.abs(compressed[:40, :40] - expected[:40, :40])
    assert np.median(difference) < 0.7
    assert difference.mean() < 0.25 * np.abs(expected - pixels).mean()


def test_appearance_is_varied_at_random_within_the_gray_range():
    image = jax.random.uniform(jax.random.key(0), (16, 16))
    vary = jax.jit(appearance.vary)
    np.testing.assert_array_equal(vary(jax.random.key(1), image, 0.0), image)
    varied = [np.asarray(vary(jax.random.key(seed), image, 1.0)) for seed in range(4)]
    assert all(one.min() >= 0 and one.max() <= 1 for one in varied)
    assert len({one.tobytes() for one in varied}) == 4


def test_surroundings_are_swapped_outside_the_lung_box():
    images = np.stack([np.full((50, 50), level, np.uint8) for level in (10, 20, 30)])
    lungs = np.zeros((3, 50, 50), bool)
    lungs[:2, 20:30, 10:40] = True  # the third has no lungs
    swapped = np.asarray(surroundings.swap(jax.random.key(2), images, lungs, 1.0))
    box = np.zeros((50, 50), bool)
    box[18:32, 8:42] = True  # with a margin of 4 %
    for image, result in zip(images[:2], swapped, strict=False):
        assert (result[box] == image[0, 0]).all()
        assert len(np.unique(result[~box])) == 1
    assert sorted(int(one[0, 0]) for one in swapped[:2]) != [10, 20]
    np.testing.assert_array_equal(swapped[2], images[2])
    np.testing.assert_array_equal(surroundings.swap(jax.random.key(2), images, lungs, 0.0), images)


def test_mixed_spectrum_has_its_phase_and_interpolated_amplitude():
    images = 0.5 + 0.1 * jax.random.uniform(jax.random.key(1), (4, 8, 6), minval=-1, maxval=1)
    mixed = spectrum.mix(jax.random.key(0), images, 1.0)
    before = np.fft.fft2(images)
    after = np.fft.fft2(mixed)
    np.testing.assert_allclose(np.angle(after / before), 0, atol=1e-3)
    donors = np.asarray(jax.random.permutation(jax.random.split(jax.random.key(0), 3)[0], 4))
    assert (donors != np.arange(4)).any()
    for image, donor in enumerate(donors):
        gap = np.abs(before[donor]) - np.abs(before[image])
        change = np.abs(after[image]) - np.abs(before[image])
        fraction = (change * gap).sum() / max((gap**2).sum(), 1e-9)
        assert 0 <= fraction <= 1
        np.testing.assert_allclose(change, fraction * gap, atol=2e-4)
    np.testing.assert_array_equal(spectrum.mix(jax.random.key(0), images, 0.0), images)


def test_radiographs_are_mixed_only_with_their_class_of_other_sources():
    images = jnp.array([0.0, 1.0, 0.25, 0.75])[:, None, None] * jnp.ones((1, 2, 2))
    mixed = mixed_sources.mix(jax.random.key(0), images, jnp.array([0, 0, 0, 1]), jnp.array([0, 1, 0, 1]), 1.0)
    assert ((mixed > 0) & (mixed < 1)).all()
    assert mixed[0, 0, 0] == mixed[0, 1, 1] > 0  # with the second
    assert 0.25 < mixed[2, 0, 0] < 1  # with the second too, the only one of its class from another source
    np.testing.assert_array_equal(mixed[3], images[3])  # the only one of its class
    np.testing.assert_array_equal(
        mixed_sources.mix(jax.random.key(0), images, jnp.zeros(4, int), jnp.arange(4), 0.0), images
    )


def test_matching_balances_classes_in_complete_strata_only():
    strata = ["a", "a", "a", "b", "b", "c"]
    labels = np.array([0, 0, 1, 0, 1, 0])
    weights = matching.sampling_weights(strata, labels, 2)
    np.testing.assert_allclose(weights, [1.5, 1.5, 3, 2, 2, 0])
    with pytest.raises(ValueError, match="no group of equal age, sex and view has radiographs of all classes"):
        matching.sampling_weights(["a", "b"], np.array([0, 1]), 2)
    matched = sampling.sampling_weights(
        freeze(config_of(match=("age",))), index_sources(["a"] * 6, labels, 2), labels, strata
    )
    np.testing.assert_allclose(matched, weights / 10)


def test_strata_are_groups_of_age_sex_and_view():
    radiographs = SimpleNamespace(ages=np.array([1, 30, np.nan]), sexes=["M", "female", ""], views=["pa", "AP", "PA"])
    assert matching.list_strata(radiographs, ("age", "sex", "view")) == ["0 M PA", "2 F AP", "  PA"]
    assert matching.list_strata(radiographs, ("view",)) == ["PA", "AP", "PA"]
    with pytest.raises(ValueError, match="remedy.match: 'height' is none of age, sex, view"):
        matching.list_strata(radiographs, ("height",))


def test_worst_recalls_of_class_and_group_by_hand():
    correct = np.array([1, 1, 1, 0, 1, 1], bool)
    scores = worst_group.worst_recalls(correct, LABELS, SOURCES)
    assert scores == {"worst_class": pytest.approx(2 / 3), "worst_group": 0.0}
    assert np.isnan(worst_group.worst_recalls(correct[:0], LABELS[:0], [])["worst_group"])


def test_worst_group_has_five_radiographs_where_one_has_as_many():
    labels = np.repeat([0, 1, 1], [5, 6, 4])
    sources = ["a"] * 5 + ["a"] * 6 + ["b"] * 4
    correct = np.array([1, 1, 1, 1, 0] + [1, 1, 1, 1, 0, 0] + [0, 0, 0, 1], bool)
    scores = worst_group.worst_recalls(correct, labels, sources)
    assert scores["worst_group"] == pytest.approx(4 / 6)  # and not 1 / 4, the recall of four radiographs
    assert scores["worst_class"] == pytest.approx(0.5)


def test_variables_of_remedies_are_joined_and_split():
    network = {"params": {"w": 1}, "batch_stats": {}}
    joined = hooks.join(network, {"batch_stats": {"group_weights": 2}})
    assert joined == {"params": {"w": 1}, "batch_stats": {"remedy": {"group_weights": 2}}}
    assert hooks.split(joined) == (network, {"params": {}, "batch_stats": {"group_weights": 2}})


def split_of(sources):
    images = np.random.default_rng(0).integers(1, 255, (6, 32, 32)).astype(np.uint8)
    names = list("abcdef")
    labels = [("normal", "viral")[label] for label in LABELS]
    return batch.RadiographBatch(
        **{field: None for field in batch.RadiographBatch._fields}
        | {
            "paths": names, "patients": names, "sources": sources, "labels": labels, "images": images,
            "image_ids": batch.hash_images(images), "masks": images > 300,
        }
    )  # fmt: skip


def task_of(sources=SOURCES, **remedy):
    config = freeze(config_of(**remedy))
    split = split_of(list(sources))
    return config, classification.build(config, split, split, lung_segmenter.LungSegmenter(config, None))


def test_remedy_variables_are_in_the_state_but_not_in_saved_networks():
    config, task = task_of(loss="group_dro", adversary=0.5, distance_correlation=0.1, balance=True)
    training = trainer.Trainer(config, task)
    state = training.init_state(0)
    assert set(state.params["remedy"]["adversary"]) == {
        "hidden_kernel", "hidden_bias", "output_kernel", "output_bias",
    }  # fmt: skip
    before = jax.device_get((state.params["remedy"], state.batch_stats["remedy"]["group_weights"]))
    state = training.step(state, 0)
    assert np.isfinite(state.loss_sum)
    assert not np.array_equal(before[1], state.batch_stats["remedy"]["group_weights"])
    assert not np.array_equal(
        before[0]["adversary"]["output_kernel"], state.params["remedy"]["adversary"]["output_kernel"]
    )
    saved = train_step.eval_params(state)
    plain = task.init(jax.random.key(0))
    assert jax.tree.structure(saved) == jax.tree.structure(dict(plain))
    assert {"worst_class", "worst_group"} <= set(task.validate(jax.device_get(saved)).metrics)


def test_loss_without_remedies_equals_bias_balanced_with_equal_shares():
    losses = {}
    for loss, sources in (("none", SOURCES), ("bias_balanced", "abbbab")):  # each source has as many of both classes
        config, task = task_of(sources, loss=loss)
        variables = task.init(jax.random.key(0))
        arguments = (variables["params"], variables["batch_stats"], task.data, jax.random.key(1))
        losses[loss] = float(jax.jit(task.loss)(*arguments)[0])
        assert ("sources" in task.data) == (loss != "none")
    assert losses["none"] == pytest.approx(losses["bias_balanced"], rel=1e-5)


@pytest.mark.parametrize(
    ("sources", "remedy", "reason"),
    [
        ("aaaaaa", {"adversary": 1.0}, "all training radiographs are of one source, 'a'"),
        (SOURCES, {"surroundings": 1.0}, "segmenter.workdir is empty"),
    ],
)
def test_a_remedy_that_cannot_work_is_refused(sources, remedy, reason):
    with pytest.raises(ValueError, match=reason):
        task_of(sources, **remedy)


def test_last_layer_fit_equals_weighted_scikit_learn():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 3)) * [1.0, 5.0, 0.1] + [0, 3, -2]
    labels = (features[:, 0] + 0.5 * rng.normal(size=60) > 0).astype(int) + (features[:, 1] > 5)
    weights = rng.uniform(0.5, 2, 60)
    layer = last_layer.fit(features, labels, weights, 3, penalty=0.01)
    standardized = StandardScaler().fit(features)
    # scikit-learn's C is that of the sum over the examples, and of half the squares.
    reference = LogisticRegression(C=1 / (0.02 * weights.sum()), tol=1e-8, max_iter=1000)
    reference.fit(standardized.transform(features), labels, sample_weight=weights)
    expected = reference.predict_proba(standardized.transform(features))
    np.testing.assert_allclose(jax.nn.softmax(features @ layer.kernel + layer.bias), expected, atol=2e-3)


def test_only_the_last_layer_of_a_run_is_retrained(phantom_runs, small_segmenter, tmp_path):
    """The phantoms have one source: all classes are in it, so that each has the same weight."""
    run = phantom_runs / "classify"
    counts = last_layer.retrain_last_layer(run, tmp_path / "new", split="train")
    assert set(counts) == {f"phantom: {label}" for label in PHANTOM_LABELS}
    before = run_dir.load_networks(run, run_dir.load_config(run))
    after = run_dir.load_networks(tmp_path / "new", run_dir.load_config(tmp_path / "new"))
    changed = [
        jax.tree_util.keystr(path)
        for (path, new), old in zip(jax.tree_util.tree_leaves_with_path(after), jax.tree.leaves(before), strict=True)
        if not np.array_equal(new, old)
    ]
    assert len(changed) == 2 and all("['head']['linear_0']" in path for path in changed)
    assert not (tmp_path / "new" / "calibration.json").exists()
