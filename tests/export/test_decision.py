"""Exported files alone decide as the toolkit does, by the code of docs/how_to/export.md."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import onnxruntime
import pytest
from jax.export import deserialize

from cxrjax import export
from cxrjax.config import default_config, freeze
from cxrjax.data import batch
from cxrjax.export import decision, manifest
from cxrjax.inference import inputs
from cxrjax.inference.functional import PipelineSpec
from cxrjax.inference.loaded_run import load_run
from cxrjax.inference.predictor import load_predictor, make_predictor
from cxrjax.io import findings
from cxrjax.models import from_config
from cxrjax.ops import voting
from cxrjax.runs import calibration, checkpoints, run_dir

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "export.md"
SIZE = 32
STEP = 7
CLASSES = ("effusion", "mass", "nodule")
COUNT = 9


def read_code() -> list[str]:
    """Return the code of the page's section on ONNX: the functions, and those for whole radiographs."""
    section = PAGE.read_text(encoding="utf-8").split("## ONNX")[1]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def configure(targets: str, **classifier):
    config = default_config()
    config.task = "classify"
    config.image.size = SIZE
    config.patches.mode = "global"
    config.patches.mask_lungs = False
    config.patches.size = SIZE
    config.classifier.architecture = "hieu2695_baseline"
    config.classifier.head = "linear"
    config.classifier.channels = 3
    config.classifier.normalization = "imagenet"
    config.classifier.classes = CLASSES
    config.classifier.targets = targets
    config.classifier.update(classifier)
    config.evaluation.batch_size = COUNT
    return config


def keep_run(workdir: Path, config, images: np.ndarray) -> None:
    """Write a run with random weights whose logits have mean 0 and deviation 1.5 over the images."""
    run_dir.create_or_resume(workdir, freeze(config))
    classifier = from_config.classifier(config)
    variables = from_config.init(classifier, jax.random.key(1))
    statistics = inputs.NORMALIZATIONS["imagenet"]
    x = (images[..., None] / np.float32(255) - np.float32(statistics.mean)) / np.float32(statistics.deviation)
    logits = np.asarray(classifier.module.apply(variables, x, train=False))
    head = variables["params"]["head"]["linear_0"]
    scale = 1.5 / logits.std(0)
    head["kernel"] = head["kernel"] * scale
    head["bias"] = (head["bias"] - logits.mean(0)) * scale
    with checkpoints.Checkpoints(workdir / "checkpoints") as kept:
        kept.save("best", STEP, variables)


def keep_calibration(workdir: Path, **content) -> None:
    stored = {"version": calibration.VERSION, "split": "val", "step": STEP, "n": 50, "target": 0.9}
    calibration.path(workdir).write_text(json.dumps({**stored, "operating_points": {}, **content}))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (COUNT, SIZE, SIZE)) * rng.uniform(0.1, 1, (COUNT, 1, 1))).astype(np.uint8)


def find_middle(values) -> float:
    """Return a number below COUNT - COUNT // 2 of the values, and far from each."""
    return float(np.sort(values)[COUNT // 2 - 1 : COUNT // 2 + 1].mean())


def run_page(folder: Path, images: np.ndarray) -> list:
    """Run the code of the page in a process that has neither cxrjax nor JAX, on each image."""
    np.save(folder / "images.npy", images)
    code = "\n".join(read_code()).replace("DIR/", f"{folder}/")
    code += f"""
import sys

for image in np.load({str(folder / "images.npy")!r}):
    decided, probabilities = predict(image)
    print(json.dumps([decided, probabilities.tolist()]))
assert not {{"cxrjax", "jax"}} & set(sys.modules)
"""
    process = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in process.stdout.splitlines()]


def load_page(monkeypatch, description) -> SimpleNamespace:
    """Return the functions of the page for an ONNX file with the metadata of a description."""
    metadata = SimpleNamespace(custom_metadata_map=manifest.to_metadata(description))
    session = SimpleNamespace(get_modelmeta=lambda: metadata)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda path: session)
    names: dict = {}
    exec(read_code()[0], names)
    return SimpleNamespace(**names)


def decide_program(page, folder: Path, images: np.ndarray) -> list:
    """Decide on the outputs of predict.stablehlo."""
    program = deserialize(bytearray((folder / "predict.stablehlo").read_bytes()))
    outputs = jax.device_get(program.call(images, batch.hash_images(images)))
    totals = outputs.get("num_patches", outputs["votes"].sum(-1))
    return [page.decide(*values) for values in zip(outputs["votes"], outputs["probabilities"], totals, strict=True)]


