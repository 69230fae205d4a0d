"""Structured Report (PS3.3 A.35.3) by the template Measurement Report (PS3.16 TID 1500)."""

import math
from typing import TYPE_CHECKING

import highdicom as hd
import pydicom
from pydicom.sr.codedict import codes as dicom_codes

from cxrjax.dicom import codes
from cxrjax.dicom.identity import Identity
from cxrjax.dicom.segmentation import Structure
from cxrjax.dicom.source import Source

if TYPE_CHECKING:
    from cxrjax.inference.prediction import Prediction

_AREAS = {"left lung": "left_lung_area_mm2", "right lung": "right_lung_area_mm2", "lungs": "lung_area_mm2"}


def build(
    prediction: "Prediction",
    structures: list[Structure],
    segmentation: hd.seg.Segmentation | None,
    source: Source,
    identity: Identity,
) -> hd.sr.ComprehensiveSR:
    """Build the report of a prediction.

    Args:
        prediction: the prediction.
        structures: the segments, in the order of their numbers.
        segmentation: the object that has them; None if there is none.
        source: the radiograph.
        identity: of the results.
    """
    groups: list[hd.sr.MeasurementsAndQualitativeEvaluations | hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations]
    groups = [_describe_radiograph(prediction, source, identity)]
    if segmentation is not None:
        groups += [
            _describe_structure(prediction, structure, number, segmentation, source, identity)
            for number, structure in enumerate(structures, 1)
        ]
    groups += [_describe_class(prediction, name, source, identity) for name in prediction.votes]
    observer = hd.sr.ObserverContext(
        observer_type=dicom_codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=identity.device_uid,
            name=f"cxrjax {identity.version}",
            manufacturer_name="cxrjax",
            model_name=f"cxrjax ({identity.purpose})",
            serial_number=identity.weights_sha256,
        ),
    )
    radiograph = source.describe()
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.CHEST_RADIOGRAPHY,
        imaging_measurements=groups,
        title=dicom_codes.DCM.ImagingMeasurementReport,
    )
    return hd.sr.ComprehensiveSR(
        evidence=[radiograph] if segmentation is None else [radiograph, segmentation],
        content=content[0],
        is_complete=True,
        is_verified=False,
        coding_schemes=codes.schemes(),
        **identity.equipment("report", number=9703),
    )


def _describe_radiograph(
    prediction: "Prediction", source: Source, identity: Identity
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    """Return the measurements and answers that concern the radiograph as a whole, and comments."""
    ratio = prediction.lung_geometry.get("cardiothoracic_ratio", math.nan)
    measurements = _measure(codes.CARDIOTHORACIC_RATIO, ratio, codes.NO_UNITS)
    measurements += _measure(codes.LUNG_CONFIDENCE, prediction.lung_confidence, codes.NO_UNITS)
    measurements += _measure(codes.CONFIDENCE, prediction.confidence, codes.NO_UNITS)
    answers = []
    if prediction.num_patches is not None:
        measurements += _measure(codes.NUM_PATCHES, prediction.num_patches, codes.PATCHES)
    elif prediction.votes:
        label = codes.NO_LABEL if prediction.label is None else codes.of_class(prediction.label)
        answers.append(hd.sr.QualitativeEvaluation(codes.LABEL, label))
    if prediction.decision:
        answers.append(hd.sr.QualitativeEvaluation(codes.DECISION, codes.private(*[prediction.decision] * 2)))
    if prediction.is_ood is not None:
        answers.append(
            hd.sr.QualitativeEvaluation(codes.OUT_OF_DISTRIBUTION, codes.YES if prediction.is_ood else codes.NO)
        )
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_track(identity, "radiograph"),
        algorithm_id=_describe_algorithm(prediction, identity),
        measurements=measurements,
        qualitative_evaluations=answers,
        source_images=[_refer_to(source)],
    )
    for comment in _list_comments(prediction, identity):
        _add_comment(group, comment)
    return group


