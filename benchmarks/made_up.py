"""Runs that nobody trained, of the right architectures and sizes: speed does not ask what a network has learned.

All weights are random but two layers of the segmenter: its first feature is the grey level, and its last layer takes
what is darker than THRESHOLD for lung. So its mask is large, ragged and the same in every program that loads it. The
weights lie beside the runs by PyTorch's names, `segmenter.safetensors` and `classifier.safetensors`.
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

CLASSES = ("normal", "bacterial", "tuberculosis", "viral")  # the original's four
THRESHOLD, STEEPNESS = 0.5, 40.0  # of a grey level in 0..1


def write_runs(folder: Path, **changes: Any) -> None:
    """Make FOLDER/segmenter and FOLDER/classifier, at the paper's sizes but for `changes`, as "patches.count"."""
    segment, classify = default_config(), default_config()
    segment.task, classify.task = "segment", "classify"
    classify.segmenter.workdir = str(folder / "segmenter")
    classify.classifier.classes = CLASSES
    for config in (segment, classify):
        config.update_from_flattened_dict(changes)
    for name, config in (("segmenter", segment), ("classifier", classify)):
        see, find = (
            (see_dark_as_lung, from_config.segmenter) if config is segment else (draw_weights, from_config.classifier)
        )
        state = state_dict.to_state_dict(config[name].architecture, see(find(config)))
        safetensors.numpy.save_file(state, folder / f"{name}.safetensors")
        weights.import_weights(freeze(config), str(folder / f"{name}.safetensors"), folder / name)


def see_dark_as_lung(segmenter: spec.ModelSpec) -> dict[str, Any]:
    """Weights of an FC-DenseNet that takes what is darker than THRESHOLD for left lung, and the rest for background."""
    variables = draw_weights(segmenter)
    params = variables["params"]
    stem, head = params["stem"], params["head"]
    stem["kernel"][..., 0], stem["bias"][0] = 0, 0
    stem["kernel"][1, 1, :, 0] = 1 / segmenter.in_channels
    # The last block keeps its input: what was brought up, then the skip, which begins with the stem.
    grey = len(params[max(name for name in params if name.startswith("transition_up"))]["bias"])
    head["kernel"][:], head["bias"][:] = 0, 0
    head["kernel"][0, 0, grey, 2], head["bias"][2] = -STEEPNESS, STEEPNESS * THRESHOLD
    return variables


def draw_weights(network: spec.ModelSpec) -> dict[str, Any]:
    """Random weights as `from_config.init` has them, drawn on the host: compiling that takes minutes."""
    rng = np.random.default_rng(0)

    def draw(path: tuple[Any, ...], leaf: np.ndarray) -> np.ndarray:
        if path[-1].key == "kernel":
            return rng.normal(0, np.sqrt(2 / np.prod(leaf.shape[:-1])), leaf.shape).astype(np.float32)
        return np.full_like(leaf, path[-1].key in ("scale", "var"))

    return jax.tree_util.tree_map_with_path(draw, from_config.zero_variables(network))


def draw_split(count: int, side: int) -> batch.RadiographBatch:
    """Noise as radiographs, dark enough to be lung throughout; masks of a left half, the classes in turn."""
    rng, words = np.random.default_rng(0), [""] * count
    masks = np.zeros((count, side, side), np.uint8)
    masks[:, :, : side // 2] = 2
    unknown = np.full(count, np.nan, np.float32)
    return batch.RadiographBatch(
        paths=[f"{i}.png" for i in range(count)],
        patients=words,
        sources=words,
        labels=[CLASSES[i % len(CLASSES)] for i in range(count)],
        image_ids=np.arange(count, dtype=np.uint32),
        images=rng.integers(0, 256 * THRESHOLD, (count, side, side), np.uint8),
        masks=masks,
        mask_types=np.full(count, STRUCTURES_KNOWN, np.int32),
        lesions=None,
        views=words,
        sexes=words,
        ages=unknown,
        fov_mm=np.stack([unknown, unknown], axis=1),
    )


def write_data_set(folder: Path, count: int, side: int, masked: bool = False) -> Path:
    """Prepare a data set of so many radiographs to train on, and a few to validate on; its directory."""
    source = Noise(count, side, masked)
    prepare(source, Options(out=str(folder), duplicates="off"))
    return folder / "noise"


class Noise(Source[Options]):
    """Radiographs of a dark ellipse, which the segmenter takes for lung, on noise; the classes in turn."""

    name = "noise"
    description = "noise"
    homepage = "made here"
    license = "CC0-1.0"
    size = "nothing"
    coverage = "all"
    num_distinct = 16
    num_validation = 8

    def __init__(self, count: int, side: int, masked: bool = False):
        """Draw nothing yet: so many of training, of so many pixels a side, with the ellipses as masks or without."""
        self._count, self._side, self._masked = count, side, masked

    def default_dir(self, options: Options) -> Path:
        return Path()

    def records(self, root: Path, options: Options) -> Iterator[Record]:
        for number in range(self._count + self.num_validation):
            name, split = f"{number:06}", "train" if number < self._count else "val"
            yield Record(name, label=CLASSES[number % len(CLASSES)], patient_id=name, split=split, payload=number)

    def read(self, record: Record, options: Options) -> Example:
        picture = _draw_picture(record.payload % self.num_distinct, self._side)
        known: dict[str, Any] = {"label": record.label, "patient_id": record.patient_id, "source": self.name}
        if self._masked:
            known |= {"mask": _draw_mask(self._side), "mask_kind": LUNGS}
        return Example(record.id, record.id, picture, self._side, self._side, **known)


@cache
def _draw_picture(number: int, side: int) -> bytes:
    levels = np.random.default_rng(number).integers(128, 256, (side, side), np.uint8)
    _fill_ellipse(levels, 20)
    return encode_png(cv2.GaussianBlur(levels, (5, 5), 0))


@cache
def _draw_mask(side: int) -> bytes:
    mask = np.zeros((side, side), np.uint8)
    _fill_ellipse(mask, 1)
    return encode_png(mask)


def _fill_ellipse(picture: np.ndarray, level: int) -> None:
    side = len(picture)
    cv2.ellipse(picture, (side // 2, side // 2), (side // 4, side // 3), 0, 0, 360, level, -1)
