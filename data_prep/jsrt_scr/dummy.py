"""The JSRT database and the SCR masks in the small: few images, but of full size, as nothing else is a JSRT image."""

import struct
from pathlib import Path

import cv2
import numpy as np

from data_prep.collections.fixtures import draw_image, draw_lung_mask

_SIDE, _MASK_SIDE = 2048, 1024
_NODULES = (
    "JPCLN001.IMG\t5\t15\t53\tMale\t1634\t692\tmalignant\tl.upper lobe\tlung cancer",
    "JPCLN002.IMG\t5\t14\t?\tFemale\t418\t622\tbenign\tr.upper lobe\tgranuloma",
    "JPCLN003.IMG\t1\t?\t64\tFemale\t1512\t1009\tmalignant\tl.middle lobe\tlung cancer",
    "JPCLN004.IMG\t3\t20\t70\tMale\t1000\t900\tmalignant\tr.lower lobe\tlung cancer",
)
_NORMAL = ("JPCNN001.IMG  72  Male  non-nodule",)


def write(folder: Path) -> None:
    """Four radiographs, three in fold 1 and one in fold 2; a fifth is cut off, and a sixth is missing."""
    images, clinical = folder / "All247images", folder / "Clinical_Information"
    for name in ("JPCLN001", "JPCLN002", "JPCLN003", "JPCNN001"):
        _save_image(images / f"{name}.IMG")
        _save_masks(folder / "scratch", name)
    (images / "JPCNN002.IMG").write_bytes(b"\x00\x10" * 1000)
    clinical.mkdir()
    (clinical / "CLNDAT_EN.txt").write_text("\n".join(_NODULES))
    (clinical / "CNNDAT_EN.TXT").write_text("\n".join(_NORMAL))


def _save_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = cv2.resize(draw_image(path.name, (64, 64)), (_SIDE, _SIDE)).astype(">u2") << 4  # 12 of 16 bits
    path.write_bytes(pixels.astype(">u2").tobytes())


def _save_masks(folder: Path, name: str) -> None:
    shape = (_MASK_SIDE, _MASK_SIDE)
    heart = cv2.circle(np.zeros(shape, np.uint8), (550, 600), 120, 1, -1)
    parts = {"heart": heart, "left lung": draw_lung_mask("left", shape), "right lung": draw_lung_mask("right", shape)}
    for part, mask in parts.items():
        fold = "fold1" if int(name[-1]) % 2 else "fold2"
        path = folder / fold / "masks" / part / f"{name}.gif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_encode_gif(mask))


def _encode_gif(mask: np.ndarray) -> bytes:
    """A black and white GIF file; OpenCV would write one with grey rims.

    With 7 bits a pixel a code of its compression has 8 bits, as long as the table is cleared before it outgrows them:
    so codes are bytes, and the pixels themselves.
    """
    clear, end, run, block = 128, 129, 64, 255
    height, width = mask.shape
    codes = np.insert(mask.reshape(-1, run), 0, clear, axis=1).tobytes() + bytes([end])
    blocks = (codes[start : start + block] for start in range(0, len(codes), block))
    palette = bytes([0] * 3 + [255] * 3 + [0] * 3 * 126)
    return (
        struct.pack("<6sHHBBB", b"GIF89a", width, height, 0xF6, 0, 0)
        + palette
        + struct.pack("<cHHHHBB", b",", 0, 0, width, height, 0, 7)
        + b"".join(bytes([len(part)]) + part for part in blocks)
        + b"\0;"
    )
