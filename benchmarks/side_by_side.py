"""Contestants that take turns in one session.

Every contestant is a process that stays (`contestants/worker.py`), on the same cores; only one works at a time, and
the order changes from round to round, so that what slows the machine slows them all.
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
