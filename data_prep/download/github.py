"""Files of a GitHub repository at one commit, whose address and content never change."""

import csv
from pathlib import Path
from urllib.parse import quote

from data_prep.source import RemoteFile


def list_files(repository: str, commit: str, table: Path) -> tuple[RemoteFile, ...]:
    """The files that a CSV names (columns path and sha256), with their addresses.

    Args:
        repository: "owner/name".
        commit: its full hash.
        table: the CSV, which lies beside the source that it belongs to.
    """
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    address = f"https://raw.githubusercontent.com/{repository}/{commit}"
    return tuple(RemoteFile(f"{address}/{quote(row['path'])}", row["sha256"], row["path"]) for row in rows)
