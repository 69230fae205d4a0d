"""Speed of inference: radiographs per second with N votes and saliency maps, in total and by stage."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import operations as operation_counts
from benchmarks import synthetic
from benchmarks.accelerator import machine, peers
from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.timing import compile_all, measure, program_memory
from benchmarks.competitors.worker import AGGREGATE, CLASSIFY, SEGMENT
from cxrjax.inference import inputs, pipeline
from cxrjax.models import from_config, registry
from cxrjax.models.layers import xla
from cxrjax.runs import run_dir

PART = "inference"
TARGET = "target: 1.3 times torch.compile"
PEERS = 110.0  # seconds, limit for PyTorch


def run(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Measure PyTorch, then cxrjax: whole batches, stages, dense voting, and implementations of the stem."""
    peer_measurements, reason = peers.measure_inference(sizes, folder, PEERS)
    if reason:
        yield Row(PART, "PyTorch", reason)
    config, variables = load_networks(folder)
    stage_batch = peers.stage_batch(sizes)
    programs = {f"whole, batch of {n}": whole(config, variables, n) for n in sizes.batches}
    programs |= stages(config, variables, stage_batch)
    dense = replace(config, patches=replace(config.patches, mode="dense", context_pixels=0))
    programs[f"whole, dense, batch of {stage_batch}"] = whole(dense, variables, stage_batch)
    programs |= stems(sizes, stage_batch)
    compiled = compile_all(programs)
    ceiling = machine.read_ceilings(folder).get("operations")
    operations = count_operations(config, variables, {name: len(programs[name][1][1]) for name in programs})
    for name, program in compiled.items():
        min_seconds = operations[name] / ceiling if ceiling and name in operations else None
        yield from _time(name, program, programs[name][1], sizes, peer_measurements.get(name), min_seconds)


def load_networks(folder: Path) -> tuple[Any, Any]:
    """Return the config of the synthetic classifier and the weights of both networks, on the device."""
    config = run_dir.load_config(folder / "classifier")
    return config, jax.device_put(run_dir.load_networks(folder / "classifier", config))


def whole(config: Any, variables: Any, count: int) -> tuple[Any, tuple[Any, ...]]:
    """Return the jitted prediction of `count` radiographs, and its arguments."""
    segmenter, classifier, settings = _networks(config)
    images, keys = _draw(config, count)

    def predict(variables: Any, images: Any, keys: Any) -> pipeline.Prediction:
        return pipeline.predict(segmenter, classifier, variables, images, keys, settings)

    return jax.jit(predict), (variables, images, keys)


def stages(config: Any, variables: Any, count: int) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Return the jitted function of each stage and its arguments, for `count` radiographs."""
    segmenter, classifier, settings = _networks(config)
    images, keys = _draw(config, count)
    lungs = jnp.ones(images.shape, bool)
    confidence = jnp.ones(count)
    cells = registry.feature_map_size(classifier.module, classifier.patch_size, classifier.in_channels)
    width = variables["classifier"]["params"]["head"]["linear_0"]["kernel"].shape[0]
    features = jax.random.uniform(jax.random.key(1), (count, settings.num_patches, cells, cells, width))
    logits = jax.random.normal(jax.random.key(2), (count, settings.num_patches, len(synthetic.CLASSES)))
    centers = jax.random.randint(jax.random.key(3), (*logits.shape[:2], 2), 0, config.image.size)

    def classify(classifier_variables: Any, *radiographs: Any) -> Any:
        precomputed = registry.precompute_kernels(classifier_variables)
        segmented = inputs.SegmentedRadiograph(*radiographs)
        return pipeline.predict_each(
            classifier, precomputed, segmented, settings, lambda image, predictions: predictions[1:3]
        )

    def aggregate(classifier_variables: Any, images: Any, *outputs: Any) -> Any:
        def aggregate_one(image: Any, *patch_outputs: Any) -> Any:
            predictions = inputs.PatchPredictions(*patch_outputs, jnp.ones(settings.num_patches, bool))
            return pipeline.aggregate(classifier, classifier_variables, image, predictions, settings)[:2]

        return jax.vmap(aggregate_one)(images, *outputs)

    segment = partial(pipeline.segment, segmenter, settings=settings)
    return {
        SEGMENT: (
            jax.jit(lambda segmenter_variables, images: segment(segmenter_variables, images)),
            (variables["segmenter"], images),
        ),
        CLASSIFY: (jax.jit(classify), (variables["classifier"], images, lungs, confidence, keys)),
        AGGREGATE: (jax.jit(aggregate), (variables["classifier"], images, centers, logits, features)),
    }


def stems(sizes: Sizes, count: int) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Return two implementations of the classifier's first convolution of gray patches, and their arguments."""
    x = jax.random.uniform(jax.random.key(0), (count * sizes.chunk, sizes.patch, sizes.patch, 1), jnp.bfloat16)
    kernel = jax.random.normal(jax.random.key(1), (7, 7, 1, 64), jnp.bfloat16)
    implementations = {"in blocks of pixels": xla.conv_blocks, "XLA's own": xla.conv_xla}
    return {
        f"first convolution of {len(x)} patches, {name}": (
            jax.jit(partial(implementation, stride=2, padding=3)),
            (x, kernel),
        )
        for name, implementation in implementations.items()
    }


