"""Classifiers of known evidence: one that depends on one square, and one whose map does not depend on weights."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.config import default_config
from cxrjax.data import batch
from cxrjax.evaluation import saliency, saliency_verdict
from cxrjax.models import from_config, spec
from cxrjax.models.classifier import Classifier

SIZE, SEEN = 64, 32
SQUARE = np.s_[24:40, 12:24]  # of a radiograph, inside the first lung


class BrightLungs(nn.Module):
    """Bright pixels are lungs."""

    def __call__(self, x, train):
        lung = 20 * (x[..., 0] - 0.5)
        return nn.log_softmax(jnp.stack([0 * lung, 0 * lung - 50, lung, 0 * lung - 50], -1))


class WeightedPixels(nn.Module):
    """The input times a learned weight for each pixel."""

    @nn.compact
    def __call__(self, x, train):
        return x * self.param("weight", nn.initializers.uniform(1.0), x.shape[1:])


class Identity(nn.Module):
    """The input itself, independent of the weights."""

    def __call__(self, x, train):
        return x


class PositiveHead(nn.Module):
    """A linear head whose random weights are all positive."""

    is_linear = True

    @nn.compact
    def __call__(self, features, train):
        return nn.Dense(2, kernel_init=nn.initializers.uniform(1.0), name="linear_0")(features.mean((1, 2)))


@pytest.fixture(scope="module")
def cases():
    """Ten radiographs of two bright lungs, one of none; the lesion is the square."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (11, SIZE, SIZE)).astype(np.uint8)
    for image in images[:-1]:
        for left in (8, 36):
            coarse = rng.integers(160, 255, (6, 3)).astype(np.uint8)
            image[8:56, left : left + 24] = np.kron(coarse, np.ones((8, 8), np.uint8))
    lesions = np.zeros(images.shape, bool)
    lesions[:, *SQUARE] = True
    names = [f"{i}.png" for i in range(len(images))]
    blank = np.zeros(images.shape, np.uint8)
    kinds, keys = np.full(len(images), -1, np.int32), batch.hash_images(images)
    who = (names, names, ["made up"] * len(images), ["square"] * len(images))
    nobody, unknown = [""] * len(images), np.full((len(images), 3), np.nan, np.float32)
    known = (*who, keys, images, blank, kinds, lesions)
    return batch.RadiographBatch(*known, views=nobody, sexes=nobody, ages=unknown[:, 0], fov_mm=unknown[:, 1:])


def config():
    settings = default_config()
    settings.task, settings.patches.mode, settings.patches.size = "classify", "global", SEEN
    settings.classifier.classes = ("none", "square")
    settings.evaluation.batch_size = 4
    settings.saliency_eval.num_randomizations = 4
    return settings


def judge(backbone: nn.Module, params: dict, cases: batch.RadiographBatch, settings=None):
    settings = settings or config()
    segmenter = spec.ModelSpec(BrightLungs(), SEEN, 1)
    classifier = spec.ModelSpec(Classifier(backbone, PositiveHead()), SEEN, 1)
    variables = {"segmenter": {}, "classifier": from_config.init(classifier, jax.random.key(0))}
    head = {"linear_0": {"kernel": jnp.array([[0.0, 100.0]]), "bias": jnp.array([0.0, -2.0])}}
    variables["classifier"]["params"] = {"head": head} | params
    rows, curves = zip(*saliency.iter_evaluations(segmenter, classifier, settings, variables, cases), strict=True)
    return rows, curves, saliency_verdict.summarize_checks(rows, curves, settings.saliency_eval, settings.seed)


def weights_of_the_square() -> dict:
    weight = np.zeros((SEEN, SEEN, 1), np.float32)
    weight[tuple(slice(s.start // 2, s.stop // 2) for s in SQUARE)] = 1
    return {"backbone": {"weight": jnp.asarray(weight)}}


@pytest.fixture(scope="module")
def square(cases):
    return judge(WeightedPixels(), weights_of_the_square(), cases)


def test_map_of_the_true_evidence_passes_all_checks(square):
    _, _, judged = square
    assert judged["checks"] == dict.fromkeys(saliency_verdict.CHECKS.keys() - {"resampling"}, saliency_verdict.PASSED)
    figures = judged["metrics"]
    assert figures["energy_in_lesions"]["value"] > 0.8 and figures["pointing_game"]["value"] == 1
    assert figures["deletion_gain"]["value"] > 0.2 and figures["insertion_gain"]["value"] > 0.2
    assert judged["verdict"].startswith("These maps change when the network's weights are randomized")


def test_sampled_patches_add_the_resampling_check(cases):
    settings = config()
    (
        settings.patches.mode,
        settings.patches.count,
        settings.saliency_eval.num_randomizations,
        settings.saliency_eval.num_resamples,
    ) = "local", 4, 1, 1
    settings.saliency_eval.num_depths, settings.saliency_eval.num_steps = 1, 2
    rows, _, judged = judge(WeightedPixels(), weights_of_the_square(), cases.select(np.arange(2)), settings)
    assert "resampling" in judged["checks"] and rows[0]["resampled_correlation"] < 1


def test_chance_metrics_equal_region_fractions(square, cases):
    row = square[0][0]
    lungs = np.zeros((SIZE, SIZE), bool)
    lungs[8:56, 8:32] = lungs[8:56, 36:60] = True
    lesion = cases.lesions[0]
    assert row["energy_in_lungs_chance"] == pytest.approx(lungs.mean(), abs=0.03)  # the radiograph is one patch
    assert row["pointing_game_chance"] == pytest.approx(lesion.sum() / lungs.sum(), abs=0.01)


def test_deletion_and_insertion_curves_share_their_endpoints(square):
    for curves in square[1][:-1]:
        ends = curves["deletion"][[0, -1]]
        for name in saliency_verdict.CURVES:
            turned = slice(None, None, 1 if name.startswith("deletion") else -1)
            np.testing.assert_allclose(curves[name][turned][[0, -1]], ends, atol=1e-5)
        assert ends[1] == pytest.approx(1 / (1 + np.exp(2)), abs=1e-4)  # only the bias is left


def test_radiograph_without_lungs_has_a_row_and_no_metrics(square):
    rows, curves, judged = square
    assert rows[-1]["prediction"] == "" and len(rows[-1]) == 5 and curves[-1] == {}
    assert (judged["n"], judged["without_map"], judged["metrics"]["deletion"]["n"]) == (11, 1, 10)


def test_map_independent_of_weights_is_worthless(cases):
    settings = config()
    settings.saliency_eval.baseline = "blur"
    _, curves, judged = judge(Identity(), {}, cases, settings)
    assert judged["checks"]["weights"] == saliency_verdict.FAILED
    assert judged["verdict"].startswith("These maps are worthless: they hardly change")
    assert judged["metrics"]["randomized_100_correlation"]["value"] == pytest.approx(1, abs=1e-3)
    # Black leaves the bias alone, and a blurred lung is bright.
    assert all(each["deletion"][-1] > 0.5 for each in curves if each)


@pytest.mark.slow
def test_rows_do_not_depend_on_the_batch_size(square, cases):
    settings = config()
    settings.evaluation.batch_size = 11
    rows, _, _ = judge(WeightedPixels(), weights_of_the_square(), cases, settings)
    for ours, theirs in zip(rows, square[0], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
