"""Headers of images that are not frontal radiographs: the reason names the tag and never quotes the header."""

import numpy as np
import pydicom
import pytest

from cxrjax.io import projection
from cxrjax.io.projection_terms import read_projection

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR CS")


def header(**elements) -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    for keyword, value in ({"Modality": "DX"} | elements).items():
        setattr(dataset, keyword, value)
    return dataset


def code(value: str, scheme: str, meaning: str = "") -> list[pydicom.Dataset]:
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "CT"}, "CT, not a radiograph, by its Modality"),
        ({"Modality": "MG"}, "MG, not a radiograph, by its Modality"),
        ({"Modality": "DOE"}, "a modality other than CR, DX and RG, not a radiograph, by its Modality"),
        (
            {"Modality": "", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"},
            "CT Image Storage, not a radiograph, by its SOPClassUID",
        ),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localizer, not a radiograph, by its ImageType"),
        ({"BodyPartExamined": "KNEE"}, "knee, not the chest, by its BodyPartExamined"),
        ({"BodyPartExamined": "L_SPINE"}, "lspine, not the chest, by its BodyPartExamined"),
        ({"BodyPartExamined": "LEFT HAND"}, "hand, not the chest, by its BodyPartExamined"),
        ({"BodyPartExamined": "BOTH_KNEES"}, "knee, not the chest, by its BodyPartExamined"),
        ({"BodyPartExamined": "ABDOMEN AP"}, "abdomen, not the chest, by its BodyPartExamined"),
        ({"BodyPartExamined": "Hombro"}, "hombro, not the chest, by its BodyPartExamined"),
        ({"BodyPartExamined": "THORACIC SPINE"}, "thoracicspine, not the chest, by its BodyPartExamined"),
        ({"BodyPartExamined": "SPINE, THORACIC"}, "spine, not the chest, by its BodyPartExamined"),
        (
            {"AnatomicRegionSequence": code("T-D8700", "SRT", "Hand")},
            "hand, not the chest, by its AnatomicRegionSequence",
        ),
        ({"ViewPosition": "LL"}, "lateral view, by its ViewPosition"),
        ({"ViewPosition": "RAO"}, "oblique view, by its ViewPosition"),
        ({"ViewPosition": "Lateral Left"}, "lateral view, by its ViewPosition"),
        ({"ViewCodeSequence": code("R-10236", "SRT")}, "lateral view, by its ViewCodeSequence"),
        ({"ViewCodeSequence": code("399173006", "SCT")}, "lateral view, by its ViewCodeSequence"),
        ({"ViewCodeSequence": code("399173006", "SCT"), "ViewPosition": "PA"}, "lateral view, by its ViewCodeSequence"),
        ({"ViewCodeSequence": code("R-10220", "SNM3")}, "oblique view, by its ViewCodeSequence"),
        ({"ViewCodeSequence": code("X1", "99LOCAL", "left lateral")}, "lateral view, by its ViewCodeSequence"),
        (
            {"ViewCodeSequence": code("R-10206", "SRT") + code("R-10236", "SRT")},
            "lateral view, by its ViewCodeSequence",
        ),
        ({"ViewCodeSequence": code("X1", "99LOCAL", "boczna")}, "lateral view, by its ViewCodeSequence"),
        ({"SeriesDescription": "боковая".encode("cp1251").decode("latin-1")}, "lateral view, by its SeriesDescription"),
        ({"SeriesDescription": "胸部側面".encode().decode("latin-1")}, "lateral view, by its SeriesDescription"),
        ({"SeriesDescription": "側面".encode("shift_jis").decode("latin-1")}, "lateral view, by its SeriesDescription"),
        ({"PatientOrientation": ["H", "A"]}, "lateral view, by its PatientOrientation"),
        ({"PatientOrientation": ["A", "F"]}, "lateral view, by its PatientOrientation"),
        ({"PatientOrientation": ["PL", "F"]}, "lateral view, by its PatientOrientation"),
        ({"SeriesDescription": "W033 Thorax lat."}, "lateral view, by its SeriesDescription"),
        ({"ProtocolName": "CHEST LATERAL"}, "lateral view, by its ProtocolName"),
        (
            {"SeriesDescription": "PA and lateral", "AcquisitionDeviceProcessingDescription": "CHEST LAT"},
            "lateral view, by its AcquisitionDeviceProcessingDescription",
        ),
    ],
)
def test_headers_of_other_images_are_refused(elements, reason):
    assert projection.explain_refusal(header(**elements)) == reason


