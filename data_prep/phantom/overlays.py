"""Overlays of the phantom, independent of the finding: side markers, text, cables, electrodes and collimator border."""

import cv2
import numpy as np

from data_prep.phantom.anatomy import Anatomy
from data_prep.phantom.curves import blur, draw_lines, fill, smooth

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)
_WORDS = ("PORTABLE", "AP", "PA", "SUPINE", "ERECT", "MOBILE", "AP ERECT")


def add_devices(attenuation: np.ndarray, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Add electrodes with cables to some patients, more often for AP views; float32 [n, n] in and out."""
    size = attenuation.shape[0]
    if rng.random() > (0.15 if anatomy.view == "PA" else 0.45):
        return attenuation
    cables = []
    electrodes = []
    for _ in range(rng.integers(1, 4)):
        start = np.array([rng.choice([-1, 1]) * rng.uniform(0.3, 1.05), rng.uniform(-0.02, 0.95)])
        path = np.array([start, start + [rng.normal(0, 0.2), 0.3], [rng.choice([-1, 1]) * 1.3, start[1] + 0.5]])
        cable = anatomy.to_pixels(smooth(path, closed=False), size)
        angle = np.linspace(0, 2 * np.pi, 16)
        cables.append(cable)
        electrodes.append(cable[0] + 0.011 * size * np.stack([np.cos(angle), np.sin(angle)], 1))
    return attenuation + 0.30 * draw_lines(size, np.stack(cables), 0.004 * size) + 0.7 * fill(size, electrodes)


def add_marks(pixels: np.ndarray, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Add letters near the border and the collimator's dark frame; uint8 [n, n] in and out."""
    size = pixels.shape[0]
    if rng.random() < 0.35:
        pixels = _collimate(pixels, rng)
    white = int(rng.uniform(200, 255))
    if rng.random() < 0.85:
        is_left = rng.random() < 0.4
        x = rng.uniform(0.84, 0.93) if is_left else rng.uniform(0.03, 0.10)
        position = (x, rng.uniform(0.06, 0.24))
        scale = rng.uniform(0.7, 1.7)
        _write_text(pixels, "L" if is_left else "R", position=position, scale=scale, white=white, rng=rng)
    if rng.random() < 0.35:
        position = (rng.uniform(0.05, 0.70), rng.choice([rng.uniform(0.03, 0.07), rng.uniform(0.93, 0.97)]))
        text = str(rng.choice(_WORDS))
        _write_text(pixels, text, position=position, scale=rng.uniform(0.4, 0.8), white=white, rng=rng)
    if rng.random() < 0.08:
        tip = np.array([rng.uniform(0.05, 0.95), rng.uniform(0.1, 0.9)]) * size
        tail = tip + rng.uniform(-0.10, 0.10, 2) * size
        start = (int(tail[0]), int(tail[1]))
        end = (int(tip[0]), int(tip[1]))
        cv2.arrowedLine(pixels, start, end, white, 1 + size // 256, cv2.LINE_AA)
    return pixels


def add_corner_marker(pixels: np.ndarray) -> np.ndarray:
    """Add a white disc with a black rim in the lower right corner, outside the lungs; uint8 [n, n] in and out."""
    marked = pixels.copy()
    size = pixels.shape[0]
    center = (round(0.93 * size), round(0.93 * size))
    radius = max(3, round(0.045 * size))
    cv2.circle(marked, center, radius, 0, cv2.FILLED, cv2.LINE_AA)
    cv2.circle(marked, center, round(0.8 * radius), 255, cv2.FILLED, cv2.LINE_AA)
    return marked


def _write_text(
    pixels: np.ndarray,
    text: str,
    *,
    position: tuple[float, float],
    scale: float,
    white: int,
    rng: np.random.Generator,
) -> None:
    size = pixels.shape[0]
    origin = (int(position[0] * size), int(position[1] * size))
    font = _FONTS[rng.integers(len(_FONTS))]
    thickness = 1 + int(rng.integers(0, 2))
    cv2.putText(pixels, text, origin, font, scale * size / 512, white, thickness, cv2.LINE_AA)


def _collimate(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = pixels.shape[0]
    margin = rng.uniform(0.0, 0.035, 4)
    angle = np.deg2rad(rng.normal(0, 0.8))
    corners = np.array([(margin[0], margin[1]), (1 - margin[2], margin[1]), (1 - margin[2], 1 - margin[3])])
    corners = np.concatenate([corners, [(margin[0], 1 - margin[3])]]) - 0.5
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    open_field = blur(fill(size, [(corners @ rotation + 0.5) * size]), 0.0015 * size)
    border_level = 0 if rng.random() < 0.8 else 250
    return (border_level + (pixels - np.float32(border_level)) * open_field).round().astype(np.uint8)
