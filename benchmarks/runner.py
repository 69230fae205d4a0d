"""Run competitors that take turns in one session.

Every competitor is a persistent process (`competitors/worker.py`) on the same cores. Only one works at a time, and the
order changes from round to round, so that disturbances of the machine affect all of them.
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
    """A process that runs the stages of a work on request."""

    def __init__(
        self,
        name: str,
        python: str,
        module: str,
        work: str,
        settings: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
    ):
        """Start the process and prepare the work.

        Args:
            name: in tables.
            python: the interpreter.
            module: a module of `benchmarks.competitors`.
            work: name of a work of the module.
            settings: of the work.
            environment: variables in addition to those of this process.

        Raises:
            ChildProcessError: the process stopped.
        """
        self.name = name
        self.peak = 0.0
        self.first: dict[str, float] = {}
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
        prepared = self._ask({"prepare": work, "settings": dict(settings)})
        self.stages: list[str] = prepared["stages"]
        self.facts: dict[str, Any] = prepared["facts"]
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
        """Run a stage once and return the seconds; those of the first run, which includes compilation, are `first`."""
        seconds = self._ask({"turn": stage})["seconds"]
        self.first.setdefault(stage, seconds)
        return seconds

    def measure(self, stage: str) -> dict[str, float]:
        """Run a stage once, and return its "seconds", its "cpu" seconds, and the "peak" memory in megabytes so far."""
        answer = self._ask({"turn": stage})
        return {key: answer[key] for key in ("seconds", "cpu", "peak")}

    def results(self) -> dict[str, np.ndarray]:
        """Return the arrays that its work results in."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results.npz"
            self._ask({"keep": str(path)})
            with np.load(path) as arrays:
                return dict(arrays)

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        with suppress(BrokenPipeError):  # reported below
            print(json.dumps(question), file=self._process.stdin, flush=True)
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


def start_ours(work: str, environment: Mapping[str, str] | None = None, **settings: Any) -> Competitor:
    """Start cxrjax in this Python, with a work of `competitors/ours.py`."""
    return Competitor(OURS, sys.executable, "ours", work, settings, environment)


def parse(description: str, more: Mapping[str, Mapping[str, Any]]) -> argparse.Namespace:
    """Parse the common options of the benchmarks and those of one, given as name -> keywords of argparse."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write all measurements to")
    parser.add_argument("--torch-python", help="a Python with torch, safetensors and OpenCV; without it, no peers")
    parser.add_argument("--no-compile", action="store_true", help="skip torch.compile, which takes minutes to start")
    parser.add_argument("--rounds", type=int, default=7, help="turns per competitor; the median counts")
    parser.add_argument("--quick", action="store_true", help="run at small sizes, to check that it runs")
    for name, keywords in more.items():
        parser.add_argument(f"--{name}", **keywords)
    options = parser.parse_args()
    options.rounds = min(options.rounds, 2) if options.quick else options.rounds
    return options


def peer_forms(options: argparse.Namespace) -> dict[str, bool]:
    """Return name -> whether it is compiled, for the forms of PyTorch that take part; {} without its Python."""
    if not options.torch_python:
        return {}
    return {"PyTorch": False} if options.no_compile else {"PyTorch": False, "torch.compile": True}


def interleave(competitors: Sequence[Competitor], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Run all stages in turns; return stage -> competitor -> seconds of each turn after the first, which compiles."""
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
