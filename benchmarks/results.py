"""Report measurements as Markdown tables and JSON."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import roofline
from benchmarks.runner import OURS, Competitor
from cxrjax.runtime import atomic_files


def print_report(
    title: str,
    competitors: Sequence[Competitor],
    seconds: Mapping[str, Mapping[str, Sequence[float]]],
    path: Path | None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print the results of `runner.interleave` as Markdown, and save them as JSON.

    Args:
        title: title of the report.
        competitors: running competitors, cxrjax first.
        seconds: result of `runner.interleave`.
        path: path of the JSON file; None for none.
        more: further content of the JSON file.
    """
    rate = _peak_rate(seconds)
    bandwidth = roofline.measure_bandwidth()
    operations: dict[str, float] = {}
    for competitor in competitors:
        operations |= competitor.metadata.get("operations", {})
    names = [competitor.name for competitor in competitors]
    peers = [name for name in names if name != OURS]
    rows = []
    records = []
    for stage, turns in seconds.items():
        medians = {name: median(values) for name, values in turns.items()}
        ratios = {name: medians[name] / medians[OURS] for name in peers if name in medians and OURS in medians}
        fraction = None
        if stage in operations and rate and OURS in medians:
            fraction = operations[stage] / medians[OURS] / rate
        records.append(
            {
                "stage": stage,
                "seconds": {name: list(values) for name, values in turns.items()},
                "median": medians,
                "peer_over_ours": ratios,
                "operations": operations.get(stage),
                "roofline_fraction": fraction,
            }
        )
        rows.append(
            [stage]
            + [f"{1e3 * medians[name]:.3g}" if name in medians else "" for name in names]
            + [f"{ratios[name]:.2f}" if name in ratios else "" for name in peers]
            + ["" if fraction is None else f"{fraction:.0%}"]
        )
    machine = describe_machine() | {"operations_per_second": rate, "bytes_per_second": bandwidth}
    print(f"\n{title}\n")
    print(write_table(["median, ms", *names, *(f"{name} / {OURS}" for name in peers), "fraction of the ceiling"], rows))
    costs = [
        [competitor.name, f"{competitor.peak:.0f}", f"{competitor.preparation + sum(competitor.first.values()):.1f}"]
        for competitor in competitors
    ]
    print("\n" + write_table(["competitor", "peak memory, MB", "preparation and first turns, s"], costs))
    products = f"; float32 matrix products {rate / 1e9:.0f} GFLOP/s" if rate else ""
    print(f"\n{machine['processor']}, {machine['cores']} cores{products}; memory bandwidth {bandwidth / 1e9:.1f} GB/s")
    descriptions = {
        competitor.name: {
            "peak_megabytes": competitor.peak,
            "preparation": competitor.preparation,
            "first": competitor.first,
            "metadata": competitor.metadata,
        }
        for competitor in competitors
    }
    save(path, title, {"machine": machine, "competitors": descriptions, "stages": records} | (more or {}))


def save(path: Path | None, title: str, results: Mapping[str, Any]) -> None:
    """Write results as JSON, with the title and the command; do nothing if `path` is None."""
    if path:
        record = {"title": title, "command": ["python", *sys.orig_argv[1:]]} | dict(results)
        atomic_files.atomic_write(path, (json.dumps(record, indent=2) + "\n").encode())


def write_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns except the first are aligned right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def describe_machine() -> dict[str, Any]:
    """Return the processor, its available cores, the load and the operating system."""
    lines = [line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line]
    processor = {key.strip(): value.strip() for key, value in lines}.get("model name", platform.machine())
    cores = sorted(os.sched_getaffinity(0))
    return {"processor": processor, "cores": len(cores), "load": os.getloadavg(), "system": platform.platform()}


def _peak_rate(seconds: Mapping[str, Mapping[str, Sequence[float]]]) -> float | None:
    """Return the operations per second of the fastest matrix product of any competitor."""
    turns = [value for values in seconds.get(roofline.PRODUCT, {}).values() for value in values]
    return roofline.PRODUCT_OPERATIONS / min(turns) if turns else None
