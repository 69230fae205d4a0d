"""Settings of a run: their definition (`settings.py`), their check (`schema.py`), and the recipes of configs/.

A recipe starts from `default_config()`, a `ConfigDict` that command-line flags can change, and changes what differs.
`freeze` turns it into the `Config` that the library takes.
"""

from collections.abc import Callable, Sequence

from ml_collections import ConfigDict

from cxrjax.config.schema import InvalidSettingError, freeze
from cxrjax.config.settings import Config

__all__ = [
    "LABELS",
    "Config",
    "InvalidSettingError",
    "UnknownVariantError",
    "default_config",
    "freeze",
    "imagenet_address",
    "select_variant",
]

# Labels of Oh et al. 2020, table I: the shared vocabulary of prepared data sets, whose other labels stay as they are.
LABELS = ("normal", "bacterial", "tuberculosis", "viral", "covid19")

# Commit and SHA-256 of model.safetensors of timm/ARCHITECTURE.tv_in1k, as other projects on GitHub pin them.
_IMAGENET_PINS = {
    "densenet121": (
        "f0d0f2698a02cb133b09d48396db6e1e46fe9f3b",
        "c894c6d9caa317a8ca1942986dee7a16a86c77734a4d691d2abe05389cfef358",
    ),
    "resnet18": (
        "bbd144b3e5565108aad885f145491d11bc6ce807",
        "694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81",
    ),
    "resnet34": (
        "1b7b21cca82ff974d341713f777bf740c2db38c4",
        "0bb82595a564991a9d424708b33f5d843f5aaed7f6c0886ff10849ff97022235",
    ),
    "vgg16": (
        "b8d8aa2dd860af9233c8c67385a8097fd6c35d3f",
        "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
    ),
}


# torchvision's files, whose names have the first 8 digits of their SHA-256; torchvision verifies them too
# (`check_hash=True` of the builders in torchvision/models). The weights are those of timm/ARCHITECTURE.tv_in1k.
_IMAGENET_FILES = {
    "densenet201": "densenet201-c1103571.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "vgg11_bn": "vgg11_bn-6002323d.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
}


def imagenet_address(architecture: str) -> str:
    """Return the address of torchvision's ImageNet weights (IMAGENET1K_V1).

    Those of DenseNet121, ResNet18, ResNet34 and VGG16 are pinned by commit and SHA-256, as timm hosts them under
    torchvision's names. Of the others only the first 8 digits of the SHA-256 are known, from torchvision's file names;
    the download verifies these and prints all 64, which can be appended to the address.

    Args:
        architecture: name of the network, such as "resnet34".

    Raises:
        ValueError: there are no ImageNet weights of this network.
    """
    if architecture in _IMAGENET_PINS:
        commit, digest = _IMAGENET_PINS[architecture]
        return f"hf:timm/{architecture}.tv_in1k/model.safetensors@{commit}#sha256={digest}"
    if architecture in _IMAGENET_FILES:
        file = _IMAGENET_FILES[architecture]
        digits = file.removesuffix(".pth").rpartition("-")[2]
        return f"https://download.pytorch.org/models/{file}#sha256={digits}"
    names = ", ".join(sorted(_IMAGENET_PINS | _IMAGENET_FILES))
    raise ValueError(f"there are no ImageNet weights of {architecture!r}; there are those of {names}")


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
