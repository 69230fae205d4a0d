"""Learn to find the lungs: FC-DenseNet on standardised radiographs and their masks (Oh et al. 2020, section II-B)."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from cxrjax.data import batch, dataset
from cxrjax.data import batch as cohort
from cxrjax.inference import inputs
from cxrjax.metrics import classification
from cxrjax.models import from_config, spec
from cxrjax.ops import augmentation, lung_masks
from cxrjax.runtime import sharding
from cxrjax.training import losses, model_selection
from cxrjax.training.task import Task

METRICS = ("jaccard", "dice_lungs", "loss")  # of validation
# What a mask of structures lets us score, and where it is; "lungs" is all that a mask of the lungs alone does.
SCORED = {"lungs": lung_masks.LUNGS, "left lung": (2,), "right lung": (3,), "heart": (1,)}


def build(
    config: ConfigDict,
    train: cohort.RadiographBatch | dataset.RadiographDataset,
    validation: cohort.RadiographBatch | dataset.RadiographDataset,
) -> Task:
    """The segmentation task of a config, its radiographs shrunk to the segmenter's size.

    Where they fit into `data.held` at that size they are held, and else read whenever they are needed.

    Raises:
        data.MissingData: a radiograph has no mask.
        ValueError: the pictures are to be mirrored, and a mask tells the left lung from the right.
        ValueError: there is no metric of the name that `config.training` gives.
    """
    for setting, metric in model_selection.list_watched(config.training).items():
        model_selection.check_name(setting, metric, METRICS)
    segmenter = from_config.segmenter(config)
    _check_mirrors(config, train)
    settings = augmentation.AugmentationConfig(**config.augmentation)
    shown = _hold(config, train, segmenter.size) or partial(_read, train, segmenter.size)

    def init(key: Array) -> Mapping[str, Any]:
        return from_config.init(segmenter, key)

    def loss(params: Any, batch_stats: Any, batch: Any, key: Array) -> tuple[Array, Any]:
        change, drop = jax.random.split(key)
        x = inputs.to_float(batch["images"])
        marks = (batch["augmented"],) if "augmented" in batch else ()
        x, masks = jax.vmap(lambda *given: augmentation.augment_pair(*given[:3], settings, *given[3:]))(
            jax.random.split(change, len(x)), x, batch["masks"], *marks
        )
        x = inputs.normalize(x, segmenter)
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
        predicted: labels of `lung_masks.STRUCTURES` [S, S].
        truth: labels [S, S], or 1 in the lungs.
        kind: losses.STRUCTURES_KNOWN or LUNGS_KNOWN.

    Returns:
        `dice_…` and `jaccard_…` for the keys of SCORED; NaN where not known.
    """
    row = {}
    for name, labels in SCORED.items():
        known = kind == batch.STRUCTURES_KNOWN or name == "lungs"
        there = truth > 0 if kind == batch.LUNGS_KNOWN else np.isin(truth, labels)
        found = np.isin(predicted, labels)
        row[f"dice_{name}"] = classification.dice(found, there) if known else np.nan
        row[f"jaccard_{name}"] = classification.jaccard(found, there) if known else np.nan
    return row


def average_jaccard(scores: Mapping[str, Mapping[str, Any]]) -> float:
    """Return the mean Jaccard that a network is selected by.

    It is that of heart, left and right lung, as the original's `np.mean(ji[1:])` (segmentation/train.py), so that left
    and right count; with that of both lungs where some masks, or all, know no more.

    Args:
        scores: {structure: {"jaccard", "support"}}, of `classification.segmentation_metrics`.
    """
    names = [name for name in ("heart", "left lung", "right lung") if scores[name]["support"]]
    if not names or scores["lungs"]["support"] > max(scores[name]["support"] for name in names):
        names.append("lungs")
    return float(np.mean([scores[name]["jaccard"] for name in names]))


