"""Kill trainings at random moments and compare their results.

python tests/helpers/kill_training.py [KILLS SEED [TASK]]

Half of the kills are SIGKILL, half SIGTERM; the same command is repeated until the training is done, and then its log
and its checkpoints are compared bit for bit with those of an uninterrupted training. KILLS is per task.
"""

import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]
os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
}

import jax  # noqa: E402

from cxrjax.config import freeze  # noqa: E402
from cxrjax.data import dataset  # noqa: E402
from cxrjax.models import registry  # noqa: E402
from cxrjax.models.fc_densenet import FCDenseNet  # noqa: E402
from cxrjax.runs import dataset_record  # noqa: E402
from cxrjax.runtime import signals  # noqa: E402
from cxrjax.training import trainer  # noqa: E402
from tests.training import test_trainer  # noqa: E402

TASKS = ("segment", "classify")
BEGUN = "the first step is made"


def train_once(task: str, workdir: Path, segmenter: Path) -> None:
    """Start or resume a training in this process, on synthetic radiographs."""
    registry.SEGMENTERS["fc_densenet29"] = partial(FCDenseNet, blocks=(2, 2), bottleneck=2, growth=8, stem=16)
    splits = {"train": test_trainer.draw_split(0, 10), "val": test_trainer.draw_split(1, 6)}
    dataset.open_split = dataset.load_or_stream = lambda config, split: splits[split]
    dataset_record.save = lambda workdir, config: None
    config = test_trainer.segment_config()
    config.training.epochs = 5
    if task == "classify":
        test_trainer.let_classify(config, segmenter)
    step = trainer.Trainer.step

    def announce(training, state, number):
        state = step(training, state, number)
        trainer.Trainer.step = step
        print(BEGUN, flush=True)
        return state

    trainer.Trainer.step = announce
    with signals.handled(lambda: "the same command goes on from there"):
        trainer.train(freeze(config), workdir)


class Process:
    """A training process, forked before anything used a device, so that imports are done once."""

    def __init__(self, task: str, workdir: Path, segmenter: Path):
        reader, writer = os.pipe()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115, read after the process has ended
        self.pid = os.fork()
        if not self.pid:
            os.dup2(writer, 1)
            os.dup2(self._said.fileno(), 2)
            status = 1
            try:
                train_once(task, workdir, segmenter)
                status = 0
            except SystemExit as error:
                status = error.code
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.close(writer)
        self._reader = os.fdopen(reader)

    def await_first_step(self) -> None:
        """Wait until the training has made its first step, or has ended."""
        self._reader.readline()

    def wait(self) -> tuple[int, str]:
        """Return the exit status, minus the signal that ended it, and what it wrote to stderr."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._reader.close()
        self._said.seek(0)
        return status, self._said.read().decode()


def kill_until_done(task: str, workdir: Path, segmenter: Path, kills: int, draw: random.Random) -> Counter:
    """Start a training repeatedly, killing it `kills` times; return the signals and exit statuses."""
    seen: Counter = Counter()
    while True:
        process = Process(task, workdir, segmenter)
        number = draw.choice((signal.SIGKILL, signal.SIGTERM)) if sum(seen.values()) < kills else None
        if number:
            early = draw.random() < 0.25  # at any moment of the start; else at any moment of the steps
            if not early:
                process.await_first_step()
            time.sleep(draw.uniform(0, 8 if early else 2))
            os.kill(process.pid, number)  # it may have ended, and is then there until it is waited for
        status, said = process.wait()
        assert "Traceback" not in said, said[-3000:]
        if status == 0:
            return seen
        assert number, said[-3000:]
        seen[number.name, status] += 1
        print(f"{task}: {number.name}, status {status}", flush=True)
        assert status in (-number, 128 + number), (status, said[-3000:])
        if status == 128 + number:
            assert said.strip().splitlines()[-1].endswith("the same command goes on from there"), said[-3000:]


def main(kills: int, seed: int, *tasks: str) -> None:
    """Compare each task's killed training with an uninterrupted one, in a separate process."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jax.config.update("jax_compilation_cache_dir", name + "/cache")
        segmenter = folder / "segment"
        for task in TASKS[: 1 + TASKS.index(tasks[-1])] if tasks else TASKS:
            status, said = Process(task, folder / task, segmenter).wait()
            assert status == 0, said[-3000:]
            seen: Counter = Counter()
            rounds = 0
            while sum(seen.values()) < kills and (not tasks or task in tasks):
                killed = folder / f"{task}-{rounds}"
                seen += kill_until_done(task, killed, segmenter, min(6, kills - sum(seen.values())), draw)
                compare(killed, folder / task)
                left = [str(path) for path in killed.rglob("*") if "tmp" in path.name]
                assert not left, left
                rounds += 1
                print(f"{task}: {rounds} trainings equal bit for bit after {dict(seen)}", flush=True)


def compare(one: Path, other: Path) -> None:
    """Compare logs and checkpoints of two trainings in a fork, so that this process initializes no backend."""
    pid = os.fork()
    if not pid:
        try:
            test_trainer.assert_equal_ends(one, other)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, (one, other)


if __name__ == "__main__":
    words = sys.argv[1:] or ["18", "0"]
    main(int(words[0]), int(words[1]), *words[2:])
