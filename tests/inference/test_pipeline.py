"""`pipeline.predict` on small random networks: invariances, patch modes and empty masks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.inference import inputs, pipeline, strategies
from cxrjax.inference.strategies import whole_radiograph
from cxrjax.models import from_config, registry, spec
from cxrjax.models.fc_densenet import FCDenseNet
from cxrjax.ops import contrast, lung_crop, voting

SIZE, PATCH, CLASSES = 128, 32, 3
SETTINGS = spec.InferenceConfig(
    patch_mode="local",
    mask_lungs=True,
    num_patches=20,
    patch_batch_size=5,
    aggregation="majority",
    min_component_area=0.005,
    min_lung_area=0.02,
    channels="gray",
    bbox_margin=0.05,
    min_lung_confidence=0.875,
)
make_channels = jax.jit(contrast.enhance_channels, static_argnames="kind")
classify = jax.jit(pipeline.classify_image, static_argnums=(0, 3))
SURE = jnp.float32(0.9)  # confidence of lungs


@partial(jax.jit, static_argnames=("size", "settings"))
def draw_patches(image, lungs, confidence, key, size, settings):
    """Return the centers of the patches of a radiograph, and the patches."""
    strategy = strategies.choose(settings.patch_mode)
    radiograph = inputs.SegmentedRadiograph(image, lungs, confidence, key)
    sampled = strategy.sample(spec.ModelSpec(None, size, 1), radiograph, settings)
    return sampled.centers, sampled.pixels


@pytest.fixture(scope="module")
def small():
    """A segmenter for which bright pixels are lungs, a random classifier, and their variables."""
    segmenter = spec.ModelSpec(FCDenseNet(4, blocks=(1,), bottleneck=1, growth=2, stem=2), 64, 1)
    classifier = spec.ModelSpec(registry.create("resnet18", CLASSES, width=8, stages=(1, 1)), PATCH, 1)
    blank = from_config.zero_variables(segmenter)
    blank["batch_stats"] = jax.tree.map_with_path(lambda p, x: x + (p[-1].key == "var"), blank["batch_stats"])
    # The first feature of the stem is the image itself, and is passed to the end: lung logits are 20 (x - 0.5).
    blank["params"]["stem"]["kernel"][1, 1, 0, 0] = 1
    blank["params"]["head"]["kernel"][0, 0, 2, 2] = 20
    blank["params"]["head"]["bias"][:] = [0, -50, -10, -50]
    return segmenter, classifier, {"segmenter": blank, "classifier": from_config.init(classifier, jax.random.key(1))}


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (4, SIZE, SIZE)).astype(np.uint8)
    for image in images[:3]:
        image[20:100, 15:50] = rng.integers(160, 255, (80, 35))
        image[20:100, 75:110] = rng.integers(160, 255, (80, 35))
    return images  # the last has no lungs


def predict_rows(small, images, rows, settings=SETTINGS):
    keys = pipeline.image_keys(0, np.arange(100, 100 + len(images), dtype=np.uint32))
    return pipeline.predict(*small, images[rows], keys[np.array(rows)], settings)


def test_segmenter_of_these_tests_finds_bright_boxes(small, images):
    lungs = np.asarray(predict_rows(small, images, [0]).lung_mask[0])
    wanted = np.zeros_like(lungs)
    wanted[20:100, 15:50] = wanted[20:100, 75:110] = True
    assert (lungs == wanted).mean() > 0.98


def test_prediction_does_not_depend_on_the_rest_of_the_batch(small, images):
    together = predict_rows(small, images, [0, 1, 2, 3])
    for row in range(4):
        alone = predict_rows(small, images, [row])
        assert (together.votes[row] == alone.votes[0]).all() and together.label[row] == alone.label[0]
        np.testing.assert_allclose(together.saliency[row], alone.saliency[0], atol=1e-5)


def test_prediction_does_not_depend_on_patch_batch_size(small, images):
    one, other = (predict_rows(small, images, [0, 1], SETTINGS._replace(patch_batch_size=chunk)) for chunk in (1, 7))
    assert (one.votes == other.votes).all()
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)


def test_image_without_lungs_has_no_class_and_no_nan(small, images):
    result = predict_rows(small, images, [3, 0, 1, 2])
    assert result.label[0] == pipeline.NO_CLASS and result.label[1] >= 0
    assert not result.lung_mask[0].any() and result.votes[0].sum() == 0 and result.lung_confidence[0] == 0
    fields = result._asdict()
    evidence = fields.pop("ood_statistics")
    assert (
        fields.pop("patch_embeddings") is None
        and fields.pop("class_maps") is None
        and fields.pop("num_patches") is None
    )
    assert all(np.isfinite(leaf).all() for leaf in fields.values())
    assert np.isnan(evidence.lung_shape[0]).all() and np.isfinite(evidence.lung_shape[1]).all()


def test_votes_equal_those_of_patches_classified_one_by_one(apply, small, images):
    segmenter, classifier, variables = small
    result = predict_rows(small, images, [1])
    key = pipeline.image_keys(0, np.array([101], np.uint32))[0]
    radiograph = inputs.SegmentedRadiograph(images[1], result.lung_mask[0], SURE, key)
    centers, logits, _, _ = classify(classifier, variables["classifier"], radiograph, SETTINGS)
    masked = np.pad(images[1] * np.asarray(result.lung_mask[0]), PATCH)
    for center, expected in zip(np.asarray(centers) + PATCH, logits, strict=True):
        row, column = center - PATCH // 2
        patch = masked[row : row + PATCH, column : column + PATCH] / np.float32(255)
        found = apply(classifier.module, variables["classifier"], patch[None, ..., None])[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)
    vote = jax.jit(voting.count_votes, static_argnames="rule")(logits, "majority")
    assert (vote.votes == result.votes[0]).all() and result.votes.sum() == SETTINGS.num_patches


def test_global_mode_is_one_vote_of_the_whole_radiograph(apply, small, images):
    _, classifier, variables = small
    for masked in (True, False):
        result = predict_rows(
            small, images, [1, 3], SETTINGS._replace(patch_mode="global", mask_lungs=masked, num_patches=1)
        )
        shown = images[1] * np.asarray(result.lung_mask[0]) if masked else images[1]
        x = inputs.downsample(shown[None], PATCH)[..., None] / np.float32(255)
        logits = apply(classifier.module, variables["classifier"], x)[0]
        np.testing.assert_allclose(result.probabilities[0], jax.nn.softmax(logits), atol=1e-4)
        assert result.votes[0].sum() == 1 and result.label[0] == logits.argmax()
        assert result.label[1] == pipeline.NO_CLASS  # every mode compares the same radiographs


def test_without_a_segmenter_every_radiograph_has_a_label(small, images):
    segmenter, classifier, variables = small
    settings = SETTINGS._replace(patch_mode="global", mask_lungs=False, num_patches=1)
    seen = predict_rows(small, images, [1, 3], settings)
    blind = predict_rows((None, classifier, variables | {"segmenter": None}), images, [1, 3], settings)
    np.testing.assert_allclose(blind.probabilities[0], seen.probabilities[0], atol=1e-6)
    np.testing.assert_allclose(blind.saliency[0], seen.saliency[0], atol=1e-5)
    assert seen.label[1] == pipeline.NO_CLASS and blind.label[1] >= 0 and blind.votes[1].sum() == 1
    assert not blind.lung_mask.any() and np.isnan(blind.lung_confidence).all()
    for needy in (settings._replace(mask_lungs=True), settings._replace(patch_mode="local")):
        with pytest.raises(ValueError, match="without a segmenter"):
            predict_rows((None, classifier, variables), images, [1], needy)


def test_global_saliency_map_spans_the_radiograph(small, images):
    """The map's peak is 1 x p, at the same relative position as the peak of the feature map."""
    segmenter, classifier, variables = small
    settings = SETTINGS._replace(patch_mode="global", num_patches=1)
    result = predict_rows(small, images, [1, 3], settings)
    found = result.label[0]
    assert result.saliency[0].shape == (SIZE, SIZE)
    assert float(result.saliency[0].max()) <= float(result.probabilities[0, found]) + 1e-5


