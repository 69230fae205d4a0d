"""Render anatomy to attenuation (line integrals of all tissues, added in logarithmic units) and to an exposed image.

Units are natural-log attenuation, about 1.7 through the trunk. A finding replaces air, so it is added as a fraction of
the `air` map, and is zero outside the lungs.
"""

from typing import NamedTuple

import cv2
import numpy as np

from data_prep.phantom import anatomy as body
from data_prep.phantom.anatomy import Anatomy
from data_prep.phantom.curves import band, blur, cloud, draw_lines, fill, inside, smooth

_AIR = 1.20  # reduction of the attenuation where a lung is deepest
_BEHIND_HEART = 0.12  # fraction of the air that remains in front of and behind the heart


class Chest(NamedTuple):
    """A healthy chest, before findings, overlays and exposure."""

    attenuation: np.ndarray  # float32 [size, size]
    air: np.ndarray  # float32 [size, size], attenuation that would be added by filling the lungs
    structures: np.ndarray  # uint8 [size, size]: 0 background, 1 heart, 2 left lung, 3 right lung


def render_chest(anatomy: Anatomy, rng: np.random.Generator, size: int) -> Chest:
    """Render the patient without disease; `rng` draws vessels and texture."""
    lungs = [anatomy.to_pixels(body.lung_outline(anatomy, side), size) for side in (-1, 1)]
    heart = anatomy.to_pixels(body.heart_outline(anatomy), size)
    mediastinum = anatomy.to_pixels(body.mediastinum_outline(anatomy), size)
    structures = _label_map(size, lungs, heart, mediastinum)
    air = _lung_air(anatomy, size, lungs, center=[heart, mediastinum])
    vessels = _vessels(anatomy, rng, size) * np.minimum(1, air / (0.5 * _AIR))
    tissue = _trunk(anatomy, size) + _mediastinal(anatomy, size, heart, mediastinum) + _abdomen(anatomy, rng, size)
    texture = cloud(rng, size, 0.05, 3) * (0.012 + 0.03 * air) + 0.03 * cloud(rng, size, 0.5)
    attenuation = tissue + _bones(anatomy, size) + _breasts(anatomy, size) - air + vessels + texture * (tissue > 0.3)
    attenuation = 0.86 * attenuation + 0.14 * blur(attenuation, 0.09 * size)  # scatter
    return Chest(attenuation.astype(np.float32), air, structures)


