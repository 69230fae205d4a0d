"""Kill trainings at random moments, and compare what they end with: python tests/kill_training.py [KILLS] [SEED].

Half of the kills are SIGKILL, half SIGTERM; the same command is given again until the training is done, and then its
record and its checkpoints are compared bit for bit with those of a training that nobody killed. KILLS is of each task.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
TASKS = ("segment", "classify")
BEGUN = "the first step is made"


def train_once(task: str, workdir: Path, segmenter: Path) -> None:
    """Train, or go on, in this process, on made-up radiographs."""
    from cxrjax import data, models, train
    from cxrjax.models.fc_densenet import FCDenseNet
    from cxrjax.runtime import signals
    from tests import test_train

    models.SEGMENTERS["fc_densenet29"] = partial(FCDenseNet, blocks=(2, 2), bottleneck=2, growth=8, stem=16)
    splits = {"train": test_train.draw_split(0, 10), "val": test_train.draw_split(1, 6)}
    data.open_as = data.hold_or_stream = lambda config, split: splits[split]
    config = test_train.segment_config()
    config.training.epochs = 8
    if task == "classify":
        test_train.let_classify(config, segmenter)
    step = train.Training.step

    def announce(training, state, number):
        state = step(training, state, number)
        train.Training.step = step
        print(BEGUN, flush=True)
        return state

    train.Training.step = announce
    with signals.handled(lambda: "the same command goes on from there"):
        train.train(config, workdir)


def start(task: str, workdir: Path, segmenter: Path, cache: Path) -> subprocess.Popen:
    """Start one process of a training."""
    settings = {
        "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
    }  # fmt: skip
    command = [sys.executable, __file__, "train", task, str(workdir), str(segmenter)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, text=True, **pipes)


def kill_until_done(task: str, workdir: Path, segmenter: Path, cache: Path, kills: int, draw: random.Random) -> Counter:
    """Give the command again and again, killing it up to so many times; return the signals and exit statuses."""
    seen: Counter = Counter()
    while True:
        process = start(task, workdir, segmenter, cache)
        number = draw.choice((signal.SIGKILL, signal.SIGTERM)) if sum(seen.values()) < kills else None
        if number:
            early = draw.random() < 0.25  # at any moment of the start; else at any moment of the steps
            if not early:
                process.stdout.readline()
            time.sleep(draw.uniform(0, 4 if early else 1.5))
            process.send_signal(number)
        _, said = process.communicate(timeout=600)
        if process.returncode == 0:
            return seen
        assert number, said[-3000:]
        seen[number.name, process.returncode] += 1
        assert process.returncode in (-number, 128 + number), (process.returncode, said[-3000:])
        assert "Traceback" not in said, said[-3000:]
        if process.returncode == 128 + number:
            assert said.strip().splitlines()[-1].endswith("the same command goes on from there"), said[-3000:]


def main(kills: int, seed: int) -> None:
    """Compare each task's training, killed, with the one that was not."""
    from tests import test_train

    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for task in TASKS:
            whole = folder / task
            place = (folder / "segment", folder / "cache")
            _, said = start(task, whole, *place).communicate(timeout=600)
            assert (whole / "learning_curves.png").exists(), said[-3000:]
            seen: Counter = Counter()
            rounds = 0
            while sum(seen.values()) < kills:
                killed = folder / f"{task}-{rounds}"
                seen += kill_until_done(task, killed, *place, min(8, kills - sum(seen.values())), draw)
                test_train.assert_equal_ends(killed, whole)
                left = [str(path) for path in killed.rglob("*") if "tmp" in path.name]
                assert not left, left
                rounds += 1
            print(f"{task}: {rounds} trainings equal bit for bit after {dict(seen)}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["train"]:
        train_once(sys.argv[2], *map(Path, sys.argv[3:]))
    else:
        main(*(int(word) for word in [*sys.argv[1:], "18", "0"][:2]))