def _describe_structure(
    prediction: "Prediction",
    structure: Structure,
    number: int,
    segmentation: hd.seg.Segmentation,
    source: Source,
    identity: Identity,
) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """Return the measurements of a segment, with a reference to its frame of the same number."""
    area = prediction.lung_geometry.get(_AREAS.get(structure.name, ""), math.nan)
    segment = hd.sr.ReferencedSegmentationFrame(
        sop_class_uid=segmentation.SOPClassUID,
        sop_instance_uid=segmentation.SOPInstanceUID,
        frame_number=number,
        segment_number=number,
        source_image=hd.sr.SourceImageForSegmentation(source.sop_class, source.sop_instance),
    )
    del segment[0].ReferencedSOPSequence[0].ReferencedSegmentNumber  # the frame says which (PS3.3 10.3)
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_track(identity, structure.name),
        referenced_segment=segment,
        finding_type=structure.code,
        algorithm_id=_describe_algorithm(prediction, identity),
        finding_sites=[hd.sr.FindingSite(structure.code)],
        measurements=_measure(codes.AREA, area, codes.SQUARE_MILLIMETER),
    )


def _describe_class(
    prediction: "Prediction", name: str, source: Source, identity: Identity
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    """Return the votes and the probability of a class or a finding, and whether the finding is predicted."""
    measurements = _measure(codes.VOTES, prediction.votes[name], codes.PATCHES)
    measurements += _measure(codes.PROBABILITY, prediction.probabilities[name], codes.NO_UNITS)
    measurements += _measure(codes.THRESHOLD, prediction.thresholds.get(name, math.nan), codes.NO_UNITS)
    answers = []
    if name in prediction.findings:
        answer = codes.YES if prediction.findings[name] else codes.NO
        answers.append(hd.sr.QualitativeEvaluation(codes.PREDICTED, answer))
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_track(identity, f"class {name}"),
        finding_type=codes.of_class(name),
        algorithm_id=_describe_algorithm(prediction, identity),
        measurements=measurements,
        qualitative_evaluations=answers,
        source_images=[_refer_to(source)],
    )


def _list_comments(prediction: "Prediction", identity: Identity) -> list[str]:
    """Return sentences of the prediction and its model."""
    comments = [f"For {identity.purpose}."]
    if prediction.notice:
        comments.append(prediction.notice)
    if prediction.thresholds:
        comments.append(prediction.threshold_note)
    if prediction.ood_reason:
        comments.append(f"Unlike the training radiographs: {prediction.ood_reason}.")
    if prediction.reason:
        comments.append(f"Note: {prediction.reason}.")
    return comments


def _describe_algorithm(prediction: "Prediction", identity: Identity) -> hd.sr.AlgorithmIdentification:
    info = prediction.model_info
    parameters = [f"weights SHA-256 {identity.weights_sha256}", f"networks {', '.join(info.architectures)}"]
    parameters.append(f"training step {info.step}")
    if info.calibration:
        parameters.append(codes.clean(f"temperature of the probabilities {info.calibration}"))
    return hd.sr.AlgorithmIdentification(
        name=f"cxrjax ({identity.purpose})", version=identity.version, parameters=parameters
    )


def _measure(name: hd.sr.CodedConcept, value: float, unit: hd.sr.CodedConcept) -> list[hd.sr.Measurement]:
    """Return a measurement; [] if its value is NaN."""
    return [] if math.isnan(value) else [hd.sr.Measurement(name=name, value=value, unit=unit)]


def _refer_to(source: Source) -> hd.sr.SourceImageForMeasurementGroup:
    return hd.sr.SourceImageForMeasurementGroup(source.sop_class, source.sop_instance)


def _track(identity: Identity, name: str) -> hd.sr.TrackingIdentifier:
    return hd.sr.TrackingIdentifier(uid=identity.uid("tracking", name), identifier=codes.clean(name))


def _add_comment(group: pydicom.Sequence, text: str) -> None:
    """Add a comment to the container of a measurement group."""
    item = hd.sr.TextContentItem(name=codes.COMMENT, value=text, relationship_type="CONTAINS")
    group[0].ContentSequence.append(item)
