"""Which folder of a path names the class, which the split, and which holds masks."""

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import NamedTuple

from data_prep.collections.cells import split_of_folder, splits_in_folder
from data_prep.record import PreparationError

_MASKS = re.compile(
    r".*masks?.*|.*masques?|.*masken|.*mascaras?|.*segmentations?(class|object|maps?)?|(lung|heart)?segs?|.*annotations?"
    r"|.*groundtruths?|gts?|labelmaps?|.*contours?|.*(overlay|heatmap|outline|saliencymap|boundingboxe?|bboxe?)s?|rois?"
)
_BESIDE_IMAGES = frozenset(
    ("label", "labels", "lung", "lungs", "heart", "target", "targets")
)  # masks, where images are
_IMAGES = frozenset(
    ("image", "images", "img", "imgs", "cxr", "cxrs", "cxrpng", "xray", "xrays", "radiograph", "radiographs", "data")
    + ("original", "originals", "picture", "pictures", "scans", "imagespng")
)
_MASK_STEM = re.compile(r".+[_\- .](?:lung)?masks?|masks?[_\- .].+", re.IGNORECASE)
_SEGMENTATION_STEM = re.compile(
    r"(.+?)[_\- .](?:segs?|segmentation|annotation|gt|lungs?|labels?|contours?|overlay|outline|roi|heatmap|bbox)"
    r"|(.+?)[_\- .]?(?:lung)?masks?(?:[_\- .].*)?",
    re.IGNORECASE,
)


class Layout(NamedTuple):
    """Where in the path of a file, relative to the folder of all, its class and its split stand; None for no split."""

    label: int
    split: int | None = None

    def place(self, path: PurePath) -> tuple[str, str]:
        """The class and the split of a file; "" for a class that its path does not name."""
        folders = path.parts[:-1]
        label = folders[self.label] if len(folders) > self.label else ""
        split = split_of_folder(folders[self.split]) if self.split is not None and len(folders) > self.split else ""
        return label, split


def find_layout(paths: Sequence[PurePath], root: str) -> Layout:
    """Tells how a folder is laid out: by class; by split and class; or by class and split.

    Args:
        paths: of the radiographs, relative to the folder, without masks and loose files.
        root: what to call the folder in errors.

    Raises:
        PreparationError: the folders are no classes: splits beside classes, splits without classes, or images and
            masks.
    """
    top = _find_splits(paths)
    if top is not None:
        return _place_classes(paths, top, root)
    if _are_splits(_names(paths, 1)) and all(len(path.parts) > 2 for path in paths):
        return Layout(label=0, split=1)
    _refuse_images(_names(paths, 0), root)
    _refuse_joined(_names(paths, 0), root)
    return Layout(label=0)


def _find_splits(paths: Sequence[PurePath]) -> int | None:
    """The depth of folders named as splits, in the folder of all or inside single folders, as archives unpack."""
    depth = 0
    while names := _names(paths, depth):
        if any(map(split_of_folder, names)):
            return depth
        if len(names) > 1:
            return None
        depth += 1
    return None


def _place_classes(paths: Sequence[PurePath], top: int, root: str) -> Layout:
    """The layout where folders at a depth are named as splits."""
    names = _names(paths, top)
    splits = sorted(filter(split_of_folder, names))
    if others := sorted(names - set(splits)):
        raise PreparationError(
            f"{root}: {_join(splits)} by name a split, and {_join(others)} not; give a folder of classes, or "
            "one of splits that hold a folder for every class"
        )
    inside = [path for path in paths if len(path.parts) > top + 2]
    has_classes = inside and not _are_images(_names(inside, top + 1))
    if top and not has_classes and not _are_images(_names(paths, top - 1)):
        return Layout(label=top - 1, split=top)
    bare = sorted(set(splits) - {path.parts[top] for path in inside})
    if bare or not has_classes:
        raise PreparationError(
            f"{root}: {_join(bare or splits)} by name a split, and without a folder for every class in it; a table can "
            "give the labels (data_prep table --csv=TABLE.csv)"
        )
    return Layout(label=top + 1, split=top)


def _refuse_images(names: set[str], root: str) -> None:
    if images := sorted(name for name in names if _are_images({name})):
        raise PreparationError(
            f"{root}: {_join(images)} no class; give a folder that holds a folder for every class, or a "
            "table (data_prep table --csv=TABLE.csv, columns path and label, and mask for lung masks)"
        )


def _refuse_joined(names: set[str], root: str) -> None:
    """Refuses folders such as train_NORMAL and test_NORMAL."""
    if len(set().union(*map(splits_in_folder, names))) > 1:
        joined = sorted(filter(splits_in_folder, names))
        raise PreparationError(
            f"{root}: {_join(joined)} by name a split and a class in one; give a folder of splits that hold a folder "
            "for every class, or a table (data_prep table --csv=TABLE.csv, columns path, label and split)"
        )


def is_mask(path: PurePath, stems: frozenset[tuple[PurePath, str]], holders: frozenset[PurePath]) -> bool:
    """Whether a file is a mask or an overlay and no radiograph, by one of its folders or by its name.

    Args:
        path: relative to the folder of all.
        stems: folder and stem of all files: "a_seg.png" is a mask if "a" lies beside it, "a_mask.png" in any case.
        holders: of `find_holders`: a folder "labels" holds masks if it lies beside a folder of images.
    """
    for folder in path.parents:
        name = _squash(folder.name)
        if _MASKS.fullmatch(name) or (name in _BESIDE_IMAGES and folder.parent in holders):
            return True
    if _MASK_STEM.fullmatch(path.stem):
        return True
    pair = _SEGMENTATION_STEM.fullmatch(path.stem)
    return pair is not None and (path.parent, pair[1] or pair[2]) in stems


def find_holders(paths: Iterable[PurePath]) -> frozenset[PurePath]:
    """The folders that hold a folder named as one of images."""
    folders = {folder for path in paths for folder in path.parents}
    return frozenset(folder.parent for folder in folders if _are_images({folder.name}))


def _names(paths: Sequence[PurePath], level: int) -> set[str]:
    """Names of the folders at a depth."""
    return {path.parts[level] for path in paths if len(path.parts) > level + 1}


def _are_splits(names: set[str]) -> bool:
    return bool(names) and all(map(split_of_folder, names))


def _are_images(names: set[str]) -> bool:
    return bool(names) and all(_squash(name) in _IMAGES for name in names)


def _squash(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _join(names: Sequence[str]) -> str:
    """The names and their verb: "train is", "test and train are"."""
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"{listed} {'is' if len(names) == 1 else 'are'}"
