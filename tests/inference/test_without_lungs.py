"""Training, evaluation, prediction, export and import of a classifier of whole radiographs, without a segmenter."""

import cv2
import jax
import numpy as np
import pytest

from cxrjax.cli import predict_files
from cxrjax.config import freeze, recipes
from cxrjax.evaluation import cross_validation
from cxrjax.io import predictions_csv
from cxrjax.models import from_config
from cxrjax.runs import run_dir, weights
from cxrjax.training import lr_finder
from data_prep.__main__ import main as prepare

SIZE = 40

pytestmark = pytest.mark.usefixtures("no_learning_curves")


def get_config(folder):
    config = recipes.load("hieu2695:baseline")
    config.data.dir = str(folder / "phantom")
    config.image.size = config.patches.size = SIZE
    config.training.epochs, config.training.batch_size = 1, 4
    config.lr_finder.num_steps = 3
    return config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Phantoms in three folds, and the run of the first; runs of the others are marked as done."""
    folder = tmp_path_factory.mktemp("without_lungs")
    assert prepare(["phantom", f"--out={folder}", "--count=3", "--size=64", "--folds=3"]) == 0
    for fold in ("fold1", "fold2"):
        done = folder / "runs" / fold / "evaluation" / fold
        done.mkdir(parents=True)
        (done / "metrics.json").write_text('{"all": {}}')
    cross_validation.cross_validate(freeze(get_config(folder)), folder / "runs")
    return folder


def test_every_radiograph_is_predicted_without_lung_columns(folder):
    rows = predictions_csv.read(folder / "runs" / "fold0" / "evaluation" / "fold0" / "predictions.csv")
    assert len(rows) == 5 and {row["status"] for row in rows} == {"ok"} and all(row["prediction"] for row in rows)
    assert np.isnan([row["lung_confidence"] for row in rows]).all()
    assert not list(folder.glob("runs/**/segmenter"))


def test_image_without_lungs_is_predicted_from_its_gray_levels(apply, folder, tmp_path):
    """The run's own network on the same pixels, divided by 255 as hieu2695 does."""
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), picture)
    run = folder / "runs" / "fold0"
    (row,) = predict_files.predict(run, tmp_path / "noise.png", tmp_path / "out").rows
    config = run_dir.load_config(run)
    variables = run_dir.load_networks(run, config)
    assert variables["segmenter"] is None and row["status"] == "ok"
    module = from_config.classifier(config).module
    x = np.repeat(picture[None, ..., None] / np.float32(255), 3, axis=-1)
    expected = jax.nn.softmax(apply(module, variables["classifier"], x)[0])
    found = [row[f"probability_{name}"] for name in config.classifier.classes]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_weights_are_exported_and_imported_without_a_segmenter(folder, tmp_path):
    run = folder / "runs" / "fold0"
    weights.export_weights(run, tmp_path / "w.safetensors")
    weights.import_weights(freeze(get_config(folder)), str(tmp_path / "w.safetensors"), tmp_path / "run")
    here, there = (run_dir.load_networks(workdir, run_dir.load_config(workdir)) for workdir in (run, tmp_path / "run"))
    jax.tree.map(np.testing.assert_array_equal, here, there)


def test_learning_rate_finder_runs_without_a_segmenter(folder, tmp_path):
    config = get_config(folder)
    config.data.train, config.data.validation = "fold0", "fold1"
    learning_rate = lr_finder.find_learning_rate(freeze(config), tmp_path)
    assert config.lr_finder.min_lr / 10 <= learning_rate <= config.lr_finder.max_lr / 10
