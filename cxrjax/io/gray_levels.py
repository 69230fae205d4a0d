"""Gray levels of arrays whose values are in a stated range."""

import numpy as np

LEVELS = 65535  # floats are rounded to this many levels; histograms are equalized by the levels that occur
INTEGERS = (np.dtype(np.uint8), np.dtype(np.uint16))  # types whose values are gray levels as they are


def check_range(values: np.ndarray, value_range: tuple[float, float]) -> None:
    """Check that all values are in a range.

    Raises:
        ValueError: a value is not a number or is beyond the range, or the range is not one; without the array's name.
    """
    low, high = value_range
    if not low < high:
        raise ValueError(f"value_range={value_range} has no room between its ends")
    if np.isnan(values).any():
        raise ValueError("has pixels that are not a number (NaN)")
    least = values.min()
    greatest = values.max()
    if least < low or greatest > high:
        raise ValueError(f"its values go from {least:g} to {greatest:g}, beyond value_range={value_range}")


def scale(values: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """Scale values of any number type to gray levels: uint16, 0 and 65535 at the ends of the range."""
    low, high = value_range
    return np.rint((values.astype(np.float64) - low) / (high - low) * LEVELS).astype(np.uint16)
