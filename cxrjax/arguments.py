"""The words of the command line, made what the flags understand, and the paths in them looked at before any network."""

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxrjax import config_schema
from cxrjax.runtime.text import printable

_PREFIX = "--config."
_ADDRESSES = ("hf:", "https://", "http://")


def normalise(argv: Sequence[str]) -> list[str]:
    """Return the words with `-h` as `--help`, and lists of texts that are written with commas as Python tuples.

    `--config.classifier.classes=normal,covid19` is of two classes, as `"--config.classifier.classes=('normal',
    'covid19')"` is, and with the value as the next word too.
    """
    words = ["--help" if word in ("-h", "-help") else word for word in argv]
    for place, word in enumerate(words):
        if not word.startswith(_PREFIX):
            continue
        key, separator, value = word.removeprefix(_PREFIX).partition("=")
        if key not in config_schema.SETTINGS or not config_schema.SETTINGS[key].types.startswith("texts"):
            continue
        if separator:
            words[place] = f"{_PREFIX}{key}={_as_tuple(value, config_schema.SETTINGS[key].types)}"
        elif place + 1 < len(words):
            words[place + 1] = _as_tuple(words[place + 1], config_schema.SETTINGS[key].types)
    return words


def find_problem(settings: Mapping[str, Any]) -> str:
    """Return what is wrong with the settings of a config, "" where nothing is."""
    try:
        config_schema.check(settings)
    except config_schema.UnfitSetting as error:
        return f"config: {error}"
    return ""


def find_missing(
    needs_run: bool, workdirs: Sequence[str], inputs: Sequence[str], settings: Mapping[str, Any], trains: bool = True
) -> str:
    """Return a sentence on the first path that is not there, "" where all are.

    Args:
        needs_run: whether the run directories have to be there already.
        workdirs: run directories.
        inputs: files and folders to be read; an address, and "", is passed over.
        settings: of the config, {} for none, which names a segmenter's run, a data set and weights.
        trains: whether the data set and the weights of the config are read.
    """
    for workdir in workdirs if needs_run else ():
        if not Path(workdir, "config.json").exists():
            return f"{workdir}: there is no run here (no config.json)"
    flat = config_schema.flatten(settings)
    for path in (*inputs, flat.get("init", "") if trains else ""):
        if path and not path.startswith(_ADDRESSES) and not Path(path).exists():
            return f"{path}: no such file or directory"
    directory = flat.get("data.directory")
    if trains and directory and not Path(directory).exists():
        return f"{directory}: there is no prepared data set here; `python -m data_prep --help` makes one"
    segmenter = flat.get("segmenter.workdir")
    if flat.get("task") == "classify" and segmenter and not Path(segmenter, "config.json").exists():
        return f"{segmenter}: there is no run here (no config.json); config.segmenter.workdir names it"
    return ""


def explain_config_error(argv: Sequence[str], error: Exception) -> str:
    """Return in one line why the file of --config cannot be used."""
    names = [word.partition("=")[2] for word in argv if word.startswith("--config=")]
    name = names[-1] if names else "--config"
    if isinstance(error, OSError) and error.strerror:
        return printable(f"{error.filename or name}: {error.strerror.lower()}")
    lines = str(error).strip().splitlines() or [""]
    return printable(f"{name}: the config cannot be used ({type(error).__name__}: {lines[-1].strip()})")


def name_command(word: str, modes: Sequence[str]) -> str:
    """Return what to say of a word that is no option."""
    hint = f"; the mode is given as --mode={word}" if word in modes else ""
    return f"{printable(repr(word), 200)} is no option: options begin with --{hint}"


def _as_tuple(text: str, types: str) -> str:
    """Return a list of texts as a Python tuple; a text that is a Python value of texts already as it is."""
    try:
        value = ast.literal_eval(text) if text.strip() else ()
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    values = value if isinstance(value, tuple | list) else (value,)
    if value is not None and (types != "texts" or all(isinstance(each, str) for each in values)):
        return text if value != () else "()"
    return repr(tuple(part.strip() for part in text.split(",") if part.strip()))


def as_settings(config: Any) -> dict[str, Any]:
    """Return a `ConfigDict` as dicts and lists, as config.json has them; {} where there is none.

    Raises:
        ValueError, TypeError: it has a value that JSON has no word for.
    """
    return {} if config is None else json.loads(config.to_json())
