"""Anatomy of a synthetic patient: random measurements, and the outlines of organs.

Outlines are in chest coordinates: `u` is the distance from the midline in half widths of the thorax, positive to the
patient's left (the right of the image); `t` runs from 0 at the top of the lungs to 1 at the lowest lung recess.
`Anatomy.to_pixels` maps (u, t) to pixels; its smooth warp moves all organs of a patient together.
"""

from dataclasses import dataclass

import numpy as np

from data_prep.phantom.curves import band, smooth

RIB_PAIRS = 10
VIEWS = ("PA", "AP", "AP Supine")
# Position of u = 0 and t = 0 in the image before the pose, as fractions of the image.
_MIDLINE = 0.5
_TOP = 0.085
_MEAN_THORAX_MM = 290.0  # between the outer lung borders of an adult


@dataclass(frozen=True)
class Anatomy:
    """Measurements of one patient; lengths in (u, t) unless stated otherwise."""

    sex: str  # "F" or "M"
    age: float  # years
    view: str
    half_width: float  # of the thorax, fraction of the image
    height: float  # of the lungs, fraction of the image
    pose: np.ndarray  # [2, 3] affine map of image fractions: rotation, scale, shift
    warp: np.ndarray  # [3, 2, 2] three waves: (amplitude, phase) along u and along t
    lateral: np.ndarray  # [6] change of the outer lung border
    dome: tuple[float, float]  # t of the right and left diaphragm
    heart: float  # transverse size, 1 is typical
    heart_height: float
    knob: float  # extent of the aortic knob
    mediastinum: float  # width, 1 is typical
    rib_drop: float  # drop of a rib from the spine to its front end
    rib_width: float
    clavicle: float  # t of the clavicles' inner ends
    scapula: float  # outward turn of the scapulae
    breast: float  # thickness, 0 is none
    build: float  # soft tissue around the thorax, 1 is typical
    gas: float  # size of the stomach bubble, 0 is none

    @property
    def spacing(self) -> float:
        """Return the width of the image in millimeters, so that a pixel of a `size` image covers spacing / size."""
        childhood = min(1.0, 0.45 + 0.55 * self.age / 16)
        return float(_MEAN_THORAX_MM * childhood / (2 * self.half_width * np.hypot(*self.pose[:, 0])))

    def to_pixels(self, points: list | np.ndarray, size: int) -> np.ndarray:
        """Map (u, t) points [..., 2] to pixels (x, y) [..., 2] of a `size` image."""
        u, t = np.moveaxis(np.asarray(points, np.float64), -1, 0)
        for wave, ((du, u_phase), (dt, t_phase)) in enumerate(self.warp, start=1):
            u = u + du * np.sin(1.6 * wave * t + u_phase)
            t = t + dt * np.sin(1.6 * wave * u + t_phase)
        x = _MIDLINE + u * self.half_width
        y = _TOP + t * self.height
        return np.stack([x, y, np.ones_like(x)], -1) @ self.pose.T * size


