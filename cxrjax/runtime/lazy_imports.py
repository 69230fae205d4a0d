"""Public names of a package that are imported when they are first used, so that importing the package costs nothing."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_imports(
    package: str, names: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return the functions and the list that give a package its lazily imported public names (PEP 562).

    Args:
        package: the package's `__name__`.
        names: public name -> "package.module:attribute", or "package.module" for a module itself.

    Returns:
        `__getattr__`, `__dir__` and `__all__` of the package. `dir(package)` lists the public names alone.
    """
    public = sorted(names)

    def get_attribute(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = names[name].partition(":")
        value = importlib.import_module(module)
        if attribute:
            value = getattr(value, attribute)
        setattr(sys.modules[package], name, value)
        return value

    return get_attribute, lambda: public, public
