"""By what a DICOM header says that its image is no frontal radiograph of the chest.

The rules look at what a header says, not at what it leaves open: an empty tag, a private code and a text without a view
are no evidence. A reason names the tag and the rule, and never quotes a text.
"""

import re
from typing import Any

from pydicom.uid import UID_dictionary  # pyright: ignore[reportPrivateImportUsage] (pydicom documents it there)

from cxrjax.io.dicom_header import items_of, text_of, texts_of
from cxrjax.io.projection_terms import Projection, fold, read_projection

RADIOGRAPHS = frozenset({"CR", "DX", "RG"})  # modalities: computed, digital, and film radiography (PS3.3 C.7.3.1.1.1)
_UNDECIDED = frozenset({"OT", "SC"})  # "other" and "secondary capture": what was captured, they do not say
_COLLOQUIAL = frozenset({"XR", "DR", "RX", "CXR", "XRAY", "X-RAY", "X RAY"})  # no terms of the standard, but clear
_MODALITIES = frozenset(
    """
    CT MR MG US NM PT XA RF IO PX ES OP OPT XC SM GM ECG BI SR PR KO SEG DOC RTIMAGE RTDOSE RTSTRUCT RTPLAN REG BMD DG
    EPS IVUS
    """.split()  # noqa: SIM905 -- one word per value, many to a line
)
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_CLASSES = frozenset(  # of radiographs, and secondary captures of anything
    _STORAGE + end for end in ("1", "1.1", "1.1.1", "7", "7.1", "7.2", "7.3", "7.4")
)
# ViewPosition: the defined terms of PS3.3 C.8.1.1 and C.8.11.1, and obliques.
_RANKED: tuple[Projection, ...] = ("lateral", "oblique", "frontal")  # the first that a header names counts
_VIEW_POSITIONS: dict[str, Projection] = {
    **dict.fromkeys(("PA", "AP"), "frontal"),
    **dict.fromkeys(("LL", "RL", "LATERAL", "LAT"), "lateral"),
    **dict.fromkeys(("RLD", "LLD"), "lateral"),  # decubitus: the patient lies on one side
    **dict.fromkeys(("RLO", "LLO", "RAO", "LAO", "RPO", "LPO"), "oblique"),
}
# ViewCodeSequence: CID 4010 of PS3.16 in SNOMED CT (SCT) and in the older codes (SRT, SNM3, 99SDM).
_FRONTAL_CODES = {"399348003", "R-10206", "272479007", "R-40888", "R-10214", "399033003", "R-10202"}
_POSTEROANTERIOR_CODES = {"272479007", "R-40888", "R-10214"}
_ANTEROPOSTERIOR_CODES = {"399348003", "R-10206"}
_LATERAL_CODES = {
    *("399067008", "R-102CD", "399173006", "R-10236", "399198007", "R-10232", "30730003", "G-A145", "R-10222"),
    *("399260004", "R-10224", "399352003", "R-10228"),
}
_OBLIQUE_CODES = {
    *("399312000", "R-10208", "399059000", "R-10216", "399160007", "R-10204", "399132005", "R-10252"),
    *("260427002", "R-40783", "260426006", "R-40782", "399099002", "R-10230", "399368009", "R-10226"),
    *("399135007", "R-10220", "399356000", "R-40985", "R-10218", "399006002", "R-10212", "399038007", "R-10210"),
    *("399184004", "R-10238", "399236003", "R-10234", "399182000", "R-102C1", "399325008", "R-10254"),
    *("399004004", "R-10246", "399225005", "R-10250", "399288005", "R-10248"),
}
_CODES: dict[str, Projection] = {
    **dict.fromkeys(_FRONTAL_CODES, "frontal"),
    **dict.fromkeys(_LATERAL_CODES, "lateral"),
    **dict.fromkeys(_OBLIQUE_CODES, "oblique"),
}
# Texts of the image or its series. Not StudyDescription: a study has several views.
_TEXTS = (
    *("SeriesDescription", "AcquisitionDeviceProcessingDescription", "ProtocolName"),
    *("PerformedProcedureStepDescription", "AcquisitionProtocolName", "AcquisitionProtocolDescription"),
    *("AcquisitionDeviceProcessingCode", "ViewName"),
)
# BodyPartExamined and AnatomicRegionSequence: terms of PS3.16 annex L and of devices, as whole words or run together.
# One that is not among them is no evidence, nor is one beside a name of the chest.
_OTHER_PARTS = frozenset(
    """
    ABDOMEN ANKLE ARM BREAST BRAIN CALCANEUS CALF CLAVICLE COCCYX COLON CSPINE ELBOW EXTREMITY EYE FACE FEMUR FINGER
    FOOT FOREARM HAND HEAD HIP HUMERUS JAW KIDNEY KNEE LEG LSPINE LSSPINE MANDIBLE MAXILLA NECK NOSE ORBIT PATELLA
    PELVIS RADIUS SACRUM SCAPULA SCROTUM SHOULDER SIJOINT SINUS SKULL SPINE SSPINE TESTIS THIGH THUMB TIBIA TLSPINE
    TOE TSPINE ULNA UPPERARM UTERUS WRIST TEETH LOWERLEG LOWERLIMB UPPERLIMB CERVICALSPINE LUMBARSPINE THORACICSPINE
    KUB CSP TSP LSP UPEXM LOWEXM EXTREMITIES FEET TOOTH SINUSES TOES ABD
    BECKEN BAUCH KNIE FUSS SCHULTER SCHADEL HALS HUFTE HANDGELENK ELLENBOGEN FINGER SPRUNGGELENK OBERARM UNTERARM
    OBERSCHENKEL UNTERSCHENKEL HWS BWS LWS WIRBELSAULE MAMMA
    RODILLA MANO PIERNA HOMBRO COLUMNA CRANEO CODO MUNECA TOBILLO CADERA BRAZO PIE DEDO CUELLO
    GENOU EPAULE BASSIN MAIN PIED HANCHE CHEVILLE POIGNET COUDE CRANE RACHIS JAMBE BRAS
    SPALLA GINOCCHIO PIEDE POLSO GOMITO CAVIGLIA BACINO CRANIO ADDOME COLONNA
    JOELHO OMBRO PUNHO TORNOZELO COTOVELO QUADRIL COLUNA ABDOME BUIK HEUP ENKEL VOET SCHOUDER
    """.split()  # noqa: SIM905 -- one word per value, many to a line
)
_CHEST = ("CHEST", "THORA", "TORA", "LUNG", "PULMO", "PECHO", "CXR")  # how its names begin
_OF_THE_CHEST = ("THORACI", "TORACI")  # how an adjective begins, which is of its spine too
_LOCALIZER = "LOCALIZER"
OWN_MODEL = "cxrjax"  # ManufacturerModelName of the images that this package writes
_AXIS = re.compile("[LRAPHF]{1,3}")  # of PatientOrientation
_UNDECLARED = ("utf-8", "cp1251", "shift_jis", "gb18030", "euc_kr")  # in which devices write without saying so
TAGS = (
    *("Modality", "SOPClassUID", "ImageType", "BodyPartExamined", "AnatomicRegionSequence", "ManufacturerModelName"),
    *("ViewPosition", "ViewCodeSequence", "PatientOrientation", *_TEXTS),
)


