"""Trackers receive the records of metrics.jsonl, resume their run, and cannot stop a training."""

import json
import struct
import sys
import types

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from cxrjax.config import Config, default_config, freeze, schema
from cxrjax.config.settings import TrackingConfig
from cxrjax.runs import run_dir
from cxrjax.training import previews, trainer
from cxrjax.training.task import Validation
from cxrjax.training.tracking import tracker_group
from tests.helpers.tiny_task import build_tiny

IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)

pytestmark = pytest.mark.usefixtures("no_learning_curves")


@pytest.fixture(autouse=True)
def tiny_task(monkeypatch):
    def build(config, workdir):
        task = build_tiny(config, workdir)
        return task._replace(
            validate=lambda variables: Validation(task.validate(variables).metrics, {"validation/radiograph_3": IMAGE})
        )

    monkeypatch.setattr(trainer, "build_task", build)


def configure(*trackers: str, **settings) -> Config:
    config = default_config()
    config.task = "segment"
    config.training.update({"epochs": 3, "batch_size": 5, "metric": "loss", "checkpoint_every_minutes": 0.0})
    config.tracking.update({"trackers": trackers} | settings)
    return freeze(config)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def train_until_killed(config, workdir, monkeypatch, step):
    run = trainer.Trainer.step

    def dying(training, state, number):
        if number == step:
            raise Killed
        return run(training, state, number)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(trainer.Trainer, "step", dying)
        trainer.train(config, workdir)


def read_records(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def read_events(workdir):
    """The events of all files of a run, in the order of their writing: length, checksum, event, checksum."""
    events = []
    for path in sorted(workdir.glob("events.*"), key=lambda path: path.stat().st_mtime_ns):
        content = path.read_bytes()
        while content:
            length = struct.unpack("<Q", content[:8])[0]
            events.append(event_pb2.Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return events


class FakeMLflow(types.ModuleType):
    """The functions of MLflow that the tracker calls, which record their arguments."""

    def __init__(self):
        super().__init__("mlflow")
        self.__spec__ = types.SimpleNamespace(origin="mlflow/__init__.py")
        self.runs: dict[str, dict] = {}
        self.fails: set[str] = set()
        self.MlflowClient = lambda: self
        self.entities = types.ModuleType("mlflow.entities")
        self.entities.Metric = lambda key, value, timestamp, step: (key, value, step)
        self.entities.Param = lambda key, value: (key, value)
        self.exceptions = types.ModuleType("mlflow.exceptions")

        class MlflowException(Exception):
            error_code = "RESOURCE_DOES_NOT_EXIST"

        self.exceptions.MlflowException = MlflowException

    def get_experiment_by_name(self, name):
        self.experiment = name

    def create_experiment(self, name):
        return "7"

    def create_run(self, experiment_id, run_name):
        run_id = f"run{len(self.runs)}"
        self.runs[run_id] = {"name": run_name, "params": {}, "metrics": [], "images": [], "status": ["RUNNING"]}
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id))

    def get_run(self, run_id):
        return types.SimpleNamespace(data=types.SimpleNamespace(params=self.runs[run_id]["params"]))

    def update_run(self, run_id, status):
        if run_id not in self.runs:
            raise self.exceptions.MlflowException("no such run")
        self.runs[run_id]["status"].append(status)

    def log_batch(self, run_id, metrics=(), params=()):
        if "log_batch" in self.fails:
            raise ConnectionError("the server is gone\nwith details")
        assert len(params) <= 100  # MLflow's limit
        assert not {key for key, _ in params} & self.runs[run_id]["params"].keys()  # a parameter never changes
        self.runs[run_id]["params"] |= dict(params)
        self.runs[run_id]["metrics"] += metrics

    def log_text(self, run_id, text, artifact_file):
        self.runs[run_id][artifact_file] = text

    def log_image(self, run_id, image, key, step):
        self.runs[run_id]["images"].append((key, step, image))

    def set_terminated(self, run_id, status):
        self.runs[run_id]["status"].append(status)


@pytest.fixture
def fake_mlflow(monkeypatch):
    module = FakeMLflow()
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", module.entities)
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", module.exceptions)
    monkeypatch.delitem(sys.modules, "cxrjax.training.tracking.mlflow_tracker", raising=False)
    yield module
    sys.modules.pop("cxrjax.training.tracking.mlflow_tracker", None)


