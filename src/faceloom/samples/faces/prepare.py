"""A face file as the planes that training needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

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
from faceloom.samples.store import resize

Image = NDArray[np.uint8]
Mask = NDArray[np.float32]

# Hulls are drawn at whole pixels, which is too coarse below this size; they are drawn larger then.
_MASK_MIN_PX = 256


@dataclass(frozen=True)
class Sample:
    """A face at working size."""

    planes: Image
    """`5 s s`: RGB, full-face mask, eyes and mouth."""
    yaw_rad: float
    """Head yaw; 0 if no pose fits."""


def prepare_sample(
    image: Image, record: FaceRecord, *, size_px: int, face_type: FaceType
) -> Sample:
    """Crop a stored face (`h w 3` RGB) as the model needs it and resize it to the working size.

    A face of the model's own type is resized. Any other is re-cropped by its landmarks, with the
    picture's edge replicated and the masks zero outside. Masks are drawn in the model's crop, so
    that eyes and mouth are dilated by the same fraction of the model's picture whatever the stored
    face type is; DeepFaceLab dilates them in the stored picture.

    Raises `FormatError` if the stored mask is damaged, `InputError` if the landmarks define no
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


def _masks(
    points: NDArray[Any],
    record: FaceRecord,
    stored_size: tuple[int, int],
    matrix: NDArray[np.float64],
    size_px: int,
    *,
    same: bool,
) -> tuple[Mask, Mask]:
    """The full-face and eyes-and-mouth masks, `size_px` square, in the model's crop."""
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
