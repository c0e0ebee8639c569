"""One face file as the planes that training needs.

See docs/internals/sampling.md (Preparing a face).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError
from faceloom.faces import FaceRecord, face_mask
from faceloom.geometry import (
    FaceType,
    eyes_mouth_mask,
    frame_to_face,
    head_pose,
    hull_mask,
    transform_points,
    warp_to_face,
)

Image = NDArray[np.uint8]
Mask = NDArray[np.float32]

_MASK_MIN_PX = 256
"""Hulls are drawn at whole pixels; below this size that would be too coarse, so draw larger."""


@dataclass(frozen=True)
class Sample:
    """A face at working size."""

    planes: Image
    """5 s s: RGB, full-face mask, eyes and mouth."""
    yaw_rad: float
    """Head yaw, 0 where no pose fits."""


def prepare_sample(
    image: Image, record: FaceRecord, *, size_px: int, face_type: FaceType
) -> Sample:
    """Bring a stored face (h w 3 RGB) to the model's crop and working size.

    A face of the model's own type is resized; any other is cut anew by its landmarks, with the
    picture's edge replicated and the masks zero outside. Masks are drawn in the model's crop, so
    that eyes and mouth are grown by the same fraction of the model's picture whatever type the face
    was stored as.

    Raises `FormatError` when the stored mask is damaged, `InputError` when the landmarks fix no
    crop.
    """
    landmarks = np.asarray(record.landmarks, np.float64)
    h, w = image.shape[:2]
    same = record.face_type == face_type and h == w
    if same:
        matrix = np.array([[size_px / w, 0, 0], [0, size_px / h, 0]], np.float64)
        face = resize(image, size_px)
    else:
        matrix = frame_to_face(landmarks, size_px, face_type)
        face = warp_to_face(image, matrix, size_px, border="replicate", antialias=True)
    points = transform_points(landmarks, matrix)
    mask, eyes_mouth = _masks(points, record, (h, w), matrix, size_px, same=same)
    stacked = np.stack([mask, eyes_mouth])
    planes = np.concatenate([face.transpose(2, 0, 1), np.rint(stacked * 255).astype(np.uint8)])
    return Sample(np.ascontiguousarray(planes, np.uint8), _yaw(points, size_px))


def resize(image: NDArray[Any], size_px: int) -> NDArray[Any]:
    """A square picture or mask at `size_px`: averaged when it shrinks, cubic when it grows."""
    if image.shape[0] == size_px:
        return image
    shrinks = image.shape[0] > size_px
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size_px, size_px), interpolation=mode))


def _masks(
    points: NDArray[Any],
    record: FaceRecord,
    stored_size: tuple[int, int],
    matrix: NDArray[np.float64],
    size_px: int,
    *,
    same: bool,
) -> tuple[Mask, Mask]:
    """Full-face mask and eyes-and-mouth mask, `size_px` square, in the model's crop."""
    factor = math.ceil(_MASK_MIN_PX / size_px)
    drawn_px = size_px * factor
    drawn_points = points * factor
    if record.xseg_mask is None:
        full = hull_mask(drawn_points, (drawn_px, drawn_px), record.eyebrows_expand_mod)
    elif same:
        full = np.clip(resize(face_mask(record, stored_size), drawn_px), 0, 1)
    else:
        stored = face_mask(record, stored_size)
        full = warp_to_face(stored, matrix * factor, drawn_px, interpolation="linear")
    if not same:
        inside = np.ones(stored_size, np.float32)
        full = full * warp_to_face(inside, matrix * factor, drawn_px, interpolation="linear")
    eyes_mouth = eyes_mouth_mask(drawn_points, (drawn_px, drawn_px), face_mask=full)
    return resize(full, size_px), resize(eyes_mouth, size_px)


def _yaw(points: NDArray[Any], size_px: int) -> float:
    try:
        return head_pose(points, size_px).yaw
    except InputError:
        return 0.0
