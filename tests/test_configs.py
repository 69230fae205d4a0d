"""Every setting is read somewhere, every config file loads, and none brings a setting that is not there."""

import importlib
import json
import re
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs import base

ROOT = Path(__file__).resolve().parents[1]
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


def test_every_setting_is_read():
    sources = "\n".join(path.read_text() for path in (ROOT / "cxrjax").rglob("*.py"))
    whole = ("augmentation.",)  # handed over as one, to `augment.Augmentation`, whose fields they are
    fields = set(importlib.import_module("cxrjax.augment").Augmentation._fields)
    for key in keys(base.get_config()):
        if key.startswith(whole):
            assert key.split(".")[1] in fields
        else:
            assert re.search(rf"\.{key.split('.')[-1]}\b", sources), f"nobody reads {key}"


def test_every_setting_has_a_comment_with_its_source_or_meaning():
    lines = (ROOT / "configs" / "base.py").read_text().splitlines()
    settings = [line for line in lines if re.match(r"    config\.\S+ = (?!ConfigDict\(\))", line)]
    shares_the_comment_above = "config.augmentation."
    assert all("#" in line or shares_the_comment_above in line for line in settings)
