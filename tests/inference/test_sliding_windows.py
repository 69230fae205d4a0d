"""Dense voting: a window equals the patch cut there, and the map is the paper's sum over the windows."""

from functools import cache, partial
from itertools import product

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.config import default_config
from cxrjax.inference import inputs, pipeline, strategies
from cxrjax.inference.strategies import sliding_windows
from cxrjax.models import from_config, registry, spec
from cxrjax.models.classifier import Classifier, Head
from cxrjax.ops import cam, patches, voting

SIZE, PATCH, CONTEXT, STRIDE = 64, 16, 16, 4  # pixels; a cell of the network below sees 13 around it
SETTINGS = spec.InferenceConfig("dense", True, 1, 4, "majority", 0.005, 0.02, "gray", 0.05, 0.875)
SIDE, COUNT = 4, 13  # cells of a window, windows a side


@cache
def build(head: str = "linear") -> tuple[spec.ModelSpec, dict]:
    network = spec.ModelSpec(registry.create("resnet18", 3, head=head, width=8, stages=(1,)), PATCH, 1)
    rng, blank = np.random.default_rng(0), from_config.zero_variables(network)

    def draw(leaf):
        spread = np.sqrt(2 / np.prod(leaf.shape[:-1]))  # He et al. 2015
        return jnp.float32(rng.normal(0, spread, leaf.shape) if leaf.ndim > 1 else rng.uniform(0.5, 1, leaf.shape))

    return network, {
        "params": jax.tree.map(draw, blank["params"]),
        "batch_stats": jax.tree.map(jnp.ones_like, blank["batch_stats"]),
    }


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (SIZE, SIZE)).astype(np.uint8)


@pytest.fixture(scope="module")
def lungs() -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[10:50, 7:25] = mask[10:55, 37:55] = True
    return mask


@pytest.fixture(scope="module")
def whole_lungs() -> np.ndarray:
    return np.ones((SIZE, SIZE), bool)


def segmented(image, lungs):
    return inputs.SegmentedRadiograph(image, lungs, jnp.ones(()), jax.random.key(0))


@partial(jax.jit, static_argnums=(0, 4))
def classify(network, variables, image, lungs, settings):
    return pipeline.classify_image(network, variables, segmented(image, lungs), settings)


extract_features, apply_head = (
    jax.jit(half, static_argnums=0) for half in (registry.extract_features, registry.apply_head)
)


