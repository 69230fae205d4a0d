"""Exported programs return the results of the run, without this package."""

import errno
import json
import os
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import onnxruntime
import pytest
from jax import lax
from jax.export import deserialize
from onnx import load_model
from scipy import ndimage

from cxrjax import export
from cxrjax.config import default_config, freeze
from cxrjax.data import batch as cohort
from cxrjax.export import manifest, stablehlo, verify
from cxrjax.inference.functional import PipelineSpec
from cxrjax.inference.predictor import load_predictor
from cxrjax.models import from_config, registry
from cxrjax.models.fc_densenet import FCDenseNet
from cxrjax.models.layers import conv
from cxrjax.runs import checkpoints, run_dir, segmenter_copy
from cxrjax.runtime.platform import traced_for

SIZE = 128
CLASSES = ("normal", "bacterial", "viral")


def configure(task, **patches):
    config = default_config()
    config.task, config.image.size, config.evaluation.batch_size = task, SIZE, 2
    config.segmenter.architecture, config.segmenter.size = "fc_densenet29", 64
    config.classifier.architecture, config.classifier.head = "hieu2695_baseline", "linear"
    config.classifier.channels, config.classifier.classes = 1, CLASSES
    config.patches.size, config.patches.count = 32, 20
    config.patches.update(patches)
    return config


@pytest.fixture(scope="module", autouse=True)
def tiny():
    """A segmenter small enough to be compiled in a moment, under the name of another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            registry.SEGMENTERS, "fc_densenet29", partial(FCDenseNet, blocks=(1,), bottleneck=1, growth=2, stem=2)
        )
        yield


def find_bright(network):
    """Return weights of the tiny segmenter with which bright pixels are lungs: their logit is 20 (x - 0.5)."""
    blank = from_config.zero_variables(network)
    blank["batch_stats"] = jax.tree.map_with_path(lambda p, x: x + (p[-1].key == "var"), blank["batch_stats"])
    params = blank["params"]
    # The first feature of the stem is the image itself, and is passed to the end, after two of the bottleneck.
    params["stem"]["kernel"][1, 1, 0, 0] = 1
    params["head"]["kernel"][0, 0, 2, 2] = 20
    params["head"]["bias"][:] = [0, -50, -10, -50]
    return blank


def save_run(workdir, config, *weights):
    """Write a run directory as training does."""
    if config.task == "classify":
        config = segmenter_copy.copy_segmenter(workdir, freeze(config))
    run_dir.create_or_resume(workdir, freeze(config))
    with checkpoints.Checkpoints(workdir / "checkpoints") as kept:
        kept.save("best", 7, weights[0])
        for i, each in enumerate(weights[1:]):
            kept.save(checkpoints.snapshot_tag(i + 1), 7, each)


def save_classifier(folder, config, seeds=(1,)):
    """Write the run of a random classifier, with one ensemble member per further seed."""
    config.segmenter.workdir = str(folder / "segment")
    config.evaluation.ensemble_size = max(1, len(seeds) - 1)
    save_run(
        folder / "classify",
        config,
        *(from_config.init(from_config.classifier(config), jax.random.key(i)) for i in seeds),
    )
    return folder / "classify"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny):
    """The runs of a segmenter and of a classifier, and the export of the classifier."""
    folder, config = tmp_path_factory.mktemp("export"), configure("segment")
    save_run(folder / "segment", config, find_bright(from_config.segmenter(config)))
    export.export_model(save_classifier(folder, configure("classify")), folder / "out")
    return folder


@pytest.fixture(scope="module")
def images():
    """Two images with bright boxes for lungs, and one without."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (3, SIZE, SIZE)).astype(np.uint8)
    images[:2, 20:100, 15:50] = rng.integers(160, 255, (2, 80, 35))
    images[:2, 20:100, 75:110] = rng.integers(160, 255, (2, 80, 35))
    return images


def assert_close(given, examined):
    """Assert that integers are equal and floats equal up to rounding."""
    for field, values in given.items():
        for value, result in zip(values, examined, strict=True):
            wanted = np.asarray(getattr(result, field))
            assert value.dtype == wanted.dtype and value.shape == wanted.shape, field
            np.testing.assert_allclose(
                value, wanted, rtol=0, atol=1e-6 if value.dtype.kind == "f" else 0, err_msg=field
            )


