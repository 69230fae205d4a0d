"""DICOM: invalid values that pixels do not need are ignored, and no header text gets into results or errors."""

import struct
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from cxrjax.io.decoding import decode
from cxrjax.io.errors import ImageReadError
from cxrjax.io.limits import Limits

NAME = "Doe^John"
PIXELS = (np.add.outer(np.arange(40) * 37, np.arange(48) * 23) % 4096).astype(np.uint16)


def make(pixels: np.ndarray = PIXELS, **elements) -> pydicom.Dataset:
    """A DICOM data set of 12 bits in 16; an element of `elements` replaces or adds, one that is None is left out."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.PatientName = NAME
    values = {
        "Modality": "CR", "Rows": pixels.shape[0], "Columns": pixels.shape[1], "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11,
        "PixelRepresentation": 0, "PixelData": pydicom.DataElement("PixelData", "OW", pixels.tobytes()),
    } | elements  # fmt: skip
    for keyword, value in values.items():
        if isinstance(value, pydicom.DataElement):
            dataset[keyword] = value
        elif value is not None:
            setattr(dataset, keyword, value)
    return dataset


def write(dataset: pydicom.Dataset) -> bytes:
    stream = pydicom.filebase.DicomBytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def raw(keyword: str, kind: str, value: bytes) -> bytes:
    """Return an element with a raw value as bytes, explicit and little-endian."""
    tag = pydicom.tag.Tag(pydicom.datadict.tag_for_keyword(keyword))
    value += b" " * (len(value) % 2)
    return struct.pack("<HH2sH", tag.group, tag.element, kind.encode(), len(value)) + value


def with_raw(**elements: bytes) -> bytes:
    """Return the file of `make` with elements that have raw, possibly invalid values."""
    data = write(make())
    for keyword, value in elements.items():
        kind = pydicom.datadict.dictionary_VR(keyword)
        # The order of elements is ascending in the files of others, and no reader depends on it.
        at = data.index(struct.pack("<HH", 0x7FE0, 0x0010))
        data = data[:at] + raw(keyword, kind, value) + data[at:]
    return data


@pytest.mark.parametrize(
    "elements",
    [
        {"RescaleSlope": b"", "RescaleIntercept": b""},
        {"RescaleSlope": b"1", "RescaleIntercept": b""},
        {"RescaleSlope": b"0", "RescaleIntercept": b"5"},
        {"RescaleSlope": b"DOE^JOHN", "RescaleIntercept": b"nan"},
        {"RescaleSlope": b"1,0", "RescaleIntercept": b"0"},
        {"RescaleSlope": b"inf", "RescaleIntercept": b"-inf"},
        {"WindowCenter": b"0", "WindowWidth": b"1"},
        {"WindowCenter": b"2048", "WindowWidth": b"0"},
        {"WindowCenter": b"2048", "WindowWidth": b"-4096"},
        {"WindowCenter": b"2048", "WindowWidth": b""},
        {"WindowCenter": b"", "WindowWidth": b""},
        {"WindowCenter": b"DOE^JOHN", "WindowWidth": b"4096"},
        {"WindowCenter": b"2048"},
        {"WindowWidth": b"4096"},
        {"PixelPaddingValue": b"\1"},
        {"PixelSpacing": b"0,2\\0,2"},
        {"PixelSpacing": b"0.2"},
        {"PixelSpacing": b"0.2\\0"},
        {"PixelSpacing": b"DOE^JOHN"},
        {"PixelSpacing": b"-1\\-1"},
        {"PixelSpacing": b"1e999\\1e999"},
        {"ViewPosition": b"DOE^JOHN"},
        {"PatientOrientation": b"DOE^JOHN\\1\\2\\3"},
        {"VOILUTFunction": b"DOE^JOHN", "WindowCenter": b"", "WindowWidth": b""},
        {"NumberOfFrames": b""},
        {"NumberOfFrames": b"one"},
        {"PresentationLUTShape": b"DOE^JOHN"},
    ],
)  # fmt: skip
def test_invalid_values_not_needed_for_pixels_are_ignored(elements):
    got = decode(with_raw(**elements), "a.dcm")
    np.testing.assert_array_equal(got.pixels, PIXELS)
    assert (got.spacing, got.view) == (None, "")
    assert "DOE" not in got.note


@pytest.mark.parametrize(
    ("elements", "note"),
    [
        ({"RescaleSlope": b"0", "RescaleIntercept": b"5"}, "its RescaleSlope is 0 and was ignored"),
        ({"WindowCenter": b"0", "WindowWidth": b"1"}, "its window leaves one gray level and was ignored"),
        ({"WindowCenter": b"9", "WindowWidth": b"0"}, "its window is not valid and was ignored"),
    ],
)
def test_ignored_values_are_noted(elements, note):
    assert decode(with_raw(**elements), "a.dcm").note == note


def test_first_valid_window_is_applied():
    got = decode(with_raw(WindowCenter=b"x\\2048", WindowWidth=b"1\\1001"), "a.dcm").pixels
    expected = np.clip((PIXELS - 2047.5) / 1000 + 0.5, 0, 1)
    assert np.abs(got - expected / expected.max() * 65535).max() <= 0.5


def test_missing_rescale_intercept_is_0():
    got = decode(with_raw(RescaleSlope=b"-1"), "a.dcm").pixels
    span = int(np.ptp(PIXELS))
    assert np.abs(got - (PIXELS.max() - PIXELS.astype(float)) / span * 65535).max() <= 0.5


def test_invalid_lookup_tables_are_ignored():
    empty = pydicom.Dataset()
    broken = pydicom.Dataset()
    broken.add_new("LUTDescriptor", "US", [4096, 0, 3])
    broken.add_new("LUTData", "US", [1, 2, 3])
    for table in (empty, broken):
        for keyword in ("VOILUTSequence", "ModalityLUTSequence"):
            got = decode(write(make(**{keyword: [table]})), "a.dcm")
            np.testing.assert_array_equal(got.pixels, PIXELS)
    assert got.note == "its ModalityLUTSequence is not valid and was ignored"


@pytest.mark.parametrize(
    ("elements", "note"),
    [
        ({"PhotometricInterpretation": None}, "its PhotometricInterpretation is missing, read as MONOCHROME2"),
        ({"PhotometricInterpretation": "GRAY"}, "its PhotometricInterpretation is not valid, read as MONOCHROME2"),
        ({"PhotometricInterpretation": "MONOCHROME 2"}, ""),
        ({"SamplesPerPixel": None}, ""),
        ({"SamplesPerPixel": 65535}, ""),
        ({"HighBit": None}, ""),
        ({"HighBit": 3}, ""),
        ({"PixelRepresentation": None}, ""),
        ({"PlanarConfiguration": 7}, ""),
        ({"BitsStored": 0}, "its BitsStored is not valid, read as 16"),
        ({"BitsStored": None}, "its BitsStored is not valid, read as 16"),
    ],
)
def test_missing_and_invalid_pixel_module_values_have_defaults(elements, note):
    got = decode(write(make(**elements)), "a.dcm")
    np.testing.assert_array_equal(got.pixels, PIXELS)
    assert got.note == note


def test_meta_group_without_preamble_is_read():
    data = write(make())
    np.testing.assert_array_equal(decode(data[132:], "a").pixels, PIXELS)


# ------------------------------------------------------------------------------------------- padding and bits


@pytest.mark.parametrize("kind", ["SS", "US"])
@pytest.mark.parametrize("signed", [False, True])
def test_padding_value_is_compared_as_bits(kind, signed):
    stored = PIXELS.copy()
    stored[:, :5] = 63536  # the bits of -2000
    padding = -2000 if kind == "SS" else 63536
    element = pydicom.DataElement("PixelPaddingValue", kind, padding)
    dataset = make(stored, BitsStored=16, HighBit=15, PixelRepresentation=int(signed), PixelPaddingValue=element)
    got = decode(write(dataset), "a.dcm").pixels
    np.testing.assert_array_equal(got[:, 5:], PIXELS[:, 5:])
    assert not got[:, :5].any()


def test_padding_value_outside_the_stored_bits_is_found():
    stored = PIXELS.copy()
    stored[:, :5] = 63536
    element = pydicom.DataElement("PixelPaddingValue", "SS", -2000)
    got = decode(write(make(stored, PixelPaddingValue=element)), "a.dcm").pixels
    np.testing.assert_array_equal(got[:, 5:], PIXELS[:, 5:])
    assert not got[:, :5].any()


def test_saturated_pixels_are_not_padding():
    stored = PIXELS.copy()
    stored[:, :5] = 4095
    got = decode(write(make(stored, PixelPaddingValue=65535)), "a.dcm").pixels
    np.testing.assert_array_equal(got, stored)


@pytest.mark.parametrize("compressed", [False, True])
def test_high_bit_selects_the_bits(compressed):
    dataset = make((PIXELS << 4) | 9, HighBit=15)  # below the 12 bits, something else
    if compressed:
        dataset.compress(RLELossless)
        dataset.HighBit = 15
    np.testing.assert_array_equal(decode(write(dataset), "a.dcm").pixels, PIXELS)


def test_high_bit_selects_the_bits_of_signed_pixels():
    signed = PIXELS.astype(np.int16) - 2048
    got = decode(write(make(signed << 4, HighBit=15, PixelRepresentation=1)), "a.dcm").pixels
    assert np.abs(got - (signed - signed.min()) / np.ptp(signed) * 65535).max() <= 0.5


# -------------------------------------------------------------------------------------------------- orientation


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (["R", "F"], PIXELS[:, ::-1]),
        (["L", "H"], PIXELS[::-1]),
        (["R", "H"], PIXELS[::-1, ::-1]),
        (["F", "L"], PIXELS.T),
        (["F", "R"], PIXELS[:, ::-1].T),  # its columns run to the right: what is left is read from below
        (["H", "L"], PIXELS[::-1].T),
        (["H", "R"], PIXELS[::-1, ::-1].T),
    ],
)
def test_patient_orientation_is_undone(orientation, stored):
    dataset = make(np.ascontiguousarray(stored), PatientOrientation=orientation, PixelSpacing=["0.2", "0.1"])
    got = decode(write(dataset), "a.dcm")
    np.testing.assert_array_equal(got.pixels, PIXELS)
    assert got.spacing == ((0.1, 0.2) if orientation[0] in "FH" else (0.2, 0.1))
    assert got.note == f"turned or mirrored, since its PatientOrientation is {orientation[0]}, {orientation[1]}"
    assert not got.not_frontal


def test_bytes_after_the_pixels_are_ignored():
    np.testing.assert_array_equal(decode(write(make(Rows=39)), "a.dcm").pixels, PIXELS[:39])


def test_contradicting_lut_shape_is_noted():
    got = decode(write(make(PresentationLUTShape="INVERSE")), "a.dcm")
    np.testing.assert_array_equal(got.pixels, PIXELS)
    assert not got.inverted
    assert got.note == "its PresentationLUTShape INVERSE contradicts MONOCHROME2, which was used"
    assert not decode(write(make(PresentationLUTShape="IDENTITY")), "a.dcm").note


# ----------------------------------------------------------------------------------------------------- refusals


def deflated(body_size: int) -> bytes:
    """A deflated file whose pixels are zeros, many times what the file has."""
    meta = pydicom.Dataset()
    meta.file_meta = pydicom.dataset.FileMetaDataset()
    meta.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta.file_meta.MediaStorageSOPClassUID = meta.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.file_meta.MediaStorageSOPInstanceUID = meta.SOPInstanceUID = "1.2.3"
    data = write(meta)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = 132 + 12 + struct.unpack_from("<I", data, 140)[0]
    return data[:start] + deflater.compress(bytes(body_size)) + deflater.flush()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (write(make(Rows=20_000, Columns=20_000)), "too large: 20000 x 20000 pixels"),
        (write(make(Rows=41)), "truncated pixel data: less than its Rows and Columns need"),
        (write(make(Rows=20)), "pixel data of several frames, not one radiograph"),
        (write(make(Rows=0)), "it has no pixels"),
        (write(make(Rows=None)), "Rows and Columns are not whole numbers"),
        (write(make(BitsAllocated=None)), "BitsAllocated is not 1, 8 or 16"),
        (write(make(SamplesPerPixel=3)), "PhotometricInterpretation and SamplesPerPixel contradict each other"),
        (write(make(NumberOfFrames=3)), "3 frames, not one radiograph"),
        (with_raw(NumberOfFrames=b"100000"), "100000 frames, not one radiograph"),
    ],
)
def test_unreadable_files_are_refused_before_decoding(data, reason):
    with pytest.raises(ImageReadError, match=reason):
        decode(data, "a.dcm")


def test_deflated_bomb_is_inflated_only_up_to_the_limit():
    data = deflated(50_000_000)
    assert len(data) < 60_000
    with pytest.raises(ImageReadError, match="too large: .* bytes, at most 1 MiB are allowed"):
        decode(data, "a.dcm", Limits(max_bytes=2**20))


def test_frame_larger_than_its_header_is_refused():
    dataset = make()
    dataset.compress(pydicom.uid.JPEG2000Lossless)
    data = write(dataset)
    at = data.index(b"\xff\x4f\xff\x51") + 8
    data = data[:at] + struct.pack(">II", 60_000, 60_000) + data[at + 8 :]
    with pytest.raises(ImageReadError, match="too large: 60000 x 60000 pixels"):
        decode(data, "a.dcm")


@pytest.mark.parametrize("syntax", [b"DOE^JOHN 1.2.840.10", b"1.2.840.10008.1.2.77", b"1.2.3\0DOE^JOHN"])
def test_a_reason_names_a_transfer_syntax_only_if_it_is_a_uid(syntax):
    data = write(make())
    at = data.index(b"1.2.840.10008.1.2.1\0")
    data = data[:at] + syntax.ljust(20, b"\0") + data[at + 20 :]
    with pytest.raises(ImageReadError) as error:
        decode(data, "a.dcm")
    assert "DOE" not in error.value.reason
    assert "transfer syntax" in error.value.reason
    assert ("(1.2.840.10008.1.2.77)" in error.value.reason) == syntax.endswith(b".77")


def test_damaged_headers_leak_no_patient_name():
    """Header bytes at random positions are replaced, half of the time by the name."""
    rng = np.random.default_rng(5)
    data = write(make(PixelSpacing=["0.2", "0.2"], ViewPosition="PA", RescaleSlope="1", RescaleIntercept="0",
                      WindowCenter="2000", WindowWidth="4000", PatientOrientation=["L", "F"]))  # fmt: skip
    end = data.index(struct.pack("<HH", 0x7FE0, 0x0010)) + 12
    for _ in range(400):
        damaged = bytearray(data)
        if rng.random() < 0.5:
            at = int(rng.integers(132, end - 8))
            damaged[at : at + 8] = b"Doe^John"
        for at in rng.integers(132, end, int(rng.integers(1, 4))):
            damaged[at] = rng.integers(0, 256)
        try:
            got = decode(bytes(damaged), "a.dcm")
            said = f"{got.view} {got.note} {got.not_frontal} {got.format}"
        except ImageReadError as error:
            said = error.reason
        assert "Doe" not in said and "John" not in said and len(said) < 250 and said.isprintable(), said