@pytest.fixture
def fake_wandb(monkeypatch):
    module = types.ModuleType("wandb")
    module.__spec__ = types.SimpleNamespace(origin="wandb/__init__.py")
    module.starts, module.logs, module.settings, module.exit_codes = [], [], {}, []
    module.Settings = lambda console: console
    module.Image = lambda rgb: ("image", rgb.tolist())
    run = types.SimpleNamespace(
        config=types.SimpleNamespace(update=lambda values, allow_val_change: module.settings.update(values)),
        log=lambda values, step: module.logs.append((values, step)),
        finish=lambda exit_code: module.exit_codes.append(exit_code),
    )
    module.init = lambda **arguments: module.starts.append(arguments) or run
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delitem(sys.modules, "cxrjax.training.tracking.wandb_tracker", raising=False)
    yield module
    sys.modules.pop("cxrjax.training.tracking.wandb_tracker", None)


def test_tensorboard_has_the_metrics_of_every_epoch_and_its_images(tmp_path):
    trainer.train(configure("tensorboard"), tmp_path)
    values = [(event.step, value) for event in read_events(tmp_path) for value in event.summary.value]
    scalars = {(step, value.tag): value.simple_value for step, value in values if value.HasField("simple_value")}
    expected = {
        (record["step"], tag): np.float32(value) for record in read_records(tmp_path) for tag, value in record.items()
    }
    assert scalars == expected
    images = [
        (step, value.tag, value.image.width, value.image.height) for step, value in values if value.HasField("image")
    ]
    assert images == [(step, "validation/radiograph_3", 6, 4) for step in (2, 4, 6)]


def test_tensorboard_events_after_the_resumed_step_are_dropped(tmp_path, monkeypatch):
    config = configure("tensorboard")
    train_until_killed(config, tmp_path, monkeypatch, step=3)
    trainer.train(config, tmp_path)
    starts = [event.step for event in read_events(tmp_path) if event.HasField("session_log")]
    assert starts == [1, 4]  # TensorBoard ignores earlier events from these steps on


@pytest.mark.parametrize("send_images", [False, True])
def test_mlflow_gets_settings_metrics_and_images_if_allowed(tmp_path, fake_mlflow, send_images):
    config = configure("mlflow", project="chests", send_images=send_images)
    trainer.train(config, tmp_path / "first")
    (run,) = fake_mlflow.runs.values()
    assert (fake_mlflow.experiment, run["name"]) == ("chests", "first")
    assert run["params"] == {key: str(value) for key, value in schema.flatten(config.to_dict()).items()}
    assert len(run["params"]) > 100  # more than one request
    assert json.loads(run["config.json"]) == json.loads(config.to_json())
    assert run["metrics"] == [
        (name, value, record["step"]) for record in read_records(tmp_path / "first") for name, value in record.items()
    ]
    assert run["status"] == ["RUNNING", "FINISHED"]
    images = [(key, step) for key, step, _ in run["images"]]
    assert images == ([("validation/radiograph_3", step) for step in (2, 4, 6)] if send_images else [])


def test_resumed_training_is_the_same_mlflow_run_with_new_settings(tmp_path, monkeypatch, fake_mlflow):
    train_until_killed(configure("mlflow"), tmp_path, monkeypatch, step=3)
    assert json.loads((tmp_path / "trackers.json").read_text()) == {"mlflow": "run0"}
    trainer.train(configure("mlflow", num_images=1), tmp_path)
    (run,) = fake_mlflow.runs.values()
    assert run["status"] == ["RUNNING", "KILLED", "RUNNING", "FINISHED"]
    assert [(step, value) for name, value, step in run["metrics"] if name == "epoch"] == [(2, 1), (4, 2), (6, 3)]
    assert run["params"]["tracking.num_images"] == "4"
    assert json.loads(run["config.json"])["tracking"]["num_images"] == 1


def test_a_run_that_the_server_does_not_have_is_created_again(tmp_path, monkeypatch, fake_mlflow):
    train_until_killed(configure("mlflow"), tmp_path, monkeypatch, step=3)
    fake_mlflow.runs["elsewhere"] = fake_mlflow.runs.pop("run0")
    trainer.train(configure("mlflow"), tmp_path)
    assert json.loads((tmp_path / "trackers.json").read_text()) == {"mlflow": "run1"}
    assert fake_mlflow.runs["run1"]["status"] == ["RUNNING", "FINISHED"]


def test_resumed_training_is_the_same_wandb_run(tmp_path, monkeypatch, fake_wandb):
    config = configure("wandb", "tensorboard", send_images=True)
    train_until_killed(config, tmp_path, monkeypatch, step=3)
    trainer.train(config, tmp_path)
    first, second = fake_wandb.starts
    assert first == second
    assert json.loads((tmp_path / "trackers.json").read_text()) == {"wandb": first["id"]}
    assert (first["resume"], first["dir"], first["name"]) == ("allow", str(tmp_path), tmp_path.name)
    assert fake_wandb.settings == schema.flatten(config.to_dict())
    assert fake_wandb.exit_codes == [1, 0]
    logged = [(values, step) for values, step in fake_wandb.logs if "epoch" in values]
    assert logged == [(record, record["step"]) for record in read_records(tmp_path)]
    images = [(values, step) for values, step in fake_wandb.logs if "epoch" not in values]
    assert images == [({"validation/radiograph_3": ("image", IMAGE.tolist())}, step) for step in (2, 4, 6)]


