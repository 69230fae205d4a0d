"""Every recipe loads, sources its values and has only settings that are read; --config finds it by its name."""

import ast
import json
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest
from ml_collections import ConfigDict

from cxrjax.config import Config, UnknownVariantError, default_config, imagenet_address, recipes, select_variant
from cxrjax.models import from_config, registry
from cxrjax.training import param_groups

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = [f"{name}:{variant}" for name in recipes.names() for variant in recipes.variants(name)]
CONFIGS = [*VARIANTS, "audit"]


def keys(config: ConfigDict) -> set[str]:
    def walk(tree: dict, prefix: str) -> set[str]:
        each = (walk(v, f"{prefix}{k}.") if isinstance(v, dict) else {prefix + k} for k, v in tree.items())
        return set().union(*each)

    return walk(json.loads(config.to_json()), "")


def docstrings(text: str) -> tuple[str, str]:
    """The docstrings of a recipe's file and of its variant, "" for the audit's."""
    name, _, variant = text.partition(":")
    tree = ast.parse(recipes.find(name).read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == variant]
    return ast.get_docstring(tree), ast.get_docstring(functions[0]) if functions else ""


def test_recipe_names_and_variant_counts():
    counts = {name: len(recipes.variants(name)) for name in recipes.names()}
    assert counts == {
        "benchmark": 3, "chexnet": 2, "fsarshad": 6, "hieu2695": 10, "lungs": 3, "manastahir": 2, "oh2020": 2,
        "phantom": 2, "phantom_findings": 5, "quick": 2, "singhaxn": 2, "torchxrayvision": 8,
    }  # fmt: skip


@pytest.mark.parametrize("text", CONFIGS)
def test_recipe_has_the_default_keys_and_documents_its_command(text):
    assert keys(recipes.load(text)) == keys(default_config())
    name, _, variant = text.partition(":")
    header, facts = docstrings(text)
    commands = (f"--config=configs/{text.replace(':', '.py:')} ", f"--config=configs/{name}.py:VARIANT ")
    assert any(command in header for command in commands) or "--config=audit " in header
    assert bool(facts) == bool(variant)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").iterdir()), ids=lambda path: path.name)
def test_a_recipe_imports_only_the_settings(path):
    if path.name == "__pycache__":
        return
    lines = [line for line in path.read_text().splitlines() if line.startswith(("import ", "from "))]
    assert lines[0] == "from ml_collections import ConfigDict" and len(lines) == 2
    assert lines[1].startswith("from cxrjax.config import ")


# Class of a section -> the section.
SECTIONS = {field.type.__name__: field.name for field in fields(Config) if is_dataclass(field.type)}


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
        if isinstance(node, ast.arg) and getattr(node.annotation, "id", "") in SECTIONS:
            names.setdefault(node.arg, set()).add(SECTIONS[node.annotation.id])
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            for section in {name} & sections or names.get(name, ()):
                found.add(f"{section}.{node.attr}".lstrip("."))
    return found


def test_every_setting_is_read():
    config = default_config()
    sections = {key for key, value in config.items() if isinstance(value, ConfigDict)}
    found = set().union(*(settings_read(path.read_text(), sections) for path in (ROOT / "cxrjax").rglob("*.py")))
    assert keys(config) <= found, f"nobody reads {keys(config) - found}"
    invented = {"image.train", "segmenter.side", "patches.steps", "invented"}  # words that the sources hold
    assert not invented & found


def test_every_setting_has_a_comment_with_its_source_or_meaning():
    lines = (ROOT / "cxrjax" / "config" / "settings.py").read_text().splitlines()
    settings = [
        (before, line)
        for before, line in zip(lines, lines[1:], strict=False)
        if re.match(r"    \w+: .+ = ", line) and not re.match(r"    \w+: (\w+Config) = \1\(\)", line)
    ]
    assert len(settings) == len(keys(default_config())) - 1  # without the task, which has no default
    assert all("#" in before + line for before, line in settings)


@pytest.mark.parametrize("name", [*recipes.names(), "audit"])
def test_every_recipe_value_has_a_source_comment(name):
    lines = recipes.find(name).read_text().splitlines()
    if name in ("phantom", "phantom_findings", "benchmark", "lungs", "quick", "audit"):
        assert "are ours" in docstrings(name)[0]
        return
    for before, line in zip(lines, lines[1:], strict=False):
        if re.match(r"    config\.\S+ = ", line) and line != '    config.task = "classify"':
            assert "#" in line or before.strip().startswith("#") or "config.task" in line, line


@pytest.mark.parametrize("text", [text for text in VARIANTS if recipes.load(text).task == "classify"])
def test_recipe_names_a_segmenter_if_its_classifier_needs_lungs(text):
    config = recipes.load(text)
    named = "--config.segmenter.workdir=" in docstrings(text)[0] or bool(config.segmenter.workdir)
    assert named == from_config.inference_config(config, 1).requires_segmentation


@pytest.mark.parametrize("text", CONFIGS)
def test_gamma_is_applied_only_with_histogram_equalization(text):
    image = recipes.load(text).image
    assert image.equalize == (not text.startswith(("chexnet", "hieu2695", "fsarshad", "singhaxn", "torchxrayvision")))
    assert (image.gamma == 1.0) == (not image.equalize)