def test_center_crop_is_the_middle_and_random_in_training(images):
    """128 pixels less a quarter are 96, from 16 to 112; the pixels are those of the radiograph at that size."""
    settings = SETTINGS._replace(patch_mode="global", mask_lungs=False, num_patches=1, center_crop=0.25)
    nothing = (None, None)
    center, (shown,) = draw_patches(images[0], *nothing, jax.random.key(0), 96, settings)
    assert center.tolist() == [[64, 64]]
    np.testing.assert_array_equal(shown, images[0, 16:112, 16:112])
    _, (small,) = draw_patches(images[0], *nothing, jax.random.key(0), PATCH, settings)
    np.testing.assert_array_equal(small, inputs.downsample(images[:1, 16:112, 16:112], PATCH)[0])

    network, image = spec.ModelSpec(None, 96, 1), jnp.asarray(images[0])
    squares = np.lib.stride_tricks.sliding_window_view(images[0], (96, 96))

    @jax.jit
    def scatter(key, augmented):
        radiograph = inputs.SegmentedRadiograph(image, *nothing, key)
        return whole_radiograph.sample(network, radiograph, settings, augmented).pixels[0]

    corners = []
    for seed in range(60):
        square = np.asarray(scatter(jax.random.key(seed), True))
        (corner,) = np.argwhere((squares == square).all((2, 3)))
        corners.append(tuple(corner))
    assert 0 <= np.min(corners) < 3 and 29 < np.max(corners) <= 32 and len(set(corners)) > 50
    np.testing.assert_array_equal(scatter(jax.random.key(5), False), shown)


