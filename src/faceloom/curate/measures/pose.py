"""Measures that need only a face's record: pose by three conventions, and size in the frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import InputError
from faceloom.faces import FaceRecord
from faceloom.geometry import (
    ALIGNED_LANDMARKS,
    ARCFACE_POINTS,
    MODEL_POINTS_3D,
    five_points,
    frame_to_face,
    head_pose,
    pose_in_frame,
    umeyama,
)

_ARCFACE_PX: Final = 112
_LEGACY_SIZE_PX: Final = 256
_LEGACY_PITCH: Final = 1.30
_LEGACY_YAW: Final = 1.11
_START_DISTANCE: Final = 300.0


def pose_deg(record: FaceRecord) -> tuple[float, float, float]:
    """Pitch, yaw and roll of the head in degrees, comparable between crops; NaN when no pose fits.

    The pose that extraction stored, or for faces of other programs the same computation
    (`pose_in_frame`).
    """
    own = record.own
    if own is not None and own.pose is not None:
        return own.pose
    try:
        pose = pose_in_frame(record.source_landmarks, pixel_aspect=pixel_aspect(record))
    except InputError:
        pose = None
    return (math.nan, math.nan, math.nan) if pose is None else pose


def dfl_pose(record: FaceRecord, size_px: int) -> tuple[float, float]:
    """Pitch and yaw in radians as DFL 2.0 computes them: from the landmarks in the picture, with a
    camera of its width `size_px`, so values depend on the crop (docs/internals/sorting.md). NaN
    when no pose fits."""
    try:
        pose = head_pose(record.landmarks, size_px)
    except InputError:
        return math.nan, math.nan
    return pose.pitch, pose.yaw


def legacy_pose(record: FaceRecord, size_px: int) -> tuple[float, float]:
    """Pitch and yaw as DFL 1.0 computed them, -1 to 1: from all 68 points as if the picture were
    256 px wide, divided by 1.30 and 1.11 (docs/internals/sorting.md). NaN when no pose fits."""
    points = record.landmarks.astype(np.float64) * (_LEGACY_SIZE_PX / size_px)
    half = _LEGACY_SIZE_PX / 2
    camera = np.array(
        [[_LEGACY_SIZE_PX, 0, half], [0, _LEGACY_SIZE_PX, half], [0, 0, 1]], np.float64
    )
    try:
        found, vector, _ = cv2.solvePnP(
            MODEL_POINTS_3D,
            points,
            camera,
            None,
            np.zeros((3, 1)),
            np.array([[0.0], [0.0], [_START_DISTANCE]]),
            useExtrinsicGuess=True,
        )
    except cv2.error:
        return math.nan, math.nan
    r = np.asarray(cv2.Rodrigues(vector)[0], dtype=np.float64)
    if not found or not np.isfinite(r).all():
        return math.nan, math.nan
    pitch = -math.atan2(r[2, 1], r[2, 2])
    yaw = math.atan2(-r[2, 0], math.hypot(r[0, 0], r[1, 0]))
    return _within(pitch / _LEGACY_PITCH), _within(yaw / _LEGACY_YAW)


def _within(value: float) -> float:
    return max(-1.0, min(1.0, value))


def pixel_aspect(record: FaceRecord) -> float:
    """Width over height of a pixel of the frame that the face is from."""
    return 1.0 if record.own is None else record.own.pixel_aspect


def picture_aspect(record: FaceRecord) -> float:
    """Width over height of a pixel of the face's own picture: 1 unless that is the whole frame."""
    return pixel_aspect(record) if record.face_type == "mark_only" else 1.0


def source_size_px(record: FaceRecord) -> float:
    """Side of the face's crop in frame pixels: the size at which the crop is neither enlarged nor
    reduced.

    For a whole frame (`mark_only`) that of a whole_face crop. NaN for degenerate landmarks.
    """
    kind = "whole_face" if record.face_type == "mark_only" else record.face_type
    try:
        matrix = frame_to_face(record.source_landmarks, 1, kind, pixel_aspect=pixel_aspect(record))
    except InputError:
        return math.nan
    return 1 / math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))


def identity_crop_px(records: Sequence[FaceRecord]) -> NDArray[np.float64]:
    """Size of each face in its frame: the side in pixels of the square that SFace crops, n."""
    if not records:
        return np.zeros(0)
    template = np.asarray(ARCFACE_POINTS, dtype=np.float64)
    spread = float(np.linalg.norm(template - template.mean(axis=0)))
    points = np.stack([five_points(record.source_landmarks) for record in records])
    own = np.linalg.norm(points - points.mean(axis=1, keepdims=True), axis=(1, 2))
    return np.asarray(_ARCFACE_PX * own / spread, dtype=np.float64)


def enlargement(record: FaceRecord) -> float:
    """How many pixels of the face's picture correspond to one of its frame; 1 when unknown.

    Above 1, the face was enlarged when it was cropped.
    """
    matrix: ArrayLike | None = record.image_to_face_mat
    if matrix is None:
        if record.face_type == "mark_only":
            return 1.0
        try:
            matrix = umeyama(
                record.source_landmarks[ALIGNED_LANDMARKS], record.landmarks[ALIGNED_LANDMARKS]
            )
        except InputError:
            return 1.0
    linear: NDArray[np.float64] = np.asarray(matrix, dtype=np.float64)[:, :2]
    scale = math.sqrt(abs(float(np.linalg.det(linear))))
    return scale if math.isfinite(scale) and scale > 0 else 1.0
