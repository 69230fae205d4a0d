"""Inputs of a model: files, open radiographs and arrays, read and preprocessed."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cxrjax.data import image_input, polarity
from cxrjax.data.image_input import ImageRefusedError, InputSpec
from cxrjax.io import files, radiograph
from cxrjax.io.crop import Frame

ImageInput = Any  # a path, an open Radiograph, or an array [H, W]

IF_INVERTED = ("refuse", "invert", "ignore")  # what to do with an image whose gray levels look inverted

_LOOKS_INVERTED = (
    "the gray levels look inverted (lungs brighter than the rest): invert the image, or predict with "
    "if_inverted=invert, or with if_inverted=ignore if they are correct"
)
_WAS_INVERTED = "its gray levels looked inverted, and were inverted"


class ModelInput(NamedTuple):
    """A preprocessed image, and what is known of its file."""

    pixels: np.ndarray  # uint8 [S, S]
    frame: Frame
    path: str = ""
    view: str = ""
    note: str = ""
    spacing: tuple[float, float] | None = None


def read(
    image: ImageInput,
    spec: InputSpec,
    name: str,
    value_range: tuple[float, float] | None = None,
    preprocessed: bool = False,
    if_inverted: str = "refuse",
) -> ModelInput:
    """Read and preprocess an image.

    Args:
        image: a path, an open radiograph or an array.
        spec: the model's.
        name: what messages call an array.
        value_range: see `Model.predict`.
        preprocessed: see `Model.predict`.
        if_inverted: see `Model.predict`.

    Raises:
        ImageReadError, ImageRefusedError, ValueError, TypeError: see `Model.predict`.
    """
    if preprocessed and image_input.is_array(image):
        values = np.asarray(image)
        if values.shape != (spec.size, spec.size) or values.dtype != np.uint8:
            raise ValueError(
                f"{name}: is {values.dtype} of the shape {values.shape}, and a preprocessed image of this model is "
                f"uint8 of {(spec.size, spec.size)}"
            )
        return ModelInput(values, Frame(spec.size, spec.size))
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        files.check_regular(path)
        opened = radiograph.read(path, value_range)
    else:
        opened = image_input.to_radiograph(image, value_range=value_range, name=name)
    if opened.not_frontal:
        raise ImageRefusedError(opened.path, opened.not_frontal, view=opened.view)
    pixels, frame = image_input.preprocess_in_frame(opened, spec)
    if if_inverted != "ignore" and polarity.looks_inverted(pixels):
        if if_inverted == "refuse":
            raise ImageRefusedError(opened.path, _LOOKS_INVERTED, view=opened.view)
        notes = [note for note in (opened.note, _WAS_INVERTED) if note]
        opened = replace(opened, pixels=opened.pixels.max() - opened.pixels, note="; ".join(notes))
        pixels, frame = image_input.preprocess_in_frame(opened, spec)
    file = "" if image_input.is_array(image) else opened.path
    return ModelInput(pixels, frame, file, opened.view, opened.note, opened.spacing)


def is_single(images: Any) -> bool:
    """Return whether an input is one image rather than several."""
    if isinstance(images, str | os.PathLike | radiograph.Radiograph):
        return True
    return image_input.is_array(images) and np.ndim(images) < 3
