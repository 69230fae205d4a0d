"""Metrics of saliency maps: by hand, against SciPy, and with scorers of known evidence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, stats

from cxrjax.metrics import saliency as faithfulness
from cxrjax.models import from_config, registry, spec
from data_prep.phantom import draw

KEY = jax.random.key(0)


def test_energy_inside_by_hand():
    weights = np.array([[1.0, 3.0], [0.0, 4.0]])
    assert faithfulness.energy_inside(weights, np.array([[True, False], [True, True]])) == pytest.approx(5 / 8)
    assert jnp.isnan(faithfulness.energy_inside(jnp.zeros((2, 2)), jnp.ones((2, 2), bool)))


def test_pointing_game_by_hand():
    region = jnp.array([[True, False], [True, False]])
    for saliency, hit in (([[5, 1], [0, 4]], 1), ([[4, 1], [0, 5]], 0), ([[5, 5], [5, 0]], 2 / 3)):
        assert faithfulness.points_inside(jnp.array(saliency, float), region) == pytest.approx(hit)
    assert jnp.isnan(faithfulness.points_inside(jnp.zeros((2, 2)), region))


def test_pixels_are_ranked_by_saliency_inside_the_region_only():
    saliency, region = jnp.array([[3.0, 1, 9], [2, 0, 9]]), jnp.array([[1, 1, 0], [1, 1, 0]], bool)
    order = faithfulness.rank_pixels(saliency, region, KEY)
    np.testing.assert_allclose(order[:, :2], [[0, 0.5], [0.25, 0.75]])
    assert (order[:, 2] >= 1).all()


def test_ties_are_ranked_at_random():
    blank, region = jnp.zeros((1, 4)), jnp.ones((1, 4), bool)
    order = jax.jit(jax.vmap(lambda key: faithfulness.rank_pixels(blank, region, key)))
    orders = order(jax.random.split(KEY, 200))
    first = np.asarray(orders[:, 0].argmin(1))
    assert np.bincount(first, minlength=4).min() > 30  # 50 each are expected


@pytest.mark.parametrize("shape", [(16, 16), (15, 17)])
def test_phase_randomized_map_has_the_same_spectrum(shape):
    saliency = jnp.zeros(shape).at[2:6, 3:7].set(1.0)
    moved = faithfulness.phase_randomized_map(saliency, KEY)
    np.testing.assert_allclose(jnp.abs(jnp.fft.fft2(moved)), jnp.abs(jnp.fft.fft2(saliency)), atol=1e-4)
    assert moved.mean() == pytest.approx(float(saliency.mean()), rel=1e-4)
    assert abs(np.corrcoef(np.ravel(moved), np.ravel(saliency))[0, 1]) < 0.5


def test_deletion_and_insertion_of_a_linear_scorer_by_hand():
    picture, blank = jnp.array([[4.0, 1], [3, 2]]), jnp.zeros((2, 2))
    order = faithfulness.rank_pixels(picture, jnp.ones((2, 2), bool), KEY)
    deletion = faithfulness.deletion_curve(jnp.sum, picture, blank, order, 4)
    insertion = faithfulness.deletion_curve(jnp.sum, blank, picture, order, 4)
    np.testing.assert_allclose(deletion, [10, 6, 3, 1, 0])
    np.testing.assert_allclose(insertion, [0, 4, 7, 9, 10])
    assert faithfulness.auc(deletion) == pytest.approx((5 + 6 + 3 + 1) / 4)
    np.testing.assert_allclose(faithfulness.auc(jnp.stack([deletion, insertion])), [3.75, 6.25])


@pytest.fixture(scope="module")
def phantom():
    """A phantom with one lesion, scored by the mean gray level inside it: image, lungs, lesion, scorer."""
    drawn = draw("bacterial", np.random.default_rng(0), 64)
    picture, lesion = jnp.asarray(drawn.pixels / np.float32(255)), jnp.asarray(drawn.lesions > 0)
    lungs = jnp.asarray(drawn.structures >= 2)
    return picture, lungs, lesion, lambda x: (x * lesion).sum() / (picture * lesion).sum()


def gain(phantom, saliency, key):
    """Return by how much deletion and insertion beat a phase-randomized map."""
    picture, lungs, _, score = phantom
    blank = jnp.where(lungs, 0, picture)
    areas = []
    for each in (saliency, faithfulness.phase_randomized_map(saliency, key)):
        order = faithfulness.rank_pixels(each, lungs, key)
        areas.append(
            [faithfulness.deletion_curve(score, *pair, order, 8) for pair in ((picture, blank), (blank, picture))]
        )
    (deletion, insertion), (control, other) = faithfulness.auc(jnp.array(areas))
    return jnp.array([control - deletion, insertion - other])


def test_map_of_the_evidence_beats_chance_and_random_maps_do_not(phantom):
    keys = jax.random.split(KEY, 40)
    lesion = phantom[2]
    right = faithfulness.smooth(lesion.astype(jnp.float32), 2.0)
    assert faithfulness.points_inside(right, lesion) == 1 and faithfulness.energy_inside(right, lesion) > 0.6
    gains = jax.jit(jax.vmap(lambda key: gain(phantom, right, key)))(keys)
    assert (gains.mean(0) > 0.2).all()
    draw_blob = jax.vmap(lambda key: faithfulness.smooth(jax.random.uniform(key, lesion.shape), 4.0))
    blobs = jax.jit(draw_blob)(keys[::-1])
    none = np.asarray(jax.jit(jax.vmap(lambda blob, key: gain(phantom, blob, key)))(blobs, keys))
    assert (np.abs(none.mean(0)) < 3 * none.std(0) / np.sqrt(len(keys))).all()


def test_rank_correlation_equals_spearman_inside_the_region():
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = np.round(rng.random((2, 20, 30)), 1).astype(np.float32)  # many ties
        region = rng.random(a.shape) < 0.5
        expected = stats.spearmanr(a[region], b[region]).statistic
        ours = faithfulness.rank_correlation(jnp.asarray(a), jnp.asarray(b), jnp.asarray(region))
        assert ours == pytest.approx(expected, abs=1e-5)
    region = jnp.asarray(region)
    assert faithfulness.rank_correlation(a, np.exp(3 * a), region) == pytest.approx(1, abs=1e-5)
    assert faithfulness.rank_correlation(a, -a, region) == pytest.approx(-1, abs=1e-5)
    assert faithfulness.rank_correlation(a, np.zeros_like(a), region) == 0


def test_overlap_by_hand_and_by_chance():
    a, region = jnp.arange(10.0)[None], jnp.ones((1, 10), bool)
    assert faithfulness.overlap(a, a, region, 0.2) == 1
    assert faithfulness.overlap(a, a.at[0, 0].set(20), region, 0.2) == pytest.approx(1 / 2)  # {8, 9} and {9, 0}
    a, b = jax.random.uniform(KEY, (2, 200, 200))
    assert faithfulness.overlap(a, b, jnp.ones(a.shape, bool), 0.1) == pytest.approx(0.1, abs=0.02)


def test_smooth_equals_scipys_gaussian_filter():
    image = np.random.default_rng(0).random((20, 23)).astype(np.float32)
    for deviation in (1.5, 4.0):
        expected = ndimage.gaussian_filter(image, deviation, truncate=faithfulness.TRUNCATION, mode="reflect")
        np.testing.assert_allclose(faithfulness.smooth(jnp.asarray(image), deviation), expected, atol=1e-5)


def test_ssim_equals_its_definition():
    a, b = np.random.default_rng(1).random((2, 24, 24))
    a, b, region = a / a.max(), b / b.max(), np.random.default_rng(2).random((24, 24)) < 0.5

    def mean(x: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(x, 1.5, truncate=3.5, mode="reflect")

    luminance = (2 * mean(a) * mean(b) + 1e-4) / (mean(a) ** 2 + mean(b) ** 2 + 1e-4)
    spread = mean(a**2) - mean(a) ** 2 + mean(b**2) - mean(b) ** 2
    structure = (2 * (mean(a * b) - mean(a) * mean(b)) + 9e-4) / (spread + 9e-4)
    expected = (luminance * structure)[region].mean()
    assert faithfulness.ssim(3 * a, b, region) == pytest.approx(expected, abs=1e-4)
    assert faithfulness.ssim(a, 5 * a, region) == pytest.approx(1)


def test_layers_are_ordered_and_randomized_by_name():
    network = spec.ModelSpec(registry.create("resnet6", 3, width=8), 32, 1)
    layers = from_config.layer_paths(network)
    assert layers[0] == "backbone/conv1" and layers[-1] == "head/linear_0"
    assert layers.index("backbone/layer1_0/bn2") < layers.index("backbone/layer2_0/conv1")
    trained = from_config.zero_variables(network)
    drawn = jax.tree.map(lambda x: x + 1, trained)
    top = {"head/linear_0", "backbone/layer2_0/conv1"}
    mixed = faithfulness.randomize_layers(trained, drawn, top)
    assert jax.tree.structure(mixed) == jax.tree.structure(trained)
    params = mixed["params"]
    assert params["head"]["linear_0"]["kernel"] is drawn["params"]["head"]["linear_0"]["kernel"]
    assert params["backbone"]["layer2_0"]["conv1"] == drawn["params"]["backbone"]["layer2_0"]["conv1"]
    assert params["backbone"]["conv1"]["kernel"] is trained["params"]["backbone"]["conv1"]["kernel"]
    everything = faithfulness.randomize_layers(trained, drawn, set(layers))
    assert all(a is b for a, b in zip(jax.tree.leaves(everything), jax.tree.leaves(drawn), strict=True))
