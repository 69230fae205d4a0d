"""The remedies of a config, joined for the training of a classifier.

Some remedies have variables of their own: the adversary its weights, group DRO the weights of its groups. They are
trained and saved with those of the network, under `KEY`, and left out wherever the network is used.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from cxrjax.config import Config
from cxrjax.data.batch import RadiographBatch
from cxrjax.data.dataset import RadiographDataset
from cxrjax.models.spec import ModelSpec
from cxrjax.training.remedies import (
    adversary,
    appearance,
    bias_balanced,
    distance_correlation,
    group_dro,
    matching,
    mixed_sources,
    pairing,
    sampling,
    spectrum,
    surroundings,
)
from cxrjax.training.remedies.sources import Sources, add_sources, index_sources

KEY = "remedy"
_STREAM = 0x52454D  # folded into the key of a step, so that the other draws are those of a training without remedies


class Hooks(NamedTuple):
    """Pure functions of the remedies in a training step; without remedies, they change nothing."""

    sampling_weights: np.ndarray | None  # float [n], of `Task`
    # (random generator, rows) -> rows of their partners, of `Task`
    draw_partners: Callable[[np.random.Generator, np.ndarray], np.ndarray] | None
    variables: Mapping[str, Any]  # {"params", "batch_stats"} of the remedies; {} without
    add_columns: Callable[[Any], Any]  # data of a `Task` -> the same with the sources, where they are needed
    change_images: Callable[[Any, Array], Any]  # (batch, key of the step) -> batch
    change_patches: Callable[[Array, Any, Array], Array]  # (patches in 0..1 [n, …], batch, key of the step) -> patches
    forward: Callable[..., tuple[Array, Array | None]]  # (bound module, x, train) -> logits, pooled features or None
    # (remedies' variables, logits, features or None, batch) -> (loss, new "batch_stats" of the remedies)
    loss: Callable[[Mapping[str, Any], Array, Array | None, Any], tuple[Array, Any]]


def build(
    config: Config,
    classifier: ModelSpec,
    radiographs: RadiographBatch | RadiographDataset,
    rows: np.ndarray,
    labels: np.ndarray,
    plain_loss: Callable[[Array, Array], Array],
) -> Hooks:
    """Return the hooks of the remedies of a config.

    Args:
        config: config of a classifier.
        classifier: its network.
        radiographs: the training radiographs; their images are not read.
        rows: int [n], those of them that are trained on.
        labels: int [n], index of the class of each; float [n, k] of several findings.
        plain_loss: (logits, labels) -> loss of a batch without remedies.

    Raises:
        ValueError: a remedy does not fit the other settings or the data.
    """
    remedy = config.remedy
    _check_targets(config)
    num_classes = len(config.classifier.classes)
    # Remedies that need a label of each radiograph are refused for several findings.
    source_names = [radiographs.sources[row] for row in rows]
    strata = matching.list_strata(radiographs, remedy.match) if remedy.match else []
    sources = index_sources(source_names, labels if labels.ndim == 1 else np.zeros(len(labels), int), num_classes)
    _check(config, sources)
    needs_features = bool(remedy.adversary or remedy.distance_correlation)
    needs_sources = needs_features or remedy.loss != "none" or remedy.mix_sources > 0
    prior = bias_balanced.log_prior(sources.counts)

    def change_images(batch: Any, key: Array) -> Any:
        if not remedy.surroundings:
            return batch
        swap_key = jax.random.fold_in(key, _STREAM)
        images = surroundings.swap(swap_key, batch["images"], batch["lungs"][0], remedy.surroundings)
        return batch | {"images": images}

    def change_patches(patches: Array, batch: Any, key: Array) -> Array:
        if remedy.appearance:
            keys = jax.random.split(jax.random.fold_in(key, _STREAM + 1), len(patches))
            patches = jax.vmap(appearance.vary, (0, 0, None))(keys, patches, remedy.appearance)
        if remedy.spectrum:
            patches = spectrum.mix(jax.random.fold_in(key, _STREAM + 2), patches, remedy.spectrum)
        if remedy.mix_sources:
            mix_key = jax.random.fold_in(key, _STREAM + 3)
            patches = mixed_sources.mix(mix_key, patches, batch["labels"], batch["sources"], remedy.mix_sources)
        return patches

    def loss(variables: Mapping[str, Any], logits: Array, features: Array | None, batch: Any) -> tuple[Array, Any]:
        batch_labels = batch["labels"]
        new_stats = {}
        if remedy.loss == "group_dro":
            example_losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch_labels)
            value, new_stats["group_weights"] = group_dro.robust_loss(
                example_losses,
                batch["sources"] * sources.counts.shape[1] + batch_labels,
                variables["batch_stats"]["group_weights"],
                group_counts=sources.group_counts,
                step_size=remedy.dro_step_size,
                adjustment=remedy.dro_adjustment,
            )
        elif remedy.loss == "bias_balanced":
            value = plain_loss(bias_balanced.balance_logits(logits, batch["sources"], prior), batch_labels)
        else:
            value = plain_loss(logits, batch_labels)
        if remedy.adversary:
            assert features is not None
            weights = variables["params"]["adversary"]
            value += adversary.source_loss(weights, features, batch["sources"], remedy.adversary)
        if remedy.distance_correlation:
            assert features is not None
            correlation = distance_correlation.source_correlation(features, batch["sources"], len(sources.names))
            value += remedy.distance_correlation * correlation
        return value, new_stats

    return Hooks(
        sampling_weights=sampling.sampling_weights(
            config, sources, labels, [strata[row] for row in rows] if strata else []
        ),
        draw_partners=partial(pairing.draw_partners, sources=sources, labels=labels) if remedy.pairs else None,
        variables=_init_variables(config, classifier, sources),
        add_columns=(lambda data: add_sources(data, sources.ids)) if needs_sources else lambda data: data,
        change_images=change_images,
        change_patches=change_patches,
        forward=_forward_with_features if needs_features else _forward,
        loss=loss,
    )


def join(variables: Mapping[str, Any], remedies: Mapping[str, Any]) -> dict[str, Any]:
    """Add the variables of remedies to those of a network, {"params", "batch_stats"} both."""
    return {name: {**part, KEY: remedies[name]} if remedies.get(name) else part for name, part in variables.items()}


def split(variables: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the variables of the network, and those of the remedies, {} where they have none."""
    network = {
        name: {key: value for key, value in part.items() if key != KEY} if KEY in part else part
        for name, part in variables.items()
    }
    return network, {name: part.get(KEY, {}) for name, part in variables.items()}


