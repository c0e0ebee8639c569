"""Pictures that show landmarks, hull, rectangle and crop of a face."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.faces.record import FaceRecord
from faceloom.geometry import PARTS, crop_corners, hull_mask, invert_affine, transform_points

_GREEN = (0, 255, 0)
_BLUE = (0, 0, 255)
_RED = (255, 0, 0)
# OpenCV draws at a precision of 1/16 pixel.
_SHIFT = 4
# Outside any picture, within what OpenCV can draw.
_FAR_PX = 30_000


def draw_debug(
    frame: NDArray[np.uint8], records: Iterable[FaceRecord], face_size: int
) -> NDArray[np.uint8]:
    """A copy of the frame (h w 3 RGB uint8) with every face marked.

    The hull is darkened to half; landmarks are green, the detector's rectangle blue, and the crop
    of `face_size` pixels red, with a small triangle at its top left that points up. `mark_only`
    faces, which have no crop, are not marked.
    """
    picture = frame.copy()
    for record in records:
        if record.face_type == "mark_only":
            continue
        _darken(picture, record.source_landmarks, record.eyebrows_expand_mod)
        l, t, r, b = (int(v) for v in np.clip(record.source_rect, -_FAR_PX, _FAR_PX))
        cv2.rectangle(picture, (l, t), (r, b), _BLUE, 2)
        if record.image_to_face_mat is not None:
            _draw_crop(picture, record.image_to_face_mat, face_size)
        _draw_points(picture, record.source_landmarks)
    return picture


def draw_landmarks(
    image: NDArray[np.uint8], landmarks: ArrayLike, *, brow_expand: float = 1.0
) -> NDArray[np.uint8]:
    """A copy of the picture with the 68 points and their lines; the hull is darkened to half."""
    picture = image.copy()
    _darken(picture, landmarks, brow_expand)
    _draw_points(picture, landmarks)
    return picture


def _darken(picture: NDArray[np.uint8], landmarks: ArrayLike, brow_expand: float) -> None:
    picture[hull_mask(landmarks, picture.shape[:2], brow_expand) > 0] //= 2


def _draw_points(picture: NDArray[np.uint8], landmarks: ArrayLike) -> None:
    points = np.asarray(landmarks, dtype=np.float64)
    for part, closed in PARTS.values():
        cv2.polylines(picture, [_fixed(points[part])], closed, _GREEN, 1, cv2.LINE_AA, _SHIFT)
    # Dots grow with the face, so that they do not cover a small one.
    radius = round(float(np.clip(np.ptp(points, axis=0).max() / 150, 0.6, 4)) * (1 << _SHIFT))
    for point in _fixed(points):
        centre = (int(point[0]), int(point[1]))
        cv2.circle(picture, centre, radius, _GREEN, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _draw_crop(picture: NDArray[np.uint8], matrix: NDArray[np.float64], size_px: int) -> None:
    corners = _fixed(crop_corners(matrix, size_px))
    cv2.polylines(picture, [corners], True, _RED, 2, cv2.LINE_AA, _SHIFT)
    up = np.array([[0.05, 0], [0.1, 0.1], [0, 0.1]]) * size_px
    triangle = _fixed(transform_points(up, invert_affine(matrix)))
    cv2.fillConvexPoly(picture, triangle, _RED, cv2.LINE_AA, _SHIFT)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Points in OpenCV's fixed-point format, clipped to what it can draw."""
    return np.rint(np.clip(points, -_FAR_PX, _FAR_PX) * (1 << _SHIFT)).astype(np.int32)
