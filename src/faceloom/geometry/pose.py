"""Head pose from aligned landmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import InputError
from faceloom.geometry.align import frame_roll, frame_to_face, transform_points
from faceloom.geometry.tables import MODEL_POINTS_3D

_POSE_LANDMARKS: Final[NDArray[np.intp]] = np.array([*range(27), *range(30, 36)])

# Model units. The solver starts from a head that faces the camera. Otherwise it puts about every
# second head behind the camera, upside down, and yaw then jumps by up to 0.15 rad between
# neighbouring frames.
_CROP_PX: Final = 256
_START_DISTANCE: Final = 300.0


@dataclass(frozen=True)
class Pose:
    """Angles in radians, each within ±π/2.

    pitch > 0: looking up. yaw > 0: nose toward the picture's left. roll > 0: the head leans
    clockwise as seen on the screen, relative to the crop.
    """

    pitch: float
    yaw: float
    roll: float

    def degrees(self) -> tuple[float, float, float]:
        """(pitch, yaw, roll) in degrees."""
        return math.degrees(self.pitch), math.degrees(self.yaw), math.degrees(self.roll)


def head_pose(aligned_landmarks: ArrayLike, size_px: int) -> Pose:
    """The head pose from the 68 landmarks in a crop of `size_px`.

    As in DFL: PnP with a camera whose focal length is the width of the crop, so the result depends
    on the face type. Unlike in DFL, it is always the solution in front of the camera, so that it is
    smooth in time and roll is meaningful. The practical range of yaw is about ±1.2 rad. For the
    roll in the frame add `frame_roll` of the crop's matrix. Raises `InputError` if no pose fits.
    """
    points = np.asarray(aligned_landmarks, dtype=np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise InputError("a head pose needs 68 finite landmarks")
    half = size_px / 2
    camera = np.array([[size_px, 0, half], [0, size_px, half], [0, 0, 1]], np.float64)
    try:
        found, vector, _ = cv2.solvePnP(
            MODEL_POINTS_3D[_POSE_LANDMARKS],
            points[_POSE_LANDMARKS],
            camera,
            None,
            np.zeros((3, 1)),
            np.array([[0.0], [0.0], [_START_DISTANCE]]),
            useExtrinsicGuess=True,
        )
    except cv2.error as error:
        raise InputError("no head pose fits these landmarks") from error
    rotation = np.asarray(cv2.Rodrigues(vector)[0], dtype=np.float64)
    if not found or not np.isfinite(rotation).all():
        raise InputError("no head pose fits these landmarks")
    pitch, yaw, roll = _euler(rotation)
    limit = math.pi / 2
    pitch, yaw, roll = (max(-limit, min(limit, angle)) for angle in (-pitch, yaw, roll))
    return Pose(pitch, yaw, roll)


def pose_in_frame(
    frame_landmarks: ArrayLike, *, pixel_aspect: float = 1.0
) -> tuple[float, float, float] | None:
    """Pitch, yaw, roll in degrees from the 68 landmarks in the frame; None if no pose fits.

    Computed from a full_face crop, whatever crop a face is stored with, so that facesets of
    different types are comparable; roll is that of the head in the frame, -180 to 180. pitch > 0
    looks up, yaw > 0 to the left of the picture, roll > 0 leans clockwise. Raises `InputError` for
    degenerate landmarks.
    """
    matrix = frame_to_face(frame_landmarks, _CROP_PX, "full_face", pixel_aspect=pixel_aspect)
    try:
        pose = head_pose(transform_points(frame_landmarks, matrix), _CROP_PX)
    except InputError:
        return None
    roll = pose.roll + frame_roll(matrix, pixel_aspect=pixel_aspect)
    roll = math.remainder(roll, 2 * math.pi)
    return math.degrees(pose.pitch), math.degrees(pose.yaw), math.degrees(roll)


def _euler(r: NDArray[np.float64]) -> tuple[float, float, float]:
    """Pitch, yaw and roll of a rotation matrix, about x, y and z in that order."""
    sy = math.hypot(r[0, 0], r[1, 0])
    yaw = math.atan2(-r[2, 0], sy)
    if sy < 1e-6:
        return math.atan2(-r[1, 2], r[1, 1]), yaw, 0.0
    return math.atan2(r[2, 1], r[2, 2]), yaw, math.atan2(r[1, 0], r[0, 0])