def draw_anatomy(rng: np.random.Generator, is_child: bool | None = None) -> Anatomy:
    """Draw a patient from a distribution that does not depend on the label.

    Args:
        rng: random generator.
        is_child: whether the patient is a child of 1 to 13 years; None for a child in a fifth of the cases.
    """
    is_adult = rng.random() > 0.2
    if is_child is not None:
        is_adult = not is_child
    age = float(round(np.clip(rng.normal(52, 18), 15, 92) if is_adult else rng.uniform(1, 14)))
    child = float(np.clip((14 - age) / 12, 0, 1))
    sex = str(rng.choice(["F", "M"]))
    view = str(rng.choice(VIEWS, p=[0.6, 0.22, 0.18]))
    supine = view != "PA"
    angle = np.deg2rad(rng.normal(0, 1.6))
    scale = rng.uniform(0.88, 1.04)
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = np.array([0.5, 0.5])
    shift = center + rng.normal(0, 0.018, 2) - rotation @ center
    right_dome = rng.normal(0.80, 0.025)
    has_breasts = sex == "F" and age > 14
    return Anatomy(
        sex=sex,
        age=age,
        view=view,
        half_width=rng.normal(0.385, 0.014) + 0.01 * child,
        height=rng.normal(0.73, 0.035) - 0.09 * child - 0.07 * supine,
        pose=np.concatenate([rotation, shift[:, None]], 1),
        warp=np.stack([rng.normal(0, 0.01, (3, 2)), rng.uniform(0, 2 * np.pi, (3, 2))], -1),
        lateral=rng.normal(0, 0.014, 6),
        dome=(right_dome, right_dome + abs(rng.normal(0.05, 0.02))),
        heart=rng.normal(1.0, 0.09) + 0.10 * child + 0.09 * supine,
        heart_height=rng.normal(0, 0.02),
        knob=rng.normal(0.235, 0.02) + 0.0007 * max(0.0, age - 40) - 0.05 * child,
        mediastinum=rng.normal(1.0, 0.09) + 0.25 * child + 0.08 * supine,
        rib_drop=rng.normal(0.34, 0.03) - 0.07 * child,
        rib_width=rng.normal(0.0145, 0.0012) - 0.002 * child,
        clavicle=rng.normal(0.13, 0.025) - 0.04 * supine,
        scapula=max(0.0, rng.normal(0.16, 0.06) - 0.10 * supine),
        breast=max(0.0, rng.normal(0.30, 0.12)) if has_breasts else max(0.0, rng.normal(0.03, 0.03)),
        build=max(0.98, rng.normal(1.03, 0.07)),
        gas=max(0.0, rng.normal(0.06, 0.05)),
    )


_LATERAL_T = np.array([-0.02, 0.03, 0.12, 0.28, 0.50, 0.74, 1.0])
_LATERAL_U = np.array([0.40, 0.59, 0.745, 0.87, 0.945, 0.985, 1.0])


def lateral_border(anatomy: Anatomy, t: np.ndarray) -> np.ndarray:
    """Return the outer lung border |u| of one side at heights `t`."""
    return np.interp(t, _LATERAL_T, _LATERAL_U + np.append(0.0, anatomy.lateral))


def lung_outline(anatomy: Anatomy, side: int) -> np.ndarray:
    """Return the (u, t) outline of one pleural space including the heart; `side` is -1 for the right, +1 for left."""
    t = np.array([0.06, 0.14, 0.28, 0.44, 0.60, 0.76, 0.90])
    outer = np.stack([lateral_border(anatomy, t), t], 1)
    dome = anatomy.dome[0 if side < 0 else 1]
    base = [(0.985, 1.0), (0.90, dome + 0.095), (0.72, dome + 0.012), (0.48, dome - 0.012)]
    if side < 0:
        base += [(0.28, dome + 0.015), (0.17, dome + 0.03), (0.10, 0.62)]
    else:  # the heart's apex lies in this corner
        base += [(0.36, dome - 0.05), (0.20, 0.62)]
    inner = [(0.09, 0.30), (0.14, 0.12), (0.23, 0.03), (0.40, -0.005), (0.55, 0.015)]
    return smooth(np.concatenate([outer, base, inner]), closed=True) * [side, 1]


def heart_outline(anatomy: Anatomy) -> np.ndarray:
    """Return the (u, t) outline of the heart; the apex is to the patient's left, on the diaphragm."""
    floor = anatomy.dome[1] + 0.01
    outline = np.array(
        [(-0.15, 0.475), (-0.245, 0.55), (-0.30, 0.66), (-0.285, 0.76), (-0.19, 0.84), (0.08, 0.87), (0.40, 0.885)]
        + [(0.58, 0.855), (0.635, 0.795), (0.60, 0.70), (0.50, 0.60), (0.38, 0.52), (0.27, 0.465), (0.06, 0.445)]
    )
    u = outline[:, 0] * anatomy.heart
    t = outline[:, 1] + anatomy.heart_height
    return smooth(np.stack([u, np.minimum(t, floor + 0.6 * (t - floor))], 1), closed=True)


