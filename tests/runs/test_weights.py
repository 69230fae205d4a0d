"""Exported and imported weights are equal, and errors of mismatched weights list all differences."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from cxrjax.config import default_config, freeze, schema
from cxrjax.models import from_config
from cxrjax.pretrained import state_dict
from cxrjax.pretrained.formats import read_metadata, read_weights
from cxrjax.runs import model_file, run_dir, segmenter_copy, weights
from cxrjax.runs.checkpoints import Checkpoints
from cxrjax.training import trainer
from cxrjax.training.task import Task, Validation
from tests.helpers.torch_files import Saver

CLASSES = ("normal", "bacterial", "viral")

pytestmark = pytest.mark.usefixtures("small_segmenter", "no_learning_curves")


def segment_config():
    config = default_config()
    config.task = "segment"
    config.segmenter.architecture, config.segmenter.size = "fc_densenet29", 32
    return config


def classify_config(segmenter):
    config = default_config()
    config.task = "classify"
    config.segmenter.workdir = str(segmenter)
    config.classifier.architecture = "resnet6"
    config.classifier.classes, config.classifier.channels, config.patches.size = CLASSES, 1, 32
    return config


def draw(network, seed):
    """Draw weights and running statistics without equal values."""
    shapes = from_config.zero_variables(network)
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(0.1, 0.9, leaf.shape), jnp.float32), shapes)


def save_run(workdir, config, network, seed):
    """Write a run directory as training does."""
    variables = draw(network, seed)
    if config.task == "classify":
        config = segmenter_copy.copy_segmenter(workdir, freeze(config))
    run_dir.create_or_resume(workdir, freeze(config))
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        checkpoints.save("best", 7, variables)
    return variables


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The runs of a segmenter and of a classifier, and the exported weights of each."""
    folder = tmp_path_factory.mktemp("trained")
    segment = segment_config()
    save_run(folder / "segment", segment, from_config.segmenter(segment), seed=0)
    classify = classify_config(folder / "segment")
    save_run(folder / "classify", classify, from_config.classifier(classify), seed=1)
    for name in ("segment", "classify"):
        weights.export_weights(folder / name, folder / f"{name}.safetensors")
        written = (folder / f"{name}.safetensors").read_bytes()
        with pytest.raises(FileExistsError, match=rf"{name}.safetensors: there is something here already"):
            weights.export_weights(folder / name, folder / f"{name}.safetensors")
        assert (folder / f"{name}.safetensors").read_bytes() == written
    return folder


def assert_equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_imported_run_has_the_networks_of_the_exported_one(trained, tmp_path):
    configs = {"segment": segment_config(), "classify": classify_config(trained / "segment")}
    for name, config in configs.items():
        weights.import_weights(freeze(config), str(trained / f"{name}.safetensors"), tmp_path / name)
        imported = run_dir.load_networks(tmp_path / name, run_dir.load_config(tmp_path / name))
        assert_equal(imported, run_dir.load_networks(trained / name, run_dir.load_config(trained / name)))
    assert (tmp_path / "classify" / "segmenter" / "checkpoints" / "best").is_dir()
    assert run_dir.load_config(tmp_path / "segment").pretrained == str(trained / "segment.safetensors")


def test_segmenter_is_required_and_has_the_same_image_settings(trained, tmp_path):
    for mode, masked in [("local", False), ("global", True)]:
        config = classify_config("")
        config.patches.mode, config.patches.mask_lungs = mode, masked
        with pytest.raises(run_dir.RunError, match="segmenter.workdir is empty"):
            segmenter_copy.copy_segmenter(tmp_path / "run", freeze(config))
    for key, other in [("gamma", 1.0), ("equalize", False), ("borders", "bottom")]:
        config = classify_config(trained / "segment")
        config.image[key] = other
        with pytest.raises(run_dir.RunError, match=rf"segment: .* image\.{key}=.*, not {other}"):
            segmenter_copy.copy_segmenter(tmp_path / key, freeze(config))
        assert not (tmp_path / key / "segmenter").exists()


def test_segmenter_copy_of_an_unstarted_run_is_replaced(trained, tmp_path):
    segmenter_copy.copy_segmenter(tmp_path, freeze(classify_config(trained / "segment")))  # and killed there
    other = segment_config()
    other.image.gamma = 1.0
    save_run(tmp_path / "other", other, from_config.segmenter(other), seed=2)
    config = classify_config(tmp_path / "other")
    config.image.gamma = 1.0
    segmenter_copy.copy_segmenter(tmp_path, freeze(config))
    assert run_dir.load_config(tmp_path / "segmenter").image.gamma == 1.0


