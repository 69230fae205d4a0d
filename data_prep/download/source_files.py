"""Upstream's files onto this machine, where upstream lets a program fetch them."""

import hashlib
import shutil
from argparse import Namespace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from data_prep.download import archive
from data_prep.download.http import download_file
from data_prep.record import PreparationError
from data_prep.source import RemoteFile, Source


def download_source(source: Source, options: Namespace) -> Path:
    """Fetches a source's files, or goes on with a fetch that was cut off.

    `OUT/downloads/SOURCE/` has them in `fetched/`, each whole or as `.partial`, until all are there; upstream's layout
    gets its name, `upstream-...`, as the last act, another one if the list of files changes. What comes from Kaggle
    lies where kagglehub keeps it.

    Args:
        source: what to fetch: its `files`, or its `kaggle` data set.
        options: `out`, under which the files are kept for the next time.

    Returns:
        The folder of upstream's files, in upstream's own layout.

    Raises:
        PreparationError: they are behind a form (says where to get them and to give --from), or cannot be fetched.
    """
    if source.kaggle:
        return _obtain_from_kaggle(source.name, source.kaggle)
    if not source.files:
        raise PreparationError(f"{source.homepage}; then give --from=DIR")
    folder = Path(options.out, "downloads", source.name)
    try:
        return _obtain_files(source.files, folder)
    except OSError as error:
        raise PreparationError(f"{error.filename or folder}: {(error.strerror or str(error)).lower()}") from error


def _obtain_files(files: tuple[RemoteFile, ...], folder: Path) -> Path:
    whole, incomplete, fetched = folder / f"upstream-{_digest(files)}", folder / "incomplete", folder / "fetched"
    if whole.is_dir():
        return whole
    for file in files:
        download_file(file.url, file.sha256, fetched / _name(file))
    if incomplete.exists():
        shutil.rmtree(incomplete)
    for file in files:
        _place(fetched / _name(file), incomplete / file.path)
    incomplete.rename(whole)
    shutil.rmtree(fetched)
    return whole


def _place(file: Path, target: Path) -> None:
    if not file.name.endswith(archive.SUFFIXES):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        return
    try:
        archive.unpack(file, target)
    except PreparationError:
        file.unlink()  # so that it is fetched anew
        raise


def _name(file: RemoteFile) -> str:
    """Upstream's name for it, and what tells it from others of that name."""
    return f"{_digest(file[:2])}-{PurePosixPath(unquote(urlsplit(file.url).path)).name}"


def _digest(known: tuple) -> str:
    return hashlib.sha256(repr(known).encode()).hexdigest()[:8]


def _obtain_from_kaggle(name: str, handle: str) -> Path:
    by_hand = f"or download https://www.kaggle.com/datasets/{handle} and give --from=DIR"
    try:
        import kagglehub
    except ImportError as error:
        raise PreparationError(f"{name} is fetched by kagglehub: pip install 'cxrjax[kaggle]', {by_hand}") from error
    try:
        return Path(kagglehub.dataset_download(handle))
    except Exception as error:  # its errors have no base of their own
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        token = "if it wants to know who asks, set KAGGLE_USERNAME and KAGGLE_KEY (kaggle.com, Settings, API)"
        raise PreparationError(f"Kaggle's {handle} cannot be fetched ({said}); {token}, {by_hand}") from error
