"""Processes of the benchmark, each with its descendants in a session of its own."""

import os
import signal
import subprocess
from contextlib import suppress
from typing import Any


def kill(process: "subprocess.Popen[Any]") -> None:
    """Kill a process and its descendants."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
