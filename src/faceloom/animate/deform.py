"""Position of each vertex in a pose: expression in the axes of the head, then rotation in 3-D."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceloom.animate.motion import Pose
from faceloom.animate.rig import Frame3D, Rig
from faceloom.animate.topology import BROWS, EYES, MESH_POINTS

# How far chin and lower lip move down and back at `jaw` 1, in face widths.
JAW_DROP, JAW_BACK = 0.105, 0.03
# Distance of the camera in face widths: a portrait lens.
VIEW_DISTANCE = 6.0

_LIDS = [index for eye in EYES for index in (*eye.contour, *eye.iris)]


def deform(rig: Rig, pose: Pose) -> NDArray[np.float64]:
    """The vertices of `rig` in `pose`: v×3, x and y in pixels of the frame, z smaller is nearer.

    The rest pose returns the rest vertices (up to rounding).
    """
    points = _express(_unproject(rig.rest, rig.head), rig, pose)
    return _place(rig.head, points, rig.sliding, pose)


def rigid(rig: Rig, pose: Pose) -> NDArray[np.float64]:
    """The 478 mesh points rotated with the skull, without expression: for eyeballs and teeth."""
    points = _unproject(rig.rest[:MESH_POINTS], rig.head)
    return _place(rig.head, points, rig.sliding[:MESH_POINTS], pose)


def rotation(pose: Pose) -> NDArray[np.float64]:
    """3×3 for column vectors (x right, y down, z away): yaw first, then pitch, then roll."""
    yaw, pitch, roll = np.deg2rad([pose.yaw_deg, pose.pitch_deg, pose.roll_deg])
    cy, sy, cp, sp, cr, sr = (
        np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll),
    )  # fmt: skip
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def _place(
    head: Frame3D, points: NDArray[np.float64], sliding: NDArray[np.float64], pose: Pose
) -> NDArray[np.float64]:
    """Rotate, shift and project unprojected points."""
    centred = points - head.pivot
    turned = centred @ rotation(pose).T
    # The outline of a round skull does not move while the skull turns: its vertices only follow
    # the roll.
    leaning = centred @ rotation(Pose(roll_deg=pose.roll_deg)).T
    moved = turned + sliding[:, None] * (leaning - turned)
    moved[:, 0] += pose.shift_x * head.width_px
    moved[:, 1] += pose.shift_y * head.width_px
    return _project(moved + head.pivot, head)


def _scale(z: NDArray[np.float64], head: Frame3D) -> NDArray[np.float64]:
    """Magnification of a point at depth `z` relative to the plane of the pivot."""
    distance = VIEW_DISTANCE * head.width_px
    return distance / (distance + z - head.pivot[2])


def _project(points: NDArray[np.float64], head: Frame3D) -> NDArray[np.float64]:
    result = points.copy()
    result[:, :2] = (
        head.pivot[:2] + (points[:, :2] - head.pivot[:2]) * _scale(points[:, 2], head)[:, None]
    )
    return result


def _unproject(points: NDArray[np.float64], head: Frame3D) -> NDArray[np.float64]:
    result = points.copy()
    result[:, :2] = (
        head.pivot[:2] + (points[:, :2] - head.pivot[:2]) / _scale(points[:, 2], head)[:, None]
    )
    return result


def _express(points: NDArray[np.float64], rig: Rig, pose: Pose) -> NDArray[np.float64]:
    """Jaw, mouth width, brows, lids and gaze; v×3 in and out."""
    head = rig.head
    moved = points.copy()
    right3, down3 = np.append(head.right, 0.0), np.append(head.down, 0.0)
    # The hinges are far behind and the angles small, so the jaw moves straight down.
    drop = head.width_px * (JAW_DROP * down3 + np.array([0.0, 0.0, JAW_BACK]))
    moved += (pose.jaw * rig.jaw)[:, None] * drop
    if pose.wide:
        for corner, sign in ((61, -1.0), (291, 1.0)):
            near = _falloff(points, points[corner], 0.13 * head.width_px)
            moved += (sign * pose.wide * 0.035 * head.width_px) * near[:, None] * right3
    if pose.brow:
        for brow in BROWS:
            middle = points[list(brow)].mean(axis=0)
            near = _falloff(points, middle, 0.11 * head.width_px)
            near[_LIDS] = 0
            moved -= (pose.brow * 0.03 * head.width_px) * near[:, None] * down3
    for eye in EYES:
        _close(moved, points, eye.upper, eye.lower, eye.fold, pose.blink)
        wide = float(np.linalg.norm(points[eye.corners[0]] - points[eye.corners[1]]))
        moved[list(eye.iris)] += wide * (0.1 * pose.gaze_x * right3 + 0.06 * pose.gaze_y * down3)
    return moved


def _falloff(
    points: NDArray[np.float64], centre: NDArray[np.float64], sigma: float
) -> NDArray[np.float64]:
    squared = ((points[:, :2] - centre[:2]) ** 2).sum(axis=1)
    return np.exp(-squared / (2 * sigma * sigma))


def _close(
    moved: NDArray[np.float64],
    points: NDArray[np.float64],
    upper: tuple[int, ...],
    lower: tuple[int, ...],
    fold: tuple[int, ...],
    amount: float,
) -> None:
    """Move the upper lid down to the lower one, and part of the fold above with it."""
    gap = points[list(lower)] - points[list(upper)]
    moved[list(upper)] += 0.94 * amount * gap
    moved[list(lower)] -= 0.05 * amount * gap
    moved[list(fold)] += 0.4 * amount * gap
