"""Names of the trained models that come with the package.

This module imports no networks, so that a command line is checked at once.
"""

from pathlib import Path

SUFFIX = ".safetensors"  # of a model file
FOLDER = Path(__file__).resolve().parents[1] / "weights"


# SHA-256 of the model files in FOLDER, by name; NAME.md beside a file is its card.
MODELS = {
    "findings-demo": "21b5c18841c6b2219a29a7ca74074f79154c714135f6f162a7a734d387b55307",
    "lungs": "dd3236f80e8d8d6a33aa5050927946ceddce100de8f962c8b3c6ea9fc8f43636",
}


def is_model(source: str) -> bool:
    """Return whether a text is the name, the file or the address of a model, and not a run directory."""
    if source in MODELS or source.startswith("hf:"):
        return True
    return source.endswith(SUFFIX) and not Path(source).is_dir()


def find_missing(source: str) -> str:
    """Return a sentence if there is no such model or run directory; "" if there is, or if it is an address."""
    if source in MODELS or source.startswith("hf:"):
        return ""
    if not Path(source).exists():
        return f"{source}: there is no such model, file or run; models with a name are {', '.join(sorted(MODELS))}"
    if not is_model(source) and not Path(source, "config.json").exists():
        return f"{source}: there is no run here (no config.json)"
    return ""
