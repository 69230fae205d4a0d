"""List files of a GitHub repository at one commit, whose addresses and content never change."""

import csv
from pathlib import Path
from urllib.parse import quote

from data_prep.source import RemoteFile


def list_files(repository: str, commit: str, table: Path) -> tuple[RemoteFile, ...]:
    """Return the files that a CSV (columns path and sha256) lists, with their addresses.

    Args:
        repository: "owner/name".
        commit: full hash.
        table: the CSV, stored in the folder of the source.
    """
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    address = f"https://raw.githubusercontent.com/{repository}/{commit}"
    return tuple(RemoteFile(f"{address}/{quote(row['path'])}", row["sha256"], row["path"]) for row in rows)