def mediastinum_outline(anatomy: Anatomy) -> np.ndarray:
    """Return the (u, t) outline of spine and great vessels, with the aortic knob on the patient's left."""
    m = anatomy.mediastinum
    knob = anatomy.knob
    right = [(-0.13, -0.5), (-0.15, -0.1), (-0.19 * m, 0.06), (-0.195 * m, 0.25), (-0.22 * m, 0.38), (-0.24 * m, 0.50)]
    right += [(-0.16, 0.66), (-0.10, 0.94)]
    left = [(0.12, 0.94), (0.20, 0.70), (0.31 * m, 0.52), (0.265 * m, 0.45), (0.215 * m, 0.385), (knob, 0.325)]
    left += [(knob + 0.004, 0.275), (0.165 * m, 0.205), (0.15 * m, 0.05), (0.14, -0.1), (0.13, -0.5)]
    return smooth(np.array(right + left), closed=True, steps=8)


def rib_curves(anatomy: Anatomy, side: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the center lines of the ribs of one side, as (back part, front part), each [n, 2] in (u, t).

    A rib is half a tilted hoop: from the spine to the side, then forward and down to its cartilage.
    """
    ribs = []
    back = np.linspace(0.10, 1.62, 26)
    front = np.linspace(1.50, 2.42, 16)
    for pair in range(RIB_PAIRS):
        origin = -0.075 + 0.0905 * pair
        drop = anatomy.rib_drop * (0.55 + 0.45 * min(1.0, pair / 4))
        reach = lateral_border(anatomy, np.array([origin + 0.5 * drop]))[0] + 0.012

        def hoop(angle: np.ndarray, origin: float = origin, drop: float = drop, reach: float = reach) -> np.ndarray:
            arch = -0.022 * np.sin(np.minimum(2 * angle, np.pi))
            return np.stack([side * reach * np.sin(angle) ** 0.9, origin + drop * (1 - np.cos(angle)) / 2 + arch], 1)

        ribs.append((hoop(back), hoop(front)))
    return ribs


def clavicle_curve(anatomy: Anatomy, side: int) -> np.ndarray:
    """Return the (u, t) center line of one clavicle, from the sternum to the shoulder."""
    c = anatomy.clavicle
    points = [(0.10, c), (0.28, c - 0.03), (0.52, c - 0.085), (0.78, c - 0.135), (1.02, c - 0.165), (1.16, c - 0.16)]
    return smooth(np.array(points) * [side, 1], closed=False)


def scapula_outline(anatomy: Anatomy, side: int) -> np.ndarray:
    """Return the (u, t) outline of one scapula; it covers more of the lung if the arms hang down."""
    points = [
        (0.70, 0.05),
        (0.98, 0.00),
        (1.16, 0.05),
        (1.10, 0.16),
        (0.98, 0.33),
        (0.88, 0.47),
        (0.82, 0.42),
        (0.73, 0.2),
    ]
    return smooth((np.array(points) + [anatomy.scapula, 0]) * [side, 1], closed=True)


def body_outlines(anatomy: Anatomy) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the (u, t) outlines of the trunk with neck and shoulders, and of the two arms."""
    b = anatomy.build
    half = [(0.20, -0.6), (0.23, -0.28), (0.36, -0.17), (0.80, -0.13), (1.12, -0.06), (1.22, 0.12), (1.14 * b, 0.36)]
    half += [(1.15 * b, 0.60), (1.15 * b, 0.9), (1.17 * b, 1.3), (1.15 * b, 1.7)]
    half = np.array(half)
    trunk = smooth(np.concatenate([half, half[::-1] * [-1, 1]]), closed=True)
    arm = np.array(
        [(1.05, -0.09), (1.22, -0.07), (1.34, 0.04), (1.48, 0.4), (1.66, 0.9), (1.52, 0.95), (1.3, 0.5), (1.1, 0.2)]
    )
    return trunk, [smooth(arm * [side, 1], closed=True) for side in (-1, 1)]


def humerus_outlines(anatomy: Anatomy, side: int) -> list[np.ndarray]:
    """Return the (u, t) outlines of the head and the shaft of one humerus."""
    angle = np.linspace(0, 2 * np.pi, 24)
    head = np.stack([1.24 + 0.10 * np.cos(angle), 0.0 + 0.055 * np.sin(angle)], 1)
    shaft = band(np.array([(1.27, 0.02), (1.36, 0.25), (1.5, 0.6), (1.62, 0.95)]), 0.045)
    return [head * [side, 1], shaft * [side, 1]]
