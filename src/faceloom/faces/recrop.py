"""Re-cropping a face: another size or face type, from its own picture or from its frame.

Landmarks, polygons, matrix and the stored mask, whatever its size, are transformed with the
picture. Our own block is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import FormatError, InputError
from faceloom.faces.masks import decode_mask, encode_mask
from faceloom.faces.record import FaceRecord, SegPolygon
from faceloom.geometry import (
    FaceType,
    crop_area,
    frame_to_face,
    invert_affine,
    transform_points,
    warp_to_face,
)

Matrix = NDArray[np.float64]

# A matrix fits if it maps the frame's landmarks this close (share of the side) to the picture's.
_AGREES = 0.02
# Two crops whose corners are this close are the same: the stored mask is kept.
_SAME_PX = 0.5
_BINARY_SHARE = 0.98


@dataclass(frozen=True, eq=False)
class Recrop:
    """The new crop of a face."""

    face_type: FaceType
    size_px: int
    old_to_new: Matrix
    """2x3 from the old picture's pixels to the new one's."""
    frame_to_new: Matrix | None
    """2x3 from the frame's pixels; None for a plain resize of a face without a matrix."""
    old_size: tuple[int, int]
    """(h, w) of the old picture."""


def plan_resize(record: FaceRecord, old_size: tuple[int, int], size_px: int) -> Recrop:
    """The same crop at another size. Raises `InputError` for `mark_only`, which is not a crop, and
    for a picture that is not square."""
    h, w = old_size
    if record.face_type == "mark_only":
        raise InputError("a mark_only picture is the whole frame; choose a face type")
    if h != w:
        raise InputError(f"a picture of {w}x{h} pixels is not square; crop it from the footage")
    factor = size_px / h
    matrix = record.image_to_face_mat
    scale = np.array([[factor, 0.0, 0.0], [0.0, factor, 0.0]])
    frame_to_new = None if matrix is None else matrix * factor
    return Recrop(record.face_type, size_px, scale, frame_to_new, old_size)


def plan_recrop(
    record: FaceRecord, old_size: tuple[int, int], size_px: int, face_type: FaceType
) -> Recrop:
    """The crop of `face_type` computed from the face's landmarks in the frame.

    If the stored matrix is missing or does not fit the landmarks (edited by hand), the new crop's
    place in the old picture comes from the picture's own landmarks, as in DFL. Raises `InputError`
    for `mark_only` as target and for landmarks that allow no crop.
    """
    aspect = 1.0 if record.own is None else record.own.pixel_aspect
    frame_to_new = frame_to_face(record.source_landmarks, size_px, face_type, pixel_aspect=aspect)
    if record.face_type == "mark_only":
        return Recrop(face_type, size_px, frame_to_new, frame_to_new, old_size)
    matrix = record.image_to_face_mat
    if matrix is not None:
        mapped = transform_points(record.source_landmarks, matrix)
        if float(np.abs(mapped - record.landmarks).max()) <= _AGREES * max(old_size):
            old_to_new = _compose(frame_to_new, invert_affine(matrix))
            return Recrop(face_type, size_px, old_to_new, frame_to_new, old_size)
    old_to_new = frame_to_face(record.landmarks, size_px, face_type)
    return Recrop(face_type, size_px, old_to_new, frame_to_new, old_size)


