"""cxrjax: find the lungs of a chest radiograph, vote on what is in them, and show where it was seen.

For research, not for diagnosis.
"""

__version__ = "0.1.0"
