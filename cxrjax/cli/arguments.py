"""The words of the command line, made what the flags understand, and the paths in them looked at before any network."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxrjax import config_schema, recipes
from cxrjax.config import UnknownVariantError
from cxrjax.runtime import cache
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
        ValueError: there is no such recipe, or a list of texts is neither written with commas nor a Python list of
            texts.
    """
    words = ["--help" if word in ("-h", "-help") else word for word in argv]
    for place, word in enumerate(words):
        flag, separator, path = word.partition("=")
        if word.startswith("--") and path.startswith("~"):
            words[place] = flag + separator + cache.expand_home(path)
        if word.startswith("--config="):
            words[place] = f"--config={recipes.resolve(words[place].removeprefix('--config='))}"
        elif word == "--config" and place + 1 < len(words):
            words[place + 1] = recipes.resolve(words[place + 1])
        if not word.startswith(_PREFIX):
            continue
        key, separator, value = word.removeprefix(_PREFIX).partition("=")
        if key not in config_schema.SETTINGS or not config_schema.SETTINGS[key].types.startswith("texts"):
            continue
        if separator:
            words[place] = f"{_PREFIX}{key}={_as_tuple(key, value)}"
        elif place + 1 < len(words):
            words[place + 1] = _as_tuple(key, words[place + 1])
    return words


def find_problem(settings: Mapping[str, Any]) -> str:
    """Return what is wrong with the settings of a config, "" where nothing is."""
    try:
        config_schema.check(settings)
    except config_schema.UnfitSetting as error:
        return f"config: {error}"
    return ""


def find_missing(
    needs_run: bool,
    workdirs: Sequence[str],
    inputs: Sequence[str],
    settings: Mapping[str, Any],
    trains: bool = True,
    data: str = "",
) -> str:
    """Return a sentence on the first path that is not there, "" where all are.

    Args:
        needs_run: whether the run directories have to be there already.
        workdirs: run directories.
        inputs: files and folders to be read; an address, and "", is passed over.
        settings: of the config, {} for none, which names a segmenter's run, a data set and weights.
        trains: whether the data set and the weights of the config are read.
        data: the folder of another data set, "" for none.
    """
    if data and not Path(data).exists():
        return f"{data}: there is no prepared data set here; `python -m data_prep --help` makes one"
    for workdir in workdirs if needs_run else ():
        if not Path(workdir, "config.json").exists():
            return f"{workdir}: there is no run here (no config.json)"
    flat = config_schema.flatten(settings)
    for path in (*inputs, flat.get("init", "") if trains else ""):
        if path and not path.startswith(_ADDRESSES) and not Path(path).exists():
            return f"{path}: " + (
                "addresses of weights begin with hf: or https://" if "://" in path else "no such file or directory"
            )
    directory = flat.get("data.directory")
    if trains and directory and not Path(directory).exists():
        return f"{directory}: there is no prepared data set here; `python -m data_prep --help` makes one"
    segmenter = flat.get("segmenter.workdir")
    if flat.get("task") == "classify" and segmenter and not Path(segmenter, "config.json").exists():
        return f"{segmenter}: there is no run here (no config.json); config.segmenter.workdir names it"
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
    """Return in words what absl says of the value of a flag in terms of Python."""
    for pattern, words in _PYTHON_ERRORS.items():
        text = re.sub(pattern, words, text)
    return text


def name_command(word: str, modes: Sequence[str]) -> str:
    """Return what to say of a word that is no option."""
    hint = f"; the mode is given as --mode={word}" if word in modes else ""
    return f"{printable(repr(word), 200)} is no option: options begin with --{hint}"


def _as_tuple(key: str, text: str) -> str:
    """Return the list of texts of a setting as a Python tuple; a Python value of texts already as it is.

    Raises:
        ValueError: it begins as a Python value does, and is none of texts.
    """
    types = config_schema.SETTINGS[key].types
    try:
        value = ast.literal_eval(text) if text.strip() else ()
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    values = value if isinstance(value, tuple | list) else (value,)
    if value is not None and (types != "texts" or all(isinstance(each, str) for each in values)):
        return text if value != () else "()"
    if text.lstrip().startswith(tuple("([{'\"")):
        raise ValueError(f"{_PREFIX}{key}={text} is no list of texts: write it as a,b or as \"('a','b')\"")
    return repr(tuple(part.strip() for part in text.split(",") if part.strip()))


def _is_setting(key: str) -> bool:
    """Return whether a dotted key is that of a setting or of a group of settings."""
    return key in config_schema.SETTINGS or any(name.startswith(f"{key}.") for name in config_schema.SETTINGS)


def as_settings(config: Any) -> dict[str, Any]:
    """Return a `ConfigDict` as dicts and lists, as config.json has them; {} where there is none.

    Raises:
        ValueError, TypeError: it has a value that JSON has no word for.
    """
    return {} if config is None else json.loads(config.to_json())