def _check_targets(config: Config) -> None:
    """Check that remedies by source and label are not set for several findings per radiograph."""
    remedy = config.remedy
    by_label = remedy.balance or remedy.match or remedy.single_class_weight < 1 or remedy.loss != "none"
    by_label = by_label or remedy.mix_sources or remedy.pairs
    if config.classifier.targets == "multi" and by_label:
        raise ValueError(
            "remedy.balance, match, pairs, single_class_weight, mix_sources and loss need one label per radiograph, "
            "and classifier.targets is multi; leave them out, or set classifier.targets=single"
        )


def _check(config: Config, sources: Sources) -> None:
    remedy = config.remedy
    if remedy.surroundings and not config.segmenter.workdir:
        raise ValueError(
            "remedy.surroundings replaces all outside the lungs, and segmenter.workdir is empty; set it to lungs or to "
            "the run of a segmenter"
        )
    if remedy.loss == "group_dro" and (config.training.loss != "cross_entropy" or config.training.class_weights):
        raise ValueError(
            "remedy.loss=group_dro weighs the groups of the cross-entropy itself; set training.loss=cross_entropy and "
            "training.class_weights=()"
        )
    if remedy.pairs and (remedy.match or config.training.sampler == "oversample"):
        other = "remedy.match" if remedy.match else "training.sampler=oversample"
        raise ValueError(f"remedy.pairs and {other} both say which radiographs are drawn; set one of them")
    names = list(sources.names)
    by_source = remedy.balance or remedy.adversary or remedy.distance_correlation or remedy.mix_sources
    by_source = by_source or remedy.loss != "none" or remedy.pairs
    if by_source and len(names) < 2:
        raise ValueError(
            f"a remedy by source is set, and all training radiographs are of one source, {names[0]!r}; leave "
            "out remedy.balance, pairs, loss, mix_sources, adversary and distance_correlation, or add another source"
        )


def _init_variables(config: Config, classifier: ModelSpec, sources: Sources) -> dict[str, Any]:
    params = {}
    batch_stats = {}
    if config.remedy.loss == "group_dro":
        batch_stats["group_weights"] = jnp.asarray(group_dro.init_weights(sources.group_counts))
    if config.remedy.adversary:
        key = jax.random.fold_in(jax.random.key(config.seed), _STREAM)
        params["adversary"] = adversary.init(key, _count_features(classifier), len(sources.names))
    return {name: part for name, part in (("params", params), ("batch_stats", batch_stats)) if part}


def _count_features(classifier: ModelSpec) -> int:
    """Return the number of pooled features, without computing anything."""
    side = classifier.input_size
    x = jax.ShapeDtypeStruct((1, side, side, classifier.in_channels), jnp.float32)

    def forward(x: Array) -> Any:
        variables = classifier.module.init(jax.random.key(0), x, train=False)
        return classifier.module.apply(variables, x, train=False, method=_forward_with_features)

    _, pooled = jax.eval_shape(forward, x)
    return int(pooled.shape[-1])


def _forward(module: nn.Module, x: Array, train: bool) -> tuple[Array, None]:
    return module(x, train), None


def _forward_with_features(module: Any, x: Array, train: bool) -> tuple[Array, Array]:
    """Return the logits, and the feature map averaged over its cells, float32 [n, d]."""
    feature_map = module.crop(module.backbone(x, train))
    return module.head(feature_map, train), feature_map.mean((1, 2))