def expose(attenuation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Convert attenuation to an 8-bit radiograph with blur, quantum noise and a film curve; dense tissue is bright.

    No parameter depends on the image, so two radiographs with the same seed differ only where their attenuation does.
    """
    size = attenuation.shape[0]
    grain = rng.standard_normal(attenuation.shape, dtype=np.float32)
    grain = blur(grain, rng.uniform(0.45, 0.8) * size / 512) * np.float32(rng.uniform(0.012, 0.045))
    tilt = rng.normal(0, 0.08, 2).astype(np.float32)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    signal = blur(attenuation, rng.uniform(0.5, 1.0) * size / 512)
    # The higher the attenuation, the fewer quanta reach the detector, and the stronger the noise.
    signal = signal + grain * np.exp(0.45 * np.minimum(signal, 2.4)) + tilt[0] * axis[:, None] + tilt[1] * axis
    sharpening = rng.uniform(0, 0.7)
    sharpening_sigma = rng.uniform(1.5, 5) * size / 512
    signal = signal + np.float32(sharpening) * (signal - blur(signal, sharpening_sigma))
    center = rng.normal(1.08, 0.13)
    gain = rng.uniform(1.9, 3.0)
    black = rng.uniform(0, 12)
    white = rng.uniform(225, 255)
    film = 1 / (1 + np.exp(-np.float32(gain) * (signal - np.float32(center))))
    floor = 1 / (1 + np.exp(gain * center))
    return np.clip(black + (white - black) * (film - floor) / (1 - floor), 0, 255).round().astype(np.uint8)


def _thickness(mask: np.ndarray, depth: float) -> np.ndarray:
    """Return the thickness 0..1 of a rounded body over `mask` (float, 0..1), 1 from `depth` pixels inside its edge."""
    size = mask.shape[0]
    half = cv2.resize(mask, (size // 2, size // 2), interpolation=cv2.INTER_AREA)
    distance = cv2.distanceTransform((half > 0.25).astype(np.uint8), cv2.DIST_L2, 5)
    rim = 1 - np.minimum(distance / np.float32(depth / 2), 1)
    return cv2.resize(np.sqrt(1 - rim * rim), (size, size), interpolation=cv2.INTER_LINEAR) * mask


def _label_map(size: int, lungs: list[np.ndarray], heart: np.ndarray, mediastinum: np.ndarray) -> np.ndarray:
    structures = np.zeros((size, size), np.uint8)
    structures[inside(size, lungs[0])] = 3
    structures[inside(size, lungs[1])] = 2
    structures[inside(size, mediastinum)] = 0
    structures[inside(size, heart)] = 1
    return structures


def _lung_air(anatomy: Anatomy, size: int, lungs: list[np.ndarray], center: list[np.ndarray]) -> np.ndarray:
    """Return the air of the lungs, reduced over the outlines `center` of heart and mediastinum."""
    air = np.zeros((size, size), np.float32)
    for lung in lungs:
        air = air + _thickness(fill(size, [lung]), 0.20 * anatomy.half_width * 2 * size)
    air = air * (1 - (1 - _BEHIND_HEART) * fill(size, center))
    return (_AIR * blur(air, 0.004 * size)).astype(np.float32)


def _trunk(anatomy: Anatomy, size: int) -> np.ndarray:
    trunk, arms = body.body_outlines(anatomy)
    attenuation = 1.55 * _thickness(fill(size, [anatomy.to_pixels(trunk, size)]), 0.17 * size)
    for arm in arms:
        arm_attenuation = 0.95 * _thickness(fill(size, [anatomy.to_pixels(arm, size)]), 0.09 * size)
        attenuation = np.maximum(attenuation, arm_attenuation)
    return attenuation


def _mediastinal(anatomy: Anatomy, size: int, heart: np.ndarray, mediastinum: np.ndarray) -> np.ndarray:
    heart_attenuation = 0.26 * _thickness(fill(size, [heart]), 0.16 * size)
    vessels = 0.20 * _thickness(fill(size, [mediastinum]), 0.05 * size)
    t = np.linspace(-0.6, 0.33, 20)
    trachea = anatomy.to_pixels(band(np.stack([-0.012 - 0.03 * np.sin(3 * t), t], 1), 0.048), size)
    airways = [trachea]
    for side, drop in ((-1, 0.10), (1, 0.075)):
        path = smooth(np.array([(-0.02, 0.32), (side * 0.10, 0.36), (side * 0.22, 0.36 + drop)]), closed=False)
        airways.append(anatomy.to_pixels(band(path, np.linspace(0.032, 0.018, len(path))), size))
    return blur(heart_attenuation + vessels, 0.005 * size) - 0.22 * blur(fill(size, airways), 0.004 * size)


def _abdomen(anatomy: Anatomy, rng: np.random.Generator, size: int) -> np.ndarray:
    """Return the abdomen below the diaphragm, denser than the chest, with gas in the stomach."""
    t = np.array([anatomy.dome[0] + 0.02, anatomy.dome[0] + 0.03, 0.9, anatomy.dome[1] + 0.03, anatomy.dome[1] + 0.03])
    top = smooth(np.stack([[-1.0, -0.5, 0.0, 0.5, 1.0], t], 1), closed=False)
    outline = np.concatenate([[(-1.2, 1.05)], top, [(1.2, 1.05), (1.2, 2.0), (-1.2, 2.0)]])
    attenuation = 0.28 * blur(fill(size, [anatomy.to_pixels(outline, size)]), 0.012 * size)
    angle = np.linspace(0, 2 * np.pi, 24)
    ellipse = np.stack([2.2 * np.cos(angle), 0.8 * np.sin(angle)], 1)
    bubbles = []
    for radius in anatomy.gas * rng.uniform(0.3, 1.0, 4):
        center = [rng.uniform(0.35, 0.60), anatomy.dome[1] + 0.07 + 0.5 * radius + rng.uniform(0, 0.05)]
        bubbles.append(anatomy.to_pixels(radius * ellipse + center, size))
    return attenuation - 0.32 * blur(fill(size, bubbles), 0.008 * size)


def _bones(anatomy: Anatomy, size: int) -> np.ndarray:
    bones = _spine(anatomy, size)
    back = []
    front = []
    for side in (-1, 1):
        for back_curve, front_curve in body.rib_curves(anatomy, side):
            back.append(anatomy.to_pixels(back_curve, size))
            front.append(anatomy.to_pixels(front_curve, size))
    width = anatomy.rib_width * size * anatomy.height / 0.73
    taper = np.linspace(1.0, 0.3, len(front[0]))
    bones += _tubes(size, back, np.full(len(back[0]), width), 0.27)
    bones += _tubes(size, front, width * (1.1 + 0.2 * taper), 0.11)
    clavicles = [anatomy.to_pixels(body.clavicle_curve(anatomy, side), size) for side in (-1, 1)]
    bones += _tubes(size, clavicles, np.full(len(clavicles[0]), 1.0 * width), 0.30)
    scapulae = [anatomy.to_pixels(body.scapula_outline(anatomy, side), size) for side in (-1, 1)]
    borders = draw_lines(size, np.stack(scapulae), 0.008 * size)
    bones += 0.10 * blur(fill(size, scapulae), 0.004 * size) + 0.08 * borders
    for side in (-1, 1):
        humerus = fill(size, [anatomy.to_pixels(part, size) for part in body.humerus_outlines(anatomy, side)])
        bones += 0.45 * _thickness(humerus, 0.03 * size)
    return bones


def _tubes(size: int, curves: list[np.ndarray], half_width: np.ndarray, strength: float) -> np.ndarray:
    """Return hollow bones, whose cortex is brighter at the edges than the marrow between."""
    bone = fill(size, [band(curve, half_width) for curve in curves])
    marrow = fill(size, [band(curve, 0.68 * half_width) for curve in curves])
    return blur(strength * (bone - 0.38 * marrow), 0.0016 * size)


def _spine(anatomy: Anatomy, size: int) -> np.ndarray:
    """Return vertebrae with darker discs between them, pedicles on both sides and spinous processes in the middle."""
    level = np.arange(-6, 24)
    t = -0.03 + 0.0905 * level
    width = 0.095 + 0.002 * level

    def boxes(u: np.ndarray, t: np.ndarray, half_u: np.ndarray, half_t: float) -> list[np.ndarray]:
        corners = [np.stack([u + i * half_u, t + j * half_t], -1) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        return list(anatomy.to_pixels(np.stack(corners, 1), size))

    vertebrae = fill(size, boxes(0 * width, t, width, 0.0455))
    discs = fill(size, boxes(0 * width, t + 0.045, width, 0.007))
    processes = boxes(0 * width, t, 0.1 * width, 0.02)
    processes += boxes(-0.6 * width, t, 0.2 * width, 0.011)
    processes += boxes(0.6 * width, t, 0.2 * width, 0.011)
    return blur(0.14 * vertebrae - 0.08 * discs + 0.07 * fill(size, processes), 0.0058 * size)


def _breasts(anatomy: Anatomy, size: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 40)
    shadow = np.zeros((size, size), np.float32)
    for side in (-1, 1):
        half_height = np.where(np.sin(angle) > 0, 0.23, 0.34)
        outline = np.stack([side * (0.58 + 0.42 * np.cos(angle)), 0.72 + half_height * np.sin(angle)], 1)
        shadow += _thickness(fill(size, [anatomy.to_pixels(outline, size)]), 0.13 * size)
    fade = np.clip((np.linspace(0, 1, size, dtype=np.float32)[:, None] - 0.38) / 0.25, 0, 1)
    return anatomy.breast * blur(shadow, 0.005 * size) * fade


def _vessels(anatomy: Anatomy, rng: np.random.Generator, size: int) -> np.ndarray:
    """Return two trees of tapering branches from the hila; thicker branches have stronger shadows."""
    shadow = np.zeros((size, size), np.float32)
    roots = {-1: (-0.24, 0.44), 1: (0.25, 0.40)}
    # Degrees from the lateral direction, downward positive: upper lobe, middle, and lower branches.
    fan = np.array([-78, -58, -34, -10, 14, 36, 55, 70, 84.0])
    start = np.concatenate([np.repeat(anatomy.to_pixels([roots[side]], size), len(fan), 0) for side in (-1, 1)])
    direction = np.deg2rad(np.concatenate([180 - fan, fan]) + rng.normal(0, 6, 2 * len(fan)))
    radius = np.tile(rng.uniform(0.0058, 0.0085, len(fan)), 2) * size
    hilum = fill(size, [start[k : k + 1] + 0.022 * size * _oval(40) for k in (0, len(fan))])
    shadow += 0.20 * blur(hilum, 0.014 * size)
    for generation in range(6):
        step = rng.uniform(0.010, 0.020, len(start))[:, None] * size * 0.93**generation
        path = [start]
        for _ in range(4):
            direction = direction + rng.normal(0, 0.10, len(direction))
            path.append(path[-1] + step * np.stack([np.cos(direction), np.sin(direction)], 1))
        width = float(2 * radius.mean())
        shadow += 0.028 * width * (512 / size) * draw_lines(size, np.stack(path, 1), width)
        fork = np.abs(rng.normal(0.38, 0.12, len(direction)))
        start = np.repeat(path[-1], 2, 0)
        radius = np.repeat(0.74 * radius, 2)
        direction = np.stack([direction - 0.8 * fork, direction + 0.8 * fork], 1).ravel()
    return blur(shadow, 0.0014 * size)


def _oval(count: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count)
    return np.stack([np.cos(angle), 1.7 * np.sin(angle)], 1)
