"""DICOM results as other software reads them: pixels, codes, references, and attributes of the patient."""

import shutil
import subprocess
from dataclasses import replace

import highdicom as hd
import numpy as np
import pydicom
import pytest

import cxrjax as cx
from cxrjax import dicom
from cxrjax.dicom import segmentation
from cxrjax.io import dicom_orientation, radiograph
from tests.dicom import conftest as chest

ORIENTATIONS = [None, ("L", "F"), ("R", "F"), ("R", "H"), ("F", "L"), ("H", "R")]
SPACING = {"PixelSpacing": [0.5, 0.2]}
CODES = {"44029006": 2, "3341006": 3, "80891009": 1}  # SNOMED CT: left lung, right lung, heart


def read_back(result, path):
    """Return a result as another program reads its file."""
    path.write_bytes(dicom.encode(result))
    return pydicom.dcmread(path)


def list_items(dataset):
    """Return all items of sequences, however deep."""
    items = [item for element in dataset if element.VR == "SQ" for item in element.value]
    return items + [inner for item in items for inner in list_items(item)]


def list_text(dataset):
    """Return the values of all elements but sequences, one per line."""
    return "\n".join(str(element.value) for element in dataset.iterall() if element.VR != "SQ")


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_segments_are_aligned_with_the_pixels_of_the_file(model, tmp_path, orientation):
    path = tmp_path / "a.dcm"
    photometric = "MONOCHROME1" if orientation == ("R", "F") else "MONOCHROME2"
    chest.save_chest(path, orientation=orientation, PhotometricInterpretation=photometric)
    prediction = model.predict(path)
    source = pydicom.dcmread(path)
    result = hd.seg.Segmentation.from_dataset(read_back(prediction.to_dicom(path)[0], tmp_path / "seg.dcm"))

    numbers = {
        s.segmented_property_type.value: s.segment_number for s in map(result.get_segment_description, (1, 2, 3))
    }
    assert numbers.keys() == CODES.keys() and (result.Rows, result.Columns) == (source.Rows, source.Columns)
    masks = result.get_pixels_by_source_instance([source.SOPInstanceUID])[0]
    turn = dicom_orientation.find_turn(orientation)
    predicted = turn.undo(prediction.to_native(prediction.label_map))
    drawn = turn.undo(chest.draw_labels())
    for code, label in CODES.items():
        mask = masks[..., numbers[code] - 1]
        assert np.array_equal(mask, predicted == label)
        assert (mask & (drawn == label)).sum() > 0.95 * (mask | (drawn == label)).sum()


@pytest.mark.parametrize("orientation", [None, ("F", "L")])
def test_overlay_has_the_orientation_and_size_of_the_file(model, tmp_path, orientation):
    path = tmp_path / "a.dcm"
    chest.save_chest(path, orientation=orientation)
    prediction = replace(model.predict(path), saliency=None)
    overlay = read_back(prediction.to_dicom(path)[1], tmp_path / "sc.dcm").pixel_array
    pixels = pydicom.dcmread(path).pixel_array
    assert overlay.shape == (*pixels.shape, 3)
    upper = slice(0, round(0.85 * len(pixels)))  # the text is below
    is_gray = np.ptp(overlay.astype(int), axis=2) == 0
    drawn = dicom_orientation.find_turn(orientation).undo(chest.draw_labels())
    is_far = is_gray & (drawn == 1)  # the heart has no contour
    assert is_far[upper].sum() > 50 and np.abs(overlay[..., 0][is_far] - 150.0).mean() < 30
    contour = (overlay == (0, 229, 255)).all(2)[upper]
    assert contour.sum() > 100 and (drawn[upper][contour] >= 2).mean() > 0.9


def test_overlay_pixels_state_that_it_is_not_for_diagnosis(model, tmp_path):
    chest.save_chest(tmp_path / "a.dcm")
    prediction = model.predict(tmp_path / "a.dcm")
    overlay = prediction.to_dicom(tmp_path / "a.dcm")[1]
    letters = (overlay.pixel_array == (255, 209, 64)).all(2)
    assert letters.any() and np.nonzero(letters)[0].min() > 0.8 * chest.SHAPE[0]
    assert "research, not for diagnosis" in overlay.DerivationDescription
    assert overlay.SeriesDescription == "cxrjax overlay (research, not for diagnosis)"


