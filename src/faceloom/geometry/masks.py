"""Masks drawn from landmarks: face hull, eyes, mouth.

Landmarks are truncated to whole pixels, so that masks match those of DFL.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import InputError

Mask = NDArray[np.float32]

_HULL_GROUPS: tuple[tuple[int, ...], ...] = (
    (*range(9), 17),
    (*range(8, 17), 26),
    (17, 18, 19, 8),
    (24, 25, 26, 8),
    (*range(19, 25), 8),
    (*range(17, 22), 27, *range(31, 36), 8),
    (*range(22, 27), 27, *range(31, 36), 8),
    (*range(27, 36),),
)
# Far outside any picture, but safe in OpenCV's fixed-point arithmetic.
_FAR_PX = 1 << 20


def _whole_pixels(landmarks: ArrayLike) -> NDArray[np.int32]:
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise InputError("a mask needs 68 finite landmarks")
    return np.clip(points, -_FAR_PX, _FAR_PX).astype(np.int32)


def expand_brows(landmarks: ArrayLike, factor: float = 1.0) -> NDArray[np.int32]:
    """The landmarks as whole pixels, 68x2 int32, with the brows raised by half of `factor`.

    `factor` 0 changes nothing; 1 (DFL's default) raises each brow point by half its height above
    the eye. Integer arithmetic throughout.
    """
    p = _whole_pixels(landmarks)
    right_quarter = (p[36] + (p[36] + p[0]) // 2) // 2
    left_quarter = (p[45] + (p[16] + p[45]) // 2) // 2
    right_base = np.stack([right_quarter, p[36], p[37], p[38], p[39]])
    left_base = np.stack([p[42], p[43], p[44], p[45], left_quarter])
    raised = p.copy()
    raised[17:22] = p[17:22] + 0.5 * factor * (p[17:22] - right_base)
    raised[22:27] = p[22:27] + 0.5 * factor * (p[22:27] - left_base)
    return raised


def _fill_hull(mask: Mask, points: NDArray[np.int32]) -> None:
    cv2.fillConvexPoly(mask, cv2.convexHull(points), (1.0,))


def hull_mask(landmarks: ArrayLike, size: tuple[int, int], brow_expand: float = 1.0) -> Mask:
    """The face inside jaw and brows: h w float32, 0 or 1. `size` is (h, w)."""
    mask = np.zeros(size, np.float32)
    points = expand_brows(landmarks, brow_expand)
    for group in _HULL_GROUPS:
        _fill_hull(mask, points[list(group)])
    return mask


def _soft_hulls(landmarks: ArrayLike, size: tuple[int, int], parts: tuple[slice, ...]) -> Mask:
    """Filled hulls, dilated by h//32 and blurred over h//16 (rounded to odd)."""
    mask = np.zeros(size, np.float32)
    points = _whole_pixels(landmarks)
    for part in parts:
        _fill_hull(mask, points[part])
    grow = max(1, size[0] // 32)
    blur = size[0] // 16 | 1
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grow, grow))
    dilated = cv2.dilate(mask, ellipse)
    return _as_mask(cv2.GaussianBlur(dilated, (blur, blur), 0))


def _as_mask(image: Any) -> Mask:
    return np.asarray(image, dtype=np.float32)


def eyes_mask(landmarks: ArrayLike, size: tuple[int, int]) -> Mask:
    """Both eyes, grown and blurred: h w float32 in [0, 1]. `size` is (h, w) of the face crop."""
    return _soft_hulls(landmarks, size, (slice(36, 42), slice(42, 48)))


def mouth_mask(landmarks: ArrayLike, size: tuple[int, int]) -> Mask:
    """The mouth's opening (inner lips), grown and blurred: h w float32 in [0, 1]."""
    return _soft_hulls(landmarks, size, (slice(60, 68),))


def eyes_mouth_mask(
    landmarks: ArrayLike, size: tuple[int, int], *, face_mask: Mask | None = None
) -> Mask:
    """Eyes and mouth together, clipped to 1, and zero where `face_mask` (h w) is zero."""
    both = np.minimum(eyes_mask(landmarks, size) + mouth_mask(landmarks, size), np.float32(1))
    return both if face_mask is None else both * (face_mask != 0)