def test_saliency_map_of_a_center_crop_lies_in_the_middle(apply, small, images):
    _, classifier, variables = small
    settings = SETTINGS._replace(patch_mode="global", mask_lungs=False, num_patches=1, center_crop=0.25)
    result = predict_rows((None, classifier, variables | {"segmenter": None}), images, [1], settings)
    x = inputs.downsample(images[1:2, 16:112, 16:112], PATCH)[..., None] / np.float32(255)
    logits = apply(classifier.module, variables["classifier"], x)[0]
    np.testing.assert_allclose(result.probabilities[0], jax.nn.softmax(logits), atol=1e-4)

    whole = settings._replace(center_crop=0.0)
    middle = predict_rows((None, classifier, variables | {"segmenter": None}), images[:, 16:112, 16:112], [1], whole)
    np.testing.assert_allclose(result.saliency[0, 16:112, 16:112], middle.saliency[0], atol=1e-5)
    assert middle.saliency[0].max() > 0 and np.count_nonzero(result.saliency[0]) == np.count_nonzero(middle.saliency[0])
    seen = pipeline.receptive_mask(
        classifier, inputs.SegmentedRadiograph(jnp.asarray(images[1]), None, None, jax.random.key(0)), settings
    )
    wanted = np.zeros((SIZE, SIZE), bool)
    wanted[16:112, 16:112] = True
    np.testing.assert_array_equal(seen, wanted)


@pytest.mark.parametrize("size, cut, side", [(128, 0.0625, 120), (256, 0.0625, 240), (8, 0.99, 1), (100, 0.0, 100)])
def test_side_length_of_a_center_crop(size, cut, side):
    assert whole_radiograph.measure_window(size, SETTINGS._replace(center_crop=cut)) == side


def test_center_crop_applies_to_global_mode_only(images):
    lungs = np.zeros((SIZE, SIZE), bool)
    lungs[30:90, 40:90] = True
    same = {}
    for mode in ("local", "lung_bbox", "global"):
        settings = SETTINGS._replace(patch_mode=mode)
        cut, uncut = (
            draw_patches(images[0], lungs, SURE, jax.random.key(0), PATCH, settings._replace(center_crop=share))[1]
            for share in (0.25, 0.0)
        )
        same[mode] = bool((cut == uncut).all())
    assert same == {"local": True, "lung_bbox": True, "global": False}


