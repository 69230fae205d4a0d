"""Read Darwin JSON, the annotation format of V7 Labs: version 1 (image) and version 2 (item)."""

from typing import Any, NamedTuple

import cv2
import numpy as np


class Image(NamedTuple):
    """The image of an annotation."""

    name: str  # of its file, as the darwin tool stores it
    original: str  # file name in its original collection
    height: int  # pixels
    width: int


def describe_image(annotation: dict[str, Any]) -> Image:
    """Return the image of an annotation.

    Raises:
        KeyError, IndexError, TypeError, ValueError: the annotation is not valid.
    """
    if "item" in annotation:
        item = annotation["item"]
        slot = item["slots"][0]
        return Image(item["name"], slot["source_files"][0]["file_name"], int(slot["height"]), int(slot["width"]))
    image = annotation["image"]
    return Image(image["filename"], image["original_filename"], int(image["height"]), int(image["width"]))


def draw_polygons(annotation: dict[str, Any], name: str) -> np.ndarray:
    """Draw the polygons with a name: uint8 [height, width], 1 inside; a polygon with several paths has holes."""
    image = describe_image(annotation)
    mask = np.zeros((image.height, image.width), np.uint8)
    for entry in annotation["annotations"]:
        polygon = entry.get("polygon") or entry.get("complex_polygon")
        if entry["name"] != name or not polygon:
            continue
        paths = polygon.get("paths") or polygon["path"]
        paths = paths if isinstance(paths[0], list) else [paths]
        corners = [np.rint([(point["x"], point["y"]) for point in path]).astype(np.int32) for path in paths]
        mask |= np.asarray(cv2.fillPoly(np.zeros_like(mask), corners, 1), np.uint8)
    return mask
