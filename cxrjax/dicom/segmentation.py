"""Segmentation object (PS3.3 A.51): lungs and heart of a prediction as one binary frame each."""

from typing import NamedTuple

import highdicom as hd
import numpy as np
from jaxtyping import Bool, UInt8
from pydicom.sr.codedict import codes as dicom_codes

from cxrjax.dicom import codes
from cxrjax.dicom.identity import Identity
from cxrjax.dicom.source import Source
from cxrjax.ops import lung_masks

_HEART = lung_masks.STRUCTURES.index("heart")
_LEFT_LUNG = lung_masks.STRUCTURES.index("left lung")
_RIGHT_LUNG = lung_masks.STRUCTURES.index("right lung")


class Structure(NamedTuple):
    """A structure that is one segment.

    Attributes:
        name: of the structure.
        code: of the structure.
        color: RGB that a viewer should show it in.
        mask: bool [H, W], upright.
    """

    name: str
    code: hd.sr.CodedConcept
    color: tuple[int, int, int]
    mask: Bool[np.ndarray, "h w"]


def find_structures(label_map: UInt8[np.ndarray, "h w"] | None) -> list[Structure]:
    """Return the structures of a label map; their numbers as segments are their places, from 1.

    The lungs are one structure without a side if their labels do not lie as in an upright frontal radiograph, the
    patient's left lung at the right of the image: as where the image is mirrored, one lung is missing, or the
    segmenter was trained on both lungs as one.

    Args:
        label_map: upright; None without a segmenter.
    """
    if label_map is None:
        return []
    left = label_map == _LEFT_LUNG
    right = label_map == _RIGHT_LUNG
    if left.any() and right.any() and _mean_column(left) > _mean_column(right):
        structures = [
            Structure("left lung", codes.LEFT_LUNG, (0, 114, 178), left),
            Structure("right lung", codes.RIGHT_LUNG, (86, 180, 233), right),
        ]
    else:
        structures = [Structure("lungs", codes.BOTH_LUNGS, (0, 114, 178), left | right)]
    structures.append(Structure("heart", codes.HEART, (213, 94, 0), label_map == _HEART))
    return [structure for structure in structures if structure.mask.any()]


def _mean_column(mask: Bool[np.ndarray, "h w"]) -> float:
    """Return the mean column of the pixels of a mask that is not empty."""
    counts = mask.sum(0)
    return float(counts @ np.arange(len(counts)) / counts.sum())


def build(structures: list[Structure], source: Source, identity: Identity) -> hd.seg.Segmentation:
    """Build the Segmentation of at least one structure, in the raster of the source."""
    algorithm = hd.AlgorithmIdentificationSequence(
        name="cxrjax",
        family=dicom_codes.DCM.ArtificialIntelligence,
        version=identity.version,
        source="cxrjax",
        parameters={"purpose": identity.purpose, "weights SHA-256": identity.weights_sha256},
    )
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=structure.name.capitalize(),
            segmented_property_category=codes.ANATOMICAL_STRUCTURE,
            segmented_property_type=structure.code,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            tracking_uid=identity.uid("tracking", structure.name),
            tracking_id=structure.name,
            display_color=hd.color.CIELabColor.from_rgb(*structure.color),
        )
        for number, structure in enumerate(structures, 1)
    ]
    masks = np.stack([source.turn.undo(structure.mask) for structure in structures], axis=-1)
    dataset = hd.seg.Segmentation(
        source_images=[source.describe()],
        pixel_array=masks[None],
        segmentation_type="BINARY",
        segment_descriptions=descriptions,
        content_label="LUNGS_HEART",
        content_description=f"Lungs and heart; {identity.purpose}",
        omit_empty_frames=False,
        **identity.equipment("segmentation", number=9701),
    )
    for item in (dataset.DimensionOrganizationSequence[0], *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = identity.uid("dimensions")  # highdicom's is another one each time
    return dataset
