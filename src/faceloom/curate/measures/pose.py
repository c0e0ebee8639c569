"""What a face's record says without its picture: pose by three conventions, and its real size."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import InputError
from faceloom.faces import FaceRecord
from faceloom.geometry import (
    ALIGNED_LANDMARKS,
    MODEL_POINTS_3D,
    frame_to_face,
    head_pose,
    pose_in_frame,
    umeyama,
)

_LEGACY_SIZE_PX: Final = 256
_LEGACY_PITCH: Final = 1.30
_LEGACY_YAW: Final = 1.11
_START_DISTANCE: Final = 300.0


def pose_deg(record: FaceRecord) -> tuple[float, float, float]:
    """Pitch, yaw, roll of the head in degrees, comparable between all crops; NaN where none fits.

    As extraction stored it; for a face of another program by the same rule (`pose_in_frame`).
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
    """Pitch and yaw in radians as DFL 2.0 reads them: from the picture's own landmarks with a
    camera of its width `size_px`, so that values depend on the crop (pipeline.md 3.13). NaN where
    no pose fits."""
    try:
        pose = head_pose(record.landmarks, size_px)
    except InputError:
        return math.nan, math.nan
    return pose.pitch, pose.yaw


def legacy_pose(record: FaceRecord, size_px: int) -> tuple[float, float]:
    """Pitch and yaw as DFL 1.0 read them, -1 to 1: all 68 points, in a picture taken for 256 px
    wide, over 1.30 and 1.11 (pipeline.md 7.3). NaN where no pose fits."""
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
    """Side of the face's crop in frame pixels: the size at which nothing is enlarged or lost.

    Of a whole frame (`mark_only`) that of a whole_face crop. NaN for landmarks that fix no crop.
    """
    kind = "whole_face" if record.face_type == "mark_only" else record.face_type
    try:
        matrix = frame_to_face(record.source_landmarks, 1, kind, pixel_aspect=pixel_aspect(record))
    except InputError:
        return math.nan
    return 1 / math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))


def enlargement(record: FaceRecord) -> float:
    """How many pixels of the face's picture stand for one of its frame; 1 where that is not known.

    Above 1 the face was enlarged when it was cut out.
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
