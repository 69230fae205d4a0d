"""Command lines in processes of their own, each forked from one that has imported `cxrjax.main`: importing is slow."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class CommandLine:
    """Runs command lines of `python -m cxrjax.main`, one after the other."""

    def __init__(self, folder: Path):
        """Start the process that is forked; `folder` gets the streams of the latest command line."""
        self._streams = [folder / "stdout", folder / "stderr"]
        command = [sys.executable, str(Path(__file__)), *map(str, self._streams)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(arguments, status, *(path.read_text() for path in self._streams))

    def close(self) -> None:
        self._process.communicate()


def redirect_streams(stdout: str, stderr: str) -> None:
    """Read nothing, and write what is printed to two files."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for stream, path in enumerate((os.open(os.devnull, os.O_RDONLY), os.open(stdout, flags), os.open(stderr, flags))):
        os.dup2(path, stream)


def serve() -> None:
    """Fork for each line of arguments, and print the exit status of the child."""
    from cxrjax import main

    for line in sys.stdin:
        child = os.fork()
        if not child:
            redirect_streams(*sys.argv[1:])
            sys.argv = [main.__file__, *json.loads(line)]
            main.run()
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
