"""Download the files of a source, if upstream allows programs to."""

import hashlib
import shutil
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from data_prep.download import archive
from data_prep.download.http import download_file
from data_prep.options import Options
from data_prep.record import PreparationError
from data_prep.source import RemoteFile, Source


def download_source(source: Source[Any], options: Options) -> Path:
    """Download the files of a source, or resume an interrupted download.

    The files are stored in `OUT/downloads/SOURCE/fetched/`, incomplete ones as `.partial`. When all are complete, they
    are unpacked into upstream's layout in `upstream-...`, whose name depends on the list of files. Files from Kaggle
    are in the cache of kagglehub.

    Args:
        source: its `files` or its `kaggle` data set are downloaded.
        options: `out`, the folder of the downloads.

    Returns:
        The folder of upstream's files, in upstream's own layout.

    Raises:
        PreparationError: the files need a registration (the message says where to get them), or the download failed.
    """
    if source.kaggle:
        return _download_from_kaggle(source.name, source.kaggle)
    if not source.files:
        raise PreparationError(f"{source.homepage}; then use --raw_dir=DIR")
    folder = Path(options.out, "downloads", source.name)
    try:
        return _download_files(source.files, folder)
    except OSError as error:
        raise PreparationError(f"{error.filename or folder}: {(error.strerror or str(error)).lower()}") from error


def _download_files(files: tuple[RemoteFile, ...], folder: Path) -> Path:
    complete = folder / f"upstream-{_digest(files)}"
    incomplete = folder / "incomplete"
    downloaded = folder / "fetched"
    if complete.is_dir():
        return complete
    for file in files:
        download_file(file.url, file.sha256, downloaded / _unique_name(file))
    if incomplete.exists():
        shutil.rmtree(incomplete)
    for file in files:
        _unpack_or_copy(downloaded / _unique_name(file), incomplete / file.path)
    incomplete.rename(complete)
    shutil.rmtree(downloaded)
    return complete


def _unpack_or_copy(file: Path, target: Path) -> None:
    if not file.name.endswith(archive.SUFFIXES):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        return
    try:
        archive.unpack(file, target)
    except PreparationError:
        file.unlink()  # so that it is downloaded again
        raise


def _unique_name(file: RemoteFile) -> str:
    """Return upstream's name of the file with a prefix that is different for every address and checksum."""
    return f"{_digest(file[:2])}-{PurePosixPath(unquote(urlsplit(file.url).path)).name}"


def _digest(values: tuple) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:8]


def _download_from_kaggle(name: str, handle: str) -> Path:
    alternative = f"or download https://www.kaggle.com/datasets/{handle} and use --raw_dir=DIR"
    try:
        import kagglehub  # pyright: ignore[reportMissingImports] -- optional dependency
    except ImportError as error:
        raise PreparationError(
            f"{name} is downloaded with kagglehub: pip install 'cxrjax[kaggle]', {alternative}"
        ) from error
    try:
        return Path(kagglehub.dataset_download(handle))
    except Exception as error:  # its errors have no common base class
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        login = "if it asks for a login, set KAGGLE_USERNAME and KAGGLE_KEY (kaggle.com, Settings, API)"
        raise PreparationError(f"Kaggle's {handle} cannot be downloaded ({reason}); {login}, {alternative}") from error
