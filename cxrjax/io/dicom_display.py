"""Conversion of stored DICOM values to gray levels by the file's own look-up tables, as far as they are valid."""

import warnings
from collections.abc import Callable

import numpy as np
import pydicom
from pydicom.pixels import processing

from cxrjax.io.dicom_header import items_of, number_of, numbers_of, text_of

TAGS = (
    *("ModalityLUTSequence", "RescaleIntercept", "RescaleSlope"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
)
_FUNCTIONS = {"LINEAR": 1, "LINEAR_EXACT": 0, "SIGMOID": 0}  # VOI LUT function -> minimum width (PS3.3 C.11.2.1)


def display(
    stored: np.ndarray,
    padding: np.ndarray,
    dataset: pydicom.Dataset,
    description: pydicom.Dataset,
    *,
    blank_is_top: bool,
    notes: list[str],
) -> np.ndarray:
    """Apply the modality LUT, then the VOI LUT or the first valid window.

    Unsigned values that the tables do not change keep their depth; all others are scaled to the full range of uint16.
    Padding around the image becomes black, regardless of its value.

    Args:
        stored: [H, W] of at most 16 bits.
        padding: bool [H, W].
        dataset: the file's elements of `TAGS`, unchecked.
        description: the image pixel module, checked; valid tables are added to it.
        blank_is_top: whether black is the highest value (MONOCHROME1).
        notes: a sentence for each invalid table is appended.

    Returns:
        [H, W] uint8 or uint16.
    """
    image_values = stored[~padding] if padding.any() else stored
    low = int(image_values.min()) if image_values.size else 0
    high = int(image_values.max()) if image_values.size else 0
    levels = np.arange(low, high + 1).astype(stored.dtype)  # the tables are applied once per level
    displayed = _apply_tables(levels, dataset, description, notes)
    if low >= 0 and np.array_equal(displayed, levels):
        table = levels.astype(np.uint8 if stored.dtype.itemsize == 1 else np.uint16)
        blank = high if blank_is_top else 0
    else:
        span = np.ptp(displayed) or 1
        table = np.rint((displayed - displayed.min()) / span * 65535).astype(np.uint16)
        blank = 65535 if blank_is_top else 0
    pixels = table[np.clip(stored, low, high).astype(np.int32) - low]
    pixels[padding] = blank
    return pixels


def _apply_tables(
    levels: np.ndarray, dataset: pydicom.Dataset, description: pydicom.Dataset, notes: list[str]
) -> np.ndarray:
    """Apply the tables to each level; returns float64."""
    modality = _apply(processing.apply_modality_lut, levels, _describe_modality(dataset, description, notes))
    if modality is None:
        notes.append("its ModalityLUTSequence is not valid and was ignored")
        _remove(description, "ModalityLUTSequence")
        modality = levels
    luts = items_of(dataset, "VOILUTSequence")
    if luts:
        with_lut = pydicom.Dataset(description)
        with_lut.file_meta = description.file_meta
        with_lut.VOILUTSequence = luts
        displayed = _apply(processing.apply_voi, modality, with_lut)
        if displayed is not None and (np.ptp(displayed) or not np.ptp(levels)):
            return displayed.astype(np.float64)
        if any(len(item) for item in luts):
            notes.append("its VOILUTSequence is not valid and was ignored")
    if (window := _read_window(dataset, notes)) is not None:
        center, width, description.VOILUTFunction = window
        _set_number(description, "WindowCenter", center)
        _set_number(description, "WindowWidth", width)
        displayed = _apply(processing.apply_windowing, modality, description)
        if displayed is not None and (np.ptp(displayed) or not np.ptp(levels)):
            return displayed.astype(np.float64)
        notes.append("its window leaves one gray level and was ignored")
    return modality.astype(np.float64)


def _describe_modality(dataset: pydicom.Dataset, description: pydicom.Dataset, notes: list[str]) -> pydicom.Dataset:
    """Add the modality LUT or the rescaling to the description."""
    if luts := items_of(dataset, "ModalityLUTSequence"):
        description.ModalityLUTSequence = luts
        return description
    slope = number_of(dataset, "RescaleSlope")
    intercept = number_of(dataset, "RescaleIntercept")
    if slope == 0:
        notes.append("its RescaleSlope is 0 and was ignored")
        slope = intercept = None
    if slope is not None or intercept is not None:
        _set_number(description, "RescaleSlope", 1 if slope is None else slope)
        _set_number(description, "RescaleIntercept", 0 if intercept is None else intercept)
    return description


def _read_window(dataset: pydicom.Dataset, notes: list[str]) -> tuple[float, float, str] | None:
    """Return center, width and function of the first valid window; None if there is none."""
    function = text_of(dataset, "VOILUTFunction").upper()
    function = function if function in _FUNCTIONS else "LINEAR"
    centers = numbers_of(dataset, "WindowCenter")
    widths = numbers_of(dataset, "WindowWidth")
    least = _FUNCTIONS[function]
    for center, width in zip(centers, widths, strict=False):
        if center is not None and width is not None and width >= least and width > 0:
            return center, width, function
    if any(value is not None for value in (*centers, *widths)):
        notes.append("its window is not valid and was ignored")
    return None


def _apply(
    function: Callable[[np.ndarray, pydicom.Dataset], np.ndarray], levels: np.ndarray, dataset: pydicom.Dataset
) -> np.ndarray | None:
    """Apply one of pydicom's functions to the levels; None if it fails or a result is not finite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            displayed = function(levels, dataset)
        except MemoryError:
            raise
        except Exception:  # invalid values raise arbitrary exceptions
            return None
    return displayed if displayed.shape == levels.shape and np.isfinite(displayed).all() else None


def _set_number(dataset: pydicom.Dataset, keyword: str, value: float) -> None:
    """Set a decimal string (DS) as a number that may exceed its 16 characters."""
    dataset[keyword] = pydicom.DataElement(keyword, "DS", float(value), already_converted=True)


def _remove(dataset: pydicom.Dataset, keyword: str) -> None:
    if keyword in dataset:
        del dataset[keyword]
