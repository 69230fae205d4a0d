"""Pack the wheels and real radiographs that a machine without a network needs in addition to the code.

    python -m benchmarks.accelerator.pack --csv=BENCHMARK.csv

fills the folder .pack, which git ignores, checks its size, and prints the commands to run on that machine. The wheels
are those of constraints.txt for Python 3.12 on x86-64 Linux, except for packages that the machine has: JAX with CUDA,
flax, optax, orbax, PyTorch, OpenCV and their dependencies. BENCHMARK.csv is a table for `data_prep table`.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.accelerator.packed import PACK
from benchmarks.runner import ROOT

# Packages that the machine does not have, with their dependencies.
MISSING = (
    "array_record",
    "dm-tree",
    "docstring_parser",
    "googleapis-common-protos",
    "grain",
    "immutabledict",
    "ml_collections",
    "portpicker",
    "promise",
    "pydicom",
    "simple-parsing",
    "tensorboardX",
    "tensorflow-datasets",
    "tensorflow-metadata",
    "termcolor",
    "toml",
)
GLIBC = (5, 12, 17, 24, 26, 27, 28, 31, 34, 35)  # minor versions in the names of wheels, which pip matches exactly
MAX_BYTES = 64 * 2**20  # maximum size of the copy, including the code
MAX_TRAINING = 60  # training radiographs of each label of each source, so that the copy stays below MAX_BYTES
DATA = {
    "lungs": "dataset=openist,jsrt",
    "findings": "dataset=chest_xray,tuberculosis,covid-chestxray-dataset",
}
SETUP = (
    "python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site"
    " .pack/wheels/*.whl && export PYTHONPATH=/tmp/site PYTHONUNBUFFERED=1 || exit; "
)
COMMANDS = {
    "first, the parts that compile before they measure": (
        "python3 -m benchmarks.accelerator --parts=training,flags,profile,disk,full_training --minutes=5.6 --out=$OUT",
        360,
    ),
    "then, while the machine is still running, the others": (
        "python3 -m benchmarks.accelerator --parts=machine,correctness,inference,determinism --minutes=7.3 --out=$OUT",
        460,
    ),
    "or all parts together": ("python3 -m benchmarks.accelerator --minutes=14 --out=$OUT", 860),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", help="table of radiographs to pack; without it, the packed radiographs are kept")
    parser.add_argument("--no-wheels", action="store_true", help="keep the packed wheels instead of downloading them")
    options = parser.parse_args()
    if not options.no_wheels:
        fetch_wheels(PACK / "wheels")
    if options.csv:
        prepare_data(options.csv, PACK / "data")
    sizes = measure()
    for what, size in sizes.items():
        print(f"{what}: {size / 2**20:.1f} MiB")
    if sum(sizes.values()) > MAX_BYTES:
        print(
            f"pack: {sum(sizes.values()) / 2**20:.1f} MiB exceed the limit of {MAX_BYTES // 2**20} MiB",
            file=sys.stderr,
        )
        return 1
    for when, (command, limit) in COMMANDS.items():
        print(f"\n{when}, within {limit} s, in a copy of the code and {PACK.name}:\n{SETUP}{command}")
    return 0


def fetch_wheels(folder: Path) -> None:
    """Download the wheels of MISSING, or build them from source if there are none."""
    folder.mkdir(parents=True, exist_ok=True)
    pins = read_pins(ROOT / "constraints.txt")
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in GLIBC]
    platforms += ["--platform=manylinux2014_x86_64", "--platform=manylinux1_x86_64"]
    selection = ["--only-binary=:all:", "--python-version=3.12", "--implementation=cp", *platforms]
    for name in MISSING:
        common = ["-q", "--no-deps", f"{name}=={pins[name.lower().replace('_', '-')]}"]
        downloaded = subprocess.run(
            [sys.executable, "-m", "pip", "download", *selection, *common, f"--dest={folder}"],
            stderr=subprocess.DEVNULL,
        )
        if downloaded.returncode:
            subprocess.run([sys.executable, "-m", "pip", "wheel", *common, f"--wheel-dir={folder}"], check=True)


def read_pins(path: Path) -> dict[str, str]:
    """Return the versions of a constraints file, by name in lower case with hyphens."""
    lines = [line.split("==") for line in path.read_text().splitlines() if "==" in line]
    return {name.lower().replace("_", "-"): version for name, version in lines}


def prepare_data(table: str, folder: Path) -> None:
    """Prepare the data sets of a table of radiographs, without some of the training radiographs (see `thin`)."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        thinned = Path(temporary) / "table.csv"
        thin(Path(table), thinned)
        for name, condition in DATA.items():
            options = ["table", f"--csv={thinned}", f"--filter={condition}", f"--name={name}", f"--out={folder}"]
            command = [sys.executable, "-m", "data_prep", *options, "--duplicates=off", "--overwrite"]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL, cwd=ROOT)


def thin(table: Path, target: Path) -> None:
    """Write a table with the first MAX_TRAINING training radiographs of each label of each source, and all others."""
    with table.open() as source, target.open("w", newline="") as result:
        rows = csv.DictReader(source)
        writer = csv.DictWriter(result, rows.fieldnames or ())
        writer.writeheader()
        counts: Counter[tuple[str, str]] = Counter()
        for row in rows:
            if row["split"] == "train":
                counts[row["dataset"], row["label"]] += 1
                if counts[row["dataset"], row["label"]] > MAX_TRAINING:
                    continue
            files = {key: str(table.parent.resolve() / row[key]) for key in ("path", "mask") if row.get(key)}
            writer.writerow(row | files)


def measure() -> dict[str, int]:
    """Return the bytes that would be copied: the code, all files that git does not ignore, and the pack."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    code = [ROOT / name for name in output.split("\0") if name]
    parts = {part.name: part.rglob("*") for part in sorted(PACK.iterdir())} if PACK.is_dir() else {}
    return {
        name: sum(file.stat().st_size for file in files if file.is_file())
        for name, files in ({"code": code} | parts).items()
    }


if __name__ == "__main__":
    sys.exit(main())
