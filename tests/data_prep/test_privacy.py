"""A prepared data set contains pixels and metadata columns, and no personal data of file headers."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from array_record.python.array_record_module import ArrayRecordReader
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from cxrjax.data import preprocessing
from cxrjax.io import jpeg_segments, prepared, radiograph
from data_prep.__main__ import main
from data_prep.reader import encode_image
from tests.helpers.image_files import draw_image, save_dicom

SECRETS = ("DOE", "JANE", "MRN4711", "19700203", "ACC-99", "Elm Street", "1.2.826.0.1.3680043.8.498.4711", "Dr Who")
TEXT = b" ".join(secret.encode() for secret in SECRETS)


def read_everything(folder: Path) -> bytes:
    """Return the bytes of all files and of all decompressed records."""
    parts = []
    for file in folder.rglob("*"):
        if file.is_file():
            parts.append(file.read_bytes())
        if ".array_record" in file.name:
            reader = ArrayRecordReader(str(file))
            parts += reader.read(0, reader.num_records())
    return b"\n".join(parts)


def write_dicom(path: Path, seed: int, **tags: object) -> None:
    inner = Dataset()
    inner.PatientName, inner.PatientID = "DOE^JANE", "MRN4711"
    outer = Dataset()
    outer.ReferencedSOPInstanceUID = "1.2.826.0.1.3680043.8.498.4711"
    outer.OriginalAttributesSequence = Sequence([inner])
    identifying_tags = {
        "PatientName": "DOE^JANE", "PatientID": "MRN4711", "PatientBirthDate": "19700203", "StudyDate": "19700203",
        "AccessionNumber": "ACC-99", "PatientAddress": "Elm Street", "ReferringPhysicianName": "Dr Who",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.4711", "IssuerOfPatientID": "DOE", "SeriesDescription": "JANE",
        "ReferencedImageSequence": Sequence([outer]), "ImageComments": TEXT.decode(), "PatientSex": "DOE",
        "ViewPosition": "DOE", "DeviceSerialNumber": "MRN4711",
    }  # fmt: skip
    pixels = draw_image(f"{seed}")
    save_dicom(path, pixels, **(identifying_tags | tags))
    dataset = pydicom.dcmread(path)
    block = dataset.private_block(0x0009, "DOE", create=True)
    block.add_new(0x01, "LO", "MRN4711")
    dataset.add_new(0x60003000, "OW", TEXT + b" " * (len(TEXT) % 2))  # an overlay
    dataset.preamble = b"DOE JANE".ljust(128, b"\0")
    dataset.save_as(path)
    path.write_bytes(path.read_bytes() + b"\xfc\xff\xfc\xffOB\0\0" + struct.pack("<I", len(TEXT)) + TEXT)


def insert_segments(file: bytes) -> bytes:
    """Return a JPEG file with text in APP1 (EXIF, XMP), APP13 (IPTC), a comment, unused tables, and after its end."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0" + struct.pack("<II", len(TEXT) + 1, 26) + b"\0" * 4 + TEXT
    packed = [(0xE1, exif), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + TEXT), (0xED, b"Photoshop 3.0\0" + TEXT)]
    packed += [(0xFE, TEXT), (0xE2, b"ICC_PROFILE\0\1\1" + TEXT)]
    packed += [(0xDB, b"\x03" + TEXT.ljust(64)[:64]), (0xC4, b"\x13" + bytes([0] * 15 + [64]) + TEXT.ljust(64)[:64])]
    segments = b"".join(bytes([0xFF, marker]) + struct.pack(">H", len(text) + 2) + text for marker, text in packed)
    return file[:2] + segments + file[2:] + TEXT


def insert_chunks(file: bytes) -> bytes:
    """Return a PNG file with text in tEXt, zTXt-like, eXIf and iTXt chunks, and after its end."""
    chunks = b""
    for name, text in ((b"tEXt", b"Comment\0" + TEXT), (b"eXIf", b"II*\0" + TEXT), (b"iTXt", b"X\0\0\0\0\0" + TEXT)):
        chunks += struct.pack(">I", len(text)) + name + text + struct.pack(">I", zlib.crc32(name + text))
    return file[:33] + chunks + file[33:] + TEXT


def write_tiff(path: Path, pixels: np.ndarray, *, white_is_zero: bool = False) -> None:
    """Write an uncompressed TIFF with an ImageDescription, an Artist and a DateTime."""
    height, width = pixels.shape
    texts = [(270, TEXT + b"\0"), (306, b"1970:02:03 00:00:00\0"), (315, b"DOE JANE\0")]
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8 * pixels.itemsize), (259, 3, 1, 1)]
    entries += [(262, 3, 1, 0 if white_is_zero else 1), (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height)]
    entries += [(279, 4, 1, pixels.nbytes)]
    body = pixels.tobytes()
    at = 8 + len(body)
    for tag, text in texts:
        entries.append((tag, 2, len(text), at))
        body += text
        at += len(text)
    body += b"\0" * (at % 2)
    at += at % 2
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    path.write_bytes(b"II*\0" + struct.pack("<I", at) + body + struct.pack("<H", len(entries)) + directory + b"\0" * 4)


