"""The audit of a classifier of several findings on phantoms whose effusions come mostly from one source."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from cxrjax.audit import audit, experiments, probe, run
from cxrjax.config import default_config, freeze, recipes
from cxrjax.data import tfds_store
from cxrjax.inference import lung_segmenter
from cxrjax.io import findings, predictions_csv
from cxrjax.metrics import bootstrap
from cxrjax.models import from_config
from cxrjax.runs import run_dir
from data_prep.__main__ import main as prepare
from data_prep.phantom_findings.findings import FINDINGS
from data_prep.phantom_findings.source import PhantomFindings

SIZE = 64
EXPERIMENT_NAMES = (
    "source",
    "view",
    "background",
    "within_source",
    "leave_source_out",
    "marker_inside",
    "shuffled_labels_1",
)
EXPERIMENT_NAMES += ("unaltered", "with_source", "against_source")


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """An evaluated run whose predictions are drawn with a known skill; lungs are those of the phantom."""
    draw = PhantomFindings.records
    read = PhantomFindings.read

    def records(self, root, options):
        rng = np.random.default_rng(0)
        for record in draw(self, root, options):
            is_elsewhere = rng.random() < (0.9 if "effusion" in record.upstream_label else 0.1)
            yield replace(record, source="elsewhere" if is_elsewhere else "here")

    monkeypatch.setattr(PhantomFindings, "records", records)
    monkeypatch.setattr(
        PhantomFindings,
        "read",
        lambda self, record, options: replace(read(self, record, options), source=record.source),
    )
    arguments = ["phantom_findings", f"--out={tmp_path}", "--count=120", f"--size={SIZE}", "--duplicates=off"]
    assert prepare([*arguments, "--split_ratios=0.5,0.1,0.4", "--uncertain=0.1", "--missing=0.1"]) == 0
    config = default_config()
    config.task, config.classifier.targets, config.classifier.classes = "classify", "multi", FINDINGS
    config.classifier.architecture, config.classifier.channels = "resnet8_narrow", 1
    config.data.dir, config.image.size = str(tmp_path / "phantom_findings"), SIZE
    config.patches.size, config.patches.mask_lungs, config.segmenter.workdir = 32, False, "lungs"
    workdir = tmp_path / "run"
    run_dir.create_or_resume(workdir, freeze(config))
    rng = np.random.default_rng(0)
    rows = []
    for record in tfds_store.iter_records(config.data.dir, "test"):
        _, known = tfds_store.read_labels(record)
        drawn = record["upstream_label"].decode().split(findings.SEPARATOR)
        p = {name: float(1 / (1 + np.exp(-rng.normal(3 * (name in drawn) - 1.5)))) for name in FINDINGS}
        row = {key: record[key] for key in ("path", "patient_id", "source", "label")} | {"status": "ok"}
        row |= {f"target_{name}": value for name, value in known.items()}
        row |= {f"probability_{name}": value for name, value in p.items()} | {"num_patches": 1}
        rows.append(row | {"prediction": findings.format_label(p)})
    (workdir / "evaluation" / "test").mkdir(parents=True)
    columns = predictions_csv.finding_columns(FINDINGS)
    predictions_csv.write(workdir / "evaluation" / "test" / "predictions.csv", rows, columns)
    return workdir


@pytest.mark.slow
def test_experiments_score_each_finding_and_detect_the_planted_source(workdir, monkeypatch):
    def load(workdir, config):
        return {"segmenter": None, "classifier": from_config.init(from_config.classifier(config), jax.random.key(0))}

    def segment(segmenter, split):
        if not segmenter.config.segmenter.workdir:
            return lung_segmenter.LungMasks(None, None, np.ones(len(split), bool))
        masks = split.masks >= 2
        return lung_segmenter.LungMasks(masks, np.ones(len(split), np.float32), masks.any((1, 2)))

    monkeypatch.setattr(run_dir, "load_networks", load)
    monkeypatch.setattr(lung_segmenter.LungSegmenter, "segment", segment)
    monkeypatch.setattr(bootstrap.bootstrap, "__defaults__", (100, 0))
    monkeypatch.setattr(probe, "MIN_STEPS", 30)
    monkeypatch.setattr(experiments, "NUM_TRAININGS", 2)
    monkeypatch.setattr(run, "EXPERIMENTS", tuple(e for e in experiments.EXPERIMENTS if e.name in EXPERIMENT_NAMES))
    config = recipes.load("audit")
    config.patches.size, config.patches.count, config.training.epochs = 32, 2, 1
    result = audit(workdir, "test", freeze(config))
    by_name = {entry["name"]: entry for entry in result["experiments"]}
    assert set(by_name) == set(EXPERIMENT_NAMES)
    assert all(entry["scores"] for entry in by_name.values()), [entry["note"] for entry in by_name.values()]
    for name in set(EXPERIMENT_NAMES) - {"within_source", "leave_source_out", "with_source", "against_source"}:
        assert set(by_name[name]["classes"]) == set(FINDINGS)
    source = by_name["source"]["classes"]
    assert source["effusion"]["auroc"]["value"] > 0.8  # planted
    assert source["nodule"]["auroc"]["value"] < 0.7
    against = by_name["against_source"]["classes"]
    assert "effusion" in against and against["effusion"]["support"] > 0  # planted in both sources, in unequal shares
    assert result["targets"] == "multi" and set(result["sources"]["effusion"]) == {"here", "elsewhere"}
    assert by_name["marker_inside"]["target"] in FINDINGS and by_name["marker_inside"]["flip_rate"]["n"] > 10
    assert by_name["background"]["place"]["class"] in FINDINGS
    unaltered = predictions_csv.read(workdir / "audit" / "test" / "experiments" / "unaltered" / "predictions.csv")
    assert all(predictions_csv.has_findings(row) and row["num_patches"] == 2 for row in unaltered)
    assert "source" in result["verdict"]["paragraph"]
