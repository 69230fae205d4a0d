"""Mutate files until a reader fails: `python -m tests.fuzz TARGET [--minutes=M]`, or all targets one after the other.

Coverage-guided by atheris (libFuzzer), from the inputs in `corpus/TARGET` and the seeds of `seeds.py`. An input that
breaks a reader is written to the folder of --out and the exit status is 1; once the reader is fixed it moves to
`corpus/TARGET`, where the test suite replays it.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz import seeds

CORPUS = Path(__file__).parent / "corpus"
SECONDS_PER_INPUT = 60
MEGABYTES = 4096
MAX_BYTES = 1 << 17


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="?", help="one reader; all if it is left out")
    parser.add_argument("--minutes", type=float, default=5, help="for each target (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="where failing inputs are written")
    options = parser.parse_args()
    names = [options.target] if options.target else seeds.NAMES
    options.out.mkdir(parents=True, exist_ok=True)
    failed = [name for name in names if not _fuzz(name, options.minutes, options.out)]
    print(f"failed: {', '.join(failed)}" if failed else f"{len(names)} targets, no failure")
    return 1 if failed else 0


def _fuzz(name: str, minutes: float, out: Path) -> bool:
    """Run one target in its own process, since it may crash; return whether it survived."""
    with tempfile.TemporaryDirectory() as folder:
        seeds.write(name, Path(folder))
        command = [sys.executable, "-m", "tests.fuzz.run_target", name, folder]
        if (CORPUS / name).is_dir():
            command.append(str(CORPUS / name))
        command += [f"-max_total_time={int(60 * minutes)}", f"-timeout={SECONDS_PER_INPUT}"]
        command += [
            f"-max_len={MAX_BYTES}",
            f"-rss_limit_mb={MEGABYTES}",
            f"-artifact_prefix={out}/{name}-",
            "-print_final_stats=1",
        ]
        result = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    count = next((line for line in result.stderr.splitlines() if "number_of_executed_units" in line), "")
    print(f"{name}: {count.rpartition(' ')[2] or '?'} inputs, {'passed' if result.returncode == 0 else 'FAILED'}")
    if result.returncode:
        print("\n".join(result.stderr.splitlines()[-40:]), file=sys.stderr)
    return result.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
