"""The page and its files: the template with the model's card, style, script and color scale."""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files

import jinja2

from cxrjax import plotting
from cxrjax.runtime.formatting import format_label
from cxrjax.serve.card import ModelCard

_SCALE_LENGTH = 256  # pixels
FORMATS = ".png,.jpg,.jpeg,.tif,.tiff,.webp,.bmp,.dcm,.dicom,.npy,.img"


def render(card: ModelCard, max_bytes: int) -> str:
    """Return the page as HTML; all text of the card is escaped.

    Args:
        card: of the model.
        max_bytes: of one upload.
    """
    opacity = round(100 * plotting.OPACITY)
    names = {label: format_label(label) for label in card.classes}
    return _template().render(card=card, max_bytes=max_bytes, formats=FORMATS, opacity=opacity, label_names=names)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cxrjax.serve", "static"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


@cache
def _style() -> str:
    """Return the style of reports, and what the page adds to it."""
    report = files("cxrjax.report").joinpath("templates", "style.css").read_text()
    return report + files("cxrjax.serve").joinpath("static", "page.css").read_text()


@cache
def _script() -> str:
    return files("cxrjax.serve").joinpath("static", "page.js").read_text()


@cache
def _color_scale() -> bytes:
    return plotting.encode_color_scale(_SCALE_LENGTH)


# Name -> function that returns the content, media type.
ASSETS: Mapping[str, tuple[Callable[[], str | bytes], str]] = {
    "style.css": (_style, "text/css"),
    "page.js": (_script, "text/javascript"),
    "scale.png": (_color_scale, "image/png"),
}
