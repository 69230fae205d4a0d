"""Write the table of radiographs whose licenses allow training weights that are part of the package.

    python -m benchmarks.shippable --csv=TABLE.csv --metadata=covid-chestxray-dataset/metadata.csv --out=shippable.csv

A radiograph of covid-chestxray-dataset has its own license, a column of the collection's metadata.csv. In the training
and validation splits, those without a license or with one that forbids derivatives (ND) are left out. The test split is
complete, since no weights are trained on it. The table has the columns of TABLE.csv with absolute paths, and `license`.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

COLLECTION = "covid-chestxray-dataset"
FILES = {
    "csv": "table of all radiographs",
    "metadata": f"metadata.csv of {COLLECTION}",
    "out": "table to write",
}
# Terms of the other collections, by data set.
LICENSES = {
    "jsrt": "research use",
    "openist": "not stated",
    "chest_xray": "CC BY 4.0",
    "chest_xray_v7": "CC BY 4.0",
    "tuberculosis": "not stated",
}


def allows_derivatives(license_name: str) -> bool:
    """Return whether a license is stated and does not forbid derivatives."""
    words = license_name.upper().replace("-", " ").split()
    return bool(words) and "ND" not in words


def select(
    rows: Sequence[Mapping[str, str]], licenses: Mapping[str, str], folder: Path
) -> tuple[list[dict[str, str]], Counter[str]]:
    """Return the rows that may be used, and the number of those left out by split.

    Args:
        rows: rows of TABLE.csv.
        licenses: license of each radiograph of COLLECTION by its file name.
        folder: folder that the paths are relative to.
    """
    selected = []
    left_out: Counter[str] = Counter()
    for row in rows:
        name = Path(row["path"]).name
        license_name = licenses[name].strip() if row["dataset"] == COLLECTION else LICENSES[row["dataset"]]
        if row["split"] != "test" and not allows_derivatives(license_name):
            left_out[row["split"]] += 1
            continue
        paths = {key: str(folder / row[key]) for key in ("path", "mask") if row[key]}
        selected.append({**row, **paths, "license": license_name})
    return selected, left_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in FILES:
        parser.add_argument(f"--{name}", type=Path, required=True, help=FILES[name])
    arguments = parser.parse_args()
    with arguments.metadata.open(newline="", encoding="utf-8") as file:
        licenses = {row["filename"]: row["license"] for row in csv.DictReader(file)}
    with arguments.csv.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    selected, left_out = select(rows, licenses, arguments.csv.resolve().parent)
    with arguments.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, selected[0].keys())
        writer.writeheader()
        writer.writerows(selected)
    counts = ", ".join(f"{count} of {split}" for split, count in sorted(left_out.items()))
    print(f"{len(selected)} radiographs; left out by their license: {counts or 'none'}")


if __name__ == "__main__":
    main()
