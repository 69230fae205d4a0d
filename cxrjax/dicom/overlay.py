"""Secondary Capture (PS3.3 A.8): the lung contour and the saliency map over the radiograph."""

from typing import TYPE_CHECKING

import highdicom as hd
import pydicom

from cxrjax import plotting
from cxrjax.dicom import codes
from cxrjax.dicom.identity import Identity
from cxrjax.dicom.source import Source
from cxrjax.runtime.formatting import format_label

if TYPE_CHECKING:
    from cxrjax.inference.prediction import Prediction


def build(prediction: "Prediction", source: Source, identity: Identity) -> hd.sc.SCImage:
    """Build the Secondary Capture, in the raster of the source, with the purpose of the software in its pixels."""
    upright = plotting.draw_overlay(prediction.image, prediction.lung_mask, prediction.saliency, prediction.frame)
    lines = [identity.purpose]
    if prediction.saliency is not None and prediction.saliency_label is not None:
        lines.append(f"saliency map of {format_label(prediction.saliency_label)}")
    dataset = hd.sc.SCImage(
        pixel_array=plotting.burn_in(source.turn.undo(upright), lines),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=source.study,
        patient_orientation=source.orientation or ("L", "F"),
        pixel_spacing=source.spacing,
        **identity.equipment("overlay", number=9702),
    )
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = codes.clean("; ".join(lines))
    if source.is_burned_in:
        dataset.BurnedInAnnotation = "YES"
    reference = pydicom.Dataset()
    reference.ReferencedSOPClassUID = source.sop_class
    reference.ReferencedSOPInstanceUID = source.sop_instance
    dataset.SourceImageSequence = [reference]
    return dataset