def test_exported_file_has_pytorch_names_layouts_and_metadata(trained):
    state, known = read_weights(trained / "classify.safetensors"), read_metadata(trained / "classify.safetensors")
    config = run_dir.load_config(trained / "classify")
    variables = run_dir.load_networks(trained / "classify", config)["classifier"]
    assert state["conv1.weight"].shape == (64, 1, 7, 7) and state["fc.weight"].shape == (len(CLASSES), 128)
    linear = [leaf for leaf in jax.tree.leaves(variables["params"]) if leaf.shape == (128, len(CLASSES))]
    np.testing.assert_array_equal(state["fc.weight"], np.asarray(linear[0]).T)
    assert known["architecture"] == "resnet6" and json.loads(known["classes"]) == list(CLASSES)


def change(trained, path, **changes):
    """Write the exported classifier with weights left out (None), added or replaced, and without metadata."""
    state = read_weights(trained / "classify.safetensors") | changes
    safetensors.numpy.save_file({name: value for name, value in state.items() if value is not None}, path)
    return str(path)


def test_mismatched_weights_list_all_differences_and_leave_no_run(trained, tmp_path):
    wrong = {
        "bn1.bias": None,
        "bn1.weight": np.zeros(3, "f4"),
        "extra.a": np.zeros(1, "f4"),
        "extra.b": np.ones(1, "f4"),
    }
    source = change(trained, tmp_path / "w.safetensors", **wrong)
    with pytest.raises(state_dict.WeightMismatchError) as error:
        weights.import_weights(freeze(classify_config(trained / "segment")), source, tmp_path / "run")
    said = str(error.value)
    assert (
        "missing (1): bn1.bias" in said and "unexpected (2): extra.a, extra.b" in said and "misshapen (1): bn1" in said
    )
    assert not (tmp_path / "run").exists()


def test_import_does_not_overwrite_a_trained_run(trained, tmp_path):
    source = str(trained / "segment.safetensors")
    with pytest.raises(run_dir.RunError, match="segment: was started with pretrained=''"):
        weights.import_weights(freeze(segment_config()), source, trained / "segment")
    weights.import_weights(freeze(segment_config()), source, tmp_path / "run")
    with pytest.raises(run_dir.RunError, match="run: there is a trained network here already"):
        weights.import_weights(freeze(segment_config()), source, tmp_path / "run")


def test_classes_in_another_order_are_refused(trained, tmp_path):
    config = classify_config(trained / "segment")
    config.classifier.classes = CLASSES[::-1]
    with pytest.raises(
        state_dict.WeightMismatchError, match="its classes are normal, bacterial, viral, and those of the config"
    ):
        weights.import_weights(freeze(config), str(trained / "classify.safetensors"), tmp_path / "run")


def test_pickled_network_sets_classes_and_operating_points(trained, tmp_path, monkeypatch):
    """As torchxrayvision saves one: an output without a name is not used."""
    saver = Saver(monkeypatch)
    state = read_weights(trained / "classify.safetensors")
    tensors = {name: saver.tensor(np.ascontiguousarray(value)) for name, value in state.items()}
    points = saver.tensor(np.float32([0.25, 0.5, 0.75]))
    whole = saver.module(_parameters=tensors, _buffers={"op_threshs": points}, pathologies=["Mass", "", "Hernia"])
    (tmp_path / "whole.pt").write_bytes(saver.save(whole))
    config = classify_config(trained / "segment")
    config.classifier.classes = ()
    weights.import_weights(freeze(config), str(tmp_path / "whole.pt"), tmp_path / "run")
    imported = run_dir.load_config(tmp_path / "run")
    assert imported.classifier.classes == ("Mass", "Hernia")
    assert imported.classifier.thresholds == (0.25, 0.75)
    variables = run_dir.load_networks(tmp_path / "run", imported)["classifier"]
    np.testing.assert_array_equal(variables["params"]["head"]["linear_0"]["bias"], state["fc.bias"][[0, 2]])


def test_pretrained_outputs_select_the_outputs_of_a_file(trained, tmp_path):
    plain = change(trained, tmp_path / "w.safetensors")
    config = classify_config(trained / "segment")
    config.classifier.classes = ("viral", "normal")
    config.pretrained_outputs = (2, 0)
    weights.import_weights(freeze(config), plain, tmp_path / "run")
    variables = run_dir.load_networks(tmp_path / "run", run_dir.load_config(tmp_path / "run"))["classifier"]
    np.testing.assert_array_equal(
        variables["params"]["head"]["linear_0"]["bias"], read_weights(plain)["fc.bias"][[2, 0]]
    )


def start(config, source, choice="auto"):
    config.pretrained, config.pretrained_head = source, choice
    return weights.load_init(freeze(config), jax.random.key(5))


def split(variables, heads):
    """Parameters of the body, and those of the head: the leaves with as many outputs as there are classes."""
    leaves = jax.tree.leaves(variables["params"])
    return [x for x in leaves if x.shape[-1] != heads], [x for x in leaves if x.shape[-1] == heads]


