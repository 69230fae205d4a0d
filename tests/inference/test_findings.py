"""Several findings per radiograph: votes, probabilities and maps of all patch modes, the row and the prediction."""

from functools import partial
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from cxrjax.inference import ensemble, finding_predictor, inputs, loaded_run, ood, pipeline, prediction, rows
from cxrjax.inference.model_input import ModelInput
from cxrjax.io import predictions_csv
from cxrjax.io.crop import Frame
from cxrjax.models import from_config, registry, spec
from cxrjax.ops import voting

SIZE, FINDINGS = 64, ("a", "b", "c")
SINGLE = spec.InferenceConfig(
    patch_mode="local",
    mask_lungs=True,
    num_patches=6,
    patch_batch_size=6,
    aggregation="majority",
    min_component_area=0.005,
    min_lung_area=0.02,
    channels="gray",
    bbox_margin=0.05,
    min_lung_confidence=0.875,
)
MULTI = SINGLE._replace(targets="multi")


@pytest.fixture(scope="module")
def network():
    classifier = spec.ModelSpec(registry.create("resnet18", len(FINDINGS), width=4, stages=(1,)), 32, 1)
    variables = from_config.init(classifier, jax.random.key(0))
    head = variables["params"]["head"]["linear_0"]
    head["kernel"] = 20 * head["kernel"]  # so that patches differ in their votes
    return classifier, variables


@pytest.fixture(scope="module")
def radiograph():
    image = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE)).astype(np.uint8)
    lungs = np.zeros((SIZE, SIZE), bool)
    lungs[8:56, 8:28] = lungs[8:56, 36:56] = True
    return inputs.SegmentedRadiograph(image, lungs, np.float32(0.9), jax.random.key(3))


@pytest.mark.parametrize("mode", ["local", "dense", "global", "lung_bbox"])
def test_each_finding_has_its_own_votes_and_map(network, radiograph, mode):
    classifier, variables = network
    settings = MULTI._replace(patch_mode=mode, with_class_maps=True)

    @jax.jit
    def run(variables, radiograph):
        prepared = registry.precompute_kernels(variables)
        patches = pipeline.classify_image(classifier, prepared, radiograph, settings)
        return patches, pipeline.aggregate(classifier, prepared, radiograph.image, patches, settings)

    patches, aggregated = jax.device_get(run(variables, radiograph))
    logits = patches.logits[patches.valid].astype(np.float64)
    probabilities = 1 / (1 + np.exp(-logits))
    vote = aggregated.vote
    assert vote.votes.tolist() == (logits > 0).sum(0).tolist() and vote.num_patches == len(logits)
    np.testing.assert_allclose(vote.probabilities, probabilities.mean(0), rtol=1e-4)
    np.testing.assert_array_equal(aggregated.saliency, aggregated.class_maps[vote.label])
    # A map never exceeds the highest probability of its finding among the patches, whatever the other findings are.
    for k in range(len(FINDINGS)):
        assert aggregated.class_maps[k].max() <= probabilities[:, k].max() * (1 + 1e-4)
    assert aggregated.class_maps.max() > 0


def test_probability_of_a_finding_does_not_depend_on_other_logits(network, radiograph):
    """The logit of another finding changes the softmax of classes, and no sigmoid."""
    classifier, variables = network
    head = variables["params"]["head"]["linear_0"]
    higher = {"linear_0": head | {"bias": head["bias"] + np.array([0, 0, 9.0])}}
    raised = variables | {"params": variables["params"] | {"head": higher}}

    @partial(jax.jit, static_argnums=1)
    def probabilities(variables, settings):
        batch = jax.tree.map(lambda x: x[None], radiograph)
        return pipeline.vote_each(classifier, variables, batch, settings).probabilities[0]

    np.testing.assert_array_equal(probabilities(variables, MULTI)[:2], probabilities(raised, MULTI)[:2])
    assert (probabilities(variables, SINGLE)[:2] > probabilities(raised, SINGLE)[:2]).all()


