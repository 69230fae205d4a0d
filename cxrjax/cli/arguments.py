"""Normalization of command-line arguments, and checks of paths and configs before any network is built."""

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxrjax.config import UnknownVariantError, recipes, schema
from cxrjax.runs import model_names
from cxrjax.runtime import cache, former_names
from cxrjax.runtime.text import printable

_PREFIX = "--config."
_PYTHON_ERRORS = {
    r"invalid literal for int\(\) with base 10:.*": "it should be a whole number",
    r"could not convert string to float:.*": "it should be a number",
    r"\('Non-boolean argument to boolean flag'.*": "it should be true or false",
}
_ADDRESSES = ("hf:", "https://", "http://")


def normalize(argv: Sequence[str]) -> list[str]:
    """Return the words of a command line as the flags parse them.

    `-h` becomes `--help`, `~` the home folder, the name of a recipe its path (`--config=oh2020:segment`), and a list of
    texts with commas a Python tuple: `--config.classifier.classes=normal,covid19` is of two classes, as
    `"--config.classifier.classes=('normal', 'covid19')"` is. A value may also be the next word.

    Raises:
        ValueError: there is no such recipe, a setting has another name now, or a list of texts is neither written with
            commas nor a Python list of texts.
    """
    words = ["--help" if word in ("-h", "-help") else word for word in argv]
    for position, word in enumerate(words):
        flag, separator, path = word.partition("=")
        if word.startswith("--") and path.startswith("~"):
            words[position] = flag + separator + cache.expand_home(path)
        if word.startswith("--config="):
            words[position] = f"--config={recipes.resolve(words[position].removeprefix('--config='))}"
        elif word == "--config" and position + 1 < len(words):
            words[position + 1] = recipes.resolve(words[position + 1])
        if not word.startswith(_PREFIX):
            continue
        key, separator, value = word.removeprefix(_PREFIX).partition("=")
        if key in former_names.SETTINGS:
            raise ValueError(f"{_PREFIX}{former_names.explain_setting(key)}")
        if key not in schema.SETTINGS or not schema.SETTINGS[key].types.startswith("texts"):
            continue
        if separator:
            words[position] = f"{_PREFIX}{key}={_as_tuple(key, value)}"
        elif position + 1 < len(words):
            words[position + 1] = _as_tuple(key, words[position + 1])
    return words


def find_missing(
    needs_run: bool,
    workdirs: Sequence[str],
    inputs: Sequence[str],
    settings: Mapping[str, Any],
    trains: bool = True,
    data: str = "",
    models: Sequence[str] = (),
) -> str:
    """Return a sentence on the first path that does not exist; "" if all exist.

    Args:
        needs_run: whether the run directories must already exist.
        workdirs: run directories.
        inputs: files and folders to read; addresses and "" are not checked.
        settings: settings of the config, which name a segmenter's run, a data set and weights; {} for none.
        trains: whether the data set and the weights of the config are read.
        data: folder of another data set, "" for none.
        models: names, files and addresses of models.
    """
    for model in models:
        if missing := model_names.find_missing(model):
            return missing
    if data and not Path(data).exists():
        return f"{data}: there is no prepared data set here; see `python -m data_prep --help`"
    for workdir in workdirs if needs_run else ():
        if not Path(workdir, "config.json").exists():
            return f"{workdir}: there is no run here (no config.json)"
    flat = schema.flatten(settings)
    pretrained = flat.get("pretrained", "") if trains else ""
    if pretrained in model_names.MODELS or (pretrained and Path(pretrained).is_dir()):
        if missing := model_names.find_missing(pretrained):
            return f"{missing}; config.pretrained names it"
        pretrained = ""
    for path in (*inputs, pretrained):
        if path and not path.startswith(_ADDRESSES) and not Path(path).exists():
            return f"{path}: " + (
                "addresses of weights begin with hf: or https://" if "://" in path else "no such file or directory"
            )
    directory = flat.get("data.dir")
    if trains and directory and not Path(directory).exists():
        return f"{directory}: there is no prepared data set here; see `python -m data_prep --help`"
    segmenter = flat.get("segmenter.workdir")
    if flat.get("task") == "classify" and segmenter and (missing := model_names.find_missing(segmenter)):
        return f"{missing}; config.segmenter.workdir names it"
    return ""


def explain_config_error(argv: Sequence[str], error: Exception) -> str:
    """Return in one line why the config of --config cannot be used.

    Args:
        argv: the words of the command line as the user wrote them.
        error: raised while the config was loaded.
    """
    values = [after for word, after in zip(argv, [*argv[1:], ""], strict=True) if word == "--config"]
    values += [word.partition("=")[2] for word in argv if word.startswith("--config=")]
    value = values[-1] if values else ""
    name = value.partition(":")[0]
    keys = [word.removeprefix(_PREFIX).partition("=")[0] for word in argv if word.startswith(_PREFIX)]
    unknown = [key for key in keys if not _is_setting(key)]
    if unknown and not isinstance(error, OSError | SyntaxError | UnknownVariantError):
        return printable(f"the config has no setting {unknown[0]!r}")
    if not name:
        return "--config names no file"
    if isinstance(error, UnknownVariantError):
        return printable(f"{name}: {error}, as {name}:{error.variants[0]}")
    path = Path(cache.expand_home(recipes.resolve(value)).partition(":")[0])
    if not path.is_file():
        return printable(f"{name}: {'this is a folder' if path.is_dir() else 'no such file'}")
    if isinstance(error, OSError) and error.strerror:
        return printable(f"{error.filename or name}: {error.strerror.lower()}")
    lines = str(error).strip().splitlines() or [""]
    return printable(f"{name}: the config cannot be used ({type(error).__name__}: {lines[-1].strip()})")


def explain_flag_error(text: str) -> str:
    """Replace Python's errors on the value of a flag, which absl quotes, by plain words."""
    for pattern, explanation in _PYTHON_ERRORS.items():
        text = re.sub(pattern, explanation, text)
    return text


def explain_stray_word(word: str, modes: Sequence[str]) -> str:
    """Return the error message for an argument that is not an option."""
    hint = f" (did you mean --mode={word}?)" if word in modes else "; options begin with --"
    return f"unexpected argument {printable(repr(word), 200)}{hint}"


def _as_tuple(key: str, text: str) -> str:
    """Return the value of a list of texts as a Python tuple; a Python list of texts is returned unchanged.

    Raises:
        ValueError: the value begins like a Python literal, and is not a list of texts.
    """
    types = schema.SETTINGS[key].types
    try:
        value = ast.literal_eval(text) if text.strip() else ()
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    values = value if isinstance(value, tuple | list) else (value,)
    if value is not None and (types != "texts" or all(isinstance(item, str) for item in values)):
        return text if value != () else "()"
    if text.lstrip().startswith(tuple("([{'\"")):
        raise ValueError(f"{_PREFIX}{key}={text} is not a list of texts; write it as a,b or as \"('a','b')\"")
    return repr(tuple(part.strip() for part in text.split(",") if part.strip()))


def _is_setting(key: str) -> bool:
    """Return whether a dotted key names a setting or a group of settings."""
    return key in schema.SETTINGS or any(name.startswith(f"{key}.") for name in schema.SETTINGS)
