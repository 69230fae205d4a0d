"""Learn to find the lungs: FC-DenseNet on standardised radiographs and their masks (Oh et al. 2020, section II-B)."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any

import jax
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from cxrjax import anatomy, augment, data, devices, losses, metrics, networks, views
from cxrjax.tasks import Task

# What a mask of structures lets us score, and where it is; "lungs" is all that a mask of the lungs alone does.
SCORED = {"lungs": anatomy.LUNGS, "left lung": (2,), "right lung": (3,), "heart": (1,)}


def build(config: ConfigDict, train: data.Split | data.Stored, validation: data.Split | data.Stored) -> Task:
    """The segmentation task of a config, its radiographs shrunk to the segmenter's size.

    Raises:
        data.MissingData: a radiograph has no mask; of one that is stored, as soon as it is read.
    """
    segmenter = networks.segmenter(config)
    settings = augment.Augmentation(**config.augmentation)
    shown = partial(_read, train, segmenter.size) if isinstance(train, data.Stored) else _shrink(train, segmenter.size)

    def init(key: Array) -> Mapping[str, Any]:
        return networks.init(segmenter, key)

    def loss(params: Any, batch_stats: Any, batch: Any, key: Array) -> tuple[Array, Any]:
        change, drop = jax.random.split(key)
        x = views.scale(batch["images"])
        x, masks = jax.vmap(partial(augment.augment_pair, settings=settings))(
            jax.random.split(change, len(x)), x, batch["masks"]
        )
        x = views.feed(x, segmenter)
        out, new = segmenter.module.apply(
            {"params": params, "batch_stats": batch_stats},
            x,
            train=True,
            rngs={"dropout": drop},
            mutable=["batch_stats"],
        )
        value = losses.segmentation_loss(out, masks, batch["kinds"], config.training.background_weight)
        value += losses.penalty(params, config.training.l1, config.training.l2, config.training.l2_vectors)
        return value, new["batch_stats"]

    return Task(shown, np.zeros(len(train), np.int32), init, loss, _validation(config, segmenter, validation))


def measure(predicted: np.ndarray, truth: np.ndarray, kind: int) -> dict[str, float]:
    """Dice and Jaccard of each structure that the truth tells of.

    Args:
        predicted: labels of `anatomy.STRUCTURES` [S, S].
        truth: labels [S, S], or 1 in the lungs.
        kind: losses.STRUCTURES_KNOWN or LUNGS_KNOWN.

    Returns:
        `dice_…` and `jaccard_…` for the keys of SCORED; NaN where not known.
    """
    row = {}
    for name, labels in SCORED.items():
        known = kind == losses.STRUCTURES_KNOWN or name == "lungs"
        there = truth > 0 if kind == losses.LUNGS_KNOWN else np.isin(truth, labels)
        found = np.isin(predicted, labels)
        row[f"dice_{name}"] = metrics.dice(found, there) if known else np.nan
        row[f"jaccard_{name}"] = metrics.jaccard(found, there) if known else np.nan
    return row


def _validation(config: ConfigDict, segmenter: networks.Network, split: data.Split | data.Stored) -> Any:
    """Scores of the raw label map at the segmenter's size: what the network itself has learned."""
    background, size = config.training.background_weight, config.evaluation.batch_size
    shares = devices.Shares(size)
    held = [_shrink(split, segmenter.size)] if isinstance(split, data.Split) else None

    def parts() -> Iterable[dict[str, np.ndarray]]:
        return held or (_shrink(part, segmenter.size) for part in split.parts(size))

    @shares.compile
    def label(variables: Mapping[str, Any], batch: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        """The label maps [B, s, s] and each radiograph's loss [B]."""
        images, masks, kinds = batch
        x = views.feed(views.scale(images), segmenter)
        out = segmenter.module.apply(variables, x, train=False)
        each = jax.vmap(lambda *one: losses.segmentation_loss(*(part[None] for part in one), background))
        return out.argmax(-1), each(out, masks, kinds)

    def validate(variables: Mapping[str, Any]) -> dict[str, float]:
        table, loss = [], []
        variables = shares.replicate(variables)
        for part in parts():
            for rows, count in data.batches(len(part["kinds"]), size):
                batch = tuple(part[key][rows] for key in ("images", "masks", "kinds"))
                predicted, each = shares.gather(label(variables, shares.spread(batch)))
                loss += list(each[:count])
                for row, labels in zip(rows[:count], predicted, strict=False):
                    table.append(measure(labels, part["masks"][row], part["kinds"][row]) | {"status": "ok"})
        scores = metrics.segmentation_metrics(table)["structures"]
        # The original keeps the network with the best Jaccard of lungs and heart.
        known = [scores[name]["jaccard"] for name in ("lungs", "heart") if scores[name]["support"]]
        return {"jaccard": float(np.mean(known)), "dice_lungs": scores["lungs"]["dice"], "loss": float(np.mean(loss))}

    return validate


def _shrink(split: data.Split, size: int) -> dict[str, np.ndarray]:
    """A split at the segmenter's size."""
    if (split.kinds < 0).any():
        raise data.MissingData(f"{split.paths[int(np.argmax(split.kinds < 0))]}: has no mask to learn the lungs from")
    side = split.masks.shape[1]
    nearest = ((np.arange(size) + 0.5) * side / size).astype(np.int32)
    shrink = _compile_shrink(size)
    images = np.concatenate([shrink(split.images[i : i + 1]) for i in range(len(split))])
    return {
        "images": images,
        "masks": split.masks[:, nearest][:, :, nearest],
        "kinds": split.kinds,
    }


def _read(stored: data.Stored, size: int, row: int) -> dict[str, np.ndarray]:
    """One radiograph at the segmenter's size."""
    return {name: x[0] for name, x in _shrink(stored.take([row]), size).items()}


@cache
def _compile_shrink(size: int) -> Callable[[np.ndarray], Array]:
    return jax.jit(partial(views.shrink, size=size))
