"""The audit of a run: planted shortcuts are found, and a killed audit resumes after its last finished experiment."""

import json
import shutil
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from cxrjax import main
from cxrjax.audit import audit, context, experiments, fingerprint, progress, run
from cxrjax.audit import probe as small_network
from cxrjax.config import freeze, recipes
from cxrjax.data import batch, dataset, tfds_store
from cxrjax.inference import lung_segmenter
from cxrjax.io import predictions_csv
from cxrjax.models import from_config
from cxrjax.runs import run_dir
from data_prep.__main__ import main as prepare

SIZE, CLASSES = 64, tuple(recipes.load("phantom:classify").classifier.classes)


def make_run(folder: Path, shortcut: str, skill: float = 1.5, count: int = 40) -> Path:
    """Make an evaluated run whose predictions are drawn with a known skill and whose lungs are those of the phantom."""
    arguments = [
        "phantom",
        f"--out={folder / 'data'}",
        f"--count={count}",
        f"--size={SIZE}",
        "--split_ratios=0.6,0.1,0.3",
    ]
    assert prepare([*arguments, "--duplicates=off", f"--shortcut={shortcut}"]) == 0
    config = recipes.load("phantom:classify")
    config.data.dir, config.image.size = str(folder / "data" / "phantom"), SIZE
    config.patches.size, config.patches.mask_lungs, config.segmenter.workdir = 32, False, "lungs"
    workdir = folder / "run"
    run_dir.create_or_resume(workdir, freeze(config))
    rng, classes, rows = np.random.default_rng(0), config.classifier.classes, []
    for case in tfds_store.iter_records(config.data.dir, "test"):
        logits = rng.normal(size=5) + skill * np.eye(5)[classes.index(case["label"])]
        p = np.exp(logits) / np.exp(logits).sum()
        known = {key: case[key] for key in ("path", "patient_id", "source", "label")} | {"status": "ok"}
        known |= {f"probability_{name}": value for name, value in zip(classes, p, strict=True)}
        rows.append(known | {"prediction": classes[p.argmax()]})
    (workdir / "evaluation" / "test").mkdir(parents=True)
    columns = predictions_csv.classification_columns(classes)
    predictions_csv.write(workdir / "evaluation" / "test" / "predictions.csv", rows, columns)
    return workdir


def small(epochs: int, size: int = SIZE):
    config = recipes.load("audit")
    config.patches.size, config.patches.count = size, 2
    config.training.epochs, config.training.batch_size = epochs, 16
    return freeze(config)


@pytest.fixture
def known_lungs(monkeypatch):
    """Take lungs from the phantom's masks, and a classifier of initial weights."""

    def load(workdir, config):
        return {"segmenter": None, "classifier": from_config.init(from_config.classifier(config), jax.random.key(0))}

    monkeypatch.setattr(run_dir, "load_networks", load)

    def find(finder, split):
        if finder.variables is not None or not finder.config.segmenter.workdir:
            return lung_segmenter.LungMasks(None, None, np.ones(len(split), bool))
        masks = split.masks >= 2
        return lung_segmenter.LungMasks(masks, np.ones(len(split), np.float32), masks.any((1, 2)))

    monkeypatch.setattr(lung_segmenter.LungSegmenter, "segment", find)