def count_operations(config: Any, variables: Any, counts: dict[str, int]) -> dict[str, float]:
    """Return the number of operations of the networks in each program that runs them, by name.

    Args:
        config: config of the classifier's run.
        variables: weights of both networks.
        counts: number of radiographs of each program, by name.
    """
    segmenter, classifier, settings = _networks(config)
    operations = {}  # for one input
    for name, network in (("segmenter", segmenter), ("classifier", classifier)):
        x = jnp.zeros((1, network.input_size, network.input_size, network.in_channels))
        apply = partial(network.module.apply, variables[name], train=False)
        operations[name] = operation_counts.count_operations(apply, x)
    lungs = operations["segmenter"]
    patches = operations["classifier"] * settings.num_patches
    by_stage = {SEGMENT: lungs, CLASSIFY: patches}
    by_stage |= {name: lungs + patches for name in counts if name.startswith("whole, batch")}
    return {name: counts[name] * per_radiograph for name, per_radiograph in by_stage.items() if per_radiograph}


def _time(
    name: str, program: Any, arguments: tuple[Any, ...], sizes: Sizes, peer_measurement: Any, min_seconds: float | None
) -> Iterator[Row]:
    """Measure a program; `min_seconds` is the time that its operations would take at the peak rate."""
    if isinstance(program, Exception):
        yield Row(PART, name, f"failed: {program}"[:300])
        return
    seconds = measure(lambda: program(*arguments), sizes.turns)
    peer = peer_measurement["seconds"] if peer_measurement else None
    fraction = f"{min_seconds / seconds:.0%} of the ceiling" if min_seconds else ""
    if name.startswith("whole"):
        count = len(arguments[1])
        note = "; ".join(filter(None, [fraction, TARGET]))
        yield Row(PART, name, count / seconds, "radiographs/s", peer and count / peer, note=note)
        memory = program_memory(program)
        if memory is not None:
            peer_memory = peer_measurement["megabytes"] if peer_measurement else None
            yield Row(PART, f"{name}: memory", memory, "MB", peer_memory, higher_is_better=False)
        return
    target = "target: 40% of the ceiling" if name == CLASSIFY else ""
    note = "; ".join(filter(None, [fraction, target]))
    yield Row(PART, name, 1e3 * seconds, "ms", peer and 1e3 * peer, higher_is_better=False, note=note)


def _networks(config: Any) -> tuple[Any, Any, Any]:
    settings = from_config.inference_config(config, config.patches.count)
    return from_config.segmenter(config), from_config.classifier(config), settings


def _draw(config: Any, count: int) -> tuple[Any, Any]:
    """Draw `count` radiographs of noise that is dark enough to be lung, and their random keys."""
    rng = np.random.default_rng(count)
    images = rng.integers(0, 128, (count, config.image.size, config.image.size), np.uint8)
    return jnp.asarray(images), pipeline.image_keys(0, jnp.arange(count, dtype=jnp.uint32))