def test_structured_report_has_the_numbers_of_the_prediction(model, tmp_path):
    path = tmp_path / "a.dcm"
    chest.save_chest(path, **SPACING)
    prediction = replace(model.predict(path), notice="A stand-in.")
    segments, _, result = prediction.to_dicom(path)
    report = hd.sr.ComprehensiveSR.from_dataset(read_back(result, tmp_path / "sr.dcm"))
    content = report.content
    labels = prediction.to_native(prediction.label_map)
    for number, (code, label) in enumerate(CODES.items(), 1):
        (group,) = content.get_planar_roi_measurement_groups(finding_type=hd.sr.CodedConcept(code, "SCT", "-"))
        images = [item.ReferencedSOPSequence[0] for item in group[0].ContentSequence if item.ValueType == "IMAGE"]
        referenced = [image.ReferencedSOPInstanceUID for image in images]
        assert referenced == [segments.SOPInstanceUID, chest.UIDS["SOPInstanceUID"]]
        assert images[0].ReferencedFrameNumber == number
        assert segments.SegmentSequence[number - 1].SegmentedPropertyTypeCodeSequence[0].CodeValue == code
        areas = [measurement.value for measurement in group.get_measurements()]
        assert areas == ([] if label == 1 else [pytest.approx((labels == label).sum() * 0.1, rel=1e-6)])
    groups = content.get_image_measurement_groups()
    whole, normal, viral = groups
    values = {measurement.name.meaning: measurement.value for measurement in whole.get_measurements()}
    assert values["Cardiothoracic ratio"] == pytest.approx(prediction.lung_geometry["cardiothoracic_ratio"], rel=1e-6)
    assert values["Probability of the label"] == 0.75
    assert [m.value for m in normal.get_measurements()] == [3, 0.25]
    assert [m.value for m in viral.get_measurements()] == [7, 0.75]
    answers = {answer.name.meaning: answer.value.meaning for answer in whole.get_qualitative_evaluations()}
    assert answers == {"Label by the votes of patches": "viral", "Unlike the training radiographs": "Yes"}
    text = list_text(report)
    for expected in (64 * "a", "1.2.3", "For research, not for diagnosis.", "it is drawn", "A stand-in."):
        assert expected in text
    assert report.VerificationFlag == "UNVERIFIED"


def test_structured_report_lists_each_finding_as_predicted_or_not(model, tmp_path):
    path = tmp_path / "a.dcm"
    chest.save_chest(path)
    info = model.predict(path).model_info._replace(temperature={"viral": 1.25})
    several = replace(
        model.predict(path),
        label="viral",
        findings={"normal": False, "viral": True},
        thresholds={"normal": 0.5, "viral": 0.125},
        threshold_note="A finding is predicted from its threshold on.",
        num_patches=10,
        model_info=info,
    )
    content = hd.sr.ComprehensiveSR.from_dataset(several.to_dicom(path)[2]).content
    whole, *groups = content.get_image_measurement_groups()
    answers = [[answer.value.meaning for answer in group.get_qualitative_evaluations()] for group in groups]
    assert answers == [["No"], ["Yes"]]
    assert [answer.name.value for answer in whole.get_qualitative_evaluations()] == ["ood"]
    assert ("num_patches", 10) in [(m.name.value, m.value) for m in whole.get_measurements()]
    thresholds = [m.value for group in groups for m in group.get_measurements() if m.name.value == "threshold"]
    assert thresholds == [0.5, 0.125]
    assert several.threshold_note in list_text(several.to_dicom(path)[2])
    assert "temperature of the probabilities viral 1.25" in list_text(several.to_dicom(path)[2])


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize(("deidentify", "has_lungs"), [(False, True), (True, True), (False, False)])
def test_dciodvfy_finds_no_error(model, tmp_path, deidentify, has_lungs):
    path = tmp_path / "a.dcm"
    labels = chest.draw_labels() * has_lungs
    odd = {"PatientBirthDate": "tomorrow", "PatientSex": "female"}
    chest.save_chest(path, orientation=("R", "F"), labels=labels, **odd, **SPACING)
    for number, result in enumerate(model.predict(path).to_dicom(path, deidentify=deidentify)):
        file = tmp_path / f"{number}.dcm"
        file.write_bytes(dicom.encode(result))
        verdict = subprocess.run(["dciodvfy", file], capture_output=True, text=True).stderr
        assert [line for line in verdict.splitlines() if line.startswith(("Error", "Abort"))] == []


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.7.2", "1.2.3.4.5.6"])
def test_references_have_the_sop_class_of_the_source(model, tmp_path, sop_class):
    """The sources are a multi-frame Secondary Capture of one frame, and a private SOP class."""
    path = tmp_path / "a.dcm"
    chest.save_chest(path, SOPClassUID=sop_class)
    results = model.predict(path).to_dicom(path)
    for result in results:
        items = [item for item in list_items(result) if item.get("ReferencedSOPInstanceUID") == "1.2.3.6"]
        assert items and {item.ReferencedSOPClassUID for item in items} == {sop_class}


