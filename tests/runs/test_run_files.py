"""A damaged file of a run gives one sentence with its name and a remedy; only one process at a time trains a run."""

import io
import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest

from cxrjax.config import default_config, freeze
from cxrjax.data.dataset import DatasetError
from cxrjax.inference import gaussian, ood, ood_store
from cxrjax.io.json_file import DamagedFileError
from cxrjax.runs import calibration, checkpoints, history, provenance, run_dir
from cxrjax.runtime import lock
from cxrjax.training import trainer

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [b"", b"{", b"\xff", b"[]", b"3", b"null", b'"text"', b"[" * 100_000]


def assert_is_a_sentence(error: BaseException, path: Path) -> None:
    message = str(error)
    assert message.startswith(f"{path}: it is damaged (") and len(message.splitlines()) == 1 and len(message) < 500
    assert message.isprintable() and "unsafe" not in message and "; " in message


@pytest.mark.parametrize("content", [*TEXTS, b"{}", b'{"temperature": 0, "operating_points": {}}',
    b'{"temperature": NaN, "operating_points": {}}', b'{"temperature": "1", "operating_points": {}}',
    b'{"temperature": 1.5, "operating_points": 3}'], ids=range(13))  # fmt: skip
def test_damaged_calibration_is_one_sentence(tmp_path, content):
    calibration.path(tmp_path).write_bytes(content)
    for read in (lambda: calibration.load(tmp_path, 1), lambda: calibration.matches_step(tmp_path, 1)):
        with pytest.raises(DamagedFileError) as error:
            read()
        assert_is_a_sentence(error.value, tmp_path / "calibration.json")


@pytest.mark.parametrize("content", [*TEXTS, b'{"step": "last"}', b'{"data": 3}'], ids=range(10))
def test_damaged_provenance_is_one_sentence(tmp_path, content):
    (tmp_path / "provenance.json").write_bytes(content)
    with pytest.raises(DamagedFileError) as error:
        provenance.read(tmp_path)
    assert_is_a_sentence(error.value, tmp_path / "provenance.json")


@pytest.mark.parametrize("content", [*TEXTS, b'{"a": 3}', b'{"a": {"b": -1}}', b'{"a": {"b": 1e9}}'],
    ids=range(11))  # fmt: skip
def test_damaged_training_labels_are_one_sentence(tmp_path, content):
    (tmp_path / "training_labels.json").write_bytes(content)
    with pytest.raises(DamagedFileError) as error:
        provenance.load_labels(tmp_path, default_config())
    assert_is_a_sentence(error.value, tmp_path / "training_labels.json")


RECORD = b'{"step": 3, "epoch": 1, "val/loss": 0.5}\n'


@pytest.mark.parametrize(
    "line", [b"text", b"\xff", b"[]", b"{}", b'{"step": "3", "epoch": 1}', b'{"step": 3, "epoch": 1, "x": null}']
)
def test_damaged_metrics_log_is_one_sentence(tmp_path, line):
    """Only a truncated last line, which a kill leaves, is dropped; any other invalid line is an error."""
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(RECORD + line + b"\n" + RECORD)
    with pytest.raises(DamagedFileError, match="line 2 is no record of an epoch") as error:
        history.resume(path, 10)
    assert_is_a_sentence(error.value, path)
    assert path.read_bytes() == RECORD + line + b"\n" + RECORD
    path.write_bytes(RECORD + RECORD[:20])
    assert history.resume(path, 10) == [json.loads(RECORD)] and path.read_bytes() == RECORD


def make_detector() -> ood.OODDetector:
    cloud = gaussian.GaussianFit(*(np.ones(2) for _ in gaussian.GaussianFit._fields))
    parts = {name: np.ones(len(ood.CRITERIA)) for name in ood.OODDetector._fields} | {
        "layout": cloud,
        "features": cloud,
    }
    return ood.OODDetector(**parts)


