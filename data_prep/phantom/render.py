"""Anatomy to attenuation: line integrals of every tissue, added in logarithmic units, and the exposure curve.

Units are natural-log attenuation, about 1.7 through the trunk. A finding replaces air, so it is added as a share of the
`air` map, and vanishes by itself where there is no lung.
"""

from typing import NamedTuple

import cv2
import numpy as np

from data_prep.phantom import anatomy as body
from data_prep.phantom.anatomy import Anatomy
from data_prep.phantom.curves import band, blur, cloud, draw_lines, fill, inside, smooth

_AIR = 1.20  # attenuation missing where a lung is deepest
_BEHIND_HEART = 0.12  # share of that air which still lies in front of and behind the heart


class Chest(NamedTuple):
    """A healthy chest, before findings, overlays and exposure."""

    attenuation: np.ndarray  # float32 [size, size]
    air: np.ndarray  # float32 [size, size], attenuation that filling the lungs would add
    structures: np.ndarray  # uint8 [size, size]: 0 background, 1 heart, 2 left lung, 3 right lung


def render_chest(anatomy: Anatomy, rng: np.random.Generator, size: int) -> Chest:
    """The patient without disease; `rng` draws vessels and texture."""
    lungs = [anatomy.place(body.lung_outline(anatomy, side), size) for side in (-1, 1)]
    heart = anatomy.place(body.heart_outline(anatomy), size)
    mediastinum = anatomy.place(body.mediastinum_outline(anatomy), size)
    structures = _label(size, lungs, heart, mediastinum)
    air = _lung_air(anatomy, size, lungs, heart, mediastinum)
    vessels = _vessels(anatomy, rng, size) * np.minimum(1, air / (0.5 * _AIR))
    tissue = (
        _trunk(anatomy, size) + _mediastinal(anatomy, size, heart, mediastinum) + _abdomen(anatomy, rng, size, lungs)
    )
    texture = cloud(rng, size, 0.05, 3) * (0.012 + 0.03 * air) + 0.03 * cloud(rng, size, 0.5)
    attenuation = tissue + _bones(anatomy, size) + _breasts(anatomy, size) - air + vessels + texture * (tissue > 0.3)
    attenuation = 0.86 * attenuation + 0.14 * blur(attenuation, 0.09 * size)  # scatter
    return Chest(attenuation.astype(np.float32), air, structures)


