"""Every file format returns its original pixels, and every bad file gives one sentence with the reason."""

import os
import pickle
import struct
import warnings

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from cxrjax.data import preprocessing
from cxrjax.io import reader
from cxrjax.io.radiograph import ImageReadError, decode, read

NAME = "Doe^Jane"


def scene(top: int, dtype: type, shape: tuple[int, int] = (48, 40)) -> np.ndarray:
    """A ramp with noise that reaches both 0 and `top`."""
    rows, columns = np.indices(shape)
    noisy = rows * columns + np.random.default_rng(0).integers(0, 300, shape)
    noisy = (noisy - noisy.min()) / np.ptp(noisy) * top
    return noisy.astype(dtype)


GRAY8, GRAY16 = scene(255, np.uint8), scene(65535, np.uint16)
COLOR = np.dstack([GRAY8, GRAY8[::-1], 255 - GRAY8])  # OpenCV's order: blue, green, red


def encoded(pixels: np.ndarray, suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


def white_is_zero(pixels: np.ndarray) -> bytes:
    """A 16-bit TIFF written by hand, with PhotometricInterpretation 0."""
    height, width = pixels.shape
    tags = [
        (256, width),
        (257, height),
        (258, 16),
        (259, 1),
        (262, 0),
        (273, 8 + 2 + 12 * 9 + 4),
        (277, 1),
        (278, height),
    ]
    tags.append((279, pixels.nbytes))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + pixels.astype("<u2").tobytes()


def dicom(pixels: np.ndarray, *, bits: int = 12, photometric: str = "MONOCHROME2", **elements) -> pydicom.Dataset:
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3.4"
    dataset.PatientName = NAME
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    dataset.PhotometricInterpretation = photometric
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset["PixelData"] = pydicom.DataElement("PixelData", "OW" if bits > 8 else "OB", pixels.tobytes())
    return dataset


def written(dataset: pydicom.Dataset, *, bare: bool = False) -> bytes:
    stream = pydicom.filebase.DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = bare, True
    if bare:  # neither preamble nor meta group
        pydicom.filewriter.write_dataset(stream, dataset)
        return stream.getvalue()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


GRAY12 = scene(4095, np.uint16)


# ------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("pixels", "suffix"),
    [(GRAY8, ".png"), (GRAY16, ".png"), (GRAY8, ".tiff"), (GRAY16, ".tiff"), (GRAY12, ".png"), (GRAY12, ".tiff")],
)
def test_lossless_images_preserve_values_and_depth(pixels, suffix):
    got = decode(encoded(pixels, suffix), "a" + suffix)
    np.testing.assert_array_equal(got.pixels, pixels)
    assert got.pixels.dtype == pixels.dtype
    assert (got.inverted, got.spacing, got.view, got.format) == (False, None, "", suffix[1:])


def test_jpeg_values_are_within_the_compression_loss():
    smooth = cv2.GaussianBlur(GRAY8, (0, 0), 2)
    got = decode(encoded(smooth, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 100), "a.jpg").pixels
    assert np.abs(got.astype(int) - smooth).max() <= 2


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_color_becomes_luminance(suffix):
    blue, green, red = np.moveaxis(COLOR.astype(float), 2, 0)
    got = decode(encoded(COLOR, suffix), "a" + suffix).pixels
    assert np.abs(got - (0.299 * red + 0.587 * green + 0.114 * blue)).max() <= 1


def test_one_bit_png_is_read():
    bits = (GRAY8 > 100).astype(np.uint8) * 255
    got = decode(encoded(bits, ".png", cv2.IMWRITE_PNG_BILEVEL, 1), "a.png").pixels
    np.testing.assert_array_equal(got, bits)


def test_opaque_alpha_changes_nothing_and_transparent_pixels_are_black():
    alpha = np.full_like(GRAY8, 255)
    gray = np.dstack([GRAY8, GRAY8, GRAY8])
    np.testing.assert_array_equal(decode(encoded(np.dstack([gray, alpha]), ".png"), "a.png").pixels, GRAY8)
    alpha[:, :10] = 0
    got = decode(encoded(np.dstack([gray, alpha]), ".png"), "a.png").pixels
    assert not got[:, :10].any()
    np.testing.assert_array_equal(got[:, 10:], GRAY8[:, 10:])


def test_exif_orientation_of_jpeg_is_undone():
    plain = encoded(cv2.GaussianBlur(GRAY8, (0, 0), 2), ".jpg")
    # APP1: one IFD of one entry, Orientation (0x0112) = 6, "turn right by 90 degrees".
    body = b"Exif\0\0" + b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0112, 3, 1, 6, 0)
    turned = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain[2:]
    np.testing.assert_array_equal(decode(turned, "a.jpg").pixels, np.rot90(decode(plain, "a.jpg").pixels, -1))