def test_window_equals_the_patch_cut_there_with_its_context(apply, image, whole_lungs):
    network, variables = build()
    patch_predictions = classify(network, variables, image, whole_lungs, SETTINGS)
    cut = network._replace(module=network.module.clone(crop_border=CONTEXT // STRIDE), context_pixels=CONTEXT)
    reach = PATCH // 2 + CONTEXT
    inside = [i for i, c in enumerate(patch_predictions.centers) if (c >= reach).all() and (c <= SIZE - reach).all()]
    assert len(inside) == 25 and (np.diff(patch_predictions.centers[inside[:2], 1]) == STRIDE).all()
    shown = patches.extract_patches(
        jnp.asarray(image), patch_predictions.centers[np.array(inside)], cut.input_size
    ) / np.float32(255)
    alone = apply(cut.module, variables, shown[..., None])
    np.testing.assert_allclose(patch_predictions.logits[np.array(inside)], alone, rtol=1e-5, atol=1e-5)
    zeros_around = apply(network.module, variables, shown[:, CONTEXT:-CONTEXT, CONTEXT:-CONTEXT, None])
    assert np.abs(zeros_around - alone).max() > 1e-2  # the reason for the context


def test_head_gets_the_center_of_the_backbone_features(apply, image):
    network, variables = build()
    module = network.module.clone(crop_border=2)
    x = image[None, :32, :32, None] / np.float32(255)
    features = extract_features(network.module, variables, x)[:, 2:-2, 2:-2]
    linear = variables["params"]["head"]["linear_0"]
    by_hand = features.mean((1, 2)) @ linear["kernel"] + linear["bias"]
    np.testing.assert_allclose(extract_features(module, variables, x), features, atol=1e-6)
    np.testing.assert_allclose(apply(module, variables, x), by_hand, atol=1e-5)


@pytest.mark.parametrize("head", ["linear", "hidden", "flat"])
def test_every_head_classifies_windows_independently(image, lungs, head):
    network, variables = build(head)
    patch_predictions = classify(network, variables, image, lungs, SETTINGS)
    shown = (image * lungs)[None, ..., None] / np.float32(255)
    features = extract_features(network.module, variables, shown)[0]
    windows = np.stack([features[i : i + SIDE, j : j + SIDE] for i, j in product(range(COUNT), repeat=2)])
    np.testing.assert_allclose(
        patch_predictions.logits, apply_head(network.module, variables, windows), rtol=1e-5, atol=1e-5
    )


def test_window_votes_if_its_center_is_a_lung_pixel(image, lungs):
    network, variables = build()
    grid = sliding_windows.window_grid(network, SIZE)
    assert grid == (SIDE, COUNT, STRIDE)
    centers, valid = sliding_windows.window_centers(grid, PATCH, jnp.asarray(lungs))
    by_hand = list(product(range(8, 57, 4), repeat=2))
    assert centers.tolist() == [list(center) for center in by_hand]
    assert valid.tolist() == [bool(lungs[center]) for center in by_hand] and 0 < valid.sum() < len(by_hand)


@pytest.mark.parametrize("place", [np.s_[21:24, 29:32], np.s_[0:5, 60:64], np.s_[3:6, 29:32]])
def test_small_lungs_have_the_one_window_that_covers_most_of_them(place):
    network, _ = build()
    tiny = np.zeros((SIZE, SIZE), bool)
    tiny[place] = True
    centers, valid = sliding_windows.window_centers(
        sliding_windows.window_grid(network, SIZE), PATCH, jnp.asarray(tiny)
    )
    ((row, column),) = centers[valid]
    window = np.s_[row - PATCH // 2 : row + PATCH // 2, column - PATCH // 2 : column + PATCH // 2]
    assert tiny[window].sum() == tiny.sum() and not tiny[row, column]


def test_extract_windows_and_add_windows_are_transposes():
    rng = np.random.default_rng(0)
    cells, windows = rng.normal(size=(6, 5)), rng.normal(size=(4, 3, 3, 3))
    cut = patches.extract_windows(jnp.asarray(cells), 3)
    np.testing.assert_allclose(cut[2, 1], cells[2:5, 1:4], rtol=1e-6)
    assert (cut * windows).sum() == pytest.approx(float((cells * patches.add_windows(windows)).sum()), rel=1e-5)


def test_map_of_windows_equals_the_papers_sum():
    rng = np.random.default_rng(0)
    side, n, m = 3, 4, 5
    activations = np.maximum(rng.normal(size=(n, m, side, side)), 0).astype(np.float32)
    activations[0, 0] = 0
    probabilities, counted = rng.uniform(size=(n, m)), rng.uniform(size=(n, m)) < 0.4
    total, count = np.zeros((2, n + side - 1, m + side - 1))
    for i, j in np.argwhere(counted):
        window = np.s_[i : i + side, j : j + side]
        total[window] += probabilities[i, j] * activations[i, j] / max(activations[i, j].max(), 1e-9)
        count[window] += 1
    assert counted.any() and (count == 0).any() and count.max() > 2
    mapped = cam.probability_weighted_windows(activations, probabilities, counted)
    np.testing.assert_allclose(mapped, total / np.maximum(count, 1), rtol=1e-5)


class Blocks(nn.Module):
    """The mean gray level of every 8 x 8 pixels."""

    @nn.compact
    def __call__(self, x, train):
        return nn.avg_pool(x, (8, 8), (8, 8))


@pytest.mark.parametrize("size", [128, 125])  # the last 5 pixels are not a whole cell
def test_saliency_map_lies_at_the_evidence(size):
    network = spec.ModelSpec(Classifier(Blocks(), Head(2)), 32, 1)
    head = {"linear_0": {"kernel": jnp.array([[0.0, 100.0]]), "bias": jnp.array([0.0, -2.0])}}
    variables = {"params": {"head": head}}
    picture = jnp.zeros((size, size), jnp.uint8).at[40:56, 64:80].set(255)
    lungs = jnp.zeros((size, size), bool).at[30:100, 50:100].set(True)
    patch_predictions = classify(network, variables, picture, lungs, SETTINGS)
    saliency = jax.jit(pipeline.saliency_map, static_argnums=(0, 5))
    mapped = np.asarray(saliency(network, variables, picture, patch_predictions, jnp.int32(1), SETTINGS))
    bright = np.asarray(picture) > 0
    assert mapped.shape == (size, size) and bright[np.unravel_index(mapped.argmax(), mapped.shape)]
    assert (mapped * bright).sum() > 0.7 * mapped.sum() and float(mapped[bright].min()) > 0
    assert mapped.min() >= 0 and mapped.max() <= 1
    covered = np.asarray(pipeline.receptive_mask(network, segmented(picture, lungs), SETTINGS))
    by_hand = np.zeros((size, size), bool)
    for row, column in np.asarray(patch_predictions.centers[patch_predictions.valid]):
        by_hand[row - 16 : row + 16, column - 16 : column + 16] = True
    np.testing.assert_array_equal(covered, by_hand)


def test_batched_prediction_equals_single_prediction(image, lungs):
    network, variables = build()
    pictures, masks = jnp.stack([image, image[::-1]]), jnp.stack([lungs, lungs[:, ::-1]])

    @jax.jit
    def examine(image, lungs):
        patch_predictions = pipeline.classify_image(network, variables, segmented(image, lungs), SETTINGS)
        return pipeline.aggregate(network, variables, image, patch_predictions, SETTINGS)

    together = jax.vmap(examine)(pictures, masks)
    for i in range(2):
        vote, mapped, features = examine(pictures[i], masks[i])[:3]
        patch_predictions = classify(network, variables, pictures[i], masks[i], SETTINGS)
        assert vote.votes.sum() == patch_predictions.valid.sum() and (vote.votes == together[0].votes[i]).all()
        by_hand = voting.count_votes(patch_predictions.logits[patch_predictions.valid], "majority")
        np.testing.assert_allclose(vote.probabilities, by_hand.probabilities, atol=1e-5)
        np.testing.assert_allclose(mapped, together[1][i], atol=1e-5)
        windows = patches.extract_windows(patch_predictions.features[0], SIDE).reshape(COUNT**2, -1, features.size)
        np.testing.assert_allclose(features, windows[patch_predictions.valid].mean((0, 1)), atol=1e-5)
        embeddings = strategies.choose("dense").embed_patches(network, pictures[i], patch_predictions)
        np.testing.assert_allclose(embeddings, windows.mean(1), atol=1e-5)


def test_training_patches_of_dense_mode_equal_those_of_local_mode(image, lungs):
    pixels_by_mode = {}
    network = spec.ModelSpec(None, 48, 1)
    for mode in ("local", "dense"):
        sample = strategies.choose(mode).sample_training
        pixels_by_mode[mode] = sample(network, segmented(jnp.asarray(image), lungs), SETTINGS, augmented=True).pixels[0]
    assert pixels_by_mode["dense"].shape == (48, 48)
    np.testing.assert_array_equal(pixels_by_mode["local"], pixels_by_mode["dense"])


@pytest.mark.parametrize(
    "architecture, size, cells, stride",
    [("resnet18", 512, 16, 32), ("resnet18", 500, 16, 32), ("resnet18", 33, 2, 32), ("vgg16", 500, 15, 32),
     ("resnet8", 64, 4, 16), ("fsarshad_cnn1", 256, 4, 64), ("hieu2695_baseline", 128, 30, 4)],
)  # fmt: skip
def test_feature_map_size_and_output_stride_of_backbones(architecture, size, cells, stride):
    module = registry.create(architecture, 2)
    assert (registry.feature_map_size(module, size, 1), registry.output_stride(module, 1)) == (cells, stride)


def test_context_of_partial_cells_and_too_small_images_are_refused():
    config = default_config()
    config.classifier.classes = ("normal", "viral")
    config.patches.size, config.patches.context_pixels = 112, 64
    network = from_config.classifier(config)
    assert (network.input_size, network.module.crop_border) == (240, 2)
    assert from_config.zero_variables(network)["params"]["head"]
    config.patches.mode = "global"
    assert from_config.classifier(config).input_size == 112
    config.patches.mode, config.patches.context_pixels = "dense", 40
    with pytest.raises(ValueError, match=r"patches\.context_pixels=40 is not a multiple of 32, the stride of resnet18"):
        from_config.classifier(config)
    with pytest.raises(ValueError, match="radiographs of 96 pixels are smaller than a patch of 112"):
        sliding_windows.window_grid(network, 96)
