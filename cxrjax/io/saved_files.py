"""Kinds of files that a prediction is saved as, and what their names end in."""

from collections.abc import Sequence

# Kind -> name of each of its files, which is its column in predictions.csv -> what follows the radiograph's name.
KINDS = {
    "figure": {"figure": ".figure.png"},
    "mask": {"mask": ".mask.png"},
    "map": {"map": ".map.png", "map_npy": ".map.npy"},
    "overlay": {"overlay": ".overlay.png"},
    "json": {"json": ".prediction.json"},
    "embedding": {"embedding": ".embedding.npz"},
    "dicom": {
        "dicom_segmentation": ".segmentation.dcm",
        "dicom_overlay": ".overlay.dcm",
        "dicom_report": ".report.dcm",
    },
}
SUFFIXES = {name: suffix for files in KINDS.values() for name, suffix in files.items()}


def list_files(kinds: Sequence[str]) -> list[str]:
    """Return the names of the files of some kinds, keys of SUFFIXES in their order.

    Raises:
        ValueError: there is no such kind.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is not a kind of file of a prediction; there are {', '.join(KINDS)}")
    return [name for kind, files in KINDS.items() if kind in kinds for name in files]