def test_white_is_zero_tiff_is_inverted():
    got = decode(white_is_zero(GRAY12), "a.tif")
    np.testing.assert_array_equal(got.pixels, GRAY12)
    assert got.inverted


def test_format_is_detected_by_content_not_by_name():
    np.testing.assert_array_equal(decode(encoded(GRAY8, ".png"), "a.dcm").pixels, GRAY8)
    np.testing.assert_array_equal(decode(written(dicom(GRAY12)), "a.png").pixels, GRAY12)
    np.testing.assert_array_equal(decode(encoded(GRAY8, ".png"), "a.img").pixels, GRAY8)


def test_jsrt_img_is_read():
    pixels = np.random.default_rng(1).integers(0, 4096, (2048, 2048), dtype=np.uint16)
    got = decode(pixels.astype(">u2").tobytes(), "JPCLN001.IMG")
    np.testing.assert_array_equal(got.pixels, pixels)
    assert got.pixels.dtype == np.uint16 and got.pixels.dtype.isnative
    assert (got.format, got.inverted, got.spacing) == ("jsrt", True, (0.175, 0.175))


# ---------------------------------------------------------------------------------------------------- DICOM


def test_unsigned_dicom_without_tables_is_native():
    got = decode(written(dicom(GRAY12, RescaleSlope="1", RescaleIntercept="0", PixelSpacing=["0.2", "0.1"])), "a.dcm")
    np.testing.assert_array_equal(got.pixels, GRAY12)
    assert (got.format, got.inverted, got.spacing) == ("dicom", False, (0.2, 0.1))
    eight = decode(written(dicom(GRAY8, bits=8, photometric="MONOCHROME1")), "a.dcm")
    assert eight.pixels.dtype == np.uint8 and eight.inverted


def test_window_is_the_linear_function_of_the_standard():
    # PS3.3 C.11.2.1.2.1 with c=2048, w=1001: the minimum to x=1547.5, the maximum from 2547.5 on, linear between.
    got = decode(written(dicom(GRAY12, WindowCenter="2048", WindowWidth="1001")), "a.dcm").pixels
    expected = np.clip((GRAY12 - 2047.5) / 1000 + 0.5, 0, 1) * 65535
    assert got.dtype == np.uint16
    assert np.abs(got - expected).max() <= 0.5


def test_signed_values_rescale_and_window():
    # Hounsfield-like: stored -2048..2047, doubled and shifted; the window is given in rescaled units.
    stored = (GRAY12.astype(np.int32) - 2048).astype(np.int16)
    elements = {"RescaleSlope": "2", "RescaleIntercept": "100", "WindowCenter": "100", "WindowWidth": "2001"}
    got = decode(written(dicom(stored, bits=16, **elements)), "a.dcm").pixels
    expected = np.clip((stored * 2.0 + 100 - 99.5) / 2000 + 0.5, 0, 1) * 65535
    assert np.abs(got - expected).max() <= 0.5
    plain = decode(written(dicom(stored, bits=16)), "a.dcm").pixels
    assert np.abs(plain - GRAY12 / 4095 * 65535).max() <= 0.5


