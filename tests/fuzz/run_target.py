"""One fuzz target under atheris: `python -m tests.fuzz.run_target NAME [libFuzzer's arguments]`."""

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cxrjax", "data_prep", "pydicom"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name = sys.argv.pop(1)
    target = TARGETS[name]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder, f"input{target.suffixes[0]}")

        def read(data: bytes) -> None:
            path.write_bytes(data)
            with contextlib.suppress(*target.errors):
                target.read(path)

        atheris.Setup(sys.argv, read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
