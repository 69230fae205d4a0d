"""Measure time and memory of preparing DICOM files with one and two workers.

    python -m benchmarks.prepare_dicoms --count=500,30000 --size=128 --workers=1,2 --json=prepare_dicoms.json

Writes synthetic DICOM files and prepares them with `python -m data_prep table`, starting again for each number of
workers. Seconds are those of the whole command, including imports and the start of Beam; memory is the largest sum of
the resident sets of its processes. Two counts show whether memory grows with the data set. Two workers need Apache
Beam.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from tests.helpers.image_files import draw_image, save_dicom

LABELS = ("normal", "viral")
INTERVAL = 0.05  # s between two measurements of the memory


def write_dicoms(folder: Path, count: int, size: int) -> Path:
    """Write `count` different DICOM files of `size` x `size` pixels and the table that lists them."""
    pixels = draw_image("radiograph", (size, size))
    lines = ["path,label"]
    for number in range(count):
        name = f"{number // 1000:03d}/{number:06d}.dcm"
        save_dicom(folder / name, np.roll(pixels, (number // size, number % size), (0, 1)))
        lines.append(f"{name},{LABELS[number % len(LABELS)]}")
    table = folder / "table.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def measure(table: Path, workers: int) -> tuple[float, int]:
    """Prepare the table; return the seconds, and the peak memory in bytes."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "data_prep", "table", f"--csv={table}", f"--out={out}", "--duplicates=off"]
        start = time.perf_counter()
        peak = 0
        with subprocess.Popen([*command, f"--workers={workers}"], stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                peak = max(peak, resident_memory(psutil.Process(process.pid)))
                time.sleep(INTERVAL)
        if process.returncode:
            sys.exit(process.returncode)
        return time.perf_counter() - start, peak


def resident_memory(process: psutil.Process) -> int:
    """Return the bytes of a process and its descendants."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def parse_numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=parse_numbers, default=[500], help="numbers of files, such as 500,30000")
    parser.add_argument("--size", type=int, default=512, help="side of an image in pixels (default: %(default)s)")
    parser.add_argument("--workers", type=parse_numbers, default=[1, 2], help="numbers of workers, such as 1,2")
    parser.add_argument("--folder", help="folder with space for twice the files (default: the system's temporary one)")
    parser.add_argument("--json", help="file to write the results to")
    options = parser.parse_args()
    rows = []
    print("| radiographs | workers | seconds | radiographs/s | peak memory, MiB |\n|---|---|---|---|---|")
    for count in options.count:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            table = write_dicoms(Path(folder), count, options.size)
            for workers in options.workers:
                seconds, peak = measure(table, workers)
                row = {"radiographs": count, "size": options.size, "workers": workers, "seconds": round(seconds, 2)}
                row |= {"rate": round(count / seconds, 1), "peak_mib": round(peak / 2**20)}
                rows.append(row)
                cells = (count, workers, row["seconds"], row["rate"], row["peak_mib"])
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
