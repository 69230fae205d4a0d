"""A model file unpacks to the run that it was made from, and other files are refused."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict

from cxrjax.config import LABELS, default_config, freeze
from cxrjax.models import from_config
from cxrjax.pretrained.formats import WeightFormatError
from cxrjax.runs import bundled_models, model_file, model_names, notice, run_dir, segmenter_copy
from cxrjax.runs.checkpoints import Checkpoints
from cxrjax.runtime.errors import CxrjaxError


def _draw(network, seed):
    """Draw variables in which no two values are equal."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: rng.uniform(0.1, 0.9, leaf.shape).astype(np.float32), from_config.zero_variables(network)
    )


def _save(workdir, config, network, seed):
    run_dir.create_or_resume(workdir, config)
    variables = _draw(network, seed)
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        checkpoints.save("best", 7 + seed, variables)
        checkpoints.save("last", 9, {"not": np.zeros(3)})  # optimizer state: not part of a model
    return variables


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A classifier's run with its segmenter, as training leaves it, and the variables of both."""
    folder = tmp_path_factory.mktemp("runs")
    segment = default_config()
    segment.task = "segment"
    segment.segmenter.architecture = "fc_densenet29"
    segment.segmenter.size = 32
    segmenter_config = freeze(segment)
    segmenter = _save(folder / "segment", segmenter_config, from_config.segmenter(segmenter_config), 0)
    classify = default_config()
    classify.task = "classify"
    classify.classifier.classes = LABELS
    classify.segmenter.workdir = str(folder / "segment")
    classify.classifier.architecture = "resnet6"
    classify.classifier.channels = 1
    config = segmenter_copy.copy_segmenter(folder / "classify", freeze(classify))
    classifier = _save(folder / "classify", config, from_config.classifier(config), 1)
    (folder / "classify" / "training_labels.json").write_text('{"jsrt": {"normal": 3}}')
    (folder / "classify" / "ood_detector.npz").write_bytes(b"bytes of a detector")
    (folder / "classify" / "notice.json").write_text('{"notice": "A demonstration."}')
    (folder / "classify" / "audit" / "val").mkdir(parents=True)
    (folder / "classify" / "audit" / "val" / "audit.json").write_text('{"verdict": {"paragraph": "A shortcut."}}')
    return folder / "classify", {"segmenter": segmenter, "classifier": classifier}


def _assert_same(networks, expected, compare):
    for name, variables in expected.items():
        for path, array in flatten_dict(variables, sep="/").items():
            compare(np.asarray(flatten_dict(networks[name], sep="/")[path]), array, path)


def test_packed_run_is_unpacked_bit_for_bit(run, tmp_path):
    workdir, variables = run
    model_file.pack(workdir, tmp_path / "model.safetensors")
    model_file.unpack(tmp_path / "model.safetensors", tmp_path / "copy")
    config = run_dir.load_config(tmp_path / "copy")
    assert config == run_dir.load_config(workdir)
    assert run_dir.load_step(tmp_path / "copy", config) == 8
    assert run_dir.load_step(tmp_path / "copy" / "segmenter", config) == 7
    networks = run_dir.load_networks(tmp_path / "copy", config)
    _assert_same(networks, variables, lambda a, b, path: np.testing.assert_array_equal(a, b, path))
    assert json.loads((tmp_path / "copy" / "training_labels.json").read_text()) == {"jsrt": {"normal": 3}}
    assert (tmp_path / "copy" / "ood_detector.npz").read_bytes() == b"bytes of a detector"
    assert notice.load(tmp_path / "copy") == "A demonstration."
    audit = json.loads((tmp_path / "copy" / "audit" / "val" / "audit.json").read_text())
    assert audit == {"verdict": {"paragraph": "A shortcut."}}
    assert sorted(path.name for path in (tmp_path / "copy" / "checkpoints").iterdir()) == ["best"]


def test_half_precision_rounds_parameters_but_not_statistics(run, tmp_path):
    workdir, variables = run
    path = tmp_path / "model.safetensors"
    model_file.pack(workdir, path, "float16")
    model_file.unpack(path, tmp_path / "copy")

    def compare(array, expected, name):
        rounded = expected.astype(np.float16) if name.startswith("params/") else expected
        np.testing.assert_array_equal(array, rounded.astype(np.float32), name)
        assert array.dtype == np.float32

    _assert_same(run_dir.load_networks(tmp_path / "copy", run_dir.load_config(workdir)), variables, compare)
    model_file.pack(workdir, tmp_path / "exact.safetensors")
    assert path.stat().st_size < 0.6 * (tmp_path / "exact.safetensors").stat().st_size


