"""The two built-in portraits: crop, and outline of the head.

The face comes from the 478-point mesh; the parts that the mesh does not cover (hair, cap, ears,
neck) come from a hand-drawn outline, in pixels of the original picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.animate.topology import MESH_POINTS
from faceloom.core import InputError


@dataclass(frozen=True)
class PortraitPlan:
    """A known picture: `weight` is its name in the weights registry."""

    weight: str
    title: str
    crop: tuple[int, int, int, int]
    """left, top, right, bottom in pixels of the original."""
    size: tuple[int, int]
    """(h, w) of the frames."""
    outline: tuple[tuple[float, float], ...]
    """The head's silhouette with hair or cap, from the left jaw below the ear over the top to the
    right jaw. Chin and jaw come from the mesh."""
    saturation: float = 1.0
    """Factor for the saturation: old prints and scans tend to red."""


@dataclass(frozen=True)
class Portrait:
    """A still picture ready to be animated; all points in pixels of `image`."""

    image: NDArray[np.uint8]
    """h w 3, RGB."""
    mesh: NDArray[np.float32]
    """478×3: x, y, and z in the same unit, smaller is nearer."""
    outline: NDArray[np.float32]
    """n×2."""


ASTRONAUT = PortraitPlan(
    weight="portrait-astronaut",
    title="Eileen Collins, NASA (public domain)",
    crop=(114, 0, 338, 280),
    size=(640, 512),
    outline=(
        (182, 140), (181, 133), (175, 129),
        (171.5, 123), (169, 117), (161, 109), (155.5, 102), (153.5, 92), (152.5, 80), (152, 70),
        (153.5, 62), (158, 55), (166, 47), (177, 40), (187, 35), (192, 28), (200, 22.5),
        (210, 19.5), (217, 17.5), (225, 15.5), (233, 14), (242, 15), (251, 17.5), (260, 21),
        (268, 26), (278, 32), (286, 39), (292, 48), (296.5, 58), (299.5, 68), (301.5, 80),
        (301.5, 92), (298.5, 103), (293.5, 111), (287, 118), (281, 124), (278.5, 129),
        (275, 133.5), (270, 136.5), (266, 137), (263, 139), (262, 144),
    ),
)  # fmt: skip

HOPPER = PortraitPlan(
    weight="portrait-hopper",
    title="Rear Admiral Grace Hopper, US Navy (public domain)",
    crop=(58, 6, 468, 518),
    size=(640, 512),
    saturation=0.75,
    outline=(
        (199, 312), (196, 301), (180, 294), (164, 284), (158, 270), (158, 258),
        (160, 246), (157, 235), (153, 222), (151, 208), (151, 195), (150, 186), (147, 178),
        (146.5, 160), (149, 140), (150, 126), (156, 110), (167, 94), (173, 84), (177, 70),
        (188, 56.5), (203, 46.5), (217, 40.5), (223, 29.5), (238, 24), (261, 22), (285, 25),
        (300, 35), (304, 40), (326, 45), (341, 55), (350.5, 68), (355.5, 83), (362, 86),
        (367, 93.5), (371, 112), (373, 132), (372.5, 152), (371, 172), (375, 184), (377.5, 195),
        (375, 218), (370, 239), (365, 254), (363, 274), (356, 292), (346, 306), (335, 309),
        (331, 316),
    ),
)  # fmt: skip


def crop_portrait(image: NDArray[np.uint8], plan: PortraitPlan) -> NDArray[np.uint8]:
    """Crop and enlarge the original RGB picture to the size of the frames; h w 3 uint8."""
    left, top, right, bottom = plan.crop
    if image.shape[0] < bottom or image.shape[1] < right:
        raise InputError(
            f"{plan.weight}: the picture is {image.shape[1]}x{image.shape[0]}, expected at least"
            f" {right}x{bottom}"
        )
    h, w = plan.size
    large = cv2.resize(image[top:bottom, left:right], (w, h), interpolation=cv2.INTER_LANCZOS4)
    # Enlarging softens the picture, depending on the factor; an unsharp mask compensates.
    factor = min(w / (right - left), h / (bottom - top))
    strength = float(np.clip(0.4 * (factor - 1), 0, 0.5))
    soft = cv2.GaussianBlur(large, (0, 0), 0.7 * max(factor, 1))
    sharp = np.asarray(cv2.addWeighted(large, 1 + strength, soft, -strength, 0), np.uint8)
    if plan.saturation == 1:
        return sharp
    grey = cv2.cvtColor(cv2.cvtColor(sharp, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    kept = plan.saturation
    return np.asarray(cv2.addWeighted(sharp, kept, grey, 1 - kept, 0), np.uint8)


def make_portrait(
    frame: NDArray[np.uint8], mesh: NDArray[np.floating], plan: PortraitPlan
) -> Portrait:
    """Combine a cropped frame (`crop_portrait`) with the mesh found in it.

    `mesh` is 478×3 in pixels of `frame`. Raises `InputError` for another number of points.
    """
    if mesh.shape != (MESH_POINTS, 3):
        raise InputError(
            f"{plan.weight}: expected a mesh of {MESH_POINTS} points, got {mesh.shape}"
        )
    left, top, right, bottom = plan.crop
    scale = np.array([frame.shape[1] / (right - left), frame.shape[0] / (bottom - top)])
    # Pixel centres are at integer coordinates: scaling keeps the corner at -0.5, not at 0.
    offset = np.array([left, top]) - 0.5
    outline = (np.array(plan.outline) - offset) * scale - 0.5
    return Portrait(frame, mesh.astype(np.float32), outline.astype(np.float32))
