"""One phantom: a made-up radiograph with its anatomy and its lesions known."""

from typing import NamedTuple

import numpy as np

from data_prep.example import LABELS
from data_prep.phantom.anatomy import draw_anatomy
from data_prep.phantom.findings import fill_air, lesion_map
from data_prep.phantom.overlays import add_devices, add_marks
from data_prep.phantom.render import expose, render_chest

MIN_SIZE = 64  # pixels a side; a chest does not fit into fewer


class Phantom(NamedTuple):
    """A made-up radiograph and the truth about it."""

    pixels: np.ndarray  # uint8 [size, size], dense tissue bright
    structures: np.ndarray  # uint8 [size, size]: 0 background, 1 heart, 2 left lung (right in the image), 3 right lung
    lesions: np.ndarray  # uint8 [size, size], 0 or 1
    sex: str  # "F" or "M"
    age: float  # years
    view: str  # "PA", "AP" or "AP Supine"
    spacing: float  # mm a pixel


def draw(label: str, rng: np.random.Generator, size: int = 512) -> Phantom:
    """Draw one patient and, by `label`, one finding.

    Anatomy, overlays and noise have their own streams: equal generators with different labels give the same patient
    under the same exposure, and the label cannot be read from anything but the lungs.

    Args:
        label: one of `findings.LABELS`.
        rng: where all numbers come from.
        size: side of the square image in pixels, at least `MIN_SIZE`.

    Raises:
        ValueError: for an unknown label or too small a size.
    """
    if label not in LABELS:
        raise ValueError(f"no phantom is drawn for label {label!r}; there are {', '.join(LABELS)}")
    if size < MIN_SIZE:
        raise ValueError(f"a phantom of {size} pixels is too small to hold a chest; the least is {MIN_SIZE}")
    patient, tissue, finding, room, exposure = rng.spawn(5)
    anatomy = draw_anatomy(patient)
    chest = render_chest(anatomy, tissue, size)
    added = chest.air * fill_air(label, chest.structures, finding)
    attenuation = add_devices(chest.attenuation + added, anatomy, room)
    pixels = add_marks(expose(attenuation, exposure), anatomy, room)
    lesions = lesion_map(added, chest.structures >= 2)
    spacing = round(anatomy.spacing / size, 4)
    return Phantom(pixels, chest.structures, lesions, anatomy.sex, anatomy.age, anatomy.view, spacing)
