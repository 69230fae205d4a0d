"""Arrays and open radiographs to the square uint8 images that networks read."""

from typing import Any, NamedTuple, Self

import numpy as np

from cxrjax.config import Config
from cxrjax.data import preprocessing
from cxrjax.io import gray_levels
from cxrjax.io.crop import Frame
from cxrjax.io.decoding import SMALLEST_SIDE
from cxrjax.io.types import Radiograph
from cxrjax.runtime.errors import CxrjaxError


class ImageRefusedError(CxrjaxError, ValueError):
    """A readable image for which no prediction is made.

    Attributes:
        path: the file, or a name of the array such as "image 3".
        reason: a sentence without the path.
        view: the view that the header of the file states; "" if it is not known.
    """

    def __init__(self, path: str, reason: str, *, view: str = ""):
        super().__init__(path, reason)
        self.path = path
        self.reason = reason
        self.view = view

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class InputSpec(NamedTuple):
    """Preprocessing of radiographs; that of a model is `model.spec.input`.

    Examples:
        >>> import cxrjax as cx
        >>> cx.InputSpec(size=512)
        InputSpec(size=512, gamma=0.5, equalize=True, borders='uniform')
    """

    size: int = 1024  # side of the square image, in pixels
    gamma: float = 0.5  # exponent after histogram equalization; below 1 brightens
    equalize: bool = True  # False keeps the gray levels, at 8 bit
    borders: str = "uniform"  # method to find the borders, which are cropped; see `cxrjax.io.borders.find`

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Return the specification of a run's config."""
        image = config.image
        return cls(size=image.size, gamma=image.gamma, equalize=image.equalize, borders=image.borders)


def preprocess(image: Any, spec: InputSpec, *, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """Convert a radiograph to the square 8-bit image that networks read: borders off, histogram equalized, resized.

    Args:
        image: a `Radiograph`, or an array [H, W] of native gray levels, bones bright: uint8, uint16, or floats.
        spec: the model's `spec.input`.
        value_range: the least and the greatest value that an array may have. Floats need it.

    Returns:
        uint8 [spec.size, spec.size].

    Raises:
        TypeError: not a radiograph or an array of numbers.
        ValueError: an array of another shape or type, or with values beyond `value_range`.
        ImageRefusedError: all pixels, or all inside the borders, have one value.

    Examples:
        >>> import cxrjax as cx
        >>> radiograph = cx.read_radiograph("patient.png")
        >>> image = cx.preprocess(radiograph, cx.InputSpec(size=256))
        >>> image.shape, image.dtype.name
        ((256, 256), 'uint8')

        Floats need the range that they are in:

        >>> pixels = radiograph.pixels / 255
        >>> same = cx.preprocess(pixels, cx.InputSpec(size=256), value_range=(0, 1))
        >>> abs(same.astype(int) - image).max() <= 1
        np.True_
    """
    return preprocess_in_frame(to_radiograph(image, value_range=value_range), spec)[0]


def preprocess_in_frame(radiograph: Radiograph, spec: InputSpec) -> tuple[np.ndarray, Frame]:
    """Preprocess an open radiograph; see `preprocess`.

    Returns:
        uint8 [spec.size, spec.size], and its frame in the file.

    Raises:
        ImageRefusedError: see `preprocess`.
    """
    height, width = radiograph.pixels.shape
    try:
        borders = preprocessing.find_borders(radiograph, spec.borders)
        pixels = preprocessing.standardize(
            radiograph, size=spec.size, gamma=spec.gamma, equalize=spec.equalize, borders=borders
        )
    except ValueError as error:
        raise ImageRefusedError(radiograph.path, str(error), view=radiograph.view) from None
    return pixels, Frame(height, width, borders.crop)


def to_radiograph(image: Any, *, value_range: tuple[float, float] | None = None, name: str = "image") -> Radiograph:
    """Return an open radiograph as it is, or one that has the pixels of an array.

    Args:
        image: see `preprocess`.
        value_range: see `preprocess`.
        name: what messages call an array.

    Raises:
        TypeError: see `preprocess`.
        ValueError: see `preprocess`.
    """
    if isinstance(image, Radiograph):
        return image
    return Radiograph(_to_pixels(image, value_range, name), name, "array")


def is_array(image: Any) -> bool:
    """Return whether an input is an array of NumPy, JAX or another library that NumPy can convert."""
    return hasattr(image, "__array__")


def _to_pixels(image: Any, value_range: tuple[float, float] | None, name: str) -> np.ndarray:
    """Return an array's gray levels uint8 or uint16 [H, W].

    Raises:
        TypeError: not an array.
        ValueError: another shape, type or range.
    """
    if not is_array(image):
        raise TypeError(f"{name}: {type(image).__name__} is not a path, an array or an open Radiograph")
    values = np.asarray(image)
    if values.ndim != 2:
        raise ValueError(f"{name}: has the shape {values.shape}, and one gray channel [height, width] is needed")
    if min(values.shape) < SMALLEST_SIDE:
        raise ValueError(f"{name}: has the shape {values.shape}, and {SMALLEST_SIDE} pixels a side are needed")
    is_float = np.issubdtype(values.dtype, np.floating)
    if not is_float and values.dtype not in gray_levels.INTEGERS:
        raise ValueError(f"{name}: has the type {values.dtype}, and uint8, uint16 or floats are needed")
    if is_float and value_range is None:
        raise ValueError(f"{name}: holds floats; give the range of their values, as value_range=(0, 1)")
    if value_range is not None:
        try:
            gray_levels.check_range(values, value_range)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if values.min() == values.max():
        raise ImageRefusedError(name, "blank: every pixel is the same")
    if not is_float or value_range is None:
        return values
    return gray_levels.scale(values, value_range)
