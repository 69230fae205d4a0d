"""A run is bound to one data set, at any path, and takes its classes from it if its config has none."""

import json
import shutil

import pytest

from cxrjax.config import LABELS, default_config, freeze
from cxrjax.data import tfds_store
from cxrjax.evaluation import cross_validation
from cxrjax.io.prepared import DatasetError
from cxrjax.runs import class_names, dataset_record, run_dir, weights
from cxrjax.training import trainer
from data_prep.__main__ import main as prepare

pytestmark = pytest.mark.usefixtures("small_segmenter", "no_learning_curves")


def make_phantoms(folder, *options, count=4):
    assert prepare(["phantom", f"--out={folder}", f"--count={count}", "--size=64", *options]) == 0
    return folder / "phantom"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_phantoms(tmp_path_factory.mktemp("data"), "--split_ratios=0.5,0.25,0.25")


def segment_config(directory):
    config = default_config()
    config.task = "segment"
    config.data.dir = str(directory)
    config.image.size = 64
    config.segmenter.architecture = "fc_densenet29"
    config.segmenter.size = 32
    config.training.update({"epochs": 1, "batch_size": 5, "metric": "jaccard"})
    return config


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory, small_segmenter):
    workdir = tmp_path_factory.mktemp("trained") / "run"
    trainer.train(freeze(segment_config(data)), workdir)
    return workdir


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def test_training_resumes_with_a_moved_data_set(run, data, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    config = segment_config(moved)
    config.training.epochs = 2
    trainer.train(freeze(config), run)
    assert run_dir.load_config(run).data.dir == str(moved)
    [change] = map(json.loads, (run / "config_history.jsonl").read_text().splitlines())
    assert change["settings"]["data.dir"] == {"former": str(data), "new": str(moved)}
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["epoch"] == 2


def test_another_data_set_is_refused_with_the_difference(run, data, tmp_path):
    content = lambda: {path.name: path.read_bytes() for path in run.glob("[!.]*") if path.is_file()}  # noqa: E731
    before = content()
    larger = make_phantoms(tmp_path, "--split_ratios=0.5,0.25,0.25", count=8)
    with pytest.raises(
        run_dir.RunError,
        match=r"phantom: this is not the data set that .*run was trained on: its split "
        r"test has \d+ radiographs, not \d+; name that one, or train in another --workdir from --config.pretrained=",
    ):
        trainer.train(freeze(segment_config(larger)), run)  # fmt: skip
    shutil.rmtree(tmp_path / "phantom")
    other_seed = make_phantoms(tmp_path, "--split_ratios=0.5,0.25,0.25", "--seed=5")
    with pytest.raises(run_dir.RunError, match=r"trained on: its split \w+ has \d+ bytes, not \d+;"):
        trainer.train(freeze(segment_config(other_seed)), run)
    assert content() == before


@pytest.mark.parametrize(
    "change, difference",
    [
        ({"name": "other"}, "its name is phantom, not other"),
        ({"version": "1.0.0"}, r"its version is \d\.\d\.\d, not 1\.0\.0"),
        ({"splits": {"fold0": {}}}, "it has no split fold0"),
        ({"splits_csv": "0" * 64}, "its splits.csv is another"),
    ],
)
def test_a_data_set_is_recognized_by_its_name_version_splits_and_list(run, data, change, difference):
    identity = tfds_store.read_identity(str(data))
    assert identity == json.loads((run / "dataset.json").read_text()) and len(identity["splits_csv"]) == 64
    (run / "dataset.json").write_text(json.dumps(identity | change))
    with pytest.raises(run_dir.RunError, match=f"was trained on: {difference};"):
        dataset_record.check(run, freeze(segment_config(data)))


def test_run_without_a_record_is_compared_with_the_former_path(run, data, tmp_path):
    (run / "dataset.json").unlink()
    dataset_record.check(run, freeze(segment_config(data)))
    shutil.copytree(data, tmp_path / "moved")
    config = freeze(segment_config(tmp_path / "moved"))
    dataset_record.check(run, config)
    settings = json.loads((run / "config.json").read_text())
    settings["data"]["dir"] = str(tmp_path / "gone")
    (run / "config.json").write_text(json.dumps(settings))
    with pytest.raises(
        run_dir.RunError, match=r"run: it cannot be told whether .*moved is .*; make it available in .*gone"
    ):
        dataset_record.check(run, config)


def test_failed_first_training_does_not_bind_a_data_set(tmp_path, data):
    config = segment_config(data)
    config.training.metric = "none"  # so that no step is made
    with pytest.raises(ValueError, match="no metric called 'none'"):
        trainer.train(freeze(config), tmp_path / "run")
    assert (tmp_path / "run" / "dataset.json").exists()
    dataset_record.check(tmp_path / "run", freeze(segment_config(tmp_path / "elsewhere")))


def classify_config(directory, **classifier):
    config = segment_config(directory)
    config.task = "classify"
    config.patches.mode = "global"
    config.patches.mask_lungs = False
    config.patches.size = 32
    config.classifier.update({"architecture": "resnet6", "channels": 1} | classifier)
    config.training.metric = "macro_f1"
    return config


def test_labels_are_sorted_by_vocabulary_then_alphabet():
    assert class_names.sort(["pneumonia", "viral", "effusion", "normal", "viral"]) == (
        "normal", "viral", "effusion", "pneumonia",
    )  # fmt: skip


def test_missing_classes_are_taken_from_the_training_split(tmp_path, data, monkeypatch):
    labels = {"train": ["viral", "pneumonia", "normal"], "val": ["normal", "effusion"]}
    columns = lambda directory, split, *fields, label_map: {"path": list("abc"), "label": labels[split]}  # noqa: E731
    monkeypatch.setattr(tfds_store, "load_columns", columns)
    config = freeze(classify_config(data))
    assert class_names.resolve(config, tmp_path).classifier.classes == ("normal", "viral", "pneumonia")
    named = freeze(classify_config(data, classes=("b", "a")))
    assert class_names.resolve(named, tmp_path) == named
    segmenter = freeze(segment_config(data))
    assert class_names.resolve(segmenter, tmp_path) == segmenter
    labels["train"] = ["normal", "normal"]
    with pytest.raises(
        DatasetError, match="all 2 radiographs of train have the label 'normal', and a classifier learns"
    ):
        class_names.resolve(config, tmp_path)
    labels["train"] = ["normal", ""]
    with pytest.raises(DatasetError, match="^b: it has no label; prepare the data set with --labels="):
        class_names.resolve(config, tmp_path)


def test_run_stores_the_classes_of_its_data_and_resumes_with_them(tmp_path, data):
    config = classify_config(data)
    trainer.train(freeze(config), tmp_path)
    assert run_dir.load_config(tmp_path).classifier.classes == LABELS
    config.training.epochs = 2
    trainer.train(freeze(config), tmp_path)
    networks = run_dir.load_networks(tmp_path, run_dir.load_config(tmp_path))
    head = weights.jax.tree.leaves(networks["classifier"]["params"]["head"])
    assert {array.shape[-1] for array in head} == {len(LABELS)}
    config.classifier.classes = LABELS[::-1]
    with pytest.raises(run_dir.RunError, match="was started with classifier.classes="):
        trainer.train(freeze(config), tmp_path)


def test_cross_validation_takes_the_classes_of_all_folds(tmp_path, data, monkeypatch):
    seen = []
    monkeypatch.setattr(cross_validation, "list_folds", lambda directory: ["test", "train", "val"])
    monkeypatch.setattr(trainer, "train", lambda config, workdir: seen.append(config) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cross_validation.cross_validate(freeze(classify_config(data)), tmp_path)
    longer = classify_config(data)
    longer.training.epochs = 2
    with pytest.raises(run_dir.RunError, match="training.epochs=1, and now 2 is requested"):  # folds may be finished
        cross_validation.cross_validate(freeze(longer), tmp_path)
    assert seen[0].classifier.classes == run_dir.load_config(tmp_path).classifier.classes == LABELS


def test_imported_weights_set_the_classes_of_their_file(tmp_path, data):
    named = classify_config(data, classes=("b", "a"))
    trainer.setup_workdir(freeze(named), tmp_path / "run")
    run_dir.create_or_resume(tmp_path / "run", freeze(named))
    variables = weights.from_config.init(weights.from_config.classifier(freeze(named)), weights.jax.random.key(0))
    with weights.Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        checkpoints.save("best", 1, variables)
    weights.export_weights(tmp_path / "run", tmp_path / "w.safetensors")
    weights.import_weights(freeze(classify_config(data)), str(tmp_path / "w.safetensors"), tmp_path / "imported")
    assert run_dir.load_config(tmp_path / "imported").classifier.classes == ("b", "a")
