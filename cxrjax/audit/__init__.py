"""How much of a score a shortcut reaches: controls of a trained classifier and of its data, and a verdict in words.

The method is that of DeGrave, Janizek & Lee 2021 (Nature Machine Intelligence 3:610) and of Maguolo & Nanni 2021
(Information Fusion 76:1): what a network finds where no disease can be seen was learned from something else.
"""

from cxrjax.audit.run import audit, summarize

__all__ = ["audit", "summarize"]
