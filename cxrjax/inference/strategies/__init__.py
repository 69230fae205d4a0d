"""Patch strategies: what the classifier reads of a radiograph, one module per value of `patches.mode`."""

from cxrjax.inference.strategies import local_patches, lung_box, sliding_windows, whole_radiograph
from cxrjax.inference.strategies.base import PatchStrategy

STRATEGIES = {
    "local": local_patches.STRATEGY,
    "dense": sliding_windows.STRATEGY,
    "global": whole_radiograph.STRATEGY,
    "lung_bbox": lung_box.STRATEGY,
}


def choose(patch_mode: str) -> PatchStrategy:
    """Return the strategy of a patch mode.

    Raises:
        ValueError: There is no such mode.
    """
    if patch_mode not in STRATEGIES:
        raise ValueError(f"no patches.mode called {patch_mode!r}; there are {', '.join(STRATEGIES)}")
    return STRATEGIES[patch_mode]