def npz(**arrays) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def damage_detector(whole: bytes) -> list[bytes]:
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 0xFF
    objects = npz(step=np.array(5, object))
    return [
        b"",
        b"text, and no archive",
        whole[: len(whole) // 2],
        bytes(flipped),
        pickle.dumps(3),
        objects,
        npz(step=5),
    ]


@pytest.mark.parametrize("kind", range(7))
def test_damaged_ood_detector_is_one_sentence(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(ood, "feature_limits", lambda fitted: {})
    ood_store.save(tmp_path, make_detector(), 5)
    path = tmp_path / "ood_detector.npz"
    jax.tree.map(np.testing.assert_array_equal, ood_store.load(tmp_path, 5), make_detector())
    assert ood_store.is_fitted_to(tmp_path, 5) and not ood_store.is_fitted_to(tmp_path, 6)
    path.write_bytes(damage_detector(path.read_bytes())[kind])
    with pytest.raises(DamagedFileError) as error:
        ood_store.load(tmp_path, 5)
    assert_is_a_sentence(error.value, path)


@pytest.fixture
def saved(tmp_path):
    with checkpoints.Checkpoints(tmp_path) as store:
        store.save("last", 4, {"w": np.arange(2000.0)})
    return tmp_path


def test_save_on_a_full_disk_leaves_the_previous_checkpoint(saved, monkeypatch, capfd):
    """TensorStore raises this error if a disk is full, and a thread of Orbax reports it too."""
    checkpoint = {"w": np.zeros(3)}

    def refuse(*_, **__):
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        raise ValueError('RESOURCE_EXHAUSTED: Error writing "w/0" in OCDBT database')

    with checkpoints.Checkpoints(saved) as store:
        with monkeypatch.context() as patch:
            patch.setattr(store._manager("last"), "save", refuse)
            with pytest.raises(
                OSError, match=r"last: the state of step 5 cannot be saved \(no space left on device\);"
            ):
                store.save("last", 5, checkpoint)
        assert store.step("last") == 4 and not capfd.readouterr().err
        store.save("last", 5, checkpoint)
        assert store.step("last") == 5


@pytest.mark.parametrize("damage", ["cut", "text", "missing"])
def test_damaged_checkpoint_is_one_sentence(saved, damage):
    for path in [path for path in saved.rglob("*") if path.is_file()]:
        if damage == "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        elif damage == "text":
            path.write_bytes(b"text")
        else:
            path.unlink()
    with checkpoints.Checkpoints(saved) as store, pytest.raises(checkpoints.CheckpointError) as error:
        store.restore("last", {"w": np.zeros(2000)})
    message = str(error.value)
    assert message.startswith(f"{saved}/last/4: this checkpoint is damaged") and len(message.splitlines()) == 1


def test_remains_of_a_killed_save_are_removed_only_by_a_training(saved):
    leftover = saved / "last" / "9.orbax-checkpoint-tmp"
    leftover.mkdir()
    with checkpoints.Checkpoints(saved) as store:  # as an evaluation would, while a training saves
        assert store.step("last") == 4 and leftover.exists()
    with checkpoints.Checkpoints(saved, clean=True) as store:
        assert store.step("last") == 4
        store.save("last", 5, {"w": np.zeros(3)})  # waits until the removal is done
    assert not leftover.exists()


def test_pipe_in_place_of_a_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(DamagedFileError, match="config.json: it is damaged .it is not a regular file"):
        run_dir.load_config(tmp_path)
    os.mkfifo(tmp_path / lock.NAME)
    with pytest.raises(OSError, match="lock: not a regular file; remove it"), lock.acquire(tmp_path, "trained"):
        pass


HOLD = """if True:
    import sys
    from pathlib import Path
    from cxrjax.runtime import lock
    with lock.acquire(Path(sys.argv[1]), "trained"):
        print("held", flush=True)
        sys.stdin.read()
"""


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(
            lock.LockedError, match=rf"^{tmp_path}: .* trained by another process \({holder.pid} on .*, since"
        ):
            trainer.train(freeze(config(tmp_path)), tmp_path)
        holder.kill()
    with lock.acquire(tmp_path, "trained"):  # a process that was killed leaves no lock
        assert json.loads((tmp_path / lock.NAME).read_text())["process"] == os.getpid()
        (tmp_path / lock.NAME).write_text("[")
        with pytest.raises(lock.LockedError, match="unknown process"), lock.acquire(tmp_path, "trained"):
            pass


def test_file_system_without_locks_gives_a_warning(tmp_path, monkeypatch, capsys):
    def refuse(descriptor, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with lock.acquire(tmp_path, "trained"):
        pass
    assert capsys.readouterr().err.startswith(f"cxrjax: {tmp_path}: the file system has no locks (No locks available)")


def config(directory: Path, **training):
    settings = default_config()
    settings.task = "segment"
    settings.data.dir = str(directory / "none")
    settings.training.metric = "jaccard"
    settings.training.update(training)
    return settings


@pytest.mark.parametrize("content", ['{"architectures": ["BertModel"]}', "{"])
def test_a_folder_of_another_program_is_not_cleared(tmp_path, content):
    """Such as a model of the Hugging Face hub, which has a config.json too."""
    (tmp_path / "config.json").write_text(content)
    (tmp_path / "lungs").mkdir()
    (tmp_path / "lungs" / "mine.png").write_text("")
    with pytest.raises((run_dir.RunError, DamagedFileError), match=r"config\.json: .*; name another --workdir"):
        trainer.train(freeze(config(tmp_path)), tmp_path)
    assert (tmp_path / "config.json").read_text() == content and (tmp_path / "lungs" / "mine.png").exists()


def test_user_folder_named_segmenter_is_not_replaced(tmp_path):
    other = tmp_path / "other"
    (other / "checkpoints" / "best" / "3").mkdir(parents=True)
    settings = config(tmp_path)
    run_dir.create_or_resume(other, freeze(settings))
    mine = tmp_path / "project" / "segmenter" / "code.py"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    settings.task = "classify"
    settings.classifier.classes = ("normal", "viral")
    settings.segmenter.workdir = str(other)
    with pytest.raises(run_dir.RunError, match="segmenter: this folder is not of a run; name another --workdir"):
        trainer.train(freeze(settings), tmp_path / "project")
    assert mine.read_text() == "mine"


def test_failed_first_training_may_be_repeated_with_other_settings(tmp_path):
    run = tmp_path / "run"
    for epochs in (3, 4):  # its data are not there
        with pytest.raises(DatasetError):
            trainer.train(freeze(config(tmp_path, epochs=epochs)), run)
        assert run_dir.load_config(run).training.epochs == epochs
    (run / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError):
        trainer.train(freeze(config(tmp_path, epochs=5)), run)
    assert run_dir.load_config(run).training.epochs == 5 and (run / "notes.txt").exists()
    (run / "checkpoints" / "last" / "7").mkdir(parents=True)
    with pytest.raises(run_dir.RunError, match=r"training\.l2=0\.0, and now 1.0 is requested; .* or remove .*run$"):
        trainer.train(freeze(config(tmp_path, epochs=5, l2=1.0)), run)
    (run / "checkpoints" / "best" / "7").mkdir(parents=True)
    with pytest.raises(run_dir.RunError, match=r"in another --workdir: --config\.pretrained=.*run$"):
        trainer.train(freeze(config(tmp_path, epochs=5, l2=1.0)), run)
