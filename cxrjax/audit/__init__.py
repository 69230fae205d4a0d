"""Audit of a score: control experiments on a trained classifier and its data that measure the effect of shortcuts.

The method is that of DeGrave, Janizek & Lee 2021 (Nature Machine Intelligence 3:610) and of Maguolo & Nanni 2021
(Information Fusion 76:1): if a network predicts the label from images in which no disease is visible, it has learned
something else.
"""

from cxrjax.audit.run import audit, summarize

__all__ = ["audit", "summarize"]