def test_voi_lut_sequence_is_applied():
    table = pydicom.Dataset()
    table.add_new("LUTDescriptor", "US", [4096, 0, 16])
    table.add_new("LUTData", "US", [(level * level) // 256 for level in range(4096)])  # 0..65504
    got = decode(written(dicom(GRAY12, VOILUTSequence=[table])), "a.dcm").pixels
    expected = (GRAY12.astype(np.int64) ** 2) // 256
    assert np.abs(got - expected / expected.max() * 65535).max() <= 0.5


@pytest.mark.parametrize(("photometric", "blank"), [("MONOCHROME2", 0), ("MONOCHROME1", 4000)])
def test_padding_is_blank_and_does_not_affect_the_range(photometric, blank):
    pixels = np.clip(GRAY12, 1000, 4000)
    pixels[:, :5] = 4095
    got = decode(written(dicom(pixels, photometric=photometric, PixelPaddingValue=4095)), "a.dcm").pixels
    assert (got[:, :5] == blank).all()
    np.testing.assert_array_equal(got[:, 5:], pixels[:, 5:])


def test_color_and_palette_dicom_become_luminance():
    rgb = np.ascontiguousarray(COLOR[..., ::-1])
    expected = rgb @ [0.299, 0.587, 0.114]
    got = decode(written(dicom(rgb, bits=8, photometric="RGB")), "a.dcm").pixels
    assert np.abs(got - expected).max() <= 1
    ramp = np.arange(256, dtype=np.uint16)
    tables = {}
    for name, data in (("Red", ramp), ("Green", 255 - ramp), ("Blue", ramp)):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"{name}PaletteColorLookupTableData"] = (data * 257).astype("<u2").tobytes()
    got = decode(written(dicom(GRAY8, bits=8, photometric="PALETTE COLOR", **tables)), "a.dcm").pixels
    level = GRAY8.astype(float)
    assert np.abs(got / 257 - (0.413 * level + 0.587 * (255 - level))).max() <= 0.01


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_lossless_compression_preserves_pixels(syntax):
    dataset = dicom(GRAY12)
    dataset.compress(syntax)
    np.testing.assert_array_equal(decode(written(dataset), "a.dcm").pixels, GRAY12)


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("MR_small_RLE.dcm", RLELossless),
        ("MR_small_jp2klossless.dcm", JPEG2000Lossless),
        ("MR_small_jpeg_ls_lossless.dcm", JPEGLSLossless),
        ("MR_small_implicit.dcm", ImplicitVRLittleEndian),
    ],
)
def test_files_of_other_writers_equal_their_uncompressed_version(name, syntax):
    path = get_testdata_file(name, download=False)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    plain = read(get_testdata_file("MR_small.dcm", download=False))
    np.testing.assert_array_equal(read(path).pixels, plain.pixels)


def test_jpeg_lossless_and_baseline_of_one_color_scene_agree():
    lossless = read(get_testdata_file("SC_rgb_jpeg_gdcm.dcm", download=False)).pixels
    baseline = read(get_testdata_file("SC_rgb_jpeg_dcmtk.dcm", download=False)).pixels
    assert np.abs(lossless.astype(int) - baseline).mean() < 2


def test_dicom_without_preamble_and_meta_group():
    data = written(dicom(GRAY12), bare=True)
    assert data[:2] == b"\x08\x00"
    np.testing.assert_array_equal(decode(data, "a.dcm").pixels, GRAY12)


@pytest.mark.parametrize(
    ("elements", "view"),
    [
        ({"ViewPosition": "PA"}, "PA"),
        ({"ViewPosition": "LL"}, "LL"),
        ({"PatientOrientation": ["A", "F"]}, "LATERAL"),
        ({"PatientOrientation": ["L", "F"]}, ""),
        ({}, ""),
    ],
)
def test_view_position_is_read(elements, view):
    assert decode(written(dicom(GRAY12, **elements)), "a.dcm").view == view


def test_detector_spacing_stands_in_for_a_missing_pixel_spacing():
    assert decode(written(dicom(GRAY12, ImagerPixelSpacing=["0.15", "0.15"])), "a.dcm").spacing == (0.15, 0.15)


def test_real_dicom_files_are_read(shared):
    plain, flipped = sorted((shared / "data" / "dicom").rglob("*.dcm"))
    plain, flipped = read(plain), read(flipped)
    assert (plain.inverted, flipped.inverted) == (False, True)
    for one in (plain, flipped):
        assert (one.pixels.shape, one.pixels.dtype, one.spacing, one.view) == (
            (1024, 1024),
            np.uint8,
            (0.168, 0.168),
            "PA",
        )
    # The second is the first with its label changed, pixels untouched.
    np.testing.assert_array_equal(plain.pixels, flipped.pixels)


def test_monochrome1_and_2_are_standardized_equally():
    bordered = GRAY12.copy()
    bordered[40:] = 0
    plain = decode(written(dicom(bordered)), "a.dcm")
    negative = decode(written(dicom(4095 - bordered, photometric="MONOCHROME1")), "b.dcm")
    one, other = (preprocessing.standardize(each, size=32, gamma=0.5) for each in (plain, negative))
    np.testing.assert_array_equal(one, other)


# ------------------------------------------------------------------------------------------------ bad files


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff"])
@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.95])
def test_truncated_images_are_refused(suffix, fraction, capfd):
    data = encoded(scene(255, np.uint8, (200, 160)), suffix, *([cv2.IMWRITE_TIFF_COMPRESSION, 1] * (suffix == ".tiff")))
    with pytest.raises(ImageReadError, match=rf"^cut{suffix}: truncated or damaged"):
        decode(data[: int(len(data) * fraction)], "cut" + suffix)
    assert capfd.readouterr() == ("", "")  # the decoder prints nothing


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("fraction", [0.5, 0.95])
def test_truncated_dicom_error_has_no_patient_name(syntax, fraction, caplog):
    dataset = dicom(scene(4095, np.uint16, (100, 100)))
    if syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax)
    data = written(dataset)
    assert NAME.encode() in data
    with pytest.raises(ImageReadError, match="^cut.dcm: truncated") as caught:
        decode(data[: int(len(data) * fraction)], "cut.dcm")
    assert NAME not in str(caught.value) + repr(caught.value.__cause__) + caplog.text


