"""Settings of a run: their definition (`settings.py`), their check (`schema.py`), and the recipes of configs/.

A recipe starts from `default_config()`, a `ConfigDict` that command-line flags can change, and changes what differs.
`freeze` turns it into the `Config` that the library takes.
"""

from collections.abc import Callable, Sequence

from ml_collections import ConfigDict

from cxrjax.config.schema import InvalidSettingError, freeze
from cxrjax.config.settings import Config

__all__ = [
    "IMAGENET",
    "LABELS",
    "Config",
    "InvalidSettingError",
    "UnknownVariantError",
    "default_config",
    "freeze",
    "select_variant",
]

# Labels of Oh et al. 2020, table I: the shared vocabulary of prepared data sets, whose other labels stay as they are.
LABELS = ("normal", "bacterial", "tuberculosis", "viral", "covid19")

# ImageNet weights of torchvision, hosted by timm under torchvision's names: `IMAGENET.format("resnet34")`. They are not
# pinned, since no digest was available: `main` may change. The start that downloads them prints their SHA-256, which
# can be appended to the address.
IMAGENET = "hf:timm/{}.tv_in1k/model.safetensors@main"


class UnknownVariantError(LookupError):
    """A recipe has no variant of the given name; the message lists its variants, which `variants` are."""

    def __init__(self, name: str, variants: Sequence[str]):
        problem = f"no variant {name!r}" if name else "the variant is missing"
        super().__init__(f"{problem}; write a colon and one of {', '.join(variants)} after the recipe")
        self.variants = tuple(variants)


def select_variant(name: str, *variants: Callable[[], ConfigDict]) -> ConfigDict:
    """Return the config of the named variant of a recipe.

    Args:
        name: name of the variant, the text after the colon of `--config=FILE:NAME`; "" if none is given.
        *variants: functions that return the config of a variant, each with the name of its variant.

    Raises:
        UnknownVariantError: no variant has this name.
    """
    by_name = {variant.__name__: variant for variant in variants}
    if name not in by_name:
        raise UnknownVariantError(name, tuple(by_name))
    return by_name[name]()


def default_config() -> ConfigDict:
    """Return a new config with the default of every setting; `task` is empty and has to be set."""
    return ConfigDict(Config(task="segment").to_dict() | {"task": ""})