def test_killed_audit_resumes_without_repeating_experiments(tmp_path, monkeypatch, capsys):
    workdir = make_run(tmp_path, "source", count=10)
    metadata_experiments = [
        control for control in experiments.EXPERIMENTS if control.model == experiments.METADATA_MODEL
    ]
    done = []

    def counted(control, killed, audit_context):
        done.append(control.name)
        if killed:
            raise KeyboardInterrupt
        return control.run(audit_context)

    def watched(killed):
        return tuple(c._replace(run=partial(counted, c, c.name == killed)) for c in metadata_experiments)

    monkeypatch.setattr(run, "EXPERIMENTS", watched("resolution"))
    with pytest.raises(KeyboardInterrupt):
        audit(workdir, "test", small(1))
    assert not (workdir / "audit" / "test" / "audit.json").exists()
    unfinished = progress.read(workdir / "audit" / "test")
    assert [control.name for control in unfinished.done] == ["source", "view"]
    assert fingerprint.is_current(workdir / "audit" / "test", workdir)
    assert not fingerprint.is_current(workdir / "audit" / "val", workdir)
    assert unfinished.total == sum(control.saved for control in experiments.EXPERIMENTS) == 23
    capsys.readouterr()
    monkeypatch.setattr(run, "EXPERIMENTS", watched(None))
    result = audit(workdir, "test", small(1))
    assert done == ["source", "view", "resolution", "resolution", "file_format", "metadata"]
    assert [line.partition(" (")[0] for line in capsys.readouterr().out.splitlines()] == [
        "audit: control 3 of 5: height and width alone",
        "audit: control 4 of 5: file format alone",
        "audit: control 5 of 5: source, view, size and file format together",
        "audit: all 5 controls are done; their scores and intervals are computed",
    ]
    folder = workdir / "audit" / "test"
    assert json.loads((folder / "audit.json").read_text()) == json.loads(json.dumps(result))
    assert not list(folder.rglob("*.partial")) and (folder / "audit.svg").read_bytes()[:5] == b"<?xml"
    assert (folder / "audit.md").read_text().startswith("On 15 radiographs of 15 patients, the network reaches")
    by_name = {one["name"]: one for one in result["experiments"]}
    assert by_name["source"]["classes"]["covid19"]["auroc"]["value"] == 1  # planted; F1 of the others is a guess
    assert by_name["source"]["classes"]["normal"]["auroc"]["value"] < 0.7
    assert "cannot predict the label" in by_name["file_format"]["note"]
    assert any("COVID-19 (alone in phantom_elsewhere)" in claim for claim in result["verdict"]["cannot_support"])
    with pytest.raises(run_dir.RunError, match=r"training\.epochs"):
        audit(workdir, "test", small(2))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), "source", count=10)


