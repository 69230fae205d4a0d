"""The public namespace: its names and their examples, and a model in Python against the command line."""

import contextlib
import doctest
import importlib
import json
import re
import runpy
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType

import cv2
import jax
import numpy as np
import pytest
import safetensors.numpy

import cxrjax as cx
from cxrjax.cli import predict_files
from cxrjax.io import predictions_csv
from cxrjax.io.types import Radiograph
from cxrjax.models import registry
from cxrjax.models.resnet import ResNet
from cxrjax.pretrained import state_dict
from cxrjax.runs import run_dir
from tests.helpers import image_files

PACKAGES = ("cxrjax", "cxrjax.api.datasets", "cxrjax.inference", "cxrjax.metrics", "cxrjax.models", "cxrjax.ops")
NO_EXAMPLE = {
    "CxrjaxError",
    "ImageReadError",
    "ImageRefusedError",
    "Radiograph",
    "RadiographDataset",
    "AugmentationConfig",
}


def public_objects() -> dict[str, object]:
    """Return the public functions and classes by their dotted names."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if not isinstance(value, ModuleType):
                found[f"{package}.{name}"] = value
    return found


@pytest.fixture(scope="module")
def workplace(phantom_runs, small_segmenter, tmp_path_factory):
    """A current folder with the files of the docstring examples."""
    folder = tmp_path_factory.mktemp("workplace")
    shutil.copytree(phantom_runs / "classify", folder / "runs" / "findings")
    shutil.copytree(phantom_runs / "segment", folder / "runs" / "lungs")
    (folder / "data").symlink_to(phantom_runs / "data")
    (folder / "radiographs").mkdir()
    dataset = cx.datasets.load(folder / "data", "test", spec=cx.InputSpec(size=300))
    for k, path in enumerate(("patient.png", "radiographs/a.png", "radiographs/b.png")):
        cv2.imwrite(str(folder / path), dataset[k]["image"])
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4"}
    image_files.save_dicom(folder / "patient.dcm", np.asarray(dataset[0]["image"]), **uids)
    (folder / "broken.png").write_bytes(b"")
    with contextlib.chdir(folder):
        yield folder


@pytest.fixture(scope="module")
def model(workplace):
    return cx.load("runs/findings")


def rows_of_command(source: str, folder: Path, run: str = "runs/findings") -> list[dict]:
    return predict_files.predict(Path(run), Path(source), folder).rows


def assert_is_row(prediction: cx.Prediction, row: dict) -> None:
    """Check that a prediction has the numbers of a row, bit for bit."""
    assert prediction.votes == {name: row[f"votes_{name}"] for name in prediction.votes}
    assert prediction.probabilities == {name: row[f"probability_{name}"] for name in prediction.probabilities}
    assert prediction.label == row["prediction"] and prediction.decision == row["decision"]
    names = {
        "confidence": "confidence",
        "vote_fraction": "vote_fraction",
        "expected_entropy": "expected_entropy",
        "mutual_information": "mutual_information",
        "lung_confidence": "lung_confidence",
        "ood_reason": "ood_reason",
        "reason": "reason",
    }
    for name, column in names.items():
        assert getattr(prediction, name) == row[column], name


def test_public_names_are_listed_and_no_others():
    assert dir(cx) == sorted(cx.__all__) and 15 < len(cx.__all__) < 40
    for package in PACKAGES:
        module = importlib.import_module(package)
        assert all(hasattr(module, name) for name in module.__all__)
    with pytest.raises(AttributeError, match="module 'cxrjax' has no attribute 'nothing'"):
        cx.nothing  # noqa: B018


def test_importing_the_package_imports_no_library():
    code = "import sys, cxrjax; print([name for name in sys.modules if name.split('.')[0] in sys.argv[1:]])"
    libraries = ["jax", "numpy", "tensorflow", "tensorflow_datasets", "flax", "cv2", "matplotlib"]
    result = subprocess.run([sys.executable, "-c", code, *libraries], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


@pytest.mark.parametrize("name", sorted(public_objects()))
def test_docstring_examples_run(name, workplace):
    value = public_objects()[name]
    finder = doctest.DocTestFinder(exclude_empty=True)
    # What is jitted hides its function; of a class, its public methods are examined too.
    tests = finder.find(getattr(value, "__wrapped__", value), name, globs={"np": np})
    examples = [example for test in tests for example in test.examples]
    assert bool(examples) or name.split(".")[-1] in NO_EXAMPLE
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_ONLY_FIRST_FAILURE)
    report: list[str] = []
    for test in tests:
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


def test_prediction_equals_the_command_line_bit_for_bit(model, tmp_path):
    (row,) = rows_of_command("patient.png", tmp_path / "out")
    prediction = model.predict("patient.png")
    assert_is_row(prediction, row)
    prediction.plot(tmp_path / "plot.png")
    np.testing.assert_array_equal(
        cv2.imread(str(tmp_path / "plot.png")), cv2.imread(str(tmp_path / "out" / row["figure"]))
    )


def test_predictions_of_a_list_equal_the_command_line(model, tmp_path):
    rows = rows_of_command("radiographs", tmp_path / "out")
    predictions = model.predict(cx.find_radiographs("radiographs"))
    for prediction, row in zip(predictions, rows, strict=True):
        assert_is_row(prediction, row)


def test_files_arrays_and_open_radiographs_have_the_same_prediction(model):
    expected = model.predict("patient.png")
    radiograph = cx.read_radiograph("patient.png")
    inputs = [Path("patient.png"), radiograph, radiograph.pixels, jax.numpy.asarray(radiograph.pixels)]
    for image in inputs:
        prediction = model.predict(image)
        assert prediction.probabilities == expected.probabilities
        np.testing.assert_array_equal(prediction.saliency, expected.saliency)
    preprocessed = cx.preprocess(radiograph, model.spec.input)
    assert model.predict(preprocessed, preprocessed=True).probabilities == expected.probabilities
    stack = model.predict(np.stack([radiograph.pixels] * 2))
    assert len(stack) == 2 and stack[0].probabilities == stack[1].probabilities
    deep = model.predict(radiograph.pixels.astype(np.float32), value_range=(0, 255))
    assert deep.label == expected.label


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((64, 64)), {}, "image 0: holds floats; give the range of their values, as value_range=(0, 1)"),
        (np.linspace(-1, 2, 4096).reshape(64, 64), {"value_range": (0, 1)}, "go from -1 to 2, beyond"),
        (np.full((64, 64), np.nan), {"value_range": (0, 1)}, "not a number"),
        (np.full((64, 64), 7, np.uint8), {}, "blank: every pixel is the same"),
        (np.arange(4096, dtype=np.int64).reshape(64, 64), {}, "has the type int64"),
        (np.zeros((2, 64, 64, 3), np.uint8), {}, "has the shape (64, 64, 3), and one gray channel"),
        (np.zeros((8, 8), np.uint8), {}, "32 pixels a side are needed"),
        (np.zeros((8, 8), np.uint8), {"preprocessed": True}, "a preprocessed image of this model is uint8 of (96, 96)"),
        (Radiograph(np.eye(64, dtype=np.uint8), "a.dcm", "dicom", not_frontal="lateral"), {}, "a.dcm: lateral"),
    ],
)
def test_invalid_input_is_refused_in_one_sentence(model, image, options, message):
    with pytest.raises(ValueError) as error:
        model.predict(image, **options)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_bad_file_of_a_list_is_raised_by_name_or_returned(model):
    paths = ["patient.png", "broken.png", "missing.png"]
    with pytest.raises(cx.ImageReadError, match="broken.png: empty file"):
        model.predict(paths)
    good, *bad = model.predict(paths, errors="return", batch_size=1)
    assert good.probabilities == model.predict("patient.png").probabilities
    assert [str(error) for error in bad] == ["broken.png: empty file", "missing.png: no such file or folder"]
    with pytest.raises(TypeError, match="image 1: NoneType is not a path"):
        model.predict(["patient.png", None])
    with pytest.raises(ValueError, match="errors='ignore' is not one of raise, return"):
        model.predict(paths, errors="ignore")


def test_a_prediction_is_plain_json_and_has_no_label_without_lungs(model):
    values = json.loads(json.dumps(model.predict("patient.png").to_dict(), allow_nan=False))
    assert values["probabilities"].keys() == values["votes"].keys() == set(model.classes)
    size = model.spec.input.size
    cells = np.indices((size, size)).sum(0) // 8 % 2
    blanks = [np.full((size, size), level, np.uint8) for level in (255, 0)]
    images = [*blanks, (200 * cells).astype(np.uint8)]
    prediction = next(each for each in model.predict(images, preprocessed=True, batch_size=1) if not each.has_lungs)
    assert prediction.label is None and sum(prediction.votes.values()) == 0
    assert json.loads(json.dumps(prediction.to_dict(), allow_nan=False))["confidence"] is None
    assert "no lungs" in prediction.ood_reason and prediction.is_ood


def test_saliency_label_selects_the_class_of_the_map(model):
    expected = model.predict("patient.png")
    named = next(name for name in model.classes if name != expected.label)
    prediction = model.with_outputs(saliency_label=named, patch_embeddings=True).predict("patient.png")
    assert prediction.probabilities == pytest.approx(expected.probabilities) and prediction.saliency_label == named
    assert expected.saliency_label == expected.label and expected.class_maps == {}
    class_maps = model.with_outputs(class_maps=True).predict("patient.png").class_maps
    assert list(class_maps) == list(model.classes)
    np.testing.assert_allclose(class_maps[named], prediction.saliency, atol=1e-5)
    np.testing.assert_allclose(class_maps[expected.label], expected.saliency, atol=1e-5)
    image = prediction.image
    (key,) = cx.inference.image_keys(model.spec.seed, image[None])
    lungs = jax.tree.map(lambda x: x[0], cx.inference.segment_lungs(model.params, image[None], spec=model.spec))
    patches = cx.inference.classify_patches(model.params, image, lungs, key, spec=model.spec)
    saliency = cx.inference.saliency_map(model.params, image, patches, model.classes.index(named), spec=model.spec)
    np.testing.assert_allclose(prediction.saliency, saliency, atol=1e-5)
    embeddings = prediction.patch_embeddings
    np.testing.assert_allclose(embeddings.features.mean(0), prediction.embedding, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(prediction.embedding, expected.embedding, rtol=1e-4, atol=1e-5)
    rows, columns = np.rint(embeddings.centers).astype(int).T
    assert prediction.to_native(prediction.lung_mask)[rows, columns].mean() > 0.95  # drawn in the lungs
    with pytest.raises(ValueError, match="runs/findings: has no class 'flu'; there are normal, "):
        model.with_outputs(saliency_label="flu")


def test_saved_files_equal_the_command_line(model, tmp_path):
    kinds = ["figure", "mask", "map", "overlay", "embedding"]
    (row,) = predict_files.predict(Path("runs/findings"), Path("patient.png"), tmp_path / "out", save=kinds).rows
    prediction = model.with_outputs(patch_embeddings=True).predict("patient.png")
    (tmp_path / "mine").mkdir()
    for path in prediction.save(tmp_path / "mine", kinds):
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes(), path.name
    assert prediction.to_row().items() <= row.items()
    assert {"left_lung_row", "cardiothoracic_ratio"} <= row.keys()


def test_two_threads_share_a_model(model):
    paths = ["patient.png", "radiographs/a.png", "radiographs/b.png"] * 2
    expected = [model.predict(path).probabilities for path in paths]
    results: dict[int, list] = {}

    def work(number: int) -> None:
        results[number] = [model.predict(path).probabilities for path in paths]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {0: expected, 1: expected}


def test_pure_functions_equal_the_model(model):
    predictions = model.predict(cx.find_radiographs("radiographs"))
    images = np.stack([prediction.image for prediction in predictions])
    keys = cx.inference.image_keys(model.spec.seed, images)
    arrays = cx.inference.predict(model.params, images, keys, spec=model.spec)
    lungs = cx.inference.segment_lungs(model.params, images, spec=model.spec)
    # The model's programs are compiled by other options. Where rounding moves a pixel of the lungs, which these barely
    # trained networks leave in doubt, all draws after it differ.
    flipped = [
        np.sum(mask != prediction.lung_mask) for mask, prediction in zip(lungs.lung_mask, predictions, strict=True)
    ]
    assert max(flipped) <= 2 and min(flipped) == 0
    for k in np.flatnonzero(np.equal(flipped, 0)):
        prediction = predictions[k]
        np.testing.assert_array_equal(arrays.votes[k], list(prediction.votes.values()))
        np.testing.assert_allclose(arrays.probabilities[k], list(prediction.probabilities.values()), atol=1e-5)


def test_segmenter_run_predicts_only_lungs(workplace, tmp_path):
    model = cx.load("runs/lungs")
    (row,) = rows_of_command("patient.png", tmp_path / "out", "runs/lungs")
    prediction = model.predict("patient.png")
    assert prediction.lung_confidence == row["lung_confidence"] and prediction.lung_mask.any()
    assert prediction.label is None and prediction.saliency is None and prediction.probabilities == {}
    prediction.plot(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").exists() and row["status"] == predictions_csv.OK
    with pytest.raises(ValueError, match="segment_lungs applies it"):
        cx.inference.predict(
            model.params, prediction.image[None], jax.random.split(jax.random.key(0), 1), spec=model.spec
        )


def test_calibrated_probabilities_equal_the_command_line(workplace, tmp_path):
    (row,) = predict_files.predict(Path("runs/findings"), Path("patient.png"), tmp_path / "out", calibrated=True).rows
    assert_is_row(cx.load("runs/findings", calibrated=True).predict("patient.png"), row)


def test_metrics_refuse_arrays_of_different_lengths():
    with pytest.raises(ValueError, match="3 and 2 radiographs"):
        cx.metrics.auroc([0, 1, 1], [0.1, 0.2])
    assert np.isnan(cx.metrics.bootstrap_ci(cx.metrics.auroc, [0, 1], [0.1, 0.2], patients=["a", "a"]).low)


@pytest.fixture(scope="module")
def few(model):
    """Images, keys and the specification of two patches."""
    images = np.stack([prediction.image for prediction in model.predict(cx.find_radiographs("radiographs"))])
    settings = model.spec.inference._replace(num_patches=2, patch_batch_size=2)
    return images, cx.inference.image_keys(0, images), model.spec._replace(inference=settings)


def test_model_works_with_jit_vmap_and_grad(model, few):
    images, keys, spec = few

    def probabilities(model):
        return cx.inference.predict(model.params, images, keys, spec=spec).probabilities

    expected = jax.jit(probabilities)(model)
    stacked = jax.tree.map(lambda x: np.stack([x, x]), model)
    np.testing.assert_allclose(jax.vmap(probabilities)(stacked), np.stack([expected] * 2), atol=1e-6)
    gradient = jax.grad(lambda model: probabilities(model)[0, 1])(model)
    assert isinstance(gradient, cx.Model) and jax.tree.structure(gradient) == jax.tree.structure(model)
    sums = {name: sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(gradient.params[name])) for name in model.params}
    assert sums["classifier"] > 0 and sums["segmenter"] == 0  # the mask is a threshold
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(model)]
    assert all(path.startswith((".params['classifier']", ".params['segmenter']")) for path in paths)


def test_other_parameters_have_no_detector_and_no_threshold(model, tmp_path):
    assert model.has_ood_detector and model.predict("patient.png").is_ood is not None
    halved = jax.tree.map(lambda x: 0.5 * x, model)
    prediction = halved.predict("patient.png")
    assert prediction.is_ood is None and prediction.decision == "" and halved.min_confidence is None
    assert prediction.probabilities == model.with_params(halved.params).predict("patient.png").probabilities
    assert prediction.probabilities != model.predict("patient.png").probabilities
    with pytest.raises(ValueError, match=r"params\['segmenter'\].*: has the shape of nothing, and the model's is"):
        model.with_params({"classifier": model.params["classifier"]})
    halved.save(tmp_path / "halved")
    loaded = cx.load(tmp_path / "halved")
    assert loaded.predict("patient.png").probabilities == prediction.probabilities and not loaded.has_ood_detector


@pytest.mark.parametrize("run", ["runs/findings", "runs/lungs"])
def test_a_saved_model_is_a_run_with_the_same_predictions(workplace, tmp_path, run):
    cx.load(run).save(tmp_path / "saved")
    before = rows_of_command("patient.png", tmp_path / "before", run)
    assert rows_of_command("patient.png", tmp_path / "after", tmp_path / "saved") == before
    with pytest.raises(OSError, match="saved: already exists"):
        cx.load(run).save(tmp_path / "saved")


def test_an_ensemble_is_loaded_by_its_size(workplace, tmp_path):
    folder = shutil.copytree("runs/findings", tmp_path / "run")
    best = folder / "checkpoints" / "best"
    for k in (1, 2):
        shutil.copytree(best, folder / "checkpoints" / f"snapshot_{k}")
    single, pair = cx.load(folder), cx.load(folder, ensemble_size=2)
    votes = single.predict("patient.png").votes
    assert pair.predict("patient.png").votes == {name: 2 * count for name, count in votes.items()}
    assert single.has_ood_detector and not pair.has_ood_detector and pair.min_confidence is None
    pair.save(tmp_path / "pair")
    assert cx.load(tmp_path / "pair").predict("patient.png").votes == pair.predict("patient.png").votes
    for size, message in ((3, "the run has 2 snapshots"), (0, "an ensemble of 0 networks")):
        with pytest.raises(run_dir.RunError, match=message):
            cx.load(folder, ensemble_size=size)
    with pytest.raises(run_dir.RunError, match="only classifiers vote together"):
        cx.load("runs/lungs", ensemble_size=2)
    with pytest.raises(run_dir.RunError, match="temperature was not fitted to an ensemble of 2"):
        cx.load(folder, ensemble_size=2, calibrated=True)


def test_threads_that_share_a_new_model_compile_and_predict_at_once(model):
    images = [
        cx.preprocess(cx.read_radiograph(path), model.spec.input) for path in ("patient.png", "radiographs/a.png")
    ]
    expected = [[p.votes for p in model.predict(images * k, preprocessed=True, batch_size=k)] for k in (1, 2)]
    shared = cx.load("runs/findings")  # nothing is compiled yet
    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(shared.predict, images * k, preprocessed=True, batch_size=k) for k in (1, 2, 1, 2)]
        results = [[prediction.votes for prediction in future.result()] for future in work]
    assert results == expected * 2


def test_an_unexpected_error_of_one_file_is_returned_in_its_place(model, monkeypatch):
    def read(path, value_range):
        raise MemoryError if path.name == "a.png" else RuntimeError("odd")

    monkeypatch.setattr("cxrjax.io.radiograph.read", read)
    errors = model.predict(["radiographs/a.png", "radiographs/b.png"], errors="return")
    assert [type(error) for error in errors] == [MemoryError, RuntimeError]


def test_pretrained_weights_get_a_new_head_if_classes_differ(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.BACKBONES, "resnet6", registry.BackboneEntry(partial(ResNet, stages=(1,), width=8)))
    _, variables = cx.models.create("resnet6", 3, size=64, channels=3, key=jax.random.key(1))
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(state_dict.to_state_dict("resnet6", variables), path)
    _, same = cx.models.create("resnet6", 3, pretrained=path, channels=3)
    jax.tree.map(np.testing.assert_array_equal, same, variables)
    module, other = cx.models.create("resnet6", 5, pretrained=path)
    assert module.apply(other, np.zeros((1, 64, 64, 1)), train=False).shape == (1, 5)
    kernel = other["params"]["backbone"]["conv1"]["kernel"]
    np.testing.assert_allclose(
        kernel, variables["params"]["backbone"]["conv1"]["kernel"].sum(2, keepdims=True), rtol=1e-6
    )
    with pytest.raises(ValueError, match="nothing.safetensors: no such file"):
        cx.models.create("resnet6", 3, pretrained=tmp_path / "nothing.safetensors")


def test_python_code_of_the_guides_runs(workplace, monkeypatch):
    monkeypatch.setitem(registry.BACKBONES, "resnet18", registry.BackboneEntry(partial(ResNet, stages=(1,), width=8)))
    _, variables = cx.models.create("resnet18", 4, channels=3)
    safetensors.numpy.save_file(state_dict.to_state_dict("resnet18", variables), "weights.safetensors")
    shutil.copytree("runs/findings", "runs/phantom_classify")  # the names of the tutorial
    shutil.copytree("runs/findings", "RUN")
    guides = Path(__file__).parents[1] / "docs" / "how_to"
    for name in ("weights.md", "predict.md"):
        blocks = re.findall(r"```python\n(.*?)```", (guides / name).read_text(encoding="utf-8"), re.DOTALL)
        assert blocks
        for block in blocks:
            exec(block, {})
    assert cx.load("runs/decayed").predict("patient.png").label


def test_the_examples_run(workplace, model, tmp_path, monkeypatch, capsys):
    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(Path(__file__).parents[1] / "examples" / name), run_name="__main__")

    run("predict_folder.py", "runs/findings", "radiographs")
    first, second = capsys.readouterr().out.splitlines()
    predictions = model.predict(["radiographs/a.png", "radiographs/b.png"])
    assert first.startswith(f"radiographs/a.png: {predictions[0].label} ") and second.startswith("radiographs/b.png: ")
    run("map_of_each_class.py", "runs/findings", "patient.png", tmp_path / "maps")
    assert sorted(path.stem for path in (tmp_path / "maps").iterdir()) == sorted(model.classes)
    prediction = model.predict("patient.png")
    saliency = np.load(tmp_path / "maps" / f"{prediction.label}.npy")
    np.testing.assert_allclose(saliency, prediction.saliency, atol=1e-5)
