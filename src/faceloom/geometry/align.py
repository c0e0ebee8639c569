"""Alignment: from 68 landmarks to the affine map of a face crop (docs/internals/alignment.md).

A matrix is 2x3 float64 and named by its direction: `frame_to_face` maps frame pixels to the
pixels of a square crop. All of it is computed in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import InputError
from faceloom.geometry.facetype import PADDING, FaceType
from faceloom.geometry.tables import ALIGNED_LANDMARKS, TEMPLATE_POINTS

Matrix = NDArray[np.float64]

_WHOLE_FACE_SHIFT = 0.07
_HEAD_SHIFT = 0.5


def umeyama(source: ArrayLike, target: ArrayLike) -> Matrix:
    """The least-squares similarity (rotation, one scale, translation) from `source` to `target`.

    Both are n x 2 points; returns 2x3. Umeyama, "Least-squares estimation of transformation
    parameters between two point patterns", PAMI 1991. Raises `InputError` if the points are not
    finite or all coincide.
    """
    x = np.asarray(source, dtype=np.float64)
    t = np.asarray(target, dtype=np.float64)
    x_mean, t_mean = x.mean(axis=0), t.mean(axis=0)
    a, b = x - x_mean, t - t_mean
    variance = float((a**2).sum() / len(x))
    if not np.isfinite(x).all() or not math.isfinite(variance) or variance < 1e-12:
        raise InputError("landmarks cannot be aligned: they are not finite or all coincide")
    covariance = b.T @ a / len(x)
    u, sigma, v = np.linalg.svd(covariance)
    sign = np.array([1.0, -1.0 if np.linalg.det(covariance) < 0 else 1.0])
    rotation = (u * sign) @ v
    scale = float(sigma @ sign) / variance
    linear = scale * rotation
    return np.column_stack([linear, t_mean - linear @ x_mean])


def invert_affine(matrix: ArrayLike) -> Matrix:
    """The inverse of a 2x3 affine matrix; `InputError` if there is none."""
    m = np.asarray(matrix, dtype=np.float64)
    (a, b, c), (d, e, f) = m
    determinant = a * e - b * d
    if not math.isfinite(determinant) or determinant == 0:
        raise InputError("the alignment matrix has no inverse: the landmarks are degenerate")
    linear = np.array([[e, -b], [-d, a]]) / determinant
    return np.column_stack([linear, -linear @ np.array([c, f])])


def transform_points(points: ArrayLike, matrix: ArrayLike) -> NDArray[Any]:
    """Map points (… x 2) by a 2x3 matrix; float32 stays float32, others become float64."""
    p = np.asarray(points)
    m = np.asarray(matrix, dtype=np.float64)
    mapped = p.astype(np.float64) @ m[:, :2].T + m[:, 2]
    return mapped.astype(np.float32) if p.dtype == np.float32 else mapped


def _head_yaw(unit_points: Matrix) -> float:
    """Offset of the nose to the left of the jaw's middle, in template sides, damped near zero."""
    x = unit_points[:, 0]
    left = np.mean([x[27] - x[0], x[28] - x[1], x[29] - x[2]])
    right = np.mean([x[16] - x[27], x[15] - x[28], x[14] - x[29]])
    yaw = float(right - left)
    return yaw * abs(math.tanh(2 * yaw))


def frame_to_face(
    landmarks: ArrayLike,
    size_px: int,
    face_type: FaceType,
    *,
    scale: float = 1.0,
    pixel_aspect: float = 1.0,
) -> Matrix:
    """The 2x3 float64 matrix from frame pixels to a `size_px` square crop of the face.

    `landmarks` are the 68 points in frame pixels. `scale` g shrinks the square by g, so that a
    face pasted through the matrix becomes g times as large. `pixel_aspect` is the width of a frame
    pixel divided by its height: the face is aligned as displayed, and the matrix maps stored
    pixels. The corners of the square go to 0 and `size_px` (not `size_px - 1`).

    Raises `InputError` for `mark_only`, which has no crop, and for degenerate landmarks.
    """
    if face_type not in PADDING:
        raise InputError(f"face type {face_type!r} has no crop: it uses the whole frame")
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (68, 2):
        raise InputError(f"expected 68 landmarks, got an array of shape {points.shape}")
    if pixel_aspect != 1.0:
        points = points * (pixel_aspect, 1.0)
    top_left, x_axis, y_axis = _crop_square(points, face_type, scale)
    linear = np.linalg.inv(np.column_stack([x_axis, y_axis])) * size_px
    matrix: Matrix = np.column_stack([linear, -linear @ top_left]).astype(np.float64)
    matrix[:, 0] *= pixel_aspect
    return matrix


def _crop_square(
    points: Matrix, face_type: FaceType, scale: float
) -> tuple[Matrix, Matrix, Matrix]:
    """Top-left corner, top edge and left edge of the crop, in display pixels of the frame."""
    to_unit = umeyama(points[ALIGNED_LANDMARKS], TEMPLATE_POINTS[ALIGNED_LANDMARKS - 17])
    to_frame = invert_affine(to_unit)
    ex, ey = to_frame[:, 0], to_frame[:, 1]
    centre = transform_points([0.5, 0.5], to_frame)
    if face_type == "whole_face":
        centre = centre - _WHOLE_FACE_SHIFT * ey
    elif face_type == "head":
        centre = centre + _head_yaw(transform_points(points, to_unit)) / 2 * ex
        centre = centre - _HEAD_SHIFT * ey
    sides = (1 + 2 * math.sqrt(2) * PADDING[face_type]) / scale
    if face_type.endswith("_no_align"):
        length = float(np.hypot(*ex))
        ex, ey = np.array([length, 0.0]), np.array([0.0, length])
    return centre - sides / 2 * (ex + ey), sides * ex, sides * ey


def crop_corners(matrix: ArrayLike, size_px: int) -> Matrix:
    """The crop's corners in frame pixels, 4x2: top left, top right, bottom right, bottom left."""
    square = np.array([[0, 0], [size_px, 0], [size_px, size_px], [0, size_px]], np.float64)
    return transform_points(square, invert_affine(matrix))


def crop_area(matrix: ArrayLike, size_px: int) -> float:
    """The crop's area in frame pixels."""
    m = np.asarray(matrix, dtype=np.float64)
    return size_px**2 / abs(float(np.linalg.det(m[:, :2])))


def frame_roll(matrix: ArrayLike, *, pixel_aspect: float = 1.0) -> float:
    """The face's in-plane rotation in the frame, in radians, clockwise as seen on the screen.

    0 is upright. Read from the crop's matrix, so it is 0 for the `*_no_align` types.
    """
    m = np.asarray(matrix, dtype=np.float64)
    return math.atan2(float(m[0, 1]), float(m[0, 0]) / pixel_aspect)


def rect_from_landmarks(landmarks: ArrayLike) -> NDArray[np.float64]:
    """A face rectangle (l, t, r, b) in frame pixels for landmarks without a detector."""
    to_frame = invert_affine(frame_to_face(landmarks, 256, "full_face_no_align"))
    return transform_points([[0.0, 0.0], [255.0, 255.0]], to_frame).reshape(4)
