"""Recipes: the config files of configs/, which an installed package has in cxrjax/_recipes, found by name.

`oh2020:segment` names the variant "segment" of the recipe configs/oh2020.py, from any working directory.
"""

import importlib.util
import re
from pathlib import Path

from ml_collections import ConfigDict

_PACKAGE = Path(__file__).resolve().parents[1]
_PROBE = "audit"  # the config of the audit's probe network, which is no recipe but can be changed like one
_VARIANT = re.compile(r"^def (?!get_config\b)([a-z]\w*)\(", re.MULTILINE)


def names() -> list[str]:
    """Return the names of all recipes, sorted."""
    return sorted(path.stem for path in _folder().glob("[!_]*.py"))


def variants(name: str) -> list[str]:
    """Return the names of the variants of a recipe, in the order of its file."""
    return _VARIANT.findall(find(name).read_text(encoding="utf-8"))


def find(name: str) -> Path:
    """Return the file of a recipe, or of the audit's probe network for "audit".

    Raises:
        ValueError: there is no such recipe; the message lists those there are.
    """
    if name == _PROBE:
        return _PACKAGE / "audit" / "config.py"
    if name not in names():
        raise ValueError(f"{name}: no such recipe; there are {', '.join(names())}, and a path ends in .py")
    return _folder() / f"{name}.py"


def resolve(text: str) -> str:
    """Return the value of --config with the path of the recipe in place of its name.

    Args:
        text: `RECIPE:VARIANT`, or a path, which is returned as it is: `FILE.py` or `FILE.py:ARGUMENT`.

    Raises:
        ValueError: there is no such recipe, or the path is that of a recipe before its variants shared a file.
    """
    name, colon, variant = text.partition(":")
    if name in (_PROBE, *names()):
        return f"{find(name)}{colon}{variant}"
    path = Path(name)
    if not name or path.exists():
        return text
    today = _renamed(path)
    if today:
        raise ValueError(f"{name}: no such file; this recipe is now --config={today}")
    if path.suffix != ".py" and path.name == name:
        find(name)
    return text


def load(text: str) -> ConfigDict:
    """Return the config that a value of --config stands for.

    Args:
        text: as for `resolve`.

    Raises:
        ValueError: as for `resolve`.
        UnknownVariantError: the recipe has no such variant.
        OSError: the file cannot be read.
    """
    path, colon, variant = resolve(text).partition(":")
    spec = importlib.util.spec_from_file_location("cxrjax_recipe", path)
    assert spec is not None and spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(variant) if colon else module.get_config()


def _folder() -> Path:
    """Return the folder of the recipes: inside the installed package, or configs/ beside it in a checkout."""
    installed = _PACKAGE / "_recipes"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def _renamed(path: Path) -> str:
    """Return today's form of the former path of a recipe, such as configs/oh2020_segment.py; "" for others."""
    recipe, _, variant = path.stem.partition("_")
    if path.stem == _PROBE:
        return _PROBE
    if recipe not in names() or variant not in variants(recipe):
        return ""
    file = path.with_name(f"{recipe}.py")
    return f"{file if file.is_file() else recipe}:{variant}"