def test_lung_bbox_mode_is_one_vote_of_the_cropped_channels(apply, small, images):
    segmenter, _, variables = small
    classifier = spec.ModelSpec(registry.create("resnet18", CLASSES, width=8, stages=(1, 1)), PATCH, 3)
    variables = variables | {"classifier": from_config.init(classifier, jax.random.key(1))}
    settings = SETTINGS._replace(patch_mode="lung_bbox", channels="enhanced", mask_lungs=False, num_patches=1)
    result = predict_rows((segmenter, classifier, variables), images, [1, 3], settings)
    assert result.lung_confidence[0] > settings.min_lung_confidence and result.votes[0].sum() == 1
    assert result.label[1] == pipeline.NO_CLASS and not result.saliency[1].any()

    (top, bottom), (left, right) = lung_crop.bounding_box(result.lung_mask[0], settings.bbox_margin)
    box = np.array([[top, bottom], [left, right]])
    square = make_channels(lung_crop.crop_resize(images[1], box, SIZE), "enhanced")
    x = lung_crop.letterbox(square, box, PATCH)[None] / np.float32(255)
    logits = apply(classifier.module, variables["classifier"], x)[0]
    np.testing.assert_allclose(result.probabilities[0], jax.nn.softmax(logits), atol=1e-3)

    inside = np.zeros((SIZE, SIZE), bool)
    inside[top:bottom, left:right] = True
    assert not np.asarray(result.saliency[0])[~inside].any()
    assert 0 < float(result.saliency[0].max()) <= float(result.probabilities[0, result.label[0]]) + 1e-5


def test_masked_lung_crop_equals_crop_of_the_masked_image(images):
    lungs = np.zeros((SIZE, SIZE), bool)
    lungs[30:90, 40:90] = True
    crop = SETTINGS._replace(patch_mode="lung_bbox")
    of_masked = draw_patches(images[0] * lungs, lungs, SURE, jax.random.key(0), PATCH, crop._replace(mask_lungs=False))
    masked = draw_patches(images[0], lungs, SURE, jax.random.key(0), PATCH, crop)
    np.testing.assert_array_equal(masked[1], of_masked[1])
    assert masked[0].tolist() == [[[27, 93], [38, 92]]] and masked[1].any()


def test_lung_crop_with_low_confidence_is_the_whole_radiograph(small, images):
    settings = SETTINGS._replace(mask_lungs=False, num_patches=1)
    crop = predict_rows(small, images, [1, 3], settings._replace(patch_mode="lung_bbox", min_lung_confidence=1.0))
    whole = predict_rows(small, images, [1, 3], settings._replace(patch_mode="global"))
    np.testing.assert_allclose(crop.probabilities, whole.probabilities, atol=1e-4)
    np.testing.assert_allclose(crop.saliency, whole.saliency, atol=1e-3)


