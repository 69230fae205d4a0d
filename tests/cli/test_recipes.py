"""Every setting is read somewhere, every config file loads, and none brings a setting that is not there."""

import ast
import importlib
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest
from ml_collections import ConfigDict

from configs import base
from cxrjax.models import from_config, registry
from cxrjax.training import param_groups

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "configs").glob("*.py") if path.stem not in ("__init__", "base"))


def keys(config: ConfigDict) -> set[str]:
    def walk(tree: dict, prefix: str) -> set[str]:
        each = (walk(v, f"{prefix}{k}.") if isinstance(v, dict) else {prefix + k} for k, v in tree.items())
        return set().union(*each)

    return walk(json.loads(config.to_json()), "")


@pytest.mark.parametrize("name", NAMES)
def test_a_config_has_the_keys_of_base_and_a_command(name):
    module = importlib.import_module(f"configs.{name}")
    assert keys(module.get_config()) == keys(base.get_config())
    assert f"--config=configs/{name}.py" in module.__doc__


def settings_read(source: str, sections: set[str]) -> set[str]:
    """The settings that a module reads, as "section.key": of `config.section`, or of a name that stands for one."""
    names: dict[str, set[str]] = {"config": {""}}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign):  # c = config.training; or several at once
            target, value = node.targets[0], node.value
            several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            for name, one in zip(target.elts, value.elts, strict=True) if several else [(target, value)]:
                if isinstance(name, ast.Name) and getattr(one, "attr", "") in sections:
                    names.setdefault(name.id, set()).add(one.attr)
        if isinstance(node, ast.arg) and node.arg in sections:
            names.setdefault(node.arg, set()).add(node.arg)
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            for section in {name} & sections or names.get(name, ()):
                found.add(f"{section}.{node.attr}".lstrip("."))
    return found


def test_every_setting_is_read():
    config = base.get_config()
    sections = {key for key, value in config.items() if isinstance(value, ConfigDict)}
    found = set().union(*(settings_read(path.read_text(), sections) for path in (ROOT / "cxrjax").rglob("*.py")))
    # Handed over as one, to `augmentation.Augmentation`, whose fields they are.
    found |= {
        f"augmentation.{field}" for field in importlib.import_module("cxrjax.ops.augmentation").Augmentation._fields
    }
    assert keys(config) <= found, f"nobody reads {keys(config) - found}"
    invented = {"image.train", "segmenter.side", "patches.steps", "invented"}  # words that the sources hold
    assert not invented & found


def test_every_setting_has_a_comment_with_its_source_or_meaning():
    lines = (ROOT / "configs" / "base.py").read_text().splitlines()
    settings = [line for line in lines if re.match(r"    config\.\S+ = (?!ConfigDict\(\))", line)]
    shares_the_comment_above = "config.augmentation."
    assert all("#" in line or shares_the_comment_above in line for line in settings)


@pytest.mark.parametrize("name", NAMES)
def test_every_value_has_its_source(name):
    lines = (ROOT / "configs" / f"{name}.py").read_text().splitlines()
    if name.startswith(("phantom", "benchmark", "audit")):
        assert "are ours" in importlib.import_module(f"configs.{name}").__doc__
        return
    for before, line in zip(lines, lines[1:], strict=False):
        if re.match(r"    config\.\S+ = ", line) and line != '    config.task = "classify"':
            assert "#" in line or before.strip().startswith("#") or "config.task" in line, line


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("_segment")])
def test_a_recipe_names_a_segmenter_where_its_findings_need_lungs(name):
    module = importlib.import_module(f"configs.{name}")
    config = module.get_config()
    named = "--config.segmenter.workdir=" in module.__doc__ or bool(config.segmenter.workdir)
    assert named == from_config.inference_config(config, 1).needs_lungs


@pytest.mark.parametrize("name", NAMES)
def test_what_specifies_no_histogram_applies_no_gamma(name):
    image = importlib.import_module(f"configs.{name}").get_config().image
    assert image.equalise == (not name.startswith(("hieu2695", "fsarshad", "singhaxn")))
    assert (image.gamma == 1.0) == (not image.equalise)


@pytest.mark.parametrize("name", ["hieu2695_groups", "hieu2695_vgg16", "fsarshad_vgg19"])
def test_groups_of_a_recipe_match_its_network(name):
    config = importlib.import_module(f"configs.{name}").get_config()
    module = from_config.classifier(config).module
    params = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))["params"]
    optimiser = param_groups.apply_param_groups(optax.sgd(1.0), config.training.groups)
    assert jax.eval_shape(optimiser.init, params)  # a pattern that matches nothing is an error
    of = {
        group: param_groups.lr_multiplier(f"{group}/kernel", config.training.groups)
        for group in ("head/linear_0", "head/fc")
    }
    assert of["head/fc"] == 1 and of["head/linear_0"] == (0 if name == "hieu2695_vgg16" else 1)


def test_what_learns_of_singhaxns_segmenter_is_what_its_notebook_counts():
    """segmentation-train.ipynb, cell 5: two labels; the encoder's convolutions are frozen, its batch norms are not."""
    config = importlib.import_module("configs.singhaxn_segment").get_config()
    module = registry.create(config.segmenter.architecture, 2)
    params = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))["params"]
    sizes = {"/".join(key.key for key in path): leaf.size for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    assert sum(sizes.values()) == 41_221_168
    learning = {path: size for path, size in sizes.items() if param_groups.lr_multiplier(path, config.training.groups)}
    assert sum(learning.values()) == 19_953_520
