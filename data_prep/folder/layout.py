"""Find out which folder of a path names the class, which names the split, and which holds masks."""

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
# Folders of masks, if they are beside a folder of images.
_BESIDE_IMAGES = frozenset(("label", "labels", "lung", "lungs", "heart", "target", "targets"))
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
    """Depth of the folders that name the class and the split, in paths relative to the root; None for no split."""

    label: int
    split: int | None = None

    def classify(self, path: PurePath) -> tuple[str, str]:
        """Return the class and the split of a file; "" if its path does not name them."""
        folders = path.parts[:-1]
        label = folders[self.label] if len(folders) > self.label else ""
        split = split_of_folder(folders[self.split]) if self.split is not None and len(folders) > self.split else ""
        return label, split


def find_layout(paths: Sequence[PurePath], root: str) -> Layout:
    """Return the layout of a folder: by class; by split and class; or by class and split.

    Args:
        paths: of the radiographs, relative to the folder, without masks and without files at the top.
        root: name of the folder in errors.

    Raises:
        PreparationError: the folders are not classes: splits beside classes, splits without classes, or images and
            masks.
    """
    depth = _find_splits(paths)
    if depth is not None:
        return _find_classes(paths, depth, root)
    if _are_splits(_folder_names(paths, 1)) and all(len(path.parts) > 2 for path in paths):
        return Layout(label=0, split=1)
    _reject_images(_folder_names(paths, 0), root)
    _reject_joined(_folder_names(paths, 0), root)
    return Layout(label=0)


def _find_splits(paths: Sequence[PurePath]) -> int | None:
    """Return the depth of folders named like splits, at the top or inside single folders, as archives unpack."""
    depth = 0
    while names := _folder_names(paths, depth):
        if any(map(split_of_folder, names)):
            return depth
        if len(names) > 1:
            return None
        depth += 1
    return None


def _find_classes(paths: Sequence[PurePath], depth: int, root: str) -> Layout:
    """Return the layout of a folder whose folders at `depth` are named like splits."""
    names = _folder_names(paths, depth)
    splits = sorted(filter(split_of_folder, names))
    if others := sorted(names - set(splits)):
        raise PreparationError(
            f"{root}: {_join(splits)} named like a split, but {_join(others)} not; give a folder of classes, or "
            "a folder of splits that each hold one folder per class"
        )
    nested = [path for path in paths if len(path.parts) > depth + 2]
    has_classes = nested and not _are_images(_folder_names(nested, depth + 1))
    if depth and not has_classes and not _are_images(_folder_names(paths, depth - 1)):
        return Layout(label=depth - 1, split=depth)
    without_classes = sorted(set(splits) - {path.parts[depth] for path in nested})
    if without_classes or not has_classes:
        raise PreparationError(
            f"{root}: {_join(without_classes or splits)} named like a split, but without one folder per class; a table "
            "can give the labels (data_prep table --csv=TABLE.csv)"
        )
    return Layout(label=depth + 1, split=depth)


def _reject_images(names: set[str], root: str) -> None:
    if images := sorted(name for name in names if _are_images({name})):
        raise PreparationError(
            f"{root}: {_join(images)} not named like a class; give a folder that holds one folder per class, or a "
            "table (data_prep table --csv=TABLE.csv, columns path and label, and mask for lung masks)"
        )


def _reject_joined(names: set[str], root: str) -> None:
    """Reject folders such as train_NORMAL and test_NORMAL."""
    if len(set().union(*map(splits_in_folder, names))) > 1:
        joined = sorted(filter(splits_in_folder, names))
        raise PreparationError(
            f"{root}: {_join(joined)} named like a split and a class in one; give a folder of splits that each hold "
            "one folder per class, or a table (data_prep table --csv=TABLE.csv, columns path, label and split)"
        )


def is_mask(path: PurePath, stems: frozenset[tuple[PurePath, str]], image_parents: frozenset[PurePath]) -> bool:
    """Return whether a file is a mask or an overlay, by its name or the name of one of its folders.

    Args:
        path: relative to the root.
        stems: folder and stem of all files: "a_seg.png" is a mask if a file "a" is beside it, "a_mask.png" always.
        image_parents: see `find_image_parents`: a folder "labels" holds masks if it is beside a folder of images.
    """
    for folder in path.parents:
        name = _normalize(folder.name)
        if _MASKS.fullmatch(name) or (name in _BESIDE_IMAGES and folder.parent in image_parents):
            return True
    if _MASK_STEM.fullmatch(path.stem):
        return True
    match = _SEGMENTATION_STEM.fullmatch(path.stem)
    return match is not None and (path.parent, match[1] or match[2]) in stems


def find_image_parents(paths: Iterable[PurePath]) -> frozenset[PurePath]:
    """Return the folders that contain a folder named like a folder of images."""
    folders = {folder for path in paths for folder in path.parents}
    return frozenset(folder.parent for folder in folders if _are_images({folder.name}))


def _folder_names(paths: Sequence[PurePath], depth: int) -> set[str]:
    """Return the names of the folders at a depth."""
    return {path.parts[depth] for path in paths if len(path.parts) > depth + 1}


def _are_splits(names: set[str]) -> bool:
    return bool(names) and all(map(split_of_folder, names))


def _are_images(names: set[str]) -> bool:
    return bool(names) and all(_normalize(name) in _IMAGES for name in names)


def _normalize(name: str) -> str:
    """Return the letters and digits of a name in lower case."""
    return re.sub(r"[\W_]+", "", name.lower())


def _join(names: Sequence[str]) -> str:
    """Return the names and their verb: "train is", "test and train are"."""
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"{listed} {'is' if len(names) == 1 else 'are'}"
