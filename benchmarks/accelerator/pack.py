"""Pack what a bare machine without a network needs beside the code: wheels, and real radiographs as data sets.

    python -m benchmarks.accelerator.pack --csv=BENCHMARK.csv

fills the folder .pack, which git ignores, measures it, and prints the command to run there. The wheels are those of
constraints.txt for Python 3.12 on x86-64 Linux, and only those that such a machine lacks: it has JAX with CUDA, flax,
optax, orbax, PyTorch, OpenCV and what these need. BENCHMARK.csv is a table as `data_prep table` reads it.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.accelerator.packed import PACK
from benchmarks.runner import ROOT

# Packages that the machine lacks, and what they need that it lacks too.
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
GLIBC = (5, 12, 17, 24, 26, 27, 28, 31, 34, 35)  # minor versions that wheels name, of which pip matches each exactly
MOST = 64 * 2**20  # bytes that may travel, the code among them
DATA = {
    "lungs": "dataset=openist,jsrt",
    "findings": "dataset=chest_xray,tuberculosis,covid-chestxray-dataset",
}
SETUP = (
    "python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site"
    " .pack/wheels/*.whl && export PYTHONPATH=/tmp/site PYTHONUNBUFFERED=1 || exit; "
)
COMMANDS = {
    "first, all parts but that which learns": (
        "python3 -m benchmarks.accelerator --parts=machine,right,inference,training,disk,flag --minutes=8 --out=$OUT",
        520,
    ),
    "then at once, while the machine is warm, that one": (
        "python3 -m benchmarks.accelerator --parts=learned --minutes=4 --out=$OUT",
        270,
    ),
    "or all parts in one go": ("python3 -m benchmarks.accelerator --minutes=9.5 --out=$OUT", 600),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", help="the table of radiographs; without it they stay as they are")
    parser.add_argument("--no-wheels", action="store_true", help="the wheels stay as they are")
    options = parser.parse_args()
    if not options.no_wheels:
        fetch_wheels(PACK / "wheels")
    if options.csv:
        prepare_data(options.csv, PACK / "data")
    sizes = measure()
    for what, size in sizes.items():
        print(f"{what}: {size / 2**20:.1f} MiB")
    if sum(sizes.values()) > MOST:
        print(
            f"pack: {sum(sizes.values()) / 2**20:.1f} MiB are more than {MOST // 2**20} MiB may travel", file=sys.stderr
        )
        return 1
    for when, (command, limit) in COMMANDS.items():
        print(f"\n{when} (carry: [{PACK.name!r}], timeout_s: {limit}):\n{SETUP}{command}")
    return 0


def fetch_wheels(folder: Path) -> None:
    """Download the wheels of MISSING, or build those of pure Python that have none."""
    folder.mkdir(parents=True, exist_ok=True)
    pins = read_pins(ROOT / "constraints.txt")
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in GLIBC]
    platforms += ["--platform=manylinux2014_x86_64", "--platform=manylinux1_x86_64"]
    form = ["--only-binary=:all:", "--python-version=3.12", "--implementation=cp", *platforms]
    for name in MISSING:
        common = ["-q", "--no-deps", f"{name}=={pins[name.lower().replace('_', '-')]}"]
        downloaded = subprocess.run(
            [sys.executable, "-m", "pip", "download", *form, *common, f"--dest={folder}"], stderr=subprocess.DEVNULL
        )
        if downloaded.returncode:
            subprocess.run([sys.executable, "-m", "pip", "wheel", *common, f"--wheel-dir={folder}"], check=True)


def read_pins(path: Path) -> dict[str, str]:
    """The versions of a file of constraints, by name in small letters with hyphens."""
    lines = [line.split("==") for line in path.read_text().splitlines() if "==" in line]
    return {name.lower().replace("_", "-"): version for name, version in lines}


def prepare_data(table: str, folder: Path) -> None:
    """Prepare the data sets of a table of radiographs."""
    for name, where in DATA.items():
        asked = ["table", f"--csv={table}", f"--filter={where}", f"--name={name}", f"--out={folder}"]
        command = [sys.executable, "-m", "data_prep", *asked, "--duplicates=off", "--overwrite"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, cwd=ROOT)


def measure() -> dict[str, int]:
    """Bytes of what would travel: the code, tracked or not but not ignored, and the pack."""
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    code = [ROOT / name for name in listed.split("\0") if name]
    parts = {part.name: part.rglob("*") for part in sorted(PACK.iterdir())} if PACK.is_dir() else {}
    return {
        name: sum(file.stat().st_size for file in files if file.is_file())
        for name, files in ({"code": code} | parts).items()
    }


if __name__ == "__main__":
    sys.exit(main())