@pytest.fixture
def workdir(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


@pytest.fixture
def done(monkeypatch):
    """Record which experiments run, of those on metadata and those that are not saved."""
    done = []

    def counted(control, audit_context):
        done.append(control.name)
        return control.run(audit_context)

    kinds = [c for c in experiments.EXPERIMENTS if c.model == experiments.METADATA_MODEL or not c.saved]
    monkeypatch.setattr(run, "EXPERIMENTS", tuple(c._replace(run=partial(counted, c)) for c in kinds))
    return done


def test_experiments_of_another_checkpoint_are_moved_aside(workdir, done):
    best = workdir / "checkpoints" / "best" / "7" / "weights"
    best.parent.mkdir(parents=True)
    best.write_bytes(b"0")
    first, folder = audit(workdir, "test", small(1)), workdir / "audit" / "test"
    saved_audit = (folder / "audit.json").read_text()
    done.clear()
    audit(workdir, "test", small(1))
    assert done == ["within_source", "with_source", "against_source"]
    done.clear()
    best.write_bytes(b"1")
    assert audit(workdir, "test", small(1)) == first
    assert len(done) == 8 and (folder.with_name("test-before-1") / "audit.json").read_text() == saved_audit
    (folder / "fingerprint.json").unlink()  # older versions wrote none
    audit(workdir, "test", small(1))
    assert (folder.with_name("test-before-2") / "experiments").is_dir()


def test_audit_uses_new_rows_of_a_repeated_evaluation(workdir, done):
    """The experiment within sources scores the run's own rows, and not those of an earlier audit."""
    path = workdir / "evaluation" / "test" / "predictions.csv"
    audit(workdir, "test", small(1))
    rows = predictions_csv.read(path)
    perfect = [row | {f"probability_{name}": float(name == row["label"]) for name in CLASSES} for row in rows]
    write = partial(predictions_csv.write, path, columns=predictions_csv.classification_columns(CLASSES))
    write([row | {"prediction": row["label"]} for row in perfect])
    within = next(one for one in audit(workdir, "test", small(1))["experiments"] if one["name"] == "within_source")
    assert within["scores"]["macro_auroc"]["value"] == 1 and within["share"] is None
    write([row | {"path": f"other/{row['path']}"} for row in rows])
    with pytest.raises(run_dir.RunError, match=r"predictions\.csv: its radiographs are not those of test in .*phantom"):
        audit(workdir, "test", small(1))


def test_training_split_is_refused_and_validation_split_is_flagged(workdir):
    for split in ("train", "train+test"):
        with pytest.raises(run_dir.RunError, match="was trained on .* of the .* radiographs of train"):
            audit(workdir, split, small(1))
    assert context.AuditContext(workdir, "val", small(1)).selected_on_split
    assert not context.AuditContext(workdir, "test", small(1)).selected_on_split


def test_probe_images_are_downsampled_and_their_lungs_saved(workdir, known_lungs, monkeypatch):
    monkeypatch.setattr(batch, "CHUNK_SIZE", 7)
    settings = small(1, size=32)
    audit_context = context.AuditContext(workdir, "test", settings)
    (train, lungs), whole = audit_context.probe_train, dataset.load_split(audit_context.run_config, "train")
    assert len(train) > 7 and train.paths == whole.paths and train.lesions is None
    np.testing.assert_array_equal(train.images, small_network.downsample(whole.images, 32))
    np.testing.assert_array_equal(lungs, small_network.downsample_masks(whole.masks >= 2, 32))
    assert (
        lungs.any()
        and audit_context.probe_test[0].images.shape[1:] == (32, 32)
        and audit_context.test_images[1].shape[1:] == (SIZE, SIZE)
    )
    monkeypatch.setattr(lung_segmenter.LungSegmenter, "segment", None)
    np.testing.assert_array_equal(context.AuditContext(workdir, "test", settings).probe_train[1], lungs)


def test_audit_of_a_segmentation_run_is_refused(tmp_path):
    config = recipes.load("phantom:classify")
    config.task = "segment"
    run_dir.create_or_resume(tmp_path, freeze(config))
    with pytest.raises(run_dir.RunError, match="only classifiers can be audited"):
        audit(tmp_path, "test", small(1))


def test_audit_is_a_mode_of_the_command_line():
    assert "audit" in main.MODES


@pytest.mark.slow
@pytest.mark.parametrize("shortcut", ["none", "marker"])
def test_verdict_on_phantoms_with_and_without_a_marker(tmp_path, known_lungs, monkeypatch, shortcut):
    wanted = ("source", "full_image", "background", "within_source", "leave_source_out", "marker_outside",
              "shuffled_labels_1", "unaltered", "background_network")  # fmt: skip
    monkeypatch.setattr(run, "EXPERIMENTS", tuple(c for c in experiments.EXPERIMENTS if c.name in wanted))
    result = audit(make_run(tmp_path, shortcut), "test", small(1))
    by_name, text = {one["name"]: one for one in result["experiments"]}, result["verdict"]["paragraph"]
    assert "not done" in by_name["leave_source_out"]["note"] and "not done" in by_name["within_source"]["note"]
    assert by_name["background_network"]["n"] == result["n"]  # it is not masked
    assert (
        "no leak is seen" in text
        and "was seen in its place, the upper left corner of the image, outside the lungs" in text
    )
    assert by_name["source"]["scores"]["macro_auroc"]["value"] == 0.5  # one source
    auroc = by_name["background"]["classes"]["covid19"]["auroc"]["value"]
    if shortcut == "none":
        assert auroc < 0.75 and "What the background alone tells" not in text
    else:
        assert auroc > 0.95
        assert "In the background alone, COVID-19 is recognized by the lower right corner of the image" in text
