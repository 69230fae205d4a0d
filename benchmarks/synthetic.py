"""Untrained runs and synthetic data of the right architectures and sizes, for benchmarks of speed.

All weights are random except two layers of the segmenter: its first feature is the gray level, and its last layer
labels pixels darker than THRESHOLD as lung. Its mask is therefore large, has an irregular outline, and is the same in
every program that loads it. The weights are also stored with PyTorch's names, in `segmenter.safetensors` and
`classifier.safetensors`.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
import safetensors.numpy

from cxrjax.config import default_config, freeze
from cxrjax.data import batch
from cxrjax.data.batch import STRUCTURES_KNOWN
from cxrjax.models import from_config, spec
from cxrjax.pretrained import state_dict
from cxrjax.runs import weights
from data_prep.example import LUNGS, Example, encode_png
from data_prep.options import Options
from data_prep.prepare import prepare
from data_prep.record import Record
from data_prep.source import Source

CLASSES = ("normal", "bacterial", "tuberculosis", "viral")  # those of the original
# For gray levels in 0..1.
THRESHOLD = 0.5
STEEPNESS = 40.0


def write_runs(folder: Path, **changes: Any) -> None:
    """Write the runs FOLDER/segmenter and FOLDER/classifier at the paper's sizes.

    Args:
        folder: folder of the runs.
        changes: settings that differ from the defaults, by config key, such as "patches.count".
    """
    segment, classify = default_config(), default_config()
    segment.task, classify.task = "segment", "classify"
    classify.segmenter.workdir = str(folder / "segmenter")
    classify.classifier.classes = CLASSES
    for config in (segment, classify):
        config.update_from_flattened_dict(changes)
    for name, config in (("segmenter", segment), ("classifier", classify)):
        if config is segment:
            variables = make_threshold_weights(from_config.segmenter(config))
        else:
            variables = draw_weights(from_config.classifier(config))
        state = state_dict.to_state_dict(config[name].architecture, variables)
        safetensors.numpy.save_file(state, folder / f"{name}.safetensors")
        weights.import_weights(freeze(config), str(folder / f"{name}.safetensors"), folder / name)


def make_threshold_weights(segmenter: spec.ModelSpec) -> dict[str, Any]:
    """Return weights of an FC-DenseNet that labels pixels darker than THRESHOLD left lung, and others background."""
    variables = draw_weights(segmenter)
    params = variables["params"]
    stem = params["stem"]
    stem["kernel"][..., 0] = 0
    stem["kernel"][1, 1, :, 0] = 1 / segmenter.in_channels
    stem["bias"][0] = 0
    # The input of the head begins with the upsampled features, then the skip connection, which begins with the stem.
    gray_channel = len(params[max(name for name in params if name.startswith("transition_up"))]["bias"])
    head = params["head"]
    head["kernel"][:] = 0
    head["kernel"][0, 0, gray_channel, 2] = -STEEPNESS
    head["bias"][:] = 0
    head["bias"][2] = STEEPNESS * THRESHOLD
    return variables


def draw_weights(network: spec.ModelSpec) -> dict[str, Any]:
    """Draw random weights like those of `from_config.init`, on the host, because its compilation takes minutes."""
    rng = np.random.default_rng(0)

    def draw(path: tuple[Any, ...], leaf: np.ndarray) -> np.ndarray:
        if path[-1].key == "kernel":
            return rng.normal(0, np.sqrt(2 / np.prod(leaf.shape[:-1])), leaf.shape).astype(np.float32)
        return np.full_like(leaf, path[-1].key in ("scale", "var"))

    return jax.tree_util.tree_map_with_path(draw, from_config.zero_variables(network))


def draw_split(count: int, side: int) -> batch.RadiographBatch:
    """Draw noise that is dark enough to be lung everywhere, with masks of the left half and cyclic classes."""
    rng = np.random.default_rng(0)
    unnamed = [""] * count
    masks = np.zeros((count, side, side), np.uint8)
    masks[:, :, : side // 2] = 2
    unknown = np.full(count, np.nan, np.float32)
    return batch.RadiographBatch(
        paths=[f"{i}.png" for i in range(count)],
        patients=unnamed,
        sources=unnamed,
        labels=[CLASSES[i % len(CLASSES)] for i in range(count)],
        image_ids=np.arange(count, dtype=np.uint32),
        images=rng.integers(0, 256 * THRESHOLD, (count, side, side), np.uint8),
        masks=masks,
        mask_types=np.full(count, STRUCTURES_KNOWN, np.int32),
        lesions=None,
        views=unnamed,
        sexes=unnamed,
        ages=unknown,
        fov_mm=np.stack([unknown, unknown], axis=1),
    )


def write_data_set(folder: Path, count: int, side: int, masked: bool = False) -> Path:
    """Prepare a data set of `count` training radiographs and a few for validation; return its folder."""
    source = Noise(count, side, masked)
    prepare(source, Options(out=str(folder), duplicates="off"))
    return folder / "noise"


class Noise(Source[Options]):
    """Radiographs of noise with a dark ellipse, which the segmenter labels as lung, and cyclic classes."""

    name = "noise"
    description = "noise"
    homepage = "none: drawn by the benchmark"
    license = "CC0-1.0"
    size = "nothing"
    coverage = "all"
    num_distinct = 16
    num_validation = 8

    def __init__(self, count: int, side: int, masked: bool = False):
        """Set up a source without drawing.

        Args:
            count: number of training radiographs.
            side: side of a radiograph, in pixels.
            masked: whether the radiographs have the ellipses as lung masks.
        """
        self._count = count
        self._side = side
        self._masked = masked

    def default_dir(self, options: Options) -> Path:
        return Path()

    def records(self, root: Path, options: Options) -> Iterator[Record]:
        for number in range(self._count + self.num_validation):
            name = f"{number:06}"
            split = "train" if number < self._count else "val"
            yield Record(name, label=CLASSES[number % len(CLASSES)], patient_id=name, split=split, payload=number)

    def read(self, record: Record, options: Options) -> Example:
        image = _draw_image(record.payload % self.num_distinct, self._side)
        metadata: dict[str, Any] = {"label": record.label, "patient_id": record.patient_id, "source": self.name}
        if self._masked:
            metadata |= {"mask": _draw_mask(self._side), "mask_kind": LUNGS}
        return Example(record.id, record.id, image, self._side, self._side, **metadata)


@cache
def _draw_image(number: int, side: int) -> bytes:
    levels = np.random.default_rng(number).integers(128, 256, (side, side), np.uint8)
    _fill_ellipse(levels, 20)
    return encode_png(cv2.GaussianBlur(levels, (5, 5), 0))


@cache
def _draw_mask(side: int) -> bytes:
    mask = np.zeros((side, side), np.uint8)
    _fill_ellipse(mask, 1)
    return encode_png(mask)


def _fill_ellipse(pixels: np.ndarray, level: int) -> None:
    side = len(pixels)
    cv2.ellipse(pixels, (side // 2, side // 2), (side // 4, side // 3), 0, 0, 360, level, -1)
