"""The phantom: made-up chest radiographs whose anatomy and lesions are known to the pixel."""

from data_prep.example import LABELS
from data_prep.phantom.draw import Phantom, draw

__all__ = ["LABELS", "Phantom", "draw"]
