"""Pack the wheels and real radiographs that a machine without a network needs in addition to the code.

    python -m benchmarks.accelerator.pack --csv=BENCHMARK.csv

fills the folder .pack, which git ignores, checks its size, and prints the commands to run on that machine. The wheels
are those of constraints.txt for Python 3.12 on x86-64 Linux, except for packages that the machine has: JAX with CUDA,
flax, optax, orbax, PyTorch, OpenCV and their dependencies. BENCHMARK.csv is a table for `data_prep table`.
"""

import argparse
import subprocess
import sys
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
DATA = {
    "lungs": "dataset=openist,jsrt",
    "findings": "dataset=chest_xray,tuberculosis,covid-chestxray-dataset",
}
SETUP = (
    "python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site"
    " .pack/wheels/*.whl && export PYTHONPATH=/tmp/site PYTHONUNBUFFERED=1 || exit; "
)
COMMANDS = {
    "first, all parts except full_training": (
        "python3 -m benchmarks.accelerator --parts=machine,correctness,inference,training,disk,determinism"
        " --minutes=8 --out=$OUT",
        520,
    ),
    "then, while the machine is still running, full_training": (
        "python3 -m benchmarks.accelerator --parts=full_training --minutes=4 --out=$OUT",
        270,
    ),
    "or all parts together": ("python3 -m benchmarks.accelerator --minutes=9.5 --out=$OUT", 600),
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
    """Prepare the data sets of a table of radiographs."""
    for name, condition in DATA.items():
        options = ["table", f"--csv={table}", f"--filter={condition}", f"--name={name}", f"--out={folder}"]
        command = [sys.executable, "-m", "data_prep", *options, "--duplicates=off", "--overwrite"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, cwd=ROOT)


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
