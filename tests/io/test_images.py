"""PNG, JPEG, TIFF, WebP, BMP: bad files are refused by their headers, and the Exif orientation is undone."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from cxrjax.io import images, limits
from cxrjax.io.errors import ImageDecodeError
from cxrjax.io.limits import Limits
from data_prep.__main__ import parse
from data_prep.source import find_sources

LIMITS = Limits()
SCENE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (48, 64), dtype=np.uint8), (0, 0), 2)


def encode(pixels: np.ndarray, form: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, data: bytes, *before: bytes, after: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + chunk(b"IDAT", data) + after + chunk(b"IEND", b"")


def jpeg(width: int, height: int, data: bytes, scans: int = 1, progressive: bool = False) -> bytes:
    """The segments of a JPEG of one component, in which only the sizes are right."""
    marker = b"\xff\xc2" if progressive else b"\xff\xc0"
    frame = marker + struct.pack(">HBHHB3B", 11, 8, height, width, 1, 1, 0x11, 0)
    scan = b"\xff\xda" + struct.pack(">HB2B3B", 8, 1, 1, 0, 0, 63, 0) + data
    return b"\xff\xd8" + frame + scans * scan + b"\xff\xd9"


def webp(kind: bytes, content: bytes) -> bytes:
    """A WebP of one chunk."""
    body = b"WEBP" + kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bitmap(width: int, height: int, depth: int, compression: int = 0) -> bytes:
    """Return a BMP of 64 x 64 zeros of 8 bits without a palette, independent of the size in its header."""
    header = struct.pack("<IiiHHII", 40, width, height, 1, depth, compression, 0) + bytes(16)
    return b"BM" + struct.pack("<IHHI", 54 + 4096, 0, 0, 54) + header + bytes(4096)


def tiff(tags: dict[int, int | list[int]], body: bytes = b"", following: int = 0, order: str = "<") -> bytes:
    """Return a TIFF with one directory at byte 8, followed by `body`, independent of the tags."""
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b""
    extra = b""
    for tag, value in sorted(tags.items()):
        values = value if isinstance(value, list) else [value]
        if len(values) == 1:
            entries += struct.pack(order + "HHII", tag, 4, 1, values[0])
        else:
            entries += struct.pack(order + "HHII", tag, 4, len(values), start + len(body) + len(extra))
            extra += struct.pack(f"{order}{len(values)}I", *values)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return (
        magic + struct.pack(order + "IH", 8, len(tags)) + entries + struct.pack(order + "I", following) + body + extra
    )


def strip(width: int, height: int, size: int, compression: int = 1, **more: int) -> dict[int, int | list[int]]:
    tags = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 277: 1, 278: height, 279: size}
    return tags | {273: 8 + 2 + 12 * 9 + 4}


# ------------------------------------------------------------------------------------------------ before decoding

DEFLATED = zlib.compress(bytes(100_000), 9)
ANIMATION = chunk(b"acTL", struct.pack(">II", 2, 0))
COMMENT = chunk(b"tEXt", b"Comment\0IDAT")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(20_000, 20_000, DEFLATED), "too large: 20000 x 20000 pixels, at most 100 million are allowed"),
        (png(9000, 9000, DEFLATED), "less data than its header's pixels need"),
        (png(0, 64, DEFLATED), "no pixels"),
        (png(64, 64, DEFLATED, ANIMATION), "an animated PNG"),
        (png(64, 64, DEFLATED, COMMENT, ANIMATION), "an animated PNG"),
        (png(64, 64, DEFLATED, after=chunk(b"fdAT", b"0000")), "an animated PNG"),
        (png(64, 64, DEFLATED)[:-12], "truncated or damaged PNG"),
        (png(64, 64, DEFLATED).replace(b"IDAT", b"IDAX"), "truncated or damaged PNG"),
        (png(64, 64, DEFLATED)[:40] + b"\xff\xff\xff\xff" + b"IDAT", "truncated or damaged PNG"),
        (jpeg(32_760, 32_760, bytes(100)), "too large: 32760 x 32760 pixels"),
        (jpeg(9000, 9000, bytes(100_000)), "less data than its header's pixels need"),
        (jpeg(64, 0, bytes(100)), "no pixels"),
        (jpeg(64, 64, bytes(100), scans=2000, progressive=True), "a JPEG of more than 64 scans"),
        (jpeg(64, 64, bytes(100))[:-2], "truncated or damaged JPEG"),
        (b"\xff\xd8\xff\xc0\xff\xff\x08", "truncated or damaged JPEG"),
        (b"\xff\xd8\xff\xd9", "truncated or damaged JPEG"),
        (tiff(strip(20_000, 20_000, 10), bytes(10)), "too large: 20000 x 20000 pixels"),
        (tiff(strip(5000, 5000, 1000), bytes(1000)), "less data than its header's pixels need"),
        (tiff(strip(9000, 9000, 1000, 8), bytes(1000)), "less data than its header's pixels need"),
        (tiff(strip(9000, 9000, 1000, 5), bytes(1000)), "less data than its header's pixels need"),
        (tiff(strip(64, 64, 4096), bytes(4095)), "truncated or damaged TIFF"),
        (tiff(strip(64, 64, 4096), bytes(4096), following=8), "truncated or damaged TIFF"),
        (tiff(strip(64, 64, 4096), bytes(4096), following=2**31), "truncated or damaged TIFF"),
        (tiff(strip(64, 64, 4096) | {273: 2**32 - 1}, bytes(4096)), "truncated or damaged TIFF"),
        (tiff(strip(64, 64, 4096) | {278: 1}, bytes(4096)), "truncated or damaged TIFF"),
        (tiff({256: 64, 257: 64}), "truncated or damaged TIFF"),
        (tiff(strip(64, 64, 2048) | {258: 4}, bytes(2048)), "^4 bits a value"),
        (tiff(strip(64, 64, 8192) | {258: 16, 339: 3}, bytes(8192)), "^16-bit floating-point pixels"),
        (tiff(strip(64, 64, 99, 50000), bytes(99)), "compressed by Zstandard, which is not read"),
        (b"II*\0\x08\0\0\0", "truncated or damaged TIFF"),
        (b"MM\0*\0\0\0\0", "truncated or damaged TIFF"),
        (b"II+\0\x08\0\0\0", "a BigTIFF image"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "truncated or damaged WebP"),
        (webp(b"VP8L", b"\x2f" + bytes(4))[:-2], "truncated or damaged WebP"),
        (webp(b"VP8L", b"\x2f\xff\xff\xff\xff"), "too large: 16384 x 16384 pixels"),
        (webp(b"VP8X", b"\2" + bytes(9)), "an animated WebP, not one radiograph"),
        (webp(b"VP8 ", bytes(10)), "truncated or damaged WebP"),
        (webp(b"ICCP", b"x"), "truncated or damaged WebP"),
        (bitmap(64, 64, 8)[:-1], "truncated or damaged BMP"),
        (bitmap(64, 64, 8)[:40], "truncated or damaged BMP"),
        (bitmap(60_000, -60_000, 8), "too large: 60000 x 60000 pixels"),
        (bitmap(64, 64, 7), "truncated or damaged BMP"),
        (bitmap(64, 64, 8, compression=1), "a compressed BMP, which is not read"),
    ],
)
def test_bad_headers_are_refused_before_decoding(data, reason, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)  # not called
    with pytest.raises(ImageDecodeError, match=reason):
        images.decode_gray(data, LIMITS)
    with pytest.raises(ImageDecodeError, match=reason):
        images.decode_values(data, LIMITS)


def test_tiff_pages_are_counted_without_decoding(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    monkeypatch.setattr(cv2, "imdecodemulti", None)
    size = 2 + 12 * 9 + 4
    tags = strip(8000, 8000, 4096)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    for pages, message in ((60, "60 pages"), (5000, "more than 1000 pages")):
        starts = [*(8 + size * page for page in range(1, pages)), 0]
        chain = b"".join(struct.pack("<H", len(tags)) + entries + struct.pack("<I", start) for start in starts)
        with pytest.raises(ImageDecodeError, match=f"^{message}, not one radiograph"):
            images.decode_gray(b"II*\0" + struct.pack("<I", 8) + chain + bytes(8000), LIMITS)


@pytest.mark.parametrize("form", ["png", "jpeg", "tiff"])
def test_blank_images_are_above_the_lower_bound_of_file_size(form):
    """The bounds are the highest compression of a codec, which an image of one value approaches."""
    blank = np.zeros((1600, 1600), np.uint8)
    options = {
        "png": [{"compress_level": 9}, {"optimize": True}],
        "jpeg": [{"quality": 1, "optimize": True}, {"quality": 1, "progressive": True}],
        "tiff": [{"compression": name} for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "raw", "jpeg")],
    }
    for each in options[form]:
        assert images.decode_gray(encode(blank, form, **each), LIMITS)[0].max() <= 1
    if form == "tiff":
        bilevel = np.zeros((400, 400), bool)
        for name in ("group3", "group4"):
            assert not images.decode_gray(encode(bilevel, form, compression=name), LIMITS)[0].any()


def test_tiff_previews_are_not_counted_as_pages():
    tags = strip(64, 48, SCENE.size) | {254: 0}
    start = 8 + 2 + 12 * len(tags) + 4
    tags |= {273: start}
    preview = tiff(tags | {254: 1})[8:]  # of the same pixels
    one = tiff(tags, SCENE.tobytes(), following=start + SCENE.size) + preview
    np.testing.assert_array_equal(images.decode_gray(one, LIMITS)[0], SCENE)
    for kinds in ((0, 0), (1, 0)):
        first = tiff(tags | {254: kinds[0]}, SCENE.tobytes(), following=start + SCENE.size)
        with pytest.raises(ImageDecodeError, match="2 pages"):
            images.decode_gray(first + tiff(tags | {254: kinds[1]})[8:], LIMITS)


def test_long_run_of_jpeg_fill_bytes_is_read():
    data = encode(SCENE, "jpeg")
    long = data[:-2] + b"\xff" * 300_000 + b"\0" + data[-2:]
    np.testing.assert_array_equal(images.decode_gray(long, LIMITS)[0], images.decode_gray(data, LIMITS)[0])


@pytest.mark.parametrize("scene", [SCENE, SCENE.astype(np.uint16) * 257])
def test_a_transparent_gray_level_turns_black(scene):
    level = int(scene[20, 20])
    data = encode(scene, "png")
    at = data.index(b"IDAT") - 4
    found, _ = images.decode_gray(data[:at] + chunk(b"tRNS", struct.pack(">H", level)) + data[at:], LIMITS)
    np.testing.assert_array_equal(found, np.where(scene == level, 0, scene))


def test_limits_are_parsed_and_applied():
    data = encode(SCENE, "png")
    with pytest.raises(ImageDecodeError, match="64 x 48 pixels, at most 0.003 million"):
        images.decode_gray(data, Limits.parse("max_pixels=3e3"))
    with pytest.raises(ImageDecodeError, match="bytes, at most .* MiB are allowed"):
        images.decode_gray(data, Limits.parse(f"max_bytes={len(data) - 1}"))
    images.decode_gray(data, Limits.parse(f"max_bytes={len(data)}, max_pixels={SCENE.size}, max_seconds=0.5"))
    for text in ("pixels=3", "max_pixels", "max_pixels=0", "max_seconds=nan", "max_pixels=1;2"):
        with pytest.raises(ValueError, match="limit"):
            Limits.parse(text)


# ------------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("compression", ["tiff_adobe_deflate", "packbits"])
def test_damaged_tiff_strips_are_refused(compression):
    noisy = np.random.default_rng(1).integers(0, 256, (300, 200), dtype=np.uint8)
    data = encode(noisy, "tiff", compression=compression)
    images.decode_gray(data, LIMITS)
    for at in range(2000, len(data) - 4000, 7000):
        with pytest.raises(ImageDecodeError, match="truncated or damaged TIFF"):
            images.decode_gray(data[:at] + bytes(3000) + data[at + 3000 :], LIMITS)


def test_flipped_bits_of_png_data_are_refused():
    data = encode(SCENE, "png")
    for at in range(data.index(b"IDAT"), len(data) - 12, 101):
        flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(ImageDecodeError, match="truncated or damaged PNG"):
            images.decode_gray(flipped, LIMITS)


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_tiles_are_read_in_both_byte_orders(order):
    corners = [(row, column) for row in range(0, 48, 16) for column in range(0, 64, 16)]
    parts = [zlib.compress(SCENE[row : row + 16, column : column + 16].tobytes()) for row, column in corners]
    start = 8 + 2 + 12 * 10 + 4
    offsets = list(np.cumsum([start, *map(len, parts[:-1])]))
    tags = {256: 64, 257: 48, 258: 8, 259: 8, 262: 1, 277: 1, 322: 16, 323: 16}
    data = tiff(tags | {324: offsets, 325: list(map(len, parts))}, b"".join(parts), order=order)
    np.testing.assert_array_equal(images.decode_gray(data, LIMITS)[0], SCENE)


# -------------------------------------------------------------------------------------------------- orientation


@pytest.mark.parametrize("form", ["png", "jpeg", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone_for_images_and_masks(form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"tiffinfo": {0x0112: orientation}} if form == "tiff" else {"exif": exif}
    options |= {"lossless": True} if form == "webp" else {}
    data = encode(SCENE, form, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)).convert("L")))
    values = images.decode_values(data, LIMITS)  # WebP has color only
    for pixels in (images.decode_gray(data, LIMITS)[0], values if values.ndim == 2 else values[..., 0]):
        assert pixels.shape == expected.shape
        assert np.abs(pixels.astype(int) - expected).max() <= (2 if form == "jpeg" else 0)


def test_orientation_of_a_16_bit_tiff_is_undone():
    pixels = SCENE.astype(np.uint16) * 257
    data = encode(pixels, "tiff", tiffinfo={0x0112: 6})
    for got in (images.decode_gray(data, LIMITS)[0], images.decode_values(data, LIMITS)):
        np.testing.assert_array_equal(got, np.rot90(pixels, -1))


@pytest.mark.parametrize("form", ["webp", "bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_webp_and_bmp_of_gray_levels_are_exact(form, mode):
    picture = Image.fromarray(SCENE).convert(mode)
    file = io.BytesIO()
    picture.save(file, form, **({"lossless": True} if form == "webp" else {}))
    pixels, inverted = images.decode_gray(file.getvalue(), LIMITS)
    np.testing.assert_array_equal(pixels, SCENE)
    assert not inverted


@pytest.mark.parametrize("form", ["png", "tiff", "gif", "bmp"])
def test_mask_values_are_read_exactly(form):
    mask = (SCENE // 64).astype(np.uint8)
    got = images.decode_values(encode(mask, form), LIMITS)
    np.testing.assert_array_equal(got if got.ndim == 2 else got[..., 0], mask)


@pytest.mark.parametrize(("form", "at"), [("gif", 6), ("bmp", 18)])
def test_limits_apply_to_gif_and_bmp_masks(form, at):
    data = encode(SCENE, form)
    size = struct.pack("<HH", 60_000, 60_000) if form == "gif" else struct.pack("<ii", 60_000, -60_000)
    with pytest.raises(ImageDecodeError, match="too large: 60000 x 60000 pixels"):
        images.decode_values(data[:at] + size + data[at + len(size) :], LIMITS)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (encode(SCENE, "gif"), "a GIF image"),
        (encode(SCENE, "jpeg2000"), "a JPEG 2000 image"),
        (bytes(344) + b"n+1\0", "a NIfTI file (save its slice, upright, as 16-bit PNG or .npy)"),
        (b"\x1f\x8b\x08\0", "a gzip archive, perhaps a NIfTI file (save its slice, upright, as 16-bit PNG or .npy)"),
        (b"%PDF-1.4", "a PDF document"),
        (b"<!DOCTYPE html><html>404</html>", "a web page or XML file"),
        (b"hello", ""),
        (b"", ""),
    ],
)
def test_unsupported_format_is_named(data, name):
    assert images.describe_unsupported(data) == name


def test_limits_flag_applies_to_child_processes(monkeypatch, capsys):
    monkeypatch.setenv(limits.VARIABLE, "")  # restored at the end
    sources = find_sources()
    assert parse(["phantom", "--out=x", "--limits=max_pixels=5e7,max_seconds=2.5"], sources).command == "phantom"
    assert limits.current() == Limits(max_pixels=50_000_000, max_seconds=2.5)
    parse(["phantom", "--out=x"], sources)
    assert limits.current().max_pixels == 50_000_000  # of the environment
    with pytest.raises(SystemExit, match="2"):
        parse(["phantom", "--limits=megapixels=50"], sources)
    assert "'megapixels' is not a limit of a file; available: max_bytes, max_pixels" in capsys.readouterr().err
