"""Make the runs and the radiographs that parts need, and then work out what the CPU makes of them.

JAX_PLATFORMS=cpu python -m benchmarks.accelerator.prepare SIZES FOLDER
"""

import sys
from pathlib import Path

from benchmarks.accelerator import cases, packed
from benchmarks.accelerator import sizes as all_sizes

READY = "ready"  # a file of the folder, once the runs and the radiographs are there
RADIOGRAPHS = 32  # that both predict


def main(size: str, folder: Path) -> None:
    sizes = getattr(all_sizes, size.upper())
    cases.write_radiographs(folder, packed.load_images(RADIOGRAPHS, sizes), sizes)
    (folder / READY).touch()
    cases.work_out(folder, sizes)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