def test_an_existing_file_or_folder_is_not_replaced(run, tmp_path):
    target = tmp_path / "model.safetensors"
    target.write_text("mine")
    with pytest.raises(FileExistsError, match="something here already"):
        model_file.pack(run[0], target)
    assert target.read_text() == "mine"
    target.unlink()
    model_file.pack(run[0], target)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(FileExistsError, match="already exists"):
        model_file.unpack(target, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


def _save_tensors(path, metadata):
    safetensors.numpy.save_file({"best/params/a": np.zeros(2, np.float32)}, path, metadata)


_RUN = {"format": "cxrjax-run", "version": "1"}


@pytest.mark.parametrize("metadata, message", [
    ({"format": "pt"}, "weights of a network without the settings of a run"),
    (_RUN | {"version": "2"}, "newer version"),
    (_RUN | {"steps": "x"}, "is damaged"),
    (_RUN | {"steps": '{"best": 1}'}, "lacks the config"),
    (_RUN | {"config.json": "{}", "steps": '{"best": 1, "../best": 1}'}, "no checkpoint ../best"),
    (_RUN | {"config.json": "{}", "steps": '{"best": 1, "last": 1}'}, "no checkpoint last"),
    (_RUN | {"config.json": "{}", "steps": '{"best": "1"}'}, "no checkpoint best"),
    (_RUN | {"config.json": "{}", "steps": '{"best": 1}'}, "model.safetensors/config.json: the setting task is"),
])  # fmt: skip
def test_other_files_are_refused_by_name_and_leave_nothing(tmp_path, metadata, message):
    path = tmp_path / "model.safetensors"
    _save_tensors(path, metadata)
    with pytest.raises(CxrjaxError, match=message):
        model_file.unpack(path, tmp_path / "copy")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_truncated_file_is_refused(run, tmp_path):
    path = tmp_path / "model.safetensors"
    model_file.pack(run[0], path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightFormatError, match="model.safetensors"):
        bundled_models.find_run(path)


def test_a_model_is_unpacked_once_and_found_by_its_content(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model_file.pack(run[0], tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes())
    workdir = bundled_models.find_run(tmp_path / "a.safetensors")
    assert workdir.parent == tmp_path / "cache" / "cxrjax" / "models"
    assert bundled_models.find_run(tmp_path / "b.safetensors") == workdir
    assert bundled_models.find_run(run[0]) == run[0]
    assert len(list(workdir.parent.iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_replaced_by_a_temporary_folder(run, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model_file.pack(run[0], tmp_path / "a.safetensors")
    workdir = bundled_models.find_run(tmp_path / "a.safetensors")
    assert run_dir.load_config(workdir) == run_dir.load_config(run[0])


def test_checksum_of_a_bundled_file_is_verified(run, tmp_path, monkeypatch):
    model_file.pack(run[0], tmp_path / "demo.safetensors")
    monkeypatch.setattr(bundled_models, "FOLDER", tmp_path)
    monkeypatch.setitem(model_names.MODELS, "demo", "0" * 64)
    with pytest.raises(WeightFormatError, match="install the package again"):
        bundled_models.find_run("demo")


def test_every_bundled_model_has_a_file_and_a_card():
    files = sorted(path.stem for path in model_names.FOLDER.glob(f"*{model_names.SUFFIX}"))
    assert files == sorted(model_names.MODELS)
    total = 0
    for name in model_names.MODELS:
        total += bundled_models.find_file(name).stat().st_size
        assert (model_names.FOLDER / f"{name}.md").read_text(encoding="utf-8").startswith("#")
    assert total <= 12e6


def test_a_segmenter_may_be_a_model_file(run, tmp_path):
    model_file.pack(run[0] / "segmenter", tmp_path / "lungs.safetensors")
    config = run_dir.load_config(run[0])

    config = replace(config, segmenter=replace(config.segmenter, workdir=str(tmp_path / "lungs.safetensors")))
    segmenter_copy.copy_segmenter(tmp_path / "classify", config)
    copied = {"segmenter": run_dir.load_segmenter(tmp_path / "classify" / "segmenter", config)}
    expected = {"segmenter": run[1]["segmenter"]}
    _assert_same(copied, expected, lambda a, b, path: np.testing.assert_array_equal(a, b, path))
