import cv2
import numpy as np
import pytest

from faceloom.animate import Pose
from faceloom.animate.deform import VIEW_DISTANCE, deform
from faceloom.animate.topology import EYES, INNER_LOWER_LIP, INNER_UPPER_LIP, MESH_POINTS


def opencv_projection(rig, pose: Pose) -> np.ndarray:
    """Rigid motion of the mesh by OpenCV's own rotation and pinhole camera."""
    distance = VIEW_DISTANCE * rig.head.width_px
    mesh = rig.rest[:MESH_POINTS]
    depth = mesh[:, 2] - rig.head.pivot[2] + distance
    points = np.column_stack(
        [(mesh[:, :2] - rig.head.pivot[:2]) * depth[:, None] / distance, depth - distance]
    )
    about = {
        "yaw_deg": np.array([0.0, -1.0, 0.0]),
        "pitch_deg": np.array([1.0, 0.0, 0.0]),
        "roll_deg": np.array([0.0, 0.0, 1.0]),
    }
    turn = np.eye(3)
    for name, axis in about.items():
        turn = cv2.Rodrigues(axis * np.deg2rad(getattr(pose, name)))[0] @ turn
    camera = np.array(
        [[distance, 0, rig.head.pivot[0]], [0, distance, rig.head.pivot[1]], [0, 0, 1]]
    )
    shift = np.array([0.0, 0.0, distance])
    shift[:2] = np.array([pose.shift_x, pose.shift_y]) * rig.head.width_px
    projected, _ = cv2.projectPoints(points, cv2.Rodrigues(turn)[0], shift, camera, None)
    return projected.reshape(-1, 2)


def test_rest_pose_is_the_picture(rig):
    assert np.abs(deform(rig, Pose()) - rig.rest).max() < 1e-9


@pytest.mark.parametrize(
    "pose",
    [
        Pose(yaw_deg=20),
        Pose(pitch_deg=-9),
        Pose(roll_deg=12),
        Pose(yaw_deg=-15, pitch_deg=7, roll_deg=-5, shift_x=0.05, shift_y=-0.02),
    ],
)
def test_turning_is_a_pinhole_camera(rig, pose):
    moved = deform(rig, pose)[:MESH_POINTS, :2]
    assert np.abs(moved - opencv_projection(rig, pose)).max() < 1e-6


def test_directions_are_as_documented(rig):
    nose = 4
    rest = rig.rest
    assert deform(rig, Pose(yaw_deg=10))[nose, 0] > rest[nose, 0] + 5
    assert deform(rig, Pose(pitch_deg=10))[nose, 1] > rest[nose, 1] + 5
    top, chin = 10, 152
    leaning = deform(rig, Pose(roll_deg=10))
    assert leaning[top, 0] - leaning[chin, 0] > rest[top, 0] - rest[chin, 0] + 20


def test_blink_closes_the_lids_and_nothing_else(rig):
    shut = deform(rig, Pose(blink=1))
    for eye in EYES:
        before = np.linalg.norm(rig.rest[list(eye.lower)] - rig.rest[list(eye.upper)], axis=1)
        after = np.linalg.norm(shut[list(eye.lower)] - shut[list(eye.upper)], axis=1)
        assert (after < 0.06 * before + 1e-6).all()
    moved = np.flatnonzero(np.abs(shut - rig.rest).max(axis=1) > 1e-9)
    lids = {i for eye in EYES for i in (*eye.upper, *eye.lower, *eye.fold)}
    assert set(moved.tolist()) <= lids


def test_the_jaw_opens_the_mouth_and_leaves_the_upper_face(rig):
    wide = deform(rig, Pose(jaw=1))
    gap = (wide - rig.rest)[list(INNER_LOWER_LIP[3:-3]), :2] @ rig.head.down
    assert (gap > 0.05 * rig.head.width_px).all()
    assert np.abs((wide - rig.rest)[list(INNER_UPPER_LIP[2:-2])]).max() < 1e-9
    chin = (wide - rig.rest)[152, :2] @ rig.head.down
    assert chin > gap.mean() * 0.8
    eyes = [i for eye in EYES for i in eye.contour]
    assert np.abs((wide - rig.rest)[eyes]).max() < 1e-9


def test_the_silhouette_stays_while_the_head_turns(rig):
    turned = deform(rig, Pose(yaw_deg=18))
    still = rig.sliding > 0.99
    assert still.sum() > 40
    assert np.abs(turned - rig.rest)[still].max() < 1e-9