@pytest.mark.parametrize("text", ["hieu2695:groups", "hieu2695:vgg16", "fsarshad:vgg19"])
def test_param_groups_of_a_recipe_match_its_network(text):
    config = recipes.load(text)
    module = from_config.classifier(config).module
    params = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))["params"]
    optimiser = param_groups.apply_param_groups(optax.sgd(1.0), config.training.param_groups)
    assert jax.eval_shape(optimiser.init, params)  # a pattern that matches nothing is an error
    multipliers = {
        group: param_groups.lr_multiplier(f"{group}/kernel", config.training.param_groups)
        for group in ("head/linear_0", "head/fc")
    }
    assert multipliers["head/fc"] == 1 and multipliers["head/linear_0"] == (0 if text == "hieu2695:vgg16" else 1)


def test_trainable_parameters_of_singhaxns_segmenter_match_its_notebook():
    """segmentation-train.ipynb, cell 5: two labels; the encoder's convolutions are frozen, its batch norms are not."""
    config = recipes.load("singhaxn:segment")
    module = registry.create(config.segmenter.architecture, 2)
    params = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))["params"]
    sizes = {"/".join(key.key for key in path): leaf.size for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    assert sum(sizes.values()) == 41_221_168
    learning = {
        path: size for path, size in sizes.items() if param_groups.lr_multiplier(path, config.training.param_groups)
    }
    assert sum(learning.values()) == 19_953_520


def test_each_call_returns_a_new_config():
    first = recipes.load("oh2020:segment")
    first.training.epochs = 1
    assert recipes.load("oh2020:segment").training.epochs == 100


@pytest.mark.parametrize("name, problem", [("", "the variant is missing"), ("other", "no variant 'other'")])
def test_unknown_variant_error_lists_the_variants(name, problem):
    def segment() -> ConfigDict:
        return default_config()

    with pytest.raises(UnknownVariantError, match=f"{problem}; write a colon and one of segment after") as error:
        select_variant(name, segment)
    assert error.value.variants == ("segment",)
    with pytest.raises(UnknownVariantError, match="one of segment, classify after the recipe"):
        recipes.load(f"oh2020:{name}")


def test_resolve_finds_recipes_by_name_and_returns_paths_unchanged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert recipes.resolve("oh2020:segment") == f"{ROOT}/configs/oh2020.py:segment"
    assert recipes.resolve("audit") == f"{ROOT}/cxrjax/audit/config.py"
    (tmp_path / "oh2020").mkdir()
    assert recipes.resolve("oh2020:segment") == f"{ROOT}/configs/oh2020.py:segment"
    (tmp_path / "oh2020_segment.py").write_text("")  # a user's own
    for text in ("mine.py", "mine.py:argument", "configs/none.py", "", "oh2020_segment.py", str(tmp_path)):
        assert recipes.resolve(text) == text


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "none:segment",
            "none: no such recipe; there are benchmark, chexnet, fsarshad, hieu2695, lungs, manastahir, oh2020, ",
        ),
        (
            "configs/oh2020_segment.py",
            "configs/oh2020_segment.py: no such file; this recipe is now --config=oh2020:seg",
        ),
        ("hieu2695_focal", "hieu2695_focal: no such file; this recipe is now --config=hieu2695:focal"),
        ("configs/audit.py", "configs/audit.py: no such file; this recipe is now --config=audit"),
        ("hieu2695_none", "hieu2695_none: no such recipe"),
    ],
)
def test_unknown_recipe_name_is_one_sentence(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as error:
        recipes.resolve(text)
    assert str(error.value).startswith(message) and len(str(error.value).splitlines()) == 1


def test_former_recipe_path_error_names_the_new_path(monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match=r"--config=configs/phantom\.py:classify$"):
        recipes.resolve("configs/phantom_classify.py")


def test_local_folder_named_configs_does_not_shadow_recipes(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "__init__.py").write_text("raise RuntimeError('this is imported')")
    (tmp_path / "own.py").write_text(
        "from cxrjax.config import default_config\n\n\ndef get_config():\n    return default_config()\n"
    )
    code = (
        "from cxrjax import recipes; from cxrjax.audit import config\n"
        "print(recipes.load('phantom:segment').task, recipes.load('own.py').seed, config.get_config().patches.size)"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(1, {str(ROOT)!r})\n{code}"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout.split() == ["segment", "0", "64"], result.stderr


def test_imagenet_weight_addresses_pin_revision_and_digest():
    for name in ("densenet121", "resnet18", "resnet34", "vgg16"):
        pattern = rf"hf:timm/{name}\.tv_in1k/model\.safetensors@[0-9a-f]{{40}}#sha256=[0-9a-f]{{64}}"
        assert re.fullmatch(pattern, imagenet_address(name))
    for name in ("densenet201", "resnet50", "resnet101", "vgg11_bn", "vgg19"):
        pattern = rf"https://download\.pytorch\.org/models/{name}-([0-9a-f]{{8}})\.pth#sha256=([0-9a-f]{{8}})"
        match = re.fullmatch(pattern, imagenet_address(name))
        assert match and match[1] == match[2]
    with pytest.raises(ValueError, match="no ImageNet weights of 'unet'.*densenet121, densenet201, resnet101"):
        imagenet_address("unet")
    assert recipes.load("oh2020:classify").pretrained == imagenet_address("resnet18")
