"""Segmentation task: FC-DenseNet on standardized radiographs and their masks (Oh et al. 2020, section II-B)."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from cxrjax.config import Config
from cxrjax.data import dataset
from cxrjax.data.batch import CHUNK_SIZE, LUNGS_WITH_HEART_KNOWN, STRUCTURES_KNOWN, RadiographBatch, padded_batches
from cxrjax.inference import inputs
from cxrjax.metrics import classification
from cxrjax.models import from_config, spec
from cxrjax.ops import augmentation, lung_masks
from cxrjax.runtime import compile_notice, sharding
from cxrjax.training import losses, model_selection, previews
from cxrjax.training.task import Task, Validation

METRICS = ("jaccard", "dice_lungs", "loss")  # of validation
# Scored structures and their labels; for a mask of the lungs alone, only "lungs" is scored.
SCORED = {"lungs": lung_masks.LUNGS, "left lung": (2,), "right lung": (3,), "heart": (1,)}
# Largest part of the lungs that the heart may cover, as a fraction of a mask with the part behind the heart; ours.
MAX_HEART_FRACTION = 1 / 3


def build(
    config: Config,
    train: RadiographBatch | dataset.RadiographDataset,
    validation: RadiographBatch | dataset.RadiographDataset | None,
) -> Task:
    """Return the segmentation task of a config, with radiographs downsampled to the segmenter's size.

    At that size they are loaded into memory if they fit into `data.cache_limit_mb`, and read when needed otherwise.

    Args:
        config: config of the run.
        train: training radiographs, all with masks.
        validation: validation radiographs, all with masks; None to train without validation.

    Raises:
        DatasetError: a radiograph has no mask.
        ValueError: images are to be mirrored, and a mask distinguishes the left lung from the right.
        ValueError: a metric that `config.training` names does not exist.
    """
    for setting, metric in model_selection.list_watched(config.training).items() if validation is not None else ():
        model_selection.check_name(setting, metric, METRICS)
    segmenter = from_config.segmenter(config)
    assert segmenter is not None
    _check_mirroring(config, train)
    augmentation_config = config.augmentation
    data: Any = _load_downsampled(config, train, segmenter.patch_size)
    if data is None:
        assert isinstance(train, dataset.RadiographDataset)
        data = partial(_read_downsampled, train, segmenter.patch_size)

    def init(key: Array) -> Mapping[str, Any]:
        return from_config.init(segmenter, key)

    def loss(params: Any, batch_stats: Any, batch: Any, key: Array) -> tuple[Array, Any]:
        augmentation_key, dropout_key = jax.random.split(key)
        x = inputs.to_float(batch["images"])
        keys = jax.random.split(augmentation_key, len(x))
        flags = (batch["augmented"],) if "augmented" in batch else ()

        def augment(key: Array, image: Array, mask: Array, *augmented: Array) -> tuple[Array, Array]:
            return augmentation.augment_pair(key, image, mask, augmentation_config, *augmented)

        x, masks = jax.vmap(augment)(keys, x, batch["masks"], *flags)
        variables, x = inputs.prepare(segmenter, {"params": params, "batch_stats": batch_stats}, x)
        log_probabilities, updates = segmenter.module.apply(
            variables,
            x,
            train=True,
            rngs={"dropout": dropout_key},
            mutable=["batch_stats"],
        )
        value = losses.segmentation_loss(
            log_probabilities, masks, batch["mask_types"], config.training.background_weight
        )
        value += losses.penalty(params, config.training.l1, config.training.l2, config.training.l2_bias_and_norm)
        return value, updates["batch_stats"]

    return Task(
        data=data,
        sampling_labels=np.zeros(len(train), np.int32),
        init=init,
        loss=loss,
        validate=None if validation is None else _build_validation(config, segmenter, validation),
    )


def mask_metrics(predicted: np.ndarray, truth: np.ndarray, mask_type: int) -> dict[str, float]:
    """Compute Dice and Jaccard of each structure that is annotated in the ground truth.

    Where the mask includes the part of the lungs behind the heart, pixels predicted as heart are left out, unless more
    than MAX_HEART_FRACTION of the mask is predicted as heart: then these lungs are missed.

    Args:
        predicted: labels of `lung_masks.STRUCTURES` [S, S].
        truth: labels [S, S], or 1 in the lungs.
        mask_type: type of `truth`, see `cxrjax.data.batch`.

    Returns:
        `dice_…` and `jaccard_…` for the keys of SCORED; NaN where a structure is not annotated.
    """
    row = {}
    scored_pixels = np.full(truth.shape, True)
    if mask_type == LUNGS_WITH_HEART_KNOWN:
        heart = np.isin(predicted, SCORED["heart"])
        if (heart & (truth > 0)).sum() <= MAX_HEART_FRACTION * (truth > 0).sum():
            scored_pixels = ~heart
    for name, labels in SCORED.items():
        annotated = mask_type == STRUCTURES_KNOWN or name == "lungs"
        true_mask = (np.isin(truth, labels) if mask_type == STRUCTURES_KNOWN else truth > 0) & scored_pixels
        predicted_mask = np.isin(predicted, labels)
        row[f"dice_{name}"] = classification.dice(predicted_mask, true_mask) if annotated else np.nan
        row[f"jaccard_{name}"] = classification.jaccard(predicted_mask, true_mask) if annotated else np.nan
    return row


def average_jaccard(scores: Mapping[str, Mapping[str, Any]]) -> float:
    """Return the mean Jaccard by which a network is selected.

    It is the mean over heart, left and right lung, as the original's `np.mean(ji[1:])` (segmentation/train.py), so that
    left and right are distinguished; the mean includes both lungs together if some or all masks annotate only these.

    Args:
        scores: {structure: {"jaccard", "support"}}, of `classification.segmentation_metrics`.
    """
    names = [name for name in ("heart", "left lung", "right lung") if scores[name]["support"]]
    if not names or scores["lungs"]["support"] > max(scores[name]["support"] for name in names):
        names.append("lungs")
    return float(np.mean([scores[name]["jaccard"] for name in names]))


def _build_validation(
    config: Config, segmenter: spec.ModelSpec, radiographs: RadiographBatch | dataset.RadiographDataset
) -> Any:
    """Return the function that scores the raw label maps at the segmenter's size, without postprocessing."""
    background_weight = config.training.background_weight
    batch_size = config.evaluation.batch_size
    batch_sharding = sharding.BatchSharding(batch_size)
    loaded = _load_downsampled(config, radiographs, segmenter.patch_size)

    def iter_chunks() -> Iterable[dict[str, np.ndarray]]:
        if loaded:
            return [loaded]
        return (_downsample(chunk, segmenter.patch_size) for chunk in radiographs.iter_batches(batch_size))

    @batch_sharding.compile
    @compile_notice.describe_program("the segmenter, for the scores of validation")
    def predict_masks(variables: Mapping[str, Any], batch: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        """Return the label maps [B, s, s] and the loss of each radiograph [B]."""
        images, masks, mask_types = batch
        folded, x = inputs.prepare(segmenter, variables, inputs.to_float(images))
        log_probabilities: Any = segmenter.module.apply(folded, x, train=False)

        def example_loss(log_probabilities: Array, mask: Array, mask_type: Array) -> Array:
            return losses.segmentation_loss(log_probabilities[None], mask[None], mask_type[None], background_weight)

        return log_probabilities.argmax(-1), jax.vmap(example_loss)(log_probabilities, masks, mask_types)

    preview_rows = previews.choose_rows(config.tracking, len(radiographs))

    def validate(variables: Mapping[str, Any]) -> Validation:
        table = []
        images = {}
        example_losses = []
        variables = batch_sharding.replicate(variables)
        for chunk in iter_chunks():
            for rows, count in padded_batches(len(chunk["mask_types"]), batch_size):
                batch = tuple(chunk[key][rows] for key in ("images", "masks", "mask_types"))
                label_maps, batch_losses = batch_sharding.gather(predict_masks(variables, batch_sharding.shard(batch)))
                example_losses += list(batch_losses[:count])
                for row, label_map in zip(rows[:count], label_maps, strict=False):
                    truth = chunk["masks"][row]
                    mask_type = int(chunk["mask_types"][row])
                    metrics = mask_metrics(label_map, truth, mask_type)
                    if len(table) in preview_rows:
                        image = previews.draw_lungs(chunk["images"][row], truth, mask_type, label_map, metrics)
                        images[previews.name(len(table))] = image
                    table.append(metrics | {"status": "ok"})
        scores = classification.segmentation_metrics(table)["structures"]
        metrics = {
            "jaccard": average_jaccard(scores),
            "dice_lungs": scores["lungs"]["dice"],
            "loss": float(np.mean(example_losses)),
        }
        return Validation(metrics, images)

    return validate


def _check_mirroring(config: Config, radiographs: RadiographBatch | dataset.RadiographDataset) -> None:
    """Check that radiographs whose masks distinguish left and right are not mirrored.

    The network would learn a mirrored left lung as a right one.

    Raises:
        ValueError: such a radiograph is to be mirrored.
    """
    sided_rows = np.flatnonzero(radiographs.mask_types == STRUCTURES_KNOWN)
    for name in ("flip_horizontal", "dihedral"):
        probability = getattr(config.augmentation, name)
        if probability and len(sided_rows):
            raise ValueError(
                f"{radiographs.paths[sided_rows[0]]}: its mask distinguishes the left from the right lung, which "
                f"augmentation.{name}={probability} would swap; set it to 0"
            )


def _load_downsampled(
    config: Config, radiographs: RadiographBatch | dataset.RadiographDataset, size: int
) -> dict[str, np.ndarray] | None:
    """Return all radiographs at the segmenter's size; None if they are on disk and do not fit in memory.

    Raises:
        DatasetError: a radiograph has no mask.
    """
    unmasked_rows = np.flatnonzero(radiographs.mask_types < 0)
    if len(unmasked_rows):
        raise dataset.DatasetError(f"{radiographs.paths[unmasked_rows[0]]}: has no mask to learn the lungs from")
    on_disk = isinstance(radiographs, dataset.RadiographDataset)
    if on_disk and not dataset.fits_in_memory(config, len(radiographs), size):
        return None
    chunks = [_downsample(chunk, size) for chunk in radiographs.iter_batches(CHUNK_SIZE)]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *chunks)


