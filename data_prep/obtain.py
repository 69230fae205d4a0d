"""Upstream's files onto this machine, where upstream lets a program fetch them."""

from argparse import Namespace
from pathlib import Path

from data_prep.row import CannotPrepare
from data_prep.source import Source


def obtain(source: Source, options: Namespace) -> Path:
    """Fetches a source's files, or goes on with a fetch that was cut off.

    Args:
        source: what to fetch: its `files`, or its `kaggle` data set.
        options: `out`, under which the files are kept for the next time.

    Returns:
        The folder of upstream's files, in upstream's own layout.

    Raises:
        CannotPrepare: they are behind a form (says where to get them and to give --from), or cannot be fetched.
    """
    raise CannotPrepare(f"{source.where}; then give --from=DIR")