def test_pooled_finding_votes_equal_votes_over_all_patches():
    logits = np.random.default_rng(0).normal(size=(3, 10, 3)).astype(np.float32)
    count = jax.jit(voting.count_findings, static_argnames="rule")
    together = count(logits.reshape(30, 3), "majority")
    votes = [count(part, "majority") for part in logits]
    stacked = jax.tree.map(lambda *parts: np.stack(parts)[:, None], *votes)
    blank = np.zeros((3, 1))
    members = pipeline.Prediction(
        **{name: blank for name in pipeline.Prediction._fields if name not in ("patch_embeddings", "class_maps")}
        | stacked._asdict()
        | {
            "saliency": np.zeros((3, 1, 2, 2), np.float32),
            "ood_statistics": ood.OODStatistics(*[blank] * len(ood.OODStatistics._fields)),
        }
    )
    pooled = jax.jit(ensemble.pool_predictions, static_argnames="rule")(members, "majority")
    assert pooled.votes[0].tolist() == together.votes.tolist() and pooled.num_patches.tolist() == [30]
    assert pooled.label[0] == together.label
    np.testing.assert_allclose(pooled.probabilities[0], together.probabilities, rtol=1e-5)
    np.testing.assert_allclose(pooled.mutual_information[0], together.mutual_information, rtol=1e-4)


def predictor(temperature=1.0, aggregation="majority", thresholds=None, published=()):
    made = finding_predictor.FindingPredictor.__new__(finding_predictor.FindingPredictor)
    made.config = SimpleNamespace(
        voting=SimpleNamespace(aggregation=aggregation), classifier=SimpleNamespace(thresholds=published)
    )
    made.classes, made.has_segmenter, made.notice = FINDINGS, False, ""
    made._describe = lambda: None
    made._run = SimpleNamespace(
        fitted=loaded_run.Fitted(temperature, decision_thresholds=thresholds or {}),
        spec=SimpleNamespace(inference=SimpleNamespace(saliency_class=None)),
    )
    made._temperatures = dict(temperature) if isinstance(temperature, dict) else {}
    made._thresholds = np.array([made._scale_threshold(name) for name in FINDINGS])
    return made


def result(votes, probabilities, label=0, num_patches=10):
    nothing = np.float32(0.5)
    return pipeline.Prediction(
        votes=np.array(votes),
        probabilities=np.array(probabilities, np.float32),
        label=np.array(label),
        vote_fraction=nothing,
        saliency=np.ones((4, 4), np.float32),
        lung_mask=np.zeros((4, 4), bool),
        label_map=np.zeros((4, 4), np.uint8),
        lung_confidence=np.float32(np.nan),
        expected_entropy=nothing,
        mutual_information=nothing,
        ood_statistics=SimpleNamespace(features=np.zeros(2)),
        num_patches=np.array(num_patches),
    )


def test_row_has_findings_with_more_than_half_of_the_votes(tmp_path):
    row = predictor().to_row(result([6, 5, 0], [0.55, 0.6, 0.1]))
    assert row["prediction"] == "a|b" and row["num_patches"] == 10  # b has half of the votes and 0.6
    assert (row["votes_a"], row["probability_c"]) == (6, 0.1)
    assert rows.describe(row) == "a, b"
    assert predictor(aggregation="mean_probability").to_row(result([6, 5, 9], [0.4, 0.6, 0.1]))["prediction"] == "b"
    assert predictor().to_row(result([0, 0, 0], [0.1, 0.2, 0.3]))["prediction"] == "no finding"
    no_lungs = predictor().to_row(result([0, 0, 0], [0, 0, 0], label=pipeline.NO_CLASS, num_patches=0))
    assert no_lungs["status"] == predictions_csv.NO_LUNGS_FOUND and "prediction" not in no_lungs
    columns = predictions_csv.file_columns(FINDINGS, False, False, (), is_multi_label=True)
    assert not any(column.startswith("target_") for column in columns)
    for header in (columns, predictions_csv.finding_columns(FINDINGS)):
        table = [{"path": "x", "label": "a"} | row | {f"target_{name}": -1.0 for name in FINDINGS}, no_lungs]
        written = [{name: cell for name, cell in cells.items() if name in header} for cells in table]
        predictions_csv.write(tmp_path / "rows.csv", written, header)
        first, second = predictions_csv.read(tmp_path / "rows.csv")
        assert predictions_csv.has_findings(first) and first["votes_a"] == 6 and second["num_patches"] == 0
        assert np.isnan(second["probability_a"])
    assert predictions_csv.targets([first, second], FINDINGS)[0].tolist() == [-1, -1, -1]
    assert np.isnan(predictions_csv.targets([second], FINDINGS)).all()