def _downsample(radiographs: RadiographBatch, size: int) -> dict[str, np.ndarray]:
    """Return images, masks and mask types of radiographs at the segmenter's size."""
    images = np.stack([_downsample_image(image, size) for image in radiographs.images])
    return {
        "images": images,
        "masks": _downsample_masks(radiographs.masks, size),
        "mask_types": radiographs.mask_types,
    }


def _downsample_image(image: np.ndarray, size: int) -> np.ndarray:
    """Downsample an image on the CPU, if available, so that a reading thread does not wait for the training device."""
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS excludes the CPU
        device = None
    return np.asarray(_downsample_images(jax.device_put(image[None], device), size))[0]


_downsample_images = jax.jit(inputs.downsample, static_argnums=1)


def _downsample_masks(masks: np.ndarray, size: int) -> np.ndarray:
    """Downsample masks [..., S, S] by nearest neighbor."""
    side = masks.shape[-1]
    nearest = ((np.arange(size) + 0.5) * side / size).astype(np.int32)
    return masks[..., nearest, :][..., nearest]


def _read_downsampled(radiographs: dataset.RadiographDataset, size: int, row: int) -> dict[str, np.ndarray]:
    """Read one radiograph at the segmenter's size."""
    example = radiographs[row]
    return {
        "images": _downsample_image(example["image"], size),
        "masks": _downsample_masks(example["mask"], size),
        "mask_types": np.asarray(example["mask_type"], np.int32),
    }
