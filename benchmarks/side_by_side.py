"""Contestants that take turns in one session, what it says in a table, and all of it in a JSON file.

Every contestant is a process that stays (`contestants/worker.py`), on the same cores; only one works at a time, and
the order changes from round to round, so that what slows the machine slows them all.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import ceiling
from cxrjax import whole

ROOT = Path(__file__).resolve().parents[1]
OURS = "cxrjax"


class Contestant:
    """A process that does the stages of a work, each when it is its turn."""

    def __init__(
        self,
        name: str,
        python: str,
        module: str,
        work: str,
        settings: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
    ):
        """Start it and have it prepare.

        Args:
            name: what it is called in tables.
            python: the interpreter.
            module: of `benchmarks.contestants`.
            work: of that module's works.
            settings: of the work.
            environment: variables beside this process's.

        Raises:
            ChildProcessError: it stopped.
        """
        self.name, self.peak, self.first = name, 0.0, {}
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed by __exit__
        self._process = subprocess.Popen(
            [python, "-m", f"benchmarks.contestants.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env=os.environ | (environment or {}),
        )
        prepared = self._ask({"prepare": work, "settings": dict(settings)})
        self.stages: list[str] = prepared["stages"]
        self.facts: dict[str, Any] = prepared["facts"]
        self.preparation: float = prepared["seconds"]

    def __enter__(self) -> "Contestant":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def turn(self, stage: str) -> float:
        """Do a stage once; the first time is kept as `first`, for it holds what is compiled. Seconds."""
        seconds = self._ask({"turn": stage})["seconds"]
        self.first.setdefault(stage, seconds)
        return seconds

    def results(self) -> dict[str, np.ndarray]:
        """Arrays that it came to."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results.npz"
            self._ask({"keep": str(path)})
            with np.load(path) as arrays:
                return dict(arrays)

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        with suppress(BrokenPipeError):  # it is told below
            print(json.dumps(question), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            words = self._errors.read()[-3000:]
            self.__exit__()
            raise ChildProcessError(f"{self.name}: stopped; its last words: {words}")
        answer = json.loads(line)
        self.peak = answer["peak"]
        return answer


def start_ours(work: str, environment: Mapping[str, str] | None = None, **settings: Any) -> Contestant:
    """Cxrjax itself, in this Python, doing a work of `contestants/ours.py`."""
    return Contestant(OURS, sys.executable, "ours", work, settings, environment)


def parse(description: str, more: Mapping[str, Mapping[str, Any]]) -> argparse.Namespace:
    """The command line that these programs have in common, and what one has beside: name -> keywords of argparse."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write everything measured to")
    parser.add_argument("--torch-python", help="a Python with torch, safetensors and OpenCV; without it, no peers")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, whose start takes minutes")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant; their median counts")
    parser.add_argument("--quick", action="store_true", help="a small form of it, to see that it runs")
    for name, keywords in more.items():
        parser.add_argument(f"--{name}", **keywords)
    given = parser.parse_args()
    given.rounds = min(given.rounds, 2) if given.quick else given.rounds
    return given


def peer_forms(given: argparse.Namespace) -> dict[str, bool]:
    """The forms in which PyTorch takes part, by name, each with whether it is compiled; none without its Python."""
    forms = {"PyTorch": False, "torch.compile": True}
    return {
        name: compiled for name, compiled in forms.items() if given.torch_python and not (compiled and given.no_compile)
    }


def race(contestants: Sequence[Contestant], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Stage -> contestant -> seconds of each turn, the first of them, in which things are compiled, not counted."""
    stages = list(dict.fromkeys(stage for one in contestants for stage in one.stages))
    seconds: dict[str, dict[str, list[float]]] = {}
    for stage in stages:
        able = [one for one in contestants if stage in one.stages]
        for one in able:
            one.turn(stage)
        seconds[stage] = {one.name: [] for one in able}
        for number in range(rounds):
            start = number % len(able)
            for one in able[start:] + able[:start]:
                seconds[stage][one.name].append(one.turn(stage))
    return seconds


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
    machine = _describe(rate, bandwidth)
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
        whole.write(path, (json.dumps(record, indent=2) + "\n").encode())


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


def _describe(rate: float | None, bandwidth: float) -> dict[str, Any]:
    return describe_machine() | {"operations_a_second": rate, "bytes_a_second": bandwidth}


def _find_rate(seconds: Mapping[str, Mapping[str, Sequence[float]]]) -> float | None:
    """Operations a second of the quickest matrix product that any contestant did."""
    turns = [one for each in seconds.get(ceiling.PRODUCT, {}).values() for one in each]
    return ceiling.PRODUCT_OPERATIONS / min(turns) if turns else None
