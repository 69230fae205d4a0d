"""Darwin JSON, in which V7 Labs' tools write annotations: version 1 (image) and version 2 (item)."""

from typing import Any, NamedTuple

import cv2
import numpy as np


class Image(NamedTuple):
    """The image that an annotation is of."""

    name: str  # of its file, as the darwin tool stores it
    original: str  # its file's name where it came from
    height: int  # pixels
    width: int


def describe_image(annotation: dict[str, Any]) -> Image:
    """The image of an annotation.

    Raises:
        KeyError, IndexError, TypeError, ValueError: not such an annotation.
    """
    if "item" in annotation:
        item = annotation["item"]
        slot = item["slots"][0]
        return Image(item["name"], slot["source_files"][0]["file_name"], int(slot["height"]), int(slot["width"]))
    image = annotation["image"]
    return Image(image["filename"], image["original_filename"], int(image["height"]), int(image["width"]))


def draw_polygons(annotation: dict[str, Any], name: str) -> np.ndarray:
    """What is drawn under a name: uint8 [height, width], 1 inside; a polygon of several paths has holes."""
    image = describe_image(annotation)
    drawn = np.zeros((image.height, image.width), np.uint8)
    for entry in annotation["annotations"]:
        polygon = entry.get("polygon") or entry.get("complex_polygon")
        if entry["name"] != name or not polygon:
            continue
        paths = polygon.get("paths") or polygon["path"]
        paths = paths if isinstance(paths[0], list) else [paths]
        corners = [np.rint([(point["x"], point["y"]) for point in path]).astype(np.int32) for path in paths]
        drawn |= cv2.fillPoly(np.zeros_like(drawn), corners, 1)
    return drawn
