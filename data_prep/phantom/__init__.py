"""The phantom: synthetic chest radiographs with exactly known anatomy and lesions."""

from cxrjax.config import LABELS
from data_prep.phantom.draw import Phantom, draw

__all__ = ["LABELS", "Phantom", "draw"]