def _validation(
    config: ConfigDict, segmenter: spec.ModelSpec, split: cohort.RadiographBatch | dataset.RadiographDataset
) -> Any:
    """Scores of the raw label map at the segmenter's size: what the network itself has learned."""
    background, size = config.training.background_weight, config.evaluation.batch_size
    shares = sharding.BatchSharding(size)
    held = _hold(config, split, segmenter.size)

    def parts() -> Iterable[dict[str, np.ndarray]]:
        return [held] if held else (_shrink(part, segmenter.size) for part in split.parts(size))

    @shares.compile
    def label(variables: Mapping[str, Any], batch: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        """The label maps [B, s, s] and each radiograph's loss [B]."""
        images, masks, kinds = batch
        x = inputs.normalize(inputs.to_float(images), segmenter)
        out = segmenter.module.apply(variables, x, train=False)
        each = jax.vmap(lambda *one: losses.segmentation_loss(*(part[None] for part in one), background))
        return out.argmax(-1), each(out, masks, kinds)

    def validate(variables: Mapping[str, Any]) -> dict[str, float]:
        table, loss = [], []
        variables = shares.replicate(variables)
        for part in parts():
            for rows, count in cohort.padded_batches(len(part["kinds"]), size):
                batch = tuple(part[key][rows] for key in ("images", "masks", "kinds"))
                predicted, each = shares.gather(label(variables, shares.spread(batch)))
                loss += list(each[:count])
                for row, labels in zip(rows[:count], predicted, strict=False):
                    table.append(measure(labels, part["masks"][row], part["kinds"][row]) | {"status": "ok"})
        scores = classification.segmentation_metrics(table)["structures"]
        return {"jaccard": average_jaccard(scores), "dice_lungs": scores["lungs"]["dice"], "loss": float(np.mean(loss))}

    return validate


def _check_mirrors(config: ConfigDict, radiographs: cohort.RadiographBatch | dataset.RadiographDataset) -> None:
    """Refuse to mirror radiographs whose masks have sides: a mirrored left lung would be learned as a right one."""
    sided = np.flatnonzero(radiographs.kinds == batch.STRUCTURES_KNOWN)
    for name in ("flip", "dihedral"):
        if config.augmentation[name] and len(sided):
            raise ValueError(
                f"{radiographs.paths[sided[0]]}: its mask tells the left lung from the right, which "
                f"augmentation.{name}={config.augmentation[name]} would exchange; set it to 0"
            )


def _hold(
    config: ConfigDict, radiographs: cohort.RadiographBatch | dataset.RadiographDataset, size: int
) -> dict[str, np.ndarray] | None:
    """All radiographs at the segmenter's size; None where that is too much, of what is stored."""
    bare = np.flatnonzero(radiographs.kinds < 0)
    if len(bare):
        raise dataset.MissingData(f"{radiographs.paths[bare[0]]}: has no mask to learn the lungs from")
    if isinstance(radiographs, dataset.RadiographDataset) and not dataset.fits_in_memory(
        config, len(radiographs), size
    ):
        return None
    parts = [_shrink(part, size) for part in radiographs.parts(cohort.CHUNK_SIZE)]
    return jax.tree.map(lambda *each: np.concatenate(each), *parts)


def _shrink(split: cohort.RadiographBatch, size: int) -> dict[str, np.ndarray]:
    """Radiographs at the segmenter's size."""
    images = np.stack([_shrink_image(image, size) for image in split.images])
    return {"images": images, "masks": _shrink_masks(split.masks, size), "kinds": split.kinds}


def _shrink_image(image: np.ndarray, size: int) -> np.ndarray:
    """On the CPU, where there is one, so that no reading thread waits for the device that trains."""
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS leaves it out
        device = None
    return np.asarray(_shrink_images(jax.device_put(image[None], device), size))[0]


_shrink_images = jax.jit(inputs.downsample, static_argnums=1)


def _shrink_masks(masks: np.ndarray, size: int) -> np.ndarray:
    side = masks.shape[-1]
    nearest = ((np.arange(size) + 0.5) * side / size).astype(np.int32)
    return masks[..., nearest, :][..., nearest]


def _read(stored: dataset.RadiographDataset, size: int, row: int) -> dict[str, np.ndarray]:
    """One radiograph at the segmenter's size."""
    known = stored[row]
    return {
        "images": _shrink_image(known["image"], size),
        "masks": _shrink_masks(known["mask"], size),
        "kinds": np.int32(known["kind"]),
    }
