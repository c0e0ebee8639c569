"""The 68 landmarks (iBUG order): groups, mirroring, conversion from other schemes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import InputError

PARTS: Final[Mapping[str, tuple[slice, bool]]] = MappingProxyType(
    {
        "jaw": (slice(0, 17), False),
        "right_brow": (slice(17, 22), False),
        "left_brow": (slice(22, 27), False),
        "nose_bridge": (slice(27, 31), False),
        "nostrils": (slice(31, 36), False),
        "right_eye": (slice(36, 42), True),
        "left_eye": (slice(42, 48), True),
        "outer_lips": (slice(48, 60), True),
        "inner_lips": (slice(60, 68), True),
    }
)
"""Part → (its landmarks, whether its line is closed). Right and left are the person's."""

_MIRROR_PAIRS = (
    *((i, 16 - i) for i in range(8)),
    *((i, 43 - i) for i in range(17, 22)),
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
    *((31, 35), (32, 34), (50, 52), (49, 53), (48, 54), (59, 55), (58, 56)),
    *((67, 65), (60, 64), (61, 63)),
)


def _mirror_permutation() -> NDArray[np.intp]:
    permutation = np.arange(68)
    for a, b in _MIRROR_PAIRS:
        permutation[[a, b]] = b, a
    permutation.flags.writeable = False
    return permutation


MIRROR: Final[NDArray[np.intp]] = _mirror_permutation()
"""`points[MIRROR]` numbers every point as in the mirrored picture."""


def mirror_landmarks(landmarks: ArrayLike, width_px: int) -> NDArray[Any]:
    """The 68 landmarks of a picture of `width_px` after a horizontal flip (dtype kept)."""
    points = np.asarray(landmarks)[MIRROR].copy()
    points[:, 0] = width_px - 1 - points[:, 0]
    return points


def five_points(landmarks: ArrayLike) -> NDArray[np.float64]:
    """`5 2`: eye centres, nose tip, mouth corners of 68 points; 5 points are returned unchanged.

    Raises `InputError` for any other number of points.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape == (5, 2):
        return points
    if points.shape != (68, 2):
        raise InputError(f"expected 68 landmarks or 5 points, got an array of shape {points.shape}")
    eyes = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    return np.stack([*eyes, points[30], points[48], points[54]])