def _compose(outer: Matrix, inner: Matrix) -> Matrix:
    """The matrix that applies `inner` first."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.column_stack([linear, outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def frame_size_px(record: FaceRecord, face_type: FaceType) -> float:
    """The side of a `face_type` crop in the frame, in frame pixels."""
    aspect = 1.0 if record.own is None else record.own.pixel_aspect
    matrix = frame_to_face(record.source_landmarks, 1, face_type, pixel_aspect=aspect)
    return math.sqrt(crop_area(matrix, 1))


def uncovered(recrop: Recrop) -> float:
    """The share of the new picture outside the old one, 0 to 1."""
    h, w = recrop.old_size
    n = recrop.size_px
    square = np.array([[0, 0], [n, 0], [n, n], [0, n]], np.float64)
    corners = transform_points(square, invert_affine(recrop.old_to_new)).astype(np.float32)
    frame = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    area = abs(float(cv2.contourArea(corners)))
    common, _ = cv2.intersectConvexConvex(corners, frame)
    return max(0.0, 1.0 - float(common) / area) if area else 1.0


def recrop_picture(
    image: NDArray[np.uint8], recrop: Recrop, *, from_frame: bool = False
) -> NDArray[np.uint8]:
    """The new picture, n n 3 RGB uint8, from the old one or from the frame.

    Shrinking is antialiased; anything outside `image` is black. Raises `InputError` for a frame if
    the face has no matrix.
    """
    matrix = recrop.frame_to_new if from_frame else recrop.old_to_new
    if matrix is None:
        raise InputError("a face without a matrix cannot be cropped from its frame")
    new = warp_to_face(image, matrix, recrop.size_px, interpolation="lanczos4", antialias=True)
    return np.asarray(new, dtype=np.uint8)


def recrop_record(record: FaceRecord, recrop: Recrop, *, from_frame: bool = False) -> FaceRecord:
    """The metadata of the new picture. Raises `FormatError` for a damaged mask.

    With `from_frame`, landmarks are computed from those in the frame, like the picture.
    """
    m = recrop.old_to_new
    landmarks = transform_points(record.landmarks, m)
    if from_frame and recrop.frame_to_new is not None:
        landmarks = transform_points(record.source_landmarks, recrop.frame_to_new)
    polygons = tuple(
        SegPolygon(polygon.include, transform_points(polygon.points, m))
        for polygon in record.seg_ie_polys
    )
    return replace(
        record,
        face_type=recrop.face_type,
        landmarks=landmarks,
        image_to_face_mat=recrop.frame_to_new,
        seg_ie_polys=polygons,
        xseg_mask=_mask(record, recrop),
    )


def _mask(record: FaceRecord, recrop: Recrop) -> bytes | None:
    """The stored mask for the new picture; 0 outside the old one.

    A mask covers the whole picture whatever its own size; edges are mapped to edges, as in any
    resize. A binary mask stays binary.
    """
    if record.xseg_mask is None or _same_crop(recrop):
        return record.xseg_mask
    try:
        mask = decode_mask(record.xseg_mask)
    except FormatError as error:
        raise FormatError(f"face mask of {record.source_filename!r}: {error}") from None
    h, w = mask.shape
    side = max(h, w)
    to_picture = _edge_to_edge(recrop.old_size[1] / w, recrop.old_size[0] / h)
    factor = side / recrop.size_px
    matrix = _compose(_edge_to_edge(factor, factor), _compose(recrop.old_to_new, to_picture))
    new = cv2.warpAffine(mask, matrix, (side, side), flags=cv2.INTER_LINEAR)
    values: NDArray[Any] = np.asarray(new, dtype=np.float32)
    hard = float(((mask < 0.02) | (mask > 0.98)).mean()) >= _BINARY_SHARE
    return encode_mask((values >= 0.5) if hard else values)


def _edge_to_edge(x: float, y: float) -> Matrix:
    """Scaling that maps a picture's edges, half a pixel outside the outer centres, to edges."""
    return np.array([[x, 0.0, (x - 1) / 2], [0.0, y, (y - 1) / 2]])


def _same_crop(recrop: Recrop) -> bool:
    """Whether the new picture differs from the old one only in size."""
    h, w = recrop.old_size
    n = recrop.size_px
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    square = np.array([[0, 0], [n, 0], [n, n], [0, n]], np.float64)
    apart = np.abs(transform_points(corners, recrop.old_to_new) - square).max()
    return bool(apart <= _SAME_PX * max(1.0, n / max(h, w)))
