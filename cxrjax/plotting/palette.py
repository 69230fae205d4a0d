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
RIGHT = GREEN  # captions of correct predictions
WRONG = RED  # captions of wrong predictions
MARKERS = "os^D"  # of the curves of a figure, in turn
DOTS_PER_INCH = 150


def wrap(text: str, width: int) -> list[str]:
    """Wrap a text into lines of at most `width` characters; at least one line is returned."""
    return [part for line in text.splitlines() for part in textwrap.wrap(line, width) or [""]] or [""]