def test_failing_tracker_is_dropped_with_one_warning(tmp_path, capsys, fake_mlflow, fake_wandb):
    fake_mlflow.fails.add("log_batch")
    trainer.train(configure("mlflow", "wandb"), tmp_path)
    warning = "mlflow failed (the server is gone); the training continues without it, and metrics.jsonl has every epoch"
    assert capsys.readouterr().err.count(warning) == (tmp_path / "log.txt").read_text().count(warning) == 1
    assert "with details" not in (tmp_path / "log.txt").read_text()
    assert len(read_records(tmp_path)) == len(fake_wandb.logs) == 3


def test_unavailable_tracker_is_dropped_and_retried_at_the_next_start(tmp_path, monkeypatch, fake_wandb):
    def refuse(**arguments):
        raise RuntimeError("no API key")

    with monkeypatch.context() as patch:
        patch.setattr(fake_wandb, "init", refuse)
        train_until_killed(configure("wandb"), tmp_path, monkeypatch, step=3)
    assert "wandb failed (no API key)" in (tmp_path / "log.txt").read_text()
    run_id = json.loads((tmp_path / "trackers.json").read_text())["wandb"]
    trainer.train(configure("wandb"), tmp_path)
    assert [arguments["id"] for arguments in fake_wandb.starts] == [run_id]
    assert [step for _, step in fake_wandb.logs] == [4, 6]


def test_tracking_does_not_change_the_training(tmp_path, fake_mlflow):
    trainer.train(configure(), tmp_path / "none")
    trainer.train(configure("mlflow", "tensorboard", send_images=True), tmp_path / "all")
    assert read_records(tmp_path / "none") == read_records(tmp_path / "all")
    assert not list((tmp_path / "none").glob("events.*")) and not (tmp_path / "none" / "trackers.json").exists()


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_missing_tracker_package_is_refused_before_training(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()  # W&B writes such a folder; it is no package
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(tracker_group.MissingTrackerError) as error:
        trainer.train(configure("tensorboard", name), tmp_path / "run")
    assert str(error.value) == f"tracking.trackers={name}: {name} is not installed; pip install 'cxrjax[{name}]'"
    assert not (tmp_path / "run").exists()


def test_an_unknown_tracker_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="no tracker called 'clearml'.*there are tensorboard, mlflow, wandb"):
        trainer.train(configure("clearml"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore")  # of the package and what it imports
def test_real_mlflow_has_one_run_of_a_killed_training(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    config = configure("mlflow", send_images=True)
    train_until_killed(config, tmp_path / "run", monkeypatch, step=3)
    trainer.train(config, tmp_path / "run")
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("cxrjax").experiment_id])
    assert run.info.run_id == json.loads((tmp_path / "run" / "trackers.json").read_text())["mlflow"]
    assert run.info.status == "FINISHED" and run.data.params["training.epochs"] == "3"
    history = client.get_metric_history(run.info.run_id, "val/loss")
    assert {point.step: point.value for point in history} == {
        record["step"]: record["val/loss"] for record in read_records(tmp_path / "run")
    }
    assert len(client.list_artifacts(run.info.run_id, "images")) >= 3


@pytest.mark.filterwarnings("ignore")  # of the package and what it imports
def test_real_wandb_has_one_id_of_a_killed_training(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = configure("wandb", send_images=True)
    train_until_killed(config, tmp_path, monkeypatch, step=3)
    trainer.train(config, tmp_path)
    run_id = json.loads((tmp_path / "trackers.json").read_text())["wandb"]
    assert len(list((tmp_path / "wandb").glob(f"offline-run-*-{run_id}/run-{run_id}.wandb"))) == 2
    assert "failed" not in (tmp_path / "log.txt").read_text()


def test_preview_rows_are_evenly_spaced_and_none_without_trackers():
    assert previews.choose_rows(TrackingConfig(num_images=4), 10) == [0, 3, 6, 9]
    assert previews.choose_rows(TrackingConfig(num_images=4), 2) == [0, 1]
    assert previews.choose_rows(TrackingConfig(num_images=0), 10) == []
    assert previews.choose_rows(TrackingConfig(trackers=()), 10) == []


def test_damaged_trackers_json_is_one_sentence(tmp_path):
    config = configure()
    run_dir.create_or_resume(tmp_path, config)
    (tmp_path / "trackers.json").write_text('{"mlflow": 3}')
    with pytest.raises(ValueError, match=r"trackers\.json: it is damaged \(an id is no text\); remove it"):
        trainer.train(config, tmp_path)
