"""Run competitors, which take turns in one session.

Every competitor is a persistent process (`competitors/worker.py`) on the same cores. Only one runs at a time, and the
order changes from round to round, so that other load on the machine affects all of them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
OURS = "cxrjax"


class Competitor:
    """A process that runs the stages of a workload on request."""

    def __init__(
        self,
        name: str,
        python: str,
        module: str,
        workload: str,
        settings: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
    ):
        """Start the process and set up the workload.

        Args:
            name: name in tables.
            python: path of the Python interpreter.
            module: name of a module of `benchmarks.competitors`.
            workload: name of a workload of the module.
            settings: arguments of the workload.
            environment: environment variables in addition to those of this process.

        Raises:
            ChildProcessError: the process stopped.
        """
        self.name = name
        self.peak = 0.0  # megabytes
        self.first: dict[str, float] = {}  # seconds of the first run of each stage
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed by __exit__
        self._process = subprocess.Popen(
            [python, "-m", f"benchmarks.competitors.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env=os.environ | (environment or {}),
        )
        prepared = self._request({"prepare": workload, "settings": dict(settings)})
        self.stages: list[str] = prepared["stages"]
        self.metadata: dict[str, Any] = prepared["metadata"]
        self.preparation: float = prepared["seconds"]

    def __enter__(self) -> "Competitor":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def run_once(self, stage: str) -> float:
        """Run a stage once and return the seconds; `first` has those of the first run, which includes compilation."""
        seconds = self._request({"turn": stage})["seconds"]
        self.first.setdefault(stage, seconds)
        return seconds

    def measure(self, stage: str) -> dict[str, float]:
        """Run a stage once; return its "seconds", its "cpu" seconds and the "peak" memory so far in megabytes."""
        answer = self._request({"turn": stage})
        return {key: answer[key] for key in ("seconds", "cpu", "peak")}

    def results(self) -> dict[str, np.ndarray]:
        """Return the arrays on which the competitors should agree, by name."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results.npz"
            self._request({"save": str(path)})
            with np.load(path) as arrays:
                return dict(arrays)

    def _request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with suppress(BrokenPipeError):  # reported below
            print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            output = self._errors.read()[-3000:]
            self.__exit__()
            raise ChildProcessError(f"{self.name}: stopped; its last output: {output}")
        answer = json.loads(line)
        self.peak = answer["peak"]
        return answer


def start_ours(workload: str, environment: Mapping[str, str] | None = None, **settings: Any) -> Competitor:
    """Start cxrjax in this Python, with a workload of `competitors/ours.py` and its settings."""
    return Competitor(OURS, sys.executable, "ours", workload, settings, environment)


def parse(description: str, more: Mapping[str, Mapping[str, Any]]) -> argparse.Namespace:
    """Parse the common options of the benchmarks and the options of one benchmark.

    Args:
        description: text of --help.
        more: options of the benchmark, as name -> arguments of `add_argument`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write all measurements to")
    parser.add_argument(
        "--torch-python", help="Python interpreter with torch, safetensors and OpenCV; without it, cxrjax runs alone"
    )
    parser.add_argument("--no-compile", action="store_true", help="skip torch.compile, which takes minutes to start")
    parser.add_argument("--rounds", type=int, default=7, help="turns per competitor, of which the median is reported")
    parser.add_argument("--quick", action="store_true", help="run at small sizes, to check that it runs")
    for name, keywords in more.items():
        parser.add_argument(f"--{name}", **keywords)
    options = parser.parse_args()
    options.rounds = min(options.rounds, 2) if options.quick else options.rounds
    return options


def pytorch_variants(options: argparse.Namespace) -> dict[str, bool]:
    """Return the variants of PyTorch to run, as name -> whether it is compiled; {} without --torch-python."""
    if not options.torch_python:
        return {}
    return {"PyTorch": False} if options.no_compile else {"PyTorch": False, "torch.compile": True}


def interleave(competitors: Sequence[Competitor], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Run all stages in turns.

    Returns:
        Stage -> competitor -> seconds of each turn; the first turn, which includes compilation, is left out.
    """
    stages = list(dict.fromkeys(stage for competitor in competitors for stage in competitor.stages))
    seconds: dict[str, dict[str, list[float]]] = {}
    for stage in stages:
        participants = [competitor for competitor in competitors if stage in competitor.stages]
        for competitor in participants:
            competitor.run_once(stage)
        seconds[stage] = {competitor.name: [] for competitor in participants}
        for number in range(rounds):
            start = number % len(participants)
            for competitor in participants[start:] + participants[:start]:
                seconds[stage][competitor.name].append(competitor.run_once(stage))
    return seconds