def test_prepared_data_set_contains_no_header(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "in" / "normal"
    folder.mkdir(parents=True)
    write_dicom(folder / "a.dcm", 1)
    write_dicom(folder / "b.dcm", 2, ViewPosition="PA", PatientSex="F", PatientAge="041Y")
    write_dicom(folder / "broken.dcm", 3, Rows=9999)
    pixels = draw_image("c")
    (folder / "c.png").write_bytes(insert_chunks(cv2.imencode(".png", pixels)[1].tobytes()))
    (folder / "d.jpg").write_bytes(insert_segments(cv2.imencode(".jpg", draw_image("d"))[1].tobytes()))
    write_tiff(folder / "e.tif", draw_image("e"))
    assert main(["folder", f"--raw_dir={tmp_path / 'in'}", f"--out={tmp_path / 'out'}", "--split_ratios=1,0,0"]) == 0
    assert main(["describe", str(tmp_path / "out" / "folder")]) == 0
    written = read_everything(tmp_path / "out")
    assert b"normal/e.tif" in written  # so that what is searched is what was written
    for secret in SECRETS:
        assert secret.encode() not in written, secret
    assert b"1970:02:03" not in written and b"Elm" not in written
    assert all(secret.encode() in read_everything(tmp_path / "in") for secret in SECRETS)
    records = {one["path"]: one for one in prepared.open_builder(tmp_path / "out/folder/2.0.0").as_data_source("train")}
    assert len(records) == 5
    known = records[b"normal/b.dcm"]
    assert (known["view"], known["sex"], known["age"]) == (b"PA", b"F", 41)
    assert (records[b"normal/a.dcm"]["view"], records[b"normal/a.dcm"]["sex"]) == (b"", b"")


def write_jsrt(path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (2048, 2048)).astype(">u2")
    path.write_bytes(values.tobytes())


def encode_turned(pixels: np.ndarray) -> bytes:
    """Return a JPEG whose EXIF rotates it by 90°."""
    file = cv2.imencode(".jpg", pixels)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    return file[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + file[2:]


PIXELS = draw_image("pixels", (96, 80))
DEEP = PIXELS.astype(np.uint16) * 16 + 3


def write_mono1(path: Path) -> None:
    save_dicom(path, PIXELS, PhotometricInterpretation="MONOCHROME1", PixelSpacing=[0.2, 0.1])


def write_windowed(path: Path) -> None:
    save_dicom(path, PIXELS, WindowCenter=100, WindowWidth=80, RescaleSlope=2, RescaleIntercept=-7)


FILES = {
    "gray8.png": lambda path: path.write_bytes(cv2.imencode(".png", PIXELS)[1].tobytes()),
    "gray16.png": lambda path: path.write_bytes(cv2.imencode(".png", DEEP)[1].tobytes()),
    "alpha.png": lambda path: path.write_bytes(cv2.imencode(".png", np.dstack([PIXELS] * 4))[1].tobytes()),
    "gray.jpg": lambda path: path.write_bytes(insert_segments(cv2.imencode(".jpg", PIXELS)[1].tobytes())),
    "color.jpg": lambda path: path.write_bytes(
        cv2.imencode(".jpg", np.dstack([PIXELS, PIXELS // 2, 255 - PIXELS]), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1]
    ),
    "turned.jpg": lambda path: path.write_bytes(encode_turned(PIXELS)),
    "white.tif": lambda path: write_tiff(path, DEEP, white_is_zero=True),
    "white8.tif": lambda path: write_tiff(path, PIXELS, white_is_zero=True),
    "mono1.dcm": write_mono1,
    "window.dcm": write_windowed,
    "JPCNN001.IMG": write_jsrt,
}


@pytest.mark.parametrize("name", FILES)
def test_stored_image_is_preprocessed_like_its_file(tmp_path, name):
    path = tmp_path / name
    FILES[name](path)
    read = radiograph.read(path)
    image = encode_image(path.read_bytes(), read)
    stored = prepared.decode({"image": image, "path": name, "format": read.format, "inverted": read.inverted})
    assert (stored.format, stored.inverted, stored.pixels.dtype) == (read.format, read.inverted, read.pixels.dtype)
    np.testing.assert_array_equal(stored.pixels, read.pixels)
    for equalize in (True, False):
        ours, theirs = (preprocessing.standardize(one, size=64, gamma=0.7, equalize=equalize) for one in (stored, read))
        np.testing.assert_array_equal(ours, theirs)
    kept_as_jpeg = name in ("gray.jpg", "color.jpg")
    assert image.startswith(b"\xff\xd8\xff" if kept_as_jpeg else b"\x89PNG")


def test_stripped_jpeg_keeps_its_color_markers():
    colored = np.dstack([PIXELS, PIXELS // 2, 255 - PIXELS])
    file = cv2.imencode(".jpg", colored)[1].tobytes()
    adobe = b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\0"  # transform 0: the components are red, green and blue
    without_jfif = file[:2] + adobe + file[20:]
    assert file[2:4] == b"\xff\xe0"
    for one in (file, without_jfif):
        decoded = [
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in (one, jpeg_segments.strip(one))
        ]
        np.testing.assert_array_equal(*decoded)
    assert jpeg_segments.count_components(file) == 3
    with pytest.raises(jpeg_segments.JpegStructureError):
        jpeg_segments.strip(file[:-2])


def test_data_set_of_version_1_is_still_read(tmp_path):
    file = io.BytesIO()
    path = tmp_path / "a.dcm"
    write_mono1(path)
    file = path.read_bytes()
    stored = prepared.decode({"image": file, "path": b"a.dcm"})
    assert (stored.format, stored.inverted, stored.spacing) == ("dicom", True, (0.2, 0.1))
