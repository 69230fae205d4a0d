"""Colors and resolution of all figures, and wrapping of their texts; without Matplotlib, which takes long to import.

The colors follow Okabe and Ito (Color Universal Design, 2008), so that color-blind readers can distinguish them; those
of captions are darkened to be readable as text. Saliency maps are in inferno, which is perceptually uniform.
"""

import textwrap

BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#007A5A"
RED = "#C84A00"
PURPLE = "#A8518A"
SKY = "#56B4E9"
INK = "#222222"
FAINT = "#6B6B6B"
PALE = "#A8A8A8"
GRID = "#E6E6E6"
PAPER = "#FDFCFA"  # of the report's page; behind labels that lie on a line
# The same colors on a dark page, `cxrjax/report/templates/style.css`.
DARK = {
    BLUE: "#5AB4EE",
    ORANGE: "#F0B94A",
    GREEN: "#4CC9A4",
    RED: "#FF9C66",
    PURPLE: "#D795C4",
    SKY: "#8FD0F5",
    INK: "#E9E5DE",
    FAINT: "#AAA398",
    PALE: "#7D776D",
    GRID: "#3B3833",
    PAPER: "#171614",
}
RIGHT = GREEN  # captions of correct predictions
WRONG = RED  # captions of wrong predictions
MARKERS = "os^D"  # of the curves of a figure, in turn
DOTS_PER_INCH = 150


def wrap(text: str, width: int) -> list[str]:
    """Wrap a text into lines of at most `width` characters; at least one line is returned."""
    return [part for line in text.splitlines() for part in textwrap.wrap(line, width) or [""]] or [""]
