"""Speed of inference: radiographs per second with N votes and saliency maps, in total and by stage."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import synthetic
from benchmarks.accelerator import machine, peers
from benchmarks.accelerator.rows import Row
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.timing import compile_all, measure, read_peak
from cxrjax.inference import inputs, pipeline
from cxrjax.models import from_config, registry
from cxrjax.models.layers import xla
from cxrjax.runs import run_dir

PART = "inference"
WANTED = "wanted: 1.3 times torch.compile"
PEERS = 150.0  # seconds, limit for PyTorch


def run(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Measure PyTorch, then cxrjax: whole batches, stages, dense voting, and implementations of the stem."""
    theirs, reason = peers.measure("inference", sizes, folder, PEERS)
    if reason:
        yield Row(PART, "PyTorch", reason)
    config = run_dir.load_config(folder / "classifier")
    held = jax.device_put(run_dir.load_networks(folder / "classifier", config))
    stages_of = peers.middle(sizes)
    programs = {f"whole, batch of {n}": whole(config, held, n) for n in sizes.batches}
    programs |= stages(config, held, stages_of)
    dense = run_dir.load_config(folder / "classifier")
    dense.patches.mode, dense.patches.context_pixels = "dense", 0
    programs[f"whole, dense, batch of {stages_of}"] = whole(dense, held, stages_of)
    programs |= stems(sizes, stages_of)
    compiled = compile_all(programs)
    ceiling = machine.read_ceilings(folder).get("operations")
    operations = count_operations(config, held, {name: len(programs[name][1][1]) for name in programs})
    for name, program in compiled.items():
        least = operations[name] / ceiling if ceiling and name in operations else None
        yield from _time(name, program, programs[name][1], sizes, theirs.get(name), least)


def whole(config: Any, held: Any, count: int) -> tuple[Any, tuple[Any, ...]]:
    """`pipeline.diagnose` of so many radiographs, and what it is called with."""
    segmenter, classifier, settings = _networks(config)
    images, keys = _draw(config, count)

    def diagnose(held: Any, images: Any, keys: Any) -> pipeline.Prediction:
        return pipeline.predict(segmenter, classifier, held, images, keys, settings)

    return jax.jit(diagnose), (held, images, keys)


def stages(config: Any, held: Any, count: int) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Return each stage alone, with its arguments ready."""
    segmenter, classifier, settings = _networks(config)
    images, keys = _draw(config, count)
    lungs = jnp.ones(images.shape, bool)
    sure = jnp.ones(count)
    cells = registry.feature_map_size(classifier.module, classifier.patch_size, classifier.in_channels)
    width = held["classifier"]["params"]["head"]["linear_0"]["kernel"].shape[0]
    features = jax.random.uniform(jax.random.key(1), (count, settings.num_patches, cells, cells, width))
    logits = jax.random.normal(jax.random.key(2), (count, settings.num_patches, len(synthetic.CLASSES)))
    centers = jax.random.randint(jax.random.key(3), (*logits.shape[:2], 2), 0, config.image.size)

    def classify(variables: Any, *radiographs: Any) -> Any:
        prepared = registry.precompute_kernels(variables)
        segmented = inputs.SegmentedRadiograph(*radiographs)
        return pipeline.predict_each(classifier, prepared, segmented, settings, lambda image, looks: looks[1:3])

    def conclude(variables: Any, images: Any, *looks: Any) -> Any:
        def one(image: Any, *seen: Any) -> Any:
            predictions = inputs.PatchPredictions(*seen, jnp.ones(settings.num_patches, bool))
            return pipeline.aggregate(classifier, variables, image, predictions, settings)[:2]

        return jax.vmap(one)(images, *looks)

    find = partial(pipeline.segment, segmenter, settings=settings)
    return {
        "segment": (jax.jit(lambda variables, images: find(variables, images)), (held["segmenter"], images)),
        "draw, crop, classify": (jax.jit(classify), (held["classifier"], images, lungs, sure, keys)),
        "vote and map": (jax.jit(conclude), (held["classifier"], images, centers, logits, features)),
    }


def stems(sizes: Sizes, count: int) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """The classifier's first convolution of gray patches, by blocks of pixels and by XLA's own."""
    x = jax.random.uniform(jax.random.key(0), (count * sizes.chunk, sizes.patch, sizes.patch, 1), jnp.bfloat16)
    kernel = jax.random.normal(jax.random.key(1), (7, 7, 1, 64), jnp.bfloat16)
    forms = {"by blocks": xla.conv_blocks, "by XLA's own": xla.conv_xla}
    return {
        f"first convolution of {len(x)} patches, {name}": (
            jax.jit(partial(form, stride=2, padding=3)),
            (x, kernel),
        )
        for name, form in forms.items()
    }


def count_operations(config: Any, held: Any, counts: dict[str, int]) -> dict[str, float]:
    """Return the operations of both networks in each program that runs them, by name, for `counts` radiographs."""
    segmenter, classifier, settings = _networks(config)
    one = {}
    for name, network in (("segmenter", segmenter), ("classifier", classifier)):
        x = jnp.zeros((1, network.input_size, network.input_size, network.in_channels))
        known = jax.jit(partial(network.module.apply, train=False)).lower(held[name], x).cost_analysis()
        one[name] = (known or {}).get("flops", 0.0)
    lungs, patches = one["segmenter"], one["classifier"] * settings.num_patches
    by_stage = {"segment": lungs, "draw, crop, classify": patches}
    by_stage |= {name: lungs + patches for name in counts if name.startswith("whole, batch")}
    return {name: counts[name] * each for name, each in by_stage.items() if each}


def _time(
    name: str, program: Any, arguments: tuple[Any, ...], sizes: Sizes, theirs: Any, least: float | None
) -> Iterator[Row]:
    """Measure a program; `least` are the seconds that its operations would take at the peak rate."""
    if isinstance(program, Exception):
        yield Row(PART, name, f"failed: {program}"[:300])
        return
    seconds = measure(lambda: program(*arguments), sizes.turns)
    peer = theirs["seconds"] if theirs else None
    share = f"{least / seconds:.0%} of the ceiling" if least else ""
    if name.startswith("whole"):
        count = len(arguments[1])
        note = "; ".join(filter(None, [share, WANTED]))
        yield Row(PART, name, count / seconds, "radiographs/s", peer and count / peer, note=note)
        peak = read_peak()
        if peak is not None:
            known = theirs["megabytes"] if theirs else None
            yield Row(PART, f"{name}: peak memory so far", peak, "MB", known, higher_is_better=False)
        return
    wanted = "wanted: 40% of the ceiling" if name.endswith("classify") else ""
    note = "; ".join(filter(None, [share, wanted]))
    yield Row(PART, name, 1e3 * seconds, "ms", peer and 1e3 * peer, higher_is_better=False, note=note)


def _networks(config: Any) -> tuple[Any, Any, Any]:
    settings = from_config.inference_config(config, config.patches.count)
    return from_config.segmenter(config), from_config.classifier(config), settings


def _draw(config: Any, count: int) -> tuple[Any, Any]:
    """Draw radiographs of noise that is dark enough to be lung, and their keys."""
    rng = np.random.default_rng(count)
    images = rng.integers(0, 128, (count, config.image.size, config.image.size), np.uint8)
    return jnp.asarray(images), pipeline.image_keys(0, jnp.arange(count, dtype=jnp.uint32))