def test_prediction_has_a_bool_for_each_finding():
    image = ModelInput(np.zeros((4, 4), np.uint8), Frame(4, 4), path="x.png")
    assembled = prediction.assemble(predictor(), image, result([6, 2, 0], [0.7, 0.3, 0.1]))
    assert assembled.findings == {"a": True, "b": False, "c": False}
    assert (assembled.label, assembled.saliency_label, assembled.num_patches) == ("a", "a", 10)
    assert np.isnan(assembled.confidence) and assembled.to_dict()["findings"] == assembled.findings
    none = prediction.assemble(predictor(), image, result([0] * 3, [0] * 3, pipeline.NO_CLASS, 0))
    assert none.label is None and none.findings == {} and not none.has_lungs


def test_finding_is_predicted_at_the_operating_point_stated_in_the_row():
    cautious = predictor(thresholds={"a": 0.75, "c": 0.05})
    row = cautious.to_row(result([9, 6, 0], [0.7, 0.6, 0.1]))
    assert row["prediction"] == "b|c"
    assert (row["threshold_a"], row["threshold_b"], row["threshold_c"]) == (0.75, 0.5, 0.05)
    image = ModelInput(np.zeros((4, 4), np.uint8), Frame(4, 4), path="x.png")
    assembled = prediction.assemble(cautious, image, result([9, 6, 0], [0.7, 0.6, 0.1]))
    assert assembled.findings == {"a": False, "b": True, "c": True}
    assert assembled.to_dict()["thresholds"] == {"a": 0.75, "b": 0.5, "c": 0.05}
    assert assembled.threshold_note.endswith("operating point on the validation split on; b without one from 0.5 on.")
    assert "no operating point was chosen" in predictor().threshold_note
    assert "published operating point" in predictor(published=(0.1, 0.2, 0.3)).threshold_note
    # At a temperature, the threshold moves with the probability: 0.75 is odds of 3, or 3 ** 0.5 at a temperature of 2.
    tempered = predictor({"a": 2.0}, thresholds={"a": 0.75})
    for value, expected in ((0.74, False), (0.76, True)):
        odds = np.sqrt(value / (1 - value))
        scaled = result([9, 0, 0], [odds / (1 + odds), 0.1, 0.1])
        assert tempered.findings(scaled)["a"] is expected
    assert tempered.to_row(scaled)["threshold_a"] == pytest.approx(np.sqrt(3) / (1 + np.sqrt(3)))


def test_each_finding_is_scaled_by_its_own_temperature():
    batch = jax.tree.map(
        lambda x: np.asarray(x)[None], result([6, 2, 0], [0.8, 0.3, 0.1])._replace(ood_statistics=None)
    )
    scaled = predictor({"a": 2.0, "b": 0.5})._calibrate(lambda: batch)
    np.testing.assert_allclose(scaled.probabilities, [[2 / 3, 9 / 58, 0.1]], rtol=1e-5)
    assert predictor()._calibrate(lambda: batch) is batch