def test_local_and_global_patches_are_cut_from_enhanced_channels(images):
    lungs = np.zeros((SIZE, SIZE), bool)
    lungs[30:90, 40:90] = True
    made = np.asarray(make_channels(images[0], "enhanced"))
    settings = SETTINGS._replace(mask_lungs=False, channels="enhanced", num_patches=3)
    centers, crops = draw_patches(images[0], lungs, SURE, jax.random.key(0), PATCH, settings)
    for (row, column), crop in zip(np.asarray(centers), crops, strict=True):
        window = np.s_[row - PATCH // 2 : row + PATCH // 2, column - PATCH // 2 : column + PATCH // 2]
        np.testing.assert_array_equal(crop, made[window])
    _, (whole,) = draw_patches(images[0], lungs, SURE, jax.random.key(0), PATCH, settings._replace(patch_mode="global"))
    each = [inputs.downsample(made[None, ..., k], PATCH)[0] for k in range(3)]
    np.testing.assert_array_equal(whole, np.stack(each, axis=-1))


def test_unmasked_patches_include_pixels_outside_the_lungs(images):
    lungs = np.zeros((SIZE, SIZE), bool)
    lungs[60:68, 60:68] = True
    key = jax.random.key(0)
    centers, crops = draw_patches(images[0], lungs, SURE, key, PATCH, SETTINGS._replace(mask_lungs=False))
    same, masked = draw_patches(images[0], lungs, SURE, key, PATCH, SETTINGS)
    np.testing.assert_array_equal(centers, same)
    assert lungs[tuple(np.asarray(centers).T)].all()
    for (row, column), crop, black in zip(np.asarray(centers), crops, masked, strict=True):
        window = np.s_[row - PATCH // 2 : row + PATCH // 2, column - PATCH // 2 : column + PATCH // 2]
        np.testing.assert_array_equal(crop, images[0][window])
        np.testing.assert_array_equal(black, images[0][window] * lungs[window])


def test_unknown_patch_mode_is_named(images):
    with pytest.raises(ValueError, match="'both'; there are local, dense, global, lung_bbox"):
        draw_patches(images[0], images[0] > 0, SURE, jax.random.key(0), PATCH, SETTINGS._replace(patch_mode="both"))


def test_saliency_map_is_0_to_1_and_near_the_lungs(small, images):
    result = predict_rows(small, images, [0])
    reach = np.zeros((SIZE, SIZE), bool)
    for row, column in np.argwhere(np.asarray(result.lung_mask[0])):
        reach[max(0, row - PATCH // 2) : row + PATCH // 2, max(0, column - PATCH // 2) : column + PATCH // 2] = True
    saliency_map = np.asarray(result.saliency[0])
    assert saliency_map.min() >= 0 and saliency_map.max() <= 1 and not saliency_map[~reach].any()


FOLDED = {
    "resnet6": {"width": 4},
    "densenet121": {"blocks": (1, 2), "growth": 4, "stem": 4},
    "vgg11_bn": {"stages": (1, 1), "width": 4, "head": "linear"},  # its own has 17 million weights
    "fsarshad_cnn1": {"widths": (4, 8)},
    "hieu2695_baseline": {},
    "fc_densenet29": {"blocks": (1,), "bottleneck": 1, "growth": 4, "stem": 4},
    "unet": {"depth": 1, "width": 4},
}


@pytest.mark.parametrize(("normalization", "channels"), [("none", 1), ("imagenet", 2)])
@pytest.mark.parametrize("architecture", FOLDED)
def test_channels_folded_into_the_first_kernel_keep_results_and_gradients(architecture, normalization, channels):
    """Up to the border, where the offsets of ImageNet's channels meet a padding of zeros."""
    module = registry.create(architecture, 4, **FOLDED[architecture])
    network = spec.ModelSpec(module, 32, 3, normalization)
    variables = from_config.init(network, jax.random.key(0))
    levels = jnp.asarray(np.random.default_rng(1).random((2, 32, 32), np.float32))

    @partial(jax.jit, static_argnames="fold")
    def run(params, fold):
        plain = variables | {"params": params}
        given, x = inputs.prepare(network, plain, levels) if fold else (plain, inputs.normalize(levels, network))
        assert x.shape[-1] == (channels if fold else 3)
        return (module.apply(given, x, train=False) ** 2).sum()

    folded, plain = (jax.value_and_grad(run)(variables["params"], fold=fold) for fold in (True, False))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * np.abs(b).max()), folded, plain)


def test_networks_without_channel_folding_get_all_channels():
    network = spec.ModelSpec(registry.create("resnet18_keras", 5), 2, 3)  # whose first layer is a norm
    variables, x = inputs.prepare(network, {}, jnp.zeros((1, 2, 2)))
    assert variables == {} and x.shape == (1, 2, 2, 3)


def test_normalization_by_gray_levels_or_imagenet_statistics():
    gray = jnp.array([[[0.0, 1.0]]])
    network = spec.ModelSpec(registry.create("resnet18_keras", 5), 2, 3)  # whose first layer is a norm
    np.testing.assert_array_equal(inputs.normalize(gray, network), [[[[0, 0, 0], [1, 1, 1]]]])
    np.testing.assert_array_equal(inputs.normalize(gray, network._replace(in_channels=1)), [[[[0], [1]]]])
    photographic = network._replace(normalization="imagenet")
    black = [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    white = [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]
    np.testing.assert_allclose(inputs.normalize(gray, photographic), [[[black, white]]], rtol=1e-6)
    with pytest.raises(ValueError, match="3 channels"):
        inputs.normalize(gray, network._replace(normalization="imagenet", in_channels=1))
    symmetric = network._replace(normalization="torchxrayvision", in_channels=1)
    np.testing.assert_array_equal(inputs.normalize(gray, symmetric), [[[[-1024], [1024]]]])
    made = jnp.array([[[[0.0, 0.5, 1.0]]]])
    np.testing.assert_array_equal(inputs.normalize(made, network), made)
    with pytest.raises(ValueError, match="the patches have 3 channels, and the network reads 1"):
        inputs.normalize(made, network._replace(in_channels=1))