def test_exported_program_equals_the_run(folder, images):
    program = deserialize(bytearray((folder / "out" / "predict.stablehlo").read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")
    given = jax.device_get(program.call(images, cohort.hash_images(images)))  # three images; export verified it on two
    examined = list(load_predictor(folder / "classify").predict(images))
    internal = {"ood_statistics", "patch_embeddings", "class_maps", "num_patches"}
    assert set(given) == set(examined[0]._fields) - internal == set(manifest._PREDICTION_OUTPUTS)
    assert given["label"][2] == -1 and (given["votes"].sum(1) == [20, 20, 0]).all()
    assert_close(given, examined)


def test_onnx_equals_the_networks_for_any_batch_size(folder):
    config = run_dir.load_config(folder / "classify")
    variables = run_dir.load_networks(folder / "classify", config)
    segmenter, classifier = from_config.segmenter(config).module, from_config.classifier(config).module
    kernel = np.asarray(variables["classifier"]["params"]["head"]["linear_0"]["kernel"])

    @jax.jit
    def segment(x):
        return {"log_probabilities": segmenter.apply(variables["segmenter"], x, train=False)}

    @jax.jit
    def classify(x):
        features = registry.extract_features(classifier, variables["classifier"], x)
        return {"logits": registry.apply_head(classifier, variables["classifier"], features), "features": features}

    # Of the segmenter: stem, a layer down, the transition, a layer in the bottleneck and one up, the head.
    for name, size, apply, convolutions in (("segmenter", 64, segment, 6), ("classifier", 32, classify, 2)):
        operators = [node.op_type for node in load_model(folder / "out" / f"{name}.onnx").graph.node]
        assert operators.count("Conv") == convolutions
        session = onnxruntime.InferenceSession(folder / "out" / f"{name}.onnx")
        for count in (1, 3):
            x = np.random.default_rng(count).uniform(size=(count, size, size, 1)).astype(np.float32)
            given = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": x}), strict=True))
            wanted = jax.device_get(apply(x))
            if name == "classifier":
                wanted["activations"] = np.maximum(wanted["features"] @ kernel, 0)
            assert given.keys() == wanted.keys()
            for output in wanted:
                np.testing.assert_allclose(given[output], wanted[output], rtol=1e-5, atol=1e-5)


def resize(image, size):
    """Linear, antialiased: triangles as wide as a pixel of the coarser picture."""
    step = len(image) / size
    away = np.abs(np.arange(len(image)) - ((np.arange(size)[:, None] + 0.5) * step - 0.5))
    weights = np.maximum(0, 1 - away / max(step, 1))
    weights /= weights.sum(1, keepdims=True)
    return weights @ image @ weights.T


def test_prediction_is_reproduced_from_onnx_and_manifest_alone(folder, images):
    """Use only NumPy, SciPy and onnxruntime; with other random patches, probabilities are equal only on average."""
    out, rng = folder / "out", np.random.default_rng(0)
    manifest_content = json.loads((out / "manifest.json").read_text())
    segmenter, patches = manifest_content["segmenter"], manifest_content["patches"]
    assert manifest_content["purpose"] == "For research, not for diagnosis."
    assert (patches["mode"], patches["mask_lungs"], patches["channels"]) == ("local", True, "gray")

    def run(name, pixels):
        assert manifest_content[name]["mean"] is None  # otherwise, subtract it and divide by the deviation
        x = (pixels / np.float32(255)).astype(np.float32)[..., None].repeat(manifest_content[name]["channels"], -1)
        return onnxruntime.InferenceSession(out / f"{name}.onnx").run(
            ["log_probabilities" if name == "segmenter" else "logits"], {"x": x}
        )[0]

    small = np.rint(resize(images[0], segmenter["size"]))
    rough = np.exp(run("segmenter", small[None])[0])[..., segmenter["lungs"]].sum(-1)
    labels, _ = ndimage.label(rough > 0.5, np.ones((3, 3)))
    areas = np.bincount(labels.ravel())[1:]
    large = np.argsort(areas)[-2:] + 1
    parts = np.isin(
        labels, [part for part in large if areas[part - 1] >= segmenter["min_component_area"] * labels.size]
    )
    mask = ndimage.binary_fill_holes(parts, np.ones((3, 3)))
    certain = np.where(mask, np.where(rough > 0.5, rough, 1), np.where(rough > 0.5, 0, rough))
    lungs = resize(certain, manifest_content["image"]["size"]) > 0.5
    assert lungs.mean() >= segmenter["min_lung_area"]

    size, beyond = patches["size"], patches["size"] // 2
    shown, centers = np.pad(images[0] * lungs, beyond), np.argwhere(lungs)[rng.integers(0, lungs.sum(), 400)]
    logits = run("classifier", np.stack([shown[r : r + size, c : c + size] for r, c in centers]))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    votes = np.bincount(logits.argmax(1), minlength=len(manifest_content["classifier"]["classes"]))

    wanted = next(load_predictor(folder / "classify").predict(images[:1]))
    assert (lungs == wanted.lung_mask).all()
    assert manifest_content["classifier"]["classes"][votes.argmax()] == CLASSES[wanted.label]
    error = probabilities.std(0) * np.sqrt(1 / len(centers) + 1 / patches["count"])
    assert (np.abs(probabilities.mean(0) - wanted.probabilities) < 4 * error).all()


def test_segmenter_export_without_onnx_packages_has_stablehlo_only(folder, images, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "ONNX_PACKAGES", ("jax2onnx", "no_such_package"))
    assert export.export_model(folder / "segment", tmp_path / "out") == ["segment.stablehlo", "manifest.json"]
    program = deserialize(bytearray((tmp_path / "out" / "segment.stablehlo").read_bytes()))
    given = jax.device_get(program.call(images))
    assert_close(given, list(load_predictor(folder / "segment").predict(images)))
    manifest_content = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert given["has_lungs"].tolist() == [True, True, False] and "classifier" not in manifest_content
    assert manifest_content["files"]["segment.stablehlo"]["inputs"] == {
        "images": {"type": "uint8", "shape": ["B", SIZE, SIZE]}
    }


def test_failed_export_leaves_no_files(folder, tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("older")
    with pytest.raises(FileExistsError, match="full: already exists"):
        export.export_model(folder / "segment", tmp_path / "full")
    run_dir.create_or_resume(tmp_path / "untrained", freeze(configure("segment")))
    with pytest.raises(run_dir.RunError, match="untrained: there is no trained network here yet"):
        export.export_model(tmp_path / "untrained", tmp_path / "out")

    def fill(path, _):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as full, pytest.raises(OSError, match="No space left"):
        full.setattr(Path, "write_bytes", fill)
        export.export_model(folder / "segment", tmp_path / "out")
    run = stablehlo.ExportedProgram.run
    off = {"confidence": np.float32([0.001, 0])}
    with (
        monkeypatch.context() as wrong,
        pytest.raises(verify.ExportMismatchError, match="segment.stablehlo: its confidence"),
    ):
        wrong.setattr(
            stablehlo.ExportedProgram, "run", lambda *given: {k: x + off.get(k, 0) for k, x in run(*given).items()}
        )
        export.export_model(folder / "segment", tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["full", "untrained"] and os.listdir(tmp_path / "full") == ["kept"]


def test_check_outputs_differences_by_hand():
    wanted = {"logits": np.float32([[4, -8]]), "finding": np.int32([1])}
    given = {"logits": np.float32([[4, -7.9996]]), "finding": np.int32([1])}
    assert verify.check_outputs("a", given, wanted, 1e-9) == {"logits": pytest.approx(5e-5, rel=1e-3), "finding": 0}
    with pytest.raises(verify.ExportMismatchError, match="a: its logits differ from those of the run by 1.0e-01"):
        verify.check_outputs("a", given | {"logits": np.float32([[4.8, -8]])}, wanted, 1e-9)
    with pytest.raises(verify.ExportMismatchError, match="the places of its NaN and infinities, differ"):
        verify.check_outputs("a", given | {"logits": np.float32([[np.nan, -8]])}, wanted, 1e-9)
    endless = {"logits": np.float32([-np.inf, np.nan, 4])}
    assert verify.check_outputs("a", {"logits": np.float32([-np.inf, np.nan, 4])}, endless, 1e-9) == {"logits": 0}
    with pytest.raises(verify.ExportMismatchError, match="by 1.0e"):  # the infinity does not hide it
        verify.check_outputs("a", {"logits": np.float32([-np.inf, np.nan, 8])}, endless, 1e-9)
    for wrong in ([np.inf, np.nan, 4], [-9, np.nan, 4], [-np.inf, np.nan, np.inf], [-np.inf, np.nan, np.nan], [4]):
        with pytest.raises(verify.ExportMismatchError, match="the shape of its logits, or the places of its NaN"):
            verify.check_outputs("a", {"logits": np.float32(wrong)}, endless, 1e-9)
    nothing = {"entropy": np.float32([1e-9])}
    assert verify.check_outputs("a", {"entropy": np.float32([0])}, nothing, 1.0)["entropy"] < 1e-8


def test_each_platform_gets_its_own_form_of_convolutions(monkeypatch):
    """Wide convolutions are tiled products on a CPU and plain elsewhere, with precomputed kernels or without."""
    layers = nn.Sequential([conv.Conv(40, 3), conv.Conv(40, 3)])
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 32)).astype(np.float32)
    variables = jax.jit(layers.init)(jax.random.key(1), x)

    @jax.jit
    def apply_layers(given, one):
        return layers.apply(given, one[None])[0]

    def program(batch):
        given = registry.precompute_kernels(variables)
        return {
            "prepared": lax.map(partial(apply_layers, given), batch),
            "plain": lax.map(partial(apply_layers, variables), batch),
        }

    exported = stablehlo.Program("any.stablehlo", ("images",), program)
    here = program(x)  # the program that `apply_layers` compiles to here must not be exported for other platforms
    for platform, convolutions in (("cpu", 0), ("cuda", 4), ("tpu", 4)):
        with monkeypatch.context() as patch:
            patch.setattr(stablehlo, "PLATFORMS", (platform,))
            text = deserialize(bytearray(stablehlo.convert(exported, (x,)).data)).mlir_module()
        assert text.count("stablehlo.convolution") == convolutions
        assert text.count("stablehlo.dot_general") == 2 * (4 - convolutions)  # of the tiles, and of the kernel
        with traced_for(platform):
            there = jax.jit(program)(x)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5 * np.abs(b).max()), there, here)
    given = stablehlo.convert(exported, (x,)).run(x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5 * np.abs(b).max()), given, here)


