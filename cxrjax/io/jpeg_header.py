"""Header of a JPEG file (ITU-T T.81), read by walking its segments without decoding."""

import re

from cxrjax.io.errors import ImageDecodeError
from cxrjax.io.header import JPEG_PIXELS, Header, check_size, insufficient_data, read_orientation
from cxrjax.io.limits import Limits

MAGIC = b"\xff\xd8\xff"
_MAX_SEGMENTS = 10_000
_MAX_SCANS = 64  # a progressive file has about ten; each scan is a pass over all pixels
_MARKER = re.compile(rb"\xff++([^\x00\xff\xd0-\xd7])")
# End of a scan's data: neither a stuffed byte nor a restart marker. Matching fill bytes too would be slow.
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SCAN_END_OF_LS = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")  # JPEG-LS stuffs bits: a byte below 0x80 follows
_LS_FRAME = 0xF7
_EOI = 0xD9
_SOS = 0xDA
_APP1 = 0xE1
_EXIF = b"Exif\0\0"
_HUFFMAN = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive
_ARITHMETIC = {0xC9, 0xCA}
_OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF, _LS_FRAME}  # lossless, hierarchical, JPEG-LS


def inspect(data: bytes, limits: Limits, *, in_dicom: bool = False) -> Header:
    """Read the header, and check that all segments are complete and the data is long enough for the pixels.

    Args:
        data: content of the file.
        limits: limits of the file.
        in_dicom: whether lossless processes, JPEG-LS and more than 8 bits are allowed.

    Raises:
        ImageDecodeError: truncated, damaged, unsupported, or beyond the limits.
    """
    damaged = ImageDecodeError("truncated or damaged JPEG file")
    frame = b""
    process = 0
    scans = 0
    coded_bytes = 0
    orientation = 0
    position = 2
    for _ in range(_MAX_SEGMENTS):
        match = _MARKER.match(data, position)
        if not match:
            raise damaged
        marker = match[1][0]
        position = match.end()
        if marker == _EOI:
            break
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2 or position + length > len(data):
            raise damaged
        if marker in _HUFFMAN | _ARITHMETIC | _OTHER_FRAMES:
            if frame:
                raise damaged
            process = marker
            frame = data[position + 2 : position + length]
            _check_frame(frame, process, limits, in_dicom)
        if marker == _APP1 and not orientation and data.startswith(_EXIF, position + 2):
            orientation = read_orientation(data[position + 2 + len(_EXIF) : position + length])
        position += length
        if marker == _SOS:
            scans += 1
            if not frame:
                raise damaged
            if scans > _MAX_SCANS:
                raise ImageDecodeError(f"a JPEG of more than {_MAX_SCANS} scans; progressive files have about ten")
            scan_end = (_SCAN_END_OF_LS if process == _LS_FRAME else _SCAN_END).search(data, position)
            if (
                not scan_end and in_dicom and process in _HUFFMAN
            ):  # the end marker may be missing; libjpeg detects lost data
                coded_bytes += len(data) - position
                break
            if not scan_end:
                raise damaged
            coded_bytes += scan_end.start() - position
            position = scan_end.start()
    else:
        raise damaged
    if not frame or not scans:
        raise damaged
    height = int.from_bytes(frame[1:3], "big")
    width = int.from_bytes(frame[3:5], "big")
    if process in _HUFFMAN and width * height > JPEG_PIXELS * coded_bytes + 64 * (width + height):
        raise insufficient_data("JPEG")
    return Header(width, height, orientation or 1)


def _check_frame(frame: bytes, process: int, limits: Limits, in_dicom: bool) -> None:
    if len(frame) < 9:
        raise ImageDecodeError("truncated or damaged JPEG file")
    if not in_dicom and (process in _OTHER_FRAMES or frame[0] != 8):
        raise ImageDecodeError("a lossless, hierarchical or more than 8-bit JPEG file, which is not supported")
    check_size(int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big"), limits, "JPEG")