def test_repeated_prediction_has_the_same_uids(model, tmp_path):
    path = tmp_path / "a.dcm"
    chest.save_chest(path)
    prediction = model.predict(path)
    uids = [result.SOPInstanceUID for result in prediction.to_dicom(path)]
    again = [result.SOPInstanceUID for result in prediction.to_dicom(pydicom.dcmread(path))]
    other_model = replace(prediction, model_info=prediction.model_info._replace(weights_sha256=64 * "b"))
    chest.save_chest(tmp_path / "b.dcm", SOPInstanceUID="1.2.3.7")
    others = [*other_model.to_dicom(path), *prediction.to_dicom(tmp_path / "b.dcm")]
    assert uids == again and len({*uids, *(result.SOPInstanceUID for result in others)}) == 9
    assert all(len(uid) <= 64 and pydicom.uid.UID(uid).is_valid for uid in uids)


def test_attributes_of_patient_and_study_are_copied(model, tmp_path):
    path = tmp_path / "a.dcm"
    chest.save_chest(path, PatientAge="085Y", PatientBirthTime="noon")
    source = pydicom.dcmread(path)
    for number, result in enumerate(model.predict(path).to_dicom(path)):
        written = read_back(result, tmp_path / f"{number}.dcm")
        for keyword in (*chest.PATIENT, "StudyInstanceUID", "PatientAge"):
            if keyword != "SpecificCharacterSet":
                assert str(written[keyword].value) == str(source[keyword].value), keyword
        assert "PatientBirthTime" not in written


def test_deidentified_uids_depend_on_the_secret(model, tmp_path, configuration):
    path = tmp_path / "a.dcm"
    chest.save_chest(path)
    prediction = model.predict(path)
    ours = prediction.to_dicom(path, deidentify=True)
    again = prediction.to_dicom(path, deidentify=True)
    secret = configuration.read_bytes()
    assert all(secret not in dicom.encode(result) for result in ours)
    configuration.write_bytes(b"another secret, long enough")
    theirs = prediction.to_dicom(path, deidentify=True)
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID"):
        assert [result[keyword].value for result in ours] == [result[keyword].value for result in again]
        assert not {result[keyword].value for result in ours} & {result[keyword].value for result in theirs}


