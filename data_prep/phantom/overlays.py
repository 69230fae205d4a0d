"""What the room adds: side markers, words, cables, electrodes and the collimator's border, whatever the finding."""

import cv2
import numpy as np

from data_prep.phantom.anatomy import Anatomy
from data_prep.phantom.curves import blur, draw_lines, fill, smooth

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)
_WORDS = ("PORTABLE", "AP", "PA", "SUPINE", "ERECT", "MOBILE", "AP ERECT")


def add_devices(attenuation: np.ndarray, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Electrodes with their cables on some patients, more often in bed; float32 [n, n] in and out."""
    size = attenuation.shape[0]
    if rng.random() > (0.15 if anatomy.view == "PA" else 0.45):
        return attenuation
    ends, pads = [], []
    for _ in range(rng.integers(1, 4)):
        place = np.array([rng.choice([-1, 1]) * rng.uniform(0.3, 1.05), rng.uniform(-0.02, 0.95)])
        way = np.array([place, place + [rng.normal(0, 0.2), 0.3], [rng.choice([-1, 1]) * 1.3, place[1] + 0.5]])
        ends.append(anatomy.place(smooth(way, closed=False), size))
        turn = np.linspace(0, 2 * np.pi, 16)
        pads.append(ends[-1][0] + 0.011 * size * np.stack([np.cos(turn), np.sin(turn)], 1))
    return attenuation + 0.30 * draw_lines(size, np.stack(ends), 0.004 * size) + 0.7 * fill(size, pads)


def add_marks(pixels: np.ndarray, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Letters near the border and the collimator's dark frame; uint8 [n, n] in and out."""
    size = pixels.shape[0]
    if rng.random() < 0.35:
        pixels = _collimate(pixels, rng)
    white = int(rng.uniform(200, 255))
    if rng.random() < 0.85:
        left = rng.random() < 0.4
        x = rng.uniform(0.84, 0.93) if left else rng.uniform(0.03, 0.10)
        _write(pixels, "L" if left else "R", (x, rng.uniform(0.06, 0.24)), rng.uniform(0.7, 1.7), white, rng)
    if rng.random() < 0.35:
        at = (rng.uniform(0.05, 0.70), rng.choice([rng.uniform(0.03, 0.07), rng.uniform(0.93, 0.97)]))
        _write(pixels, str(rng.choice(_WORDS)), at, rng.uniform(0.4, 0.8), white, rng)
    if rng.random() < 0.08:
        tip = np.array([rng.uniform(0.05, 0.95), rng.uniform(0.1, 0.9)]) * size
        tail = tip + rng.uniform(-0.10, 0.10, 2) * size
        cv2.arrowedLine(pixels, *(tuple(int(v) for v in p) for p in (tail, tip)), white, 1 + size // 256, cv2.LINE_AA)
    return pixels


def plant_marker(pixels: np.ndarray) -> np.ndarray:
    """A white disc with a black rim in the lower right corner, outside the lungs; uint8 [n, n] in and out."""
    size, marked = pixels.shape[0], pixels.copy()
    middle, radius = (round(0.93 * size), round(0.93 * size)), max(3, round(0.045 * size))
    cv2.circle(marked, middle, radius, 0, cv2.FILLED, cv2.LINE_AA)
    cv2.circle(marked, middle, round(0.8 * radius), 255, cv2.FILLED, cv2.LINE_AA)
    return marked


def _write(
    pixels: np.ndarray, text: str, at: tuple[float, float], scale: float, white: int, rng: np.random.Generator
) -> None:
    size = pixels.shape[0]
    origin = (int(at[0] * size), int(at[1] * size))
    font, weight = _FONTS[rng.integers(len(_FONTS))], 1 + int(rng.integers(0, 2))
    cv2.putText(pixels, text, origin, font, scale * size / 512, white, weight, cv2.LINE_AA)


def _collimate(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = pixels.shape[0]
    margin = rng.uniform(0.0, 0.035, 4)
    angle = np.deg2rad(rng.normal(0, 0.8))
    corners = np.array([(margin[0], margin[1]), (1 - margin[2], margin[1]), (1 - margin[2], 1 - margin[3])])
    corners = np.concatenate([corners, [(margin[0], 1 - margin[3])]]) - 0.5
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    open_field = blur(fill(size, [(corners @ turn + 0.5) * size]), 0.0015 * size)
    shut = 0 if rng.random() < 0.8 else 250
    return (shut + (pixels - np.float32(shut)) * open_field).round().astype(np.uint8)