def apng() -> bytes:
    data = encoded(GRAY8, ".png")
    chunk = b"acTL" + struct.pack(">II", 2, 0)
    at = data.index(b"IDAT") - 4
    return data[:at] + struct.pack(">I", 8) + chunk + struct.pack(">I", 0) + data[at:]


def without_pixels() -> bytes:
    dataset = dicom(GRAY12)
    del dataset.PixelData, dataset.Rows
    return written(dataset)


@pytest.mark.parametrize(
    ("data", "name", "reason"),
    [
        (b"", "a.png", "empty file"),
        (b"<!DOCTYPE html><html>404</html>", "a.jpg", "not an image"),
        (b"PK\x03\x04" + bytes(200), "a.png", "not an image"),
        (b"hello\n" * 40, "a.dcm", "not an image"),
        (bytes(1000), "a.img", "not a JSRT image, or truncated: 1000 bytes instead of 8388608"),
        (encoded(GRAY8[:31], ".png"), "a.png", "too small: 40 x 31 pixels"),
        (encoded(np.full((64, 64), 7, np.uint8), ".png"), "a.png", "blank: every pixel is the same"),
        (encoded(GRAY8.astype(np.float32), ".tiff"), "a.tiff", "float32 pixels"),
        (cv2.imencodemulti(".tiff", [GRAY8, GRAY8])[1].tobytes(), "a.tiff", "2 pages"),
        (apng(), "a.png", "an animated PNG"),
        (without_pixels(), "a.dcm", "without pixel data"),
        (written(dicom(np.concatenate([GRAY12, GRAY12]), NumberOfFrames=2, Rows=48)), "a.dcm", "2 frames"),
        (written(dicom(GRAY12.astype(np.uint32), bits=32)), "a.dcm", "32 bits per pixel"),
    ],
)
def test_bad_content_is_refused_by_name_and_reason(data, name, reason):
    with pytest.raises(ImageReadError, match=f"^{name}: .*{reason}") as caught:
        decode(data, name)
    assert "\n" not in str(caught.value)
    assert (caught.value.path, str(caught.value)) == (name, f"{name}: {caught.value.reason}")


def test_random_damage_raises_and_logs_nothing_else(caplog):
    """Bytes flipped anywhere either leave a picture or give an ImageReadError."""
    draw = np.random.default_rng(2)
    compressed = dicom(GRAY12)
    compressed.compress(RLELossless)
    files = [encoded(GRAY8, ".png"), encoded(GRAY8, ".jpg"), encoded(GRAY16, ".tiff"), written(compressed)]
    refused = 0
    for data in files * 30:
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[draw.integers(4, len(damaged), 12)] = draw.integers(0, 256, 12)
        try:
            assert decode(damaged.tobytes(), "x").pixels.ndim == 2
        except ImageReadError:
            refused += 1
    assert 0 < refused < 120
    assert NAME not in caplog.text


def test_bad_paths_are_refused(tmp_path):
    with pytest.raises(ImageReadError, match="absent.png: no such file or folder"):
        read(tmp_path / "absent.png")
    with pytest.raises(ImageReadError, match="is a directory"):
        read(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_refused(tmp_path):
    path = tmp_path / "locked.png"
    path.write_bytes(encoded(GRAY8, ".png"))
    path.chmod(0)
    with pytest.raises(ImageReadError, match="permission denied"):
        read(path)


def test_refused_permission_is_reported(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "locked.png").write_bytes(encoded(GRAY8, ".png"))
    monkeypatch.setattr("builtins.open", refuse)
    answer = reader.read_file(str(tmp_path / "locked.png"), "locked.png", None, {})
    assert answer == {"unreadable": "permission denied"}


def test_error_survives_a_worker_process():
    error = pickle.loads(pickle.dumps(ImageReadError("a.png", "empty file")))
    assert (str(error), error.path, error.reason) == ("a.png: empty file", "a.png", "empty file")


def test_invalid_patient_elements_are_not_read():
    """pydicom would quote an invalid value in a warning."""
    dataset = dicom(GRAY12)
    data = written(dataset).replace(NAME.encode(), b"Do\xff^J\xfene")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(decode(data, "a.dcm").pixels, GRAY12)