def explain_refusal(header: Any) -> str:
    """Return why an image is no frontal radiograph of the chest, as "lateral view, by its ViewPosition".

    Args:
        header: a pydicom Dataset with the elements of `TAGS`.

    Returns:
        A reason; "" where the header does not say so.
    """
    modalities = [text.upper() for text in texts_of(header, "Modality") if text]
    if modalities and not set(modalities) & (RADIOGRAPHS | _UNDECIDED | _COLLOQUIAL):
        modality = modalities[0]
        name = modality if modality in _MODALITIES else "a modality other than CR, DX and RG"
        return f"{name}, not a radiograph, by its Modality"
    storage = text_of(header, "SOPClassUID")
    if storage in UID_dictionary and storage.startswith(_STORAGE) and storage not in _CLASSES:
        return f"{UID_dictionary[storage][0]}, not a radiograph, by its SOPClassUID"
    if text_of(header, "ManufacturerModelName") == OWN_MODEL:
        return f"a result of {OWN_MODEL}, not a radiograph, by its ManufacturerModelName"
    if _LOCALIZER in [part.upper() for part in texts_of(header, "ImageType")]:
        return "a localizer, not a radiograph, by its ImageType"
    return _explain_part(header) or _explain_view(header)


def read_view(header: Any) -> str:
    """Return the view: "PA", "AP", another defined term of ViewPosition, "LATERAL" or "OBLIQUE"; "" if it is not known.

    No free text of a header gets into a result.
    """
    position = text_of(header, "ViewPosition").upper()
    if position in _VIEW_POSITIONS:
        return position
    codes = {code for item in items_of(header, "ViewCodeSequence") for code in _list_codes(item)}
    for known, view in ((_POSTEROANTERIOR_CODES, "PA"), (_ANTEROPOSTERIOR_CODES, "AP")):
        if codes & known:
            return view
    words = set(re.findall("[A-Z]+", position))
    if len(words & {"PA", "AP"}) == 1:
        return (words & {"PA", "AP"}).pop()
    _, projection = _find_view(header)
    return projection.upper() if projection in ("lateral", "oblique") else ""


