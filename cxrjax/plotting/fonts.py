"""Font of the figures that Pillow draws."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

from cxrjax.plotting import palette


@lru_cache
def load_font(points: float, *, is_bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font of all figures, a file of Matplotlib, which is not imported."""
    package = find_spec("matplotlib")
    assert package is not None and package.submodule_search_locations is not None
    name = "DejaVuSans-Bold.ttf" if is_bold else "DejaVuSans.ttf"
    path = Path(package.submodule_search_locations[0], "mpl-data", "fonts", "ttf", name)
    return ImageFont.truetype(path, points * palette.DOTS_PER_INCH / 72)