def test_findings_are_decided_by_their_thresholds_on_validation(tmp_path, images, monkeypatch):
    workdir = tmp_path / "run"
    keep_run(workdir, configure("multi", thresholds=(0.3, 0.6, 0.5)), images)
    uncalibrated = np.array([result.probabilities for result in load_predictor(workdir).predict(images)])
    # The thresholds of two findings are between the images; the third has none.
    points = {name: {"decision": None, "at_specificity": 0.8, "at_sensitivity": None} for name in CLASSES}
    for k in (0, 1):
        points[CLASSES[k]]["decision"] = find_middle(uncalibrated[:, k])
    keep_calibration(workdir, operating_points=points, temperature={"effusion": 2.0, "nodule": 0.5})
    predictor = make_predictor(load_run(workdir, calibrated=True))
    results = list(predictor.predict(images))
    expected = [predictor.findings(result) for result in results]
    assert [sum(row[name] for row in expected) for name in CLASSES[:2]] == [COUNT - COUNT // 2] * 2
    assert 0 < sum(row["nodule"] for row in expected) < COUNT

    folder = tmp_path / "out"
    export.export_model(workdir, folder)
    decided = run_page(folder, images)
    assert [row for row, _ in decided] == expected
    assert [findings.format_label(row) for row, _ in decided] == [predictor.to_row(r)["prediction"] for r in results]
    np.testing.assert_allclose([p for _, p in decided], [r.probabilities for r in results], rtol=0, atol=2e-5)
    content = json.loads((folder / "manifest.json").read_text())
    assert content["decision"]["operating_points"]["mass"] == {"at_specificity": 0.8, "at_sensitivity": None}
    assert (content["decision"]["split"], content["decision"]["target"]) == ("val", 0.9)
    session = onnxruntime.InferenceSession(folder / "classifier.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert {name: json.loads(text) for name, text in metadata.items()} == {
        name: section for name, section in content.items() if name not in ("files", "verification")
    }
    assert decide_program(load_page(monkeypatch, content), folder, images) == expected


def test_a_label_is_undecided_below_the_confidence_of_validation(tmp_path, images, monkeypatch):
    workdir = tmp_path / "run"
    keep_run(workdir, configure("single"), images)
    uncalibrated = [result.probabilities.max() for result in load_predictor(workdir).predict(images)]
    keep_calibration(workdir, temperature=1.7, min_confidence=find_middle(uncalibrated))
    predictor = make_predictor(load_run(workdir, calibrated=True))
    results = list(predictor.predict(images))
    expected = [[CLASSES[result.label], predictor.decision(result)] for result in results]
    assert [state for _, state in expected].count("decided") == COUNT - COUNT // 2
    assert len({label for label, _ in expected}) > 1

    folder = tmp_path / "out"
    export.export_model(workdir, folder)
    decided = run_page(folder, images)
    assert [row for row, _ in decided] == expected
    np.testing.assert_allclose([p for _, p in decided], [r.probabilities for r in results], rtol=0, atol=2e-5)
    page = load_page(monkeypatch, json.loads((folder / "manifest.json").read_text()))
    assert decide_program(page, folder, images) == [tuple(row) for row in expected]


def describe(targets: str, stored, rule: str = "majority", **classifier):
    config = configure(targets, **classifier)
    config.voting.aggregation = rule
    return manifest.describe_model(freeze(config), PipelineSpec.from_config(config), stored, "", STEP)


@pytest.mark.parametrize("stored", [{}, {"min_confidence": None}, {"min_confidence": 0.5}])
def test_label_by_hand(monkeypatch, stored):
    page = load_page(monkeypatch, describe("single", stored and {"temperature": 1.0, "version": 2} | stored))
    expected = {(): "", (None,): "undecided", (0.5,): "decided"}[tuple(stored.values())]
    # Two votes each, and the first has the higher probability: 0.5 + 0.5 + 0.1 + 0.1 against 0.4 + 0.4 + 0.2 + 0.2.
    votes = np.array([2, 2, 0])
    assert page.decide(votes, np.array([0.5, 0.3, 0.2]), 4) == ("effusion", expected)
    # The third has the highest probability, and no votes.
    label, _ = page.decide(votes, np.array([0.2, 0.3, 0.5]), 4)
    assert label == "mass"
    page = load_page(monkeypatch, describe("single", None, rule="mean_probability"))
    assert page.decide(votes, np.array([0.2, 0.3, 0.5]), 4) == ("nodule", "")


@pytest.mark.parametrize("rule", voting.RULES)
@pytest.mark.parametrize("published", [(), (0.2, 0.5, 0.9)])
def test_votes_on_findings_are_counted_and_decided_as_here(monkeypatch, rule, published):
    points = {"effusion": {"decision": 0.25}, "nodule": {"decision": None}}
    stored = {"version": 2, "temperature": {}, "operating_points": points}
    page = load_page(monkeypatch, describe("multi", stored, rule, thresholds=published))
    thresholds = np.array([0.25, np.nan, np.nan])
    rng = np.random.default_rng(0)
    for _ in range(50):
        logits = rng.normal(size=(4, 3)).astype(np.float32)
        result = voting.count_findings(voting.apply_thresholds(logits, published), rule)
        votes, probabilities = page.count_votes(logits)
        assert votes.tolist() == result.votes.tolist()
        np.testing.assert_allclose(probabilities, result.probabilities, atol=1e-6)
        positive = voting.find_positive(result.votes, result.probabilities, result.num_patches, rule, thresholds)
        assert list(page.decide(votes, probabilities, 4).values()) == positive.tolist()


def test_a_radiograph_is_resized_as_here():
    """Up to one gray level where rounding decides between two."""
    names: dict = {"np": np}
    exec(read_code()[1], names)
    image = np.random.default_rng(0).integers(0, 256, (90, 90), np.uint8)
    for size in (30, 64, 90, 120):
        difference = names["resize"](image, size).astype(int) - np.asarray(inputs.downsample(image[None], size))[0]
        assert np.abs(difference).max() <= 1 and (difference != 0).mean() < 0.01


def test_what_was_not_chosen_is_left_out():
    spec = PipelineSpec.from_config(configure("multi"))
    section = decision.describe(freeze(configure("multi")), spec, None)
    assert section["thresholds"] == dict.fromkeys(CLASSES) and set(section) == {"thresholds", "note", "steps"}
    assert "no operating point was chosen on validation" in section["note"]
    spec = PipelineSpec.from_config(configure("single"))
    assert set(decision.describe(freeze(configure("single")), spec, None)) == {"steps"}
    doubtful = {"version": 1, "temperature": 1.0, "operating_points": {}}
    assert "fits them again" in decision.describe(freeze(configure("single")), spec, doubtful)["warning"]