def _explain_part(header: Any) -> str:
    regions = items_of(header, "AnatomicRegionSequence")
    named = [("BodyPartExamined", text_of(header, "BodyPartExamined"))]
    named += [("AnatomicRegionSequence", text_of(item, "CodeMeaning")) for item in regions[:1]]
    for tag, text in named:
        if part := _find_other_part(text):
            return f"{part.lower()}, not the chest, by its {tag}"
    return ""


def _find_other_part(text: str) -> str:
    """Return the part of the body, other than the chest, that a text names; "" where it names the chest."""
    words = re.findall(r"[^\W\d_]+", fold(text).upper())
    together = "".join(words)
    if together in _OTHER_PARTS:
        return together
    if any(word.startswith(_CHEST) and not word.startswith(_OF_THE_CHEST) for word in words):
        return ""
    return next((part for word in words for part in (word, word.removesuffix("S")) if part in _OTHER_PARTS), "")


def _explain_view(header: Any) -> str:
    tag, projection = _find_view(header)
    return f"{projection} view, by its {tag}" if projection in ("lateral", "oblique") else ""


def _find_view(header: Any) -> tuple[str, Projection]:
    """Return the tag that says the most of the projection, and what it says.

    A view's own tags come first, and one of them that says lateral or oblique is believed whatever the other says. Then
    comes the patient's orientation, then the texts.
    """
    coded: list[tuple[str, Projection]] = [
        ("ViewPosition", _read_position(header)),
        ("ViewCodeSequence", _read_codes(header)),
    ]
    for wanted in (("lateral", "oblique"), ("frontal",)):
        for tag, projection in coded:
            if projection in wanted:
                return tag, projection
    # Rows or columns that run towards the patient's front or back show the patient from the side.
    axes = [text.upper() for text in texts_of(header, "PatientOrientation")]
    if len(axes) == 2 and all(map(_AXIS.fullmatch, axes)) and any(axis.startswith(("A", "P")) for axis in axes):
        return "PatientOrientation", "lateral"
    for tag in _TEXTS:
        projection = _read_text(text_of(header, tag))
        if projection in ("lateral", "oblique", "frontal"):
            return tag, projection
    return "", ""


def _read_position(header: Any) -> Projection:
    position = text_of(header, "ViewPosition")
    return _VIEW_POSITIONS.get(position.upper()) or _read_text(position)


def _read_codes(header: Any) -> Projection:
    items = items_of(header, "ViewCodeSequence")
    said = {_CODES.get(code) for item in items for code in _list_codes(item)}
    said = said - {None} or {_read_text(text_of(item, "CodeMeaning")) for item in items}
    for projection in _RANKED:
        if projection in said:
            return projection
    return ""


def _list_codes(item: Any) -> list[str]:
    """Return the code of an item, and the equivalent codes of other schemes that it lists."""
    equivalent = items_of(item, "EquivalentCodeSequence")
    return [text_of(code, tag).upper() for code in (item, *equivalent) for tag in ("CodeValue", "LongCodeValue")]


def _read_text(text: str) -> Projection:
    """Return the projection that a text names, also where its character set is not declared.

    Such a text comes out as Latin-1. In the encodings that are tried, the words for views are no others in Latin-1.
    """
    projection = read_projection(text)
    if projection or text.isascii():
        return projection
    for encoding in _UNDECLARED:
        try:
            projection = read_projection(text.encode("latin-1").decode(encoding))
        except UnicodeError:
            continue
        if projection:
            return projection
    return ""