@pytest.mark.slow
def test_exported_ensemble_equals_the_run(folder, images, tmp_path):
    (folder / "segment").rename(tmp_path / "segment")
    run = save_classifier(tmp_path, configure("classify"), seeds=(1, 2, 3))
    (tmp_path / "segment").rename(folder / "segment")
    files = export.export_model(run, tmp_path / "out")
    assert files == ["predict.stablehlo", "segmenter.onnx", "classifier_1.onnx", "classifier_2.onnx", "manifest.json"]
    program = deserialize(bytearray((tmp_path / "out" / "predict.stablehlo").read_bytes()))
    given = jax.device_get(program.call(images, cohort.hash_images(images)))
    assert (given["votes"].sum(1) == [40, 40, 0]).all()
    assert_close(given, list(load_predictor(run).predict(images)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "patches",
    # The enhanced channels of a crop of the lungs have gray levels that rounding moves by one.
    [{"mode": "lung_bbox"}, {"mode": "global", "channels": "enhanced"}, {"mode": "global", "mask_lungs": False}],
)
def test_every_patch_mode_exports_to_all_platforms(folder, images, tmp_path, patches):
    config = configure("classify", **patches)
    config.classifier.channels = 3
    (folder / "segment").rename(tmp_path / "segment")
    run = save_classifier(tmp_path, config)
    (tmp_path / "segment").rename(folder / "segment")
    variables = jax.device_get(run_dir.load_networks(run, config))
    batch = (images, cohort.hash_images(images))
    program = stablehlo.convert(stablehlo.build(PipelineSpec.from_config(config), variables), batch)
    assert_close(jax.device_get(program.run(*batch)), list(load_predictor(run).predict(images)))
