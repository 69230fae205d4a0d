"""What was measured, as Markdown tables to read and JSON to keep."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import ceiling
from benchmarks.side_by_side import OURS, Contestant
from cxrjax.runtime import atomic_files


def tell(
    question: str,
    contestants: Sequence[Contestant],
    seconds: Mapping[str, Mapping[str, Sequence[float]]],
    path: Path | None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print what a race showed, as Markdown, and write it down.

    Args:
        question: what was asked.
        contestants: ours first, while they still run.
        seconds: of `race`.
        path: of the JSON; None for none.
        more: what else belongs there.
    """
    rate = _find_rate(seconds)
    bandwidth = ceiling.measure_bandwidth()
    operations: dict[str, float] = {}
    for one in contestants:
        operations |= one.facts.get("operations", {})
    names = [one.name for one in contestants]
    peers = [name for name in names if name != OURS]
    rows, records = [], []
    for stage, each in seconds.items():
        middle = {name: median(turns) for name, turns in each.items()}
        ratios = {name: middle[name] / middle[OURS] for name in peers if name in middle and OURS in middle}
        share = None
        if stage in operations and rate and OURS in middle:
            share = operations[stage] / middle[OURS] / rate
        records.append(
            {
                "stage": stage,
                "seconds": {name: list(turns) for name, turns in each.items()},
                "median": middle,
                "peer_over_ours": ratios,
                "operations": operations.get(stage),
                "share_of_ceiling": share,
            }
        )
        rows.append(
            [stage]
            + [f"{1e3 * middle[name]:.3g}" if name in middle else "" for name in names]
            + [f"{ratios[name]:.2f}" if name in ratios else "" for name in peers]
            + ["" if share is None else f"{share:.0%}"]
        )
    machine = describe_machine() | {"operations_a_second": rate, "bytes_a_second": bandwidth}
    print(f"\n{question}\n")
    print(write_table(["ms, median", *names, *(f"{name} / {OURS}" for name in peers), "share of the ceiling"], rows))
    about = [[one.name, f"{one.peak:.0f}", f"{one.preparation + sum(one.first.values()):.1f}"] for one in contestants]
    print("\n" + write_table(["", "peak memory, MB", "preparation and first turns, s"], about))
    products = f"; float32 products {rate / 1e9:.0f} GF/s" if rate else ""
    print(f"\n{machine['processor']}, {machine['cores']} cores{products}; memory {bandwidth / 1e9:.1f} GB/s")
    known = {
        one.name: {"peak_megabytes": one.peak, "preparation": one.preparation, "first": one.first, "facts": one.facts}
        for one in contestants
    }
    save(path, question, {"machine": machine, "contestants": known, "stages": records} | (more or {}))


def save(path: Path | None, question: str, found: Mapping[str, Any]) -> None:
    """Write what was measured, with the question and the command, as JSON; None: nowhere."""
    if path:
        record = {"question": question, "command": ["python", *sys.orig_argv[1:]]} | dict(found)
        atomic_files.atomic_write(path, (json.dumps(record, indent=2) + "\n").encode())


def write_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, all but the first column set to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def describe_machine() -> dict[str, Any]:
    """The processor, its cores that may be used, how busy it was, and the system."""
    words = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    name = {key.strip(): value.strip() for key, value in words.items()}.get("model name", platform.machine())
    cores = sorted(os.sched_getaffinity(0))
    return {"processor": name, "cores": len(cores), "load": os.getloadavg(), "system": platform.platform()}


def _find_rate(seconds: Mapping[str, Mapping[str, Sequence[float]]]) -> float | None:
    """Operations a second of the quickest matrix product that any contestant did."""
    turns = [one for each in seconds.get(ceiling.PRODUCT, {}).values() for one in each]
    return ceiling.PRODUCT_OPERATIONS / min(turns) if turns else None