def test_training_starts_from_weights_with_a_fitting_or_fresh_head(trained, tmp_path):
    plain = change(trained, tmp_path / "w.safetensors")
    loaded = start(classify_config(trained / "segment"), plain)
    theirs = run_dir.load_networks(trained / "classify", run_dir.load_config(trained / "classify"))["classifier"]
    assert_equal(loaded, theirs)
    more = classify_config(trained / "segment")
    more.classifier.classes = (*CLASSES, "covid19")
    renamed = classify_config(trained / "segment")
    renamed.classifier.classes = CLASSES[::-1]
    cases = [
        (start(classify_config(trained / "segment"), plain, "fresh"), 3),
        (start(more, plain), 4),
        (start(renamed, str(trained / "classify.safetensors")), 3),  # the metadata of the file has its classes
    ]
    for begun, count in cases:
        body, head = split(begun, count)
        assert_equal(body, split(theirs, 3)[0])
        assert_equal(begun["batch_stats"], theirs["batch_stats"])
        assert all(not np.array_equal(a, b) for a, b in zip(head, split(theirs, 3)[1], strict=True))
    with pytest.raises(state_dict.WeightMismatchError, match="misshapen"):
        start(more, plain, "keep")
    with pytest.raises(schema.InvalidSettingError, match="pretrained_head='old': it should be one of auto"):
        start(more, plain, "old")


def test_a_training_starts_from_the_best_network_of_a_run_or_a_model_file(trained, tmp_path, monkeypatch):
    """With other classes, the head is fresh, as from the exported weights."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model_file.pack(trained / "classify", tmp_path / "model.safetensors")
    networks = run_dir.load_networks(trained / "classify", run_dir.load_config(trained / "classify"))
    renamed = classify_config(trained / "segment")
    renamed.classifier.classes = CLASSES[::-1]
    exported = start(renamed, str(trained / "classify.safetensors"))
    for source in (trained / "classify", tmp_path / "model.safetensors"):
        assert_equal(start(classify_config(trained / "segment"), str(source)), networks["classifier"])
        assert_equal(start(renamed, str(source)), exported)
        assert_equal(start(segment_config(), str(source)), networks["segmenter"])  # that of the classifier
    assert_equal(start(segment_config(), str(trained / "segment")), networks["segmenter"])


def test_run_without_a_matching_network_is_refused_by_name(trained, tmp_path):
    config = classify_config(trained / "segment")
    with pytest.raises(state_dict.WeightMismatchError, match=f"{trained}/segment: this run has no classifier"):
        start(config, str(trained / "segment"))
    config.classifier.architecture = "resnet18"
    with pytest.raises(
        state_dict.WeightMismatchError, match="its classifier is resnet6, and that of the config resnet18"
    ):
        start(config, str(trained / "classify"))
    with pytest.raises(run_dir.RunError, match="there is no run here"):
        start(config, str(tmp_path))
    with pytest.raises(state_dict.WeightMismatchError, match="its classes are normal, bacterial, viral, and those"):
        config = classify_config(trained / "segment")
        config.classifier.classes = CLASSES[::-1]
        start(config, str(trained / "classify"), "keep")


def test_gray_kernel_equals_color_kernel_of_three_equal_channels(trained, tmp_path):
    gray = read_weights(trained / "classify.safetensors")["conv1.weight"]
    shares = np.array([0.5, 0.25, 0.25], np.float32).reshape(1, 3, 1, 1)  # exact in binary
    loaded = start(
        classify_config(trained / "segment"), change(trained, tmp_path / "w", **{"conv1.weight": gray * shares})
    )
    theirs = run_dir.load_networks(trained / "classify", run_dir.load_config(trained / "classify"))["classifier"]
    assert_equal(loaded, theirs)


def test_training_starts_from_pretrained_and_resume_does_not_read_it(tmp_path, monkeypatch):
    """At a learning rate of zero, the saved parameters are the initial ones."""
    task = Task(
        data={},
        sampling_labels=np.zeros(2, np.int32),
        init=lambda key: {"params": {"w": jnp.zeros(3)}, "batch_stats": {}},
        loss=lambda params, batch_stats, *_: (params["w"].sum(), batch_stats),
        validate=lambda variables: Validation({"jaccard": float(variables["params"]["w"].sum())}),
    )
    published, read = {"params": {"w": jnp.array([1.0, 2.0, 4.0])}, "batch_stats": {}}, []
    monkeypatch.setattr(trainer, "build_task", lambda *_: task)
    monkeypatch.setattr(weights, "load_init", lambda config, key: read.append(config.pretrained) or published)
    config = segment_config()
    config.pretrained = "published.pth"
    config.training.epochs, config.training.learning_rate, config.training.metric = 2, 0.0, "jaccard"
    assert trainer.train(freeze(config), tmp_path)["val/jaccard"] == 7.0
    trainer.train(freeze(config), tmp_path)
    assert read == ["published.pth"]
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        kept = checkpoints.restore("best", {"params": {"w": np.zeros(3, np.float32)}, "batch_stats": {}})
    np.testing.assert_array_equal(kept["params"]["w"], [1, 2, 4])