def test_deidentified_results_have_no_attributes_of_patient_or_study(model, tmp_path, configuration):
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.write_bytes(b"a secret that is always the same")
    results = {}
    for name, uid in (("a", "1.2.3.6"), ("b", "1.2.3.7")):
        chest.save_chest(tmp_path / f"{name}.dcm", SOPInstanceUID=uid)
        prediction = model.predict(tmp_path / f"{name}.dcm")
        results[name] = prediction.to_dicom(tmp_path / f"{name}.dcm", deidentify=True)
    for result in results["a"]:
        content = dicom.encode(result).lower()
        assert b"plant" not in content and b"19330817" not in content and b"20190402" not in content
        # The digits of UIDs, which are digests, and those of the present time may be any.
        texts = [str(element.value) for element in result.iterall() if element.VR not in ("UI", "TM", "DT", "OB", "OW")]
        assert not any("1933" in text or "201904" in text for text in texts)
        assert all(uid.encode() + end not in content for uid in chest.UIDS.values() for end in (b"\0", b" "))
    studies = {result.StudyInstanceUID for name in results for result in results[name]}
    patients = {result.PatientID for name in results for result in results[name]}
    assert len(studies) == len(patients) == 1 and studies != {chest.UIDS["StudyInstanceUID"]}
    assert len({result.SOPInstanceUID for name in results for result in results[name]}) == 6
    segments, _, report = results["a"]
    reference = segments.SourceImageSequence[0].ReferencedSOPInstanceUID
    assert reference in list_text(report) and reference != "1.2.3.6"


def test_without_lungs_there_is_no_segmentation(model, tmp_path):
    path = tmp_path / "a.dcm"
    chest.save_chest(path, labels=np.zeros(chest.SHAPE, np.uint8))
    results = model.predict(path).to_dicom(path)
    assert [result.Modality for result in results] == ["OT", "SR"]
    assert "No label" in list_text(results[1]) and "no lungs" in list_text(results[1])


@pytest.mark.parametrize(
    ("tags", "deidentify", "reason"),
    [
        ({"StudyInstanceUID": ""}, False, "its StudyInstanceUID is missing or not valid"),
        ({"SOPInstanceUID": "Planted"}, False, "its SOPInstanceUID is missing or not valid"),
        ({"BurnedInAnnotation": "YES"}, True, "its BurnedInAnnotation is YES"),
        ({"Rows": 75}, False, "its upright size of 75 x 104 pixels is not that of the prediction, 150 x 104"),
    ],
)
def test_missing_or_invalid_uid_is_refused_in_one_sentence(model, tmp_path, tags, deidentify, reason):
    chest.save_chest(tmp_path / "a.dcm")
    prediction = model.predict(tmp_path / "a.dcm")
    chest.save_chest(tmp_path / "b.dcm", **tags)
    source = pydicom.dcmread(tmp_path / "b.dcm")
    with pytest.raises(dicom.DicomResultError) as caught:
        prediction.to_dicom(source, deidentify=deidentify)
    assert reason in str(caught.value) and "lanted" not in str(caught.value)


def test_file_that_is_not_dicom_is_refused_by_name(model, tmp_path):
    chest.save_chest(tmp_path / "a.dcm")
    prediction = model.predict(tmp_path / "a.dcm")
    (tmp_path / "b.png").write_bytes(b"\x89PNG" + bytes(200))
    with pytest.raises(dicom.DicomResultError, match=r"^b.png: is not a DICOM file"):
        prediction.to_dicom(tmp_path / "b.png")


def test_lungs_have_sides_only_if_placed_as_in_a_frontal_radiograph():
    labels = chest.draw_labels()
    names = [structure.name for structure in segmentation.find_structures(labels)]
    assert names == ["left lung", "right lung", "heart"]
    only_left = np.where(labels == 3, 0, labels)
    for odd in (labels[:, ::-1], only_left):
        structures = segmentation.find_structures(odd)
        assert [structure.name for structure in structures] == ["lungs", "heart"]
        assert np.array_equal(structures[0].mask, odd >= 2)


def test_overlay_of_cxrjax_is_refused_as_input(model, tmp_path):
    chest.save_chest(tmp_path / "a.dcm")
    overlay = model.predict(tmp_path / "a.dcm").to_dicom(tmp_path / "a.dcm")[1]
    (tmp_path / "b.dcm").write_bytes(dicom.encode(overlay))
    assert radiograph.read(tmp_path / "b.dcm").not_frontal.startswith("a result of cxrjax")
    with pytest.raises(cx.ImageRefusedError, match="a result of cxrjax"):
        model.predict(tmp_path / "b.dcm")
