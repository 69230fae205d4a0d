"""Write the runs and the radiographs that the parts need, and with `references` then the CPU's reference results.

JAX_PLATFORMS=cpu python -m benchmarks.accelerator.prepare SIZES FOLDER [references]
"""

import sys
from pathlib import Path

from benchmarks.accelerator import cases, packed
from benchmarks.accelerator import sizes as all_sizes

READY = "ready"  # file in FOLDER, written when the runs and the radiographs are complete
RADIOGRAPHS = 32  # number of radiographs that CPU and accelerator predict


def main(size: str, folder: Path, has_references: bool) -> None:
    sizes = getattr(all_sizes, size.upper())
    cases.write_radiographs(folder, packed.load_images(RADIOGRAPHS, sizes), sizes)
    (folder / READY).touch()
    if has_references:
        cases.write_references(folder, sizes)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), "references" in sys.argv[3:])
