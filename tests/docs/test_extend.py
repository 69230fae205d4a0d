"""The examples of docs/how_to/extend.md work when they are followed."""

import importlib.util
import re
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cxrjax as cx
from cxrjax.config import freeze
from cxrjax.inference.inputs import SegmentedRadiograph
from cxrjax.inference.strategies import STRATEGIES
from cxrjax.metrics import confidence
from cxrjax.models import from_config, registry
from cxrjax.models.spec import ModelSpec
from cxrjax.pretrained import key_map, state_dict
from data_prep.options import Options
from data_prep.prepare import prepare
from tests.helpers.image_files import save_image

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "extend.md"


@pytest.fixture
def make_module(monkeypatch, tmp_path):
    """Return a function that makes a module of a code block of a section."""

    def make(section: str, block: int, name: str) -> types.ModuleType:
        text = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
        (chosen,) = (part for part in text if part.startswith(section))
        code = re.findall(r"```python\n(.*?)```", chosen, re.DOTALL)[block]
        path = tmp_path / "code" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(code, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return make


def test_architecture_of_the_page_is_created(make_module, monkeypatch) -> None:
    monkeypatch.setattr(registry, "BACKBONES", dict(registry.BACKBONES))
    monkeypatch.setattr(registry, "_FIRST_CONV", dict(registry._FIRST_CONV))
    monkeypatch.setattr(key_map, "_KEY_MAPS", dict(key_map._KEY_MAPS))
    monkeypatch.setattr(registry, "ARCHITECTURES", (*registry.ARCHITECTURES, "tiny_cnn"))
    make_module("An architecture", 0, "cxrjax.models.tiny_cnn")
    make_module("An architecture", 1, "registration")
    module, variables = cx.models.create("tiny_cnn", 3, size=32, channels=1)
    assert registry.accepts_gray(module)
    logits = module.apply(variables, jnp.ones((2, 32, 32, 1)), train=False)
    assert logits.shape == (2, 3)
    tensors = state_dict.to_state_dict("tiny_cnn", variables)
    assert tensors["conv.0.weight"].shape == (16, 1, 3, 3) and tensors["head.bias"].shape == (3,)


def test_data_source_of_the_page_prepares_a_data_set(make_module, tmp_path) -> None:
    source = make_module("A source of data", 0, "data_prep.clinic.source").SOURCE
    for number, name in enumerate(("normal/p1_1", "normal/p2_1", "covid19/p3_1", "covid19/p3_lateral")):
        save_image(tmp_path / "raw" / f"{name}.png", np.random.default_rng(number).integers(0, 256, (64, 64), np.uint8))
    options = Options(raw_dir=str(tmp_path / "raw"), out=str(tmp_path / "data"), split_ratios=(1.0, 0.0, 0.0))
    _, is_complete = prepare(source, options)
    assert not is_complete  # the lateral view
    dataset = cx.datasets.load(tmp_path / "data", "train", spec=cx.InputSpec(size=32))
    assert sorted(dataset.labels) == ["covid19", "normal", "normal"]


def test_metric_of_the_page_is_computed(make_module) -> None:
    balanced_accuracy = make_module("A metric", 0, "example_metric").balanced_accuracy
    truth = np.array([0, 0, 0, 1])
    predicted = np.array([0, 0, 1, 1])
    weights = np.array([[1, 1, 1, 1], [0, 0, 2, 2]])
    score = balanced_accuracy(truth, predicted, 2, weights)
    np.testing.assert_allclose(confidence.values(score), [(2 / 3 + 1) / 2, (0 + 1) / 2])


def test_patch_strategy_of_the_page_samples_patches(make_module) -> None:
    strategy = make_module("A patch strategy", 0, "cxrjax.inference.strategies.upper").STRATEGY
    assert strategy._fields == STRATEGIES["local"]._fields
    mask = jnp.zeros((40, 40), bool).at[10:31, 5:35].set(True)
    radiograph = SegmentedRadiograph(jnp.full((40, 40), 9, jnp.uint8), mask, jnp.ones(()), jax.random.key(0))
    classifier = ModelSpec(registry.create("resnet6", 2), 8, 1)
    settings = from_config.inference_config(freeze(cx.recipes.load("phantom:classify")), num_patches=50)
    sampled = strategy.sample(classifier, radiograph, settings)
    rows = np.asarray(sampled.centers)[:, 0]
    assert rows.min() >= 10 and rows.max() <= 20 and len(set(rows)) > 5
    assert sampled.pixels.shape[:3] == (50, 8, 8)
