"""Examples of phantoms."""

from data_prep.example import STRUCTURES, Example, encode_png
from data_prep.phantom.draw import Phantom
from data_prep.record import Record

LICENSE = "CC0-1.0"


def make_example(record: Record, phantom: Phantom, upstream_label: str) -> Example:
    """Return the example of a phantom.

    Args:
        record: names the label, the patient, the source and, of several findings, these.
        phantom: its image, truth and patient.
        upstream_label: what is drawn, whatever the labels say.
    """
    height, width = phantom.pixels.shape
    return Example(
        id=record.id,
        path=f"{record.id}.png",
        image=encode_png(phantom.pixels),
        height=height,
        width=width,
        label=record.label,
        upstream_label=upstream_label,
        patient_id=record.patient_id,
        source=record.source,
        view=phantom.view,
        sex=phantom.sex,
        age=phantom.age,
        spacing=(phantom.spacing, phantom.spacing),
        mask=encode_png(phantom.structures),
        mask_kind=STRUCTURES,
        lesions=encode_png(phantom.lesions),
        license=LICENSE,
        findings=record.findings,
    )
