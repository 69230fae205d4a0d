"""Draw one phantom: a synthetic radiograph with known anatomy and lesions."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from cxrjax.config import LABELS
from data_prep.phantom.anatomy import draw_anatomy
from data_prep.phantom.findings import fill_air, lesion_map
from data_prep.phantom.overlays import add_devices, add_marks
from data_prep.phantom.render import expose, render_chest

MIN_SIZE = 64  # side in pixels; smaller images cannot show a chest


class Phantom(NamedTuple):
    """A synthetic radiograph and its ground truth."""

    pixels: np.ndarray  # uint8 [size, size], dense tissue bright
    structures: np.ndarray  # uint8 [size, size]: 0 background, 1 heart, 2 left lung (right in the image), 3 right lung
    lesions: np.ndarray  # uint8 [size, size], 0 or 1
    sex: str  # "F" or "M"
    age: float  # years
    view: str  # "PA", "AP" or "AP Supine"
    spacing: float  # mm per pixel


def draw(label: str, rng: np.random.Generator, size: int = 512, is_child: bool | None = None) -> Phantom:
    """Draw one patient with the finding of a label.

    Anatomy, overlays and noise have independent random streams: the same generator with different labels gives the same
    patient with the same exposure, and the label affects only the lungs.

    Args:
        label: one of `cxrjax.config.LABELS`.
        rng: random generator.
        size: side of the square image in pixels, at least `MIN_SIZE`.
        is_child: whether the patient is a child; None for a child in a fifth of the cases.

    Raises:
        ValueError: the label is unknown or the size is too small.
    """
    if label not in LABELS:
        raise ValueError(f"label {label!r} is unknown, must be one of {', '.join(LABELS)}")
    return draw_patient(partial(fill_air, label), rng, size, is_child)


def draw_patient(
    fill: Callable[[np.ndarray, np.random.Generator], np.ndarray],
    rng: np.random.Generator,
    size: int = 512,
    is_child: bool | None = None,
) -> Phantom:
    """Draw one patient with any findings.

    Args:
        fill: (label map of structures, random generator) -> fraction of the air that the findings fill, see
            `findings.fill_air`.
        rng: random generator, see `draw`.
        size: side of the square image in pixels, at least `MIN_SIZE`.
        is_child: whether the patient is a child; None for a child in a fifth of the cases.

    Raises:
        ValueError: the size is too small.
    """
    if size < MIN_SIZE:
        raise ValueError(f"a phantom of {size} pixels is too small, must have at least {MIN_SIZE}")
    anatomy_rng, tissue_rng, finding_rng, overlay_rng, exposure_rng = rng.spawn(5)
    anatomy = draw_anatomy(anatomy_rng, is_child)
    chest = render_chest(anatomy, tissue_rng, size)
    finding = chest.air * fill(chest.structures, finding_rng)
    attenuation = add_devices(chest.attenuation + finding, anatomy, overlay_rng)
    return Phantom(
        pixels=add_marks(expose(attenuation, exposure_rng), anatomy, overlay_rng),
        structures=chest.structures,
        lesions=lesion_map(finding, chest.structures >= 2),
        sex=anatomy.sex,
        age=anatomy.age,
        view=anatomy.view,
        spacing=round(anatomy.spacing / size, 4),
    )