@pytest.mark.parametrize(
    "elements",
    [
        {},
        *({"Modality": modality} for modality in ("CR", "RG", "", "OT", "XR")),
        *({"BodyPartExamined": part} for part in ("CHEST", "THORAX", "Brustkorb", "", "DOE^JOHN", "LUNG")),
        *({"BodyPartExamined": part} for part in ("CHEST ABDOMEN", "RIB", "STERNUM", "ARMED FORCES", "Thorax face")),
        {"AnatomicRegionSequence": code("T-D3000", "SRT", "Chest")},
        {"PatientOrientation": ["A", "B", "C"]},
        {"PatientOrientation": "PORTABLE"},
        {"SeriesDescription": "Tórax"},
        *({"ViewPosition": view} for view in ("PA", "AP", "", "ANTERO_POSTERIOR", "AP SUPINE")),
        {"ViewCodeSequence": code("R-10206", "SRT")},
        {"ViewCodeSequence": code("272479007", "SCT"), "SeriesDescription": "lateral"},
        {"ViewPosition": "PA", "SeriesDescription": "Thorax seitlich"},  # the view's own tag comes first
        {"ViewCodeSequence": []},
        {"PatientOrientation": ["L", "F"]},
        {"PatientOrientation": ["R", "F"]},
        {"SeriesDescription": "Chest PA and lateral"},
        {"ProtocolName": "pa + lat"},
        {"StudyDescription": "XR CHEST LATERAL"},  # of a study with several views
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        {"SOPClassUID": "1.2.3.4"},
    ],
)  # fmt: skip
def test_headers_of_frontal_radiographs_are_accepted(elements):
    assert projection.explain_refusal(header(**elements)) == ""


@pytest.mark.parametrize(
    ("projection_name", "words"),
    [
        ("lateral", ["LAT", "lateral", "Lateral view", "L LAT", "LEFT_LATERAL", "ChestLat", "THORAX_LL", "RL"]),
        ("lateral", ["Thorax seitlich", "SEITL.", "Thorax latérale", "profil gauche", "Profil G", "tórax lateral"]),
        ("lateral", ["perfil izquierdo", "Torace laterale", "latero-laterale", "zijdelings", "боковая проекция"]),
        ("lateral", ["ОГК боковая", "側面", "胸部侧位", "흉부 측면", "boční", "boczne", "oldalirányú", "sidobild"]),
        ("lateral", ["thorax lateraal", "klatka piersiowa bok", "LLAT", "Thorax dwars", "CHEST SIDE VIEW", "胸部L→R"]),
        ("several", ["胸部正侧位", "klatka AP i bok"]),
        ("several", ["PA and lateral", "pa + lat", "CHEST PA/LAT", "AP e perfil", "Thorax p.a. und seitlich"]),
        ("several", ["Thorax in 2 Ebenen", "CHEST 2 VIEWS", "two views lateral", "正面 側面", "прямая и боковая"]),
        ("frontal", ["PA", "ap supine", "p.a.", "Thorax a.p. liegend", "frontal", "Posteroanterior", "face", "正面"]),
        ("oblique", ["oblique", "Thorax schräg", "RAO", "left anterior oblique", "OBL."]),
        ("", ["", "CHEST", "Thorax", "bilateral", "BILATERAL RIBS", "collateral", "Latitude", "later", "plate 2"]),
        ("", ["profile 3", "Relational", "relatively", "Thorax stehend", "ALL", "DOE^JOHN", "ORL"]),
    ],
)  # fmt: skip
def test_read_projection_of_words_in_several_languages(projection_name, words):
    assert {word: read_projection(word) for word in words} == dict.fromkeys(words, projection_name)


@pytest.mark.parametrize(
    ("elements", "view"),
    [
        ({"ViewPosition": "PA"}, "PA"),
        ({"ViewPosition": "ll"}, "LL"),
        ({"ViewPosition": "AP SUPINE"}, "AP"),
        ({"ViewPosition": "DOE^JOHN"}, ""),
        ({"ViewPosition": "seitlich DOE"}, "LATERAL"),
        ({"ViewCodeSequence": code("R-10214", "SRT")}, "PA"),
        ({"ViewCodeSequence": code("399348003", "SCT")}, "AP"),
        ({"ViewCodeSequence": code("R-10232", "SRT")}, "LATERAL"),
        ({"PatientOrientation": ["P", "F"]}, "LATERAL"),
        ({"ViewPosition": "PA", "PatientOrientation": ["A", "F"]}, "PA"),
    ],
)
def test_view_is_a_defined_term(elements, view):
    assert projection.read_view(header(**elements)) == view


def test_arbitrary_header_values_raise_no_error():
    rng = np.random.default_rng(0)
    for tag in projection.TAGS:
        for value in (b"", b"\\", b"\xff\xfe", rng.bytes(64)):
            data = pydicom.Dataset()
            kind = pydicom.datadict.dictionary_VR(tag)
            data[tag] = pydicom.dataelem.RawDataElement(
                pydicom.tag.Tag(pydicom.datadict.tag_for_keyword(tag)), kind, len(value), value, 0, False, True
            )
            assert projection.explain_refusal(data).isprintable()
            assert projection.read_view(data) in ("", "LATERAL")