def expose(attenuation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Attenuation to an 8-bit radiograph: blur of the system, quantum noise, film curve; dense tissue is bright.

    Nothing here is measured from the picture, so two radiographs from equal seeds differ only where they differ.
    """
    size = attenuation.shape[0]
    grain = rng.standard_normal(attenuation.shape, dtype=np.float32)
    grain = blur(grain, rng.uniform(0.45, 0.8) * size / 512) * np.float32(rng.uniform(0.012, 0.045))
    tilt = rng.normal(0, 0.08, 2).astype(np.float32)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    seen = blur(attenuation, rng.uniform(0.5, 1.0) * size / 512)
    # The darker the detector sees a place, the fewer quanta made it.
    seen = seen + grain * np.exp(0.45 * np.minimum(seen, 2.4)) + tilt[0] * axis[:, None] + tilt[1] * axis
    sharpening, reach = rng.uniform(0, 0.7), rng.uniform(1.5, 5) * size / 512
    seen = seen + np.float32(sharpening) * (seen - blur(seen, reach))
    centre, gain = rng.normal(1.08, 0.13), rng.uniform(1.9, 3.0)
    black, white = rng.uniform(0, 12), rng.uniform(225, 255)
    film = 1 / (1 + np.exp(-np.float32(gain) * (seen - np.float32(centre))))
    floor = 1 / (1 + np.exp(gain * centre))
    return np.clip(black + (white - black) * (film - floor) / (1 - floor), 0, 255).round().astype(np.uint8)


def _dome(mask: np.ndarray, depth: float) -> np.ndarray:
    """Thickness 0..1 of a rounded body over `mask` (float, 0..1), full from `depth` pixels inside its edge."""
    size = mask.shape[0]
    half = cv2.resize(mask, (size // 2, size // 2), interpolation=cv2.INTER_AREA)
    distance = cv2.distanceTransform((half > 0.25).astype(np.uint8), cv2.DIST_L2, 5)
    rim = 1 - np.minimum(distance / np.float32(depth / 2), 1)
    return cv2.resize(np.sqrt(1 - rim * rim), (size, size), interpolation=cv2.INTER_LINEAR) * mask


def _label(size: int, lungs: list[np.ndarray], heart: np.ndarray, mediastinum: np.ndarray) -> np.ndarray:
    structures = np.zeros((size, size), np.uint8)
    structures[inside(size, lungs[0])] = 3
    structures[inside(size, lungs[1])] = 2
    structures[inside(size, mediastinum)] = 0
    structures[inside(size, heart)] = 1
    return structures


def _lung_air(
    anatomy: Anatomy, size: int, lungs: list[np.ndarray], heart: np.ndarray, mediastinum: np.ndarray
) -> np.ndarray:
    air = sum(_dome(fill(size, [lung]), 0.20 * anatomy.half_width * 2 * size) for lung in lungs)
    centre = fill(size, [heart, mediastinum])
    air = air * (1 - (1 - _BEHIND_HEART) * centre)
    return (_AIR * blur(air, 0.004 * size)).astype(np.float32)


def _trunk(anatomy: Anatomy, size: int) -> np.ndarray:
    trunk, arms = body.body_outlines(anatomy)
    thick = 1.55 * _dome(fill(size, [anatomy.place(trunk, size)]), 0.17 * size)
    for arm in arms:
        thick = np.maximum(thick, 0.95 * _dome(fill(size, [anatomy.place(arm, size)]), 0.09 * size))
    return thick


def _mediastinal(anatomy: Anatomy, size: int, heart: np.ndarray, mediastinum: np.ndarray) -> np.ndarray:
    beating = 0.26 * _dome(fill(size, [heart]), 0.16 * size)
    vessels = 0.20 * _dome(fill(size, [mediastinum]), 0.05 * size)
    t = np.linspace(-0.6, 0.33, 20)
    windpipe = anatomy.place(band(np.stack([-0.012 - 0.03 * np.sin(3 * t), t], 1), 0.048), size)
    airways = [windpipe]
    for side, fall in ((-1, 0.10), (1, 0.075)):
        path = smooth(np.array([(-0.02, 0.32), (side * 0.10, 0.36), (side * 0.22, 0.36 + fall)]), closed=False)
        airways.append(anatomy.place(band(path, np.linspace(0.032, 0.018, len(path))), size))
    return blur(beating + vessels, 0.005 * size) - 0.22 * blur(fill(size, airways), 0.004 * size)


def _abdomen(anatomy: Anatomy, rng: np.random.Generator, size: int, lungs: list[np.ndarray]) -> np.ndarray:
    """Belly under the domes, denser than the chest, with the gas in the stomach."""
    t = np.array([anatomy.dome[0] + 0.02, anatomy.dome[0] + 0.03, 0.9, anatomy.dome[1] + 0.03, anatomy.dome[1] + 0.03])
    top = smooth(np.stack([[-1.0, -0.5, 0.0, 0.5, 1.0], t], 1), closed=False)
    belly = np.concatenate([[(-1.2, 1.05)], top, [(1.2, 1.05), (1.2, 2.0), (-1.2, 2.0)]])
    thick = 0.28 * blur(fill(size, [anatomy.place(belly, size)]), 0.012 * size)
    turn = np.linspace(0, 2 * np.pi, 24)
    bubbles = []
    for radius in anatomy.gas * rng.uniform(0.3, 1.0, 4):
        centre = [rng.uniform(0.35, 0.60), anatomy.dome[1] + 0.07 + 0.5 * radius + rng.uniform(0, 0.05)]
        bubbles.append(anatomy.place(radius * np.stack([2.2 * np.cos(turn), 0.8 * np.sin(turn)], 1) + centre, size))
    return thick - 0.32 * blur(fill(size, bubbles), 0.008 * size)


def _bones(anatomy: Anatomy, size: int) -> np.ndarray:
    bones = _spine(anatomy, size)
    back, front = [], []
    for side in (-1, 1):
        for behind, before in body.rib_curves(anatomy, side):
            back.append(anatomy.place(behind, size))
            front.append(anatomy.place(before, size))
    width = anatomy.rib_width * size * anatomy.height / 0.73
    fading = np.linspace(1.0, 0.3, len(front[0]))
    bones += _hollow(size, back, np.full(len(back[0]), width), 0.27)
    bones += _hollow(size, front, width * (1.1 + 0.2 * fading), 0.11)
    shoulders = [anatomy.place(body.clavicle_curve(anatomy, side), size) for side in (-1, 1)]
    bones += _hollow(size, shoulders, np.full(len(shoulders[0]), 1.0 * width), 0.30)
    blades = [anatomy.place(body.scapula_outline(anatomy, side), size) for side in (-1, 1)]
    bones += 0.10 * blur(fill(size, blades), 0.004 * size) + 0.08 * draw_lines(size, np.stack(blades), 0.008 * size)
    for side in (-1, 1):
        arm = fill(size, [anatomy.place(part, size) for part in body.humerus_outlines(anatomy, side)])
        bones += 0.45 * _dome(arm, 0.03 * size)
    return bones


def _hollow(size: int, curves: list[np.ndarray], half_width: np.ndarray, strength: float) -> np.ndarray:
    """Tubes of bone: the cortex, seen edge on, is brighter than the marrow between."""
    whole = fill(size, [band(curve, half_width) for curve in curves])
    marrow = fill(size, [band(curve, 0.68 * half_width) for curve in curves])
    return blur(strength * (whole - 0.38 * marrow), 0.0016 * size)


def _spine(anatomy: Anatomy, size: int) -> np.ndarray:
    """A column of vertebrae with darker discs between, pedicles to both sides and spinous processes in the middle."""
    level = np.arange(-6, 24)
    t, wide = -0.03 + 0.0905 * level, 0.095 + 0.002 * level

    def boxes(u: np.ndarray, t: np.ndarray, half_u: np.ndarray, half_t: float) -> list[np.ndarray]:
        corners = [np.stack([u + i * half_u, t + j * half_t], -1) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        return list(anatomy.place(np.stack(corners, 1), size))

    bone = 0.14 * fill(size, boxes(0 * wide, t, wide, 0.0455)) - 0.08 * fill(
        size, boxes(0 * wide, t + 0.045, wide, 0.007)
    )
    knuckles = boxes(0 * wide, t, 0.1 * wide, 0.02) + boxes(-0.6 * wide, t, 0.2 * wide, 0.011)
    knuckles += boxes(0.6 * wide, t, 0.2 * wide, 0.011)
    return blur(bone + 0.07 * fill(size, knuckles), 0.0058 * size)


def _breasts(anatomy: Anatomy, size: int) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, 40)
    shadow = np.zeros((size, size), np.float32)
    for side in (-1, 1):
        sag = np.where(np.sin(turn) > 0, 0.23, 0.34)
        disc = np.stack([side * (0.58 + 0.42 * np.cos(turn)), 0.72 + sag * np.sin(turn)], 1)
        shadow += _dome(fill(size, [anatomy.place(disc, size)]), 0.13 * size)
    fade = np.clip((np.linspace(0, 1, size, dtype=np.float32)[:, None] - 0.38) / 0.25, 0, 1)
    return anatomy.breast * blur(shadow, 0.005 * size) * fade


def _vessels(anatomy: Anatomy, rng: np.random.Generator, size: int) -> np.ndarray:
    """Two trees of tapering branches that leave the hila; thick ones cast the stronger shadow."""
    shadow = np.zeros((size, size), np.float32)
    roots = {-1: (-0.24, 0.44), 1: (0.25, 0.40)}
    # Directions in degrees from straight out to the side, downward positive: upper lobe, middle, and lower branches.
    fan = np.array([-78, -58, -34, -10, 14, 36, 55, 70, 84.0])
    start = np.concatenate([np.repeat(anatomy.place([roots[side]], size), len(fan), 0) for side in (-1, 1)])
    lean = np.deg2rad(np.concatenate([180 - fan, fan]) + rng.normal(0, 6, 2 * len(fan)))
    radius = np.tile(rng.uniform(0.0058, 0.0085, len(fan)), 2) * size
    hilum = fill(size, [start[k : k + 1] + 0.022 * size * _oval(40) for k in (0, len(fan))])
    shadow += 0.20 * blur(hilum, 0.014 * size)
    for generation in range(6):
        step = rng.uniform(0.010, 0.020, len(start))[:, None] * size * 0.93**generation
        path = [start]
        for _ in range(4):
            lean = lean + rng.normal(0, 0.10, len(lean))
            path.append(path[-1] + step * np.stack([np.cos(lean), np.sin(lean)], 1))
        width = float(2 * radius.mean())
        shadow += 0.028 * width * (512 / size) * draw_lines(size, np.stack(path, 1), width)
        fork = np.abs(rng.normal(0.38, 0.12, len(lean)))
        start, radius = np.repeat(path[-1], 2, 0), np.repeat(0.74 * radius, 2)
        lean = np.stack([lean - 0.8 * fork, lean + 0.8 * fork], 1).ravel()
    return blur(shadow, 0.0014 * size)


def _oval(count: int) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, count)
    return np.stack([np.cos(turn), 1.7 * np.sin(turn)], 1)
