"""Measures of the record, against geometry worked out another way, and occlusion's form."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import pytest

from faceloom.curate.measures import (
    dfl_pose,
    enlargement,
    legacy_pose,
    occlusion_of,
    pose_deg,
    source_size_px,
    traits_of,
)
from faceloom.faces import FaceRecord, OwnMetadata
from faceloom.geometry import (
    FACE_TYPES,
    MODEL_POINTS_3D,
    FaceType,
    crop_area,
    frame_to_face,
    head_pose,
    transform_points,
)
from made_tables import made_table


def record(
    yaw_deg: float, kind: FaceType, size_px: int, *, roll_deg: float = 0.0, **own: object
) -> FaceRecord:
    """The model head, turned and rolled, in a frame, and its crop."""
    turn, roll = math.radians(yaw_deg), math.radians(roll_deg)
    x, y, z = np.asarray(MODEL_POINTS_3D, np.float64).T
    side = x * math.cos(turn) + z * math.sin(turn)
    flat = np.column_stack([side, y]) * 1.7
    rotate = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    points = (flat @ rotate.T + (640, 360)).astype(np.float32)
    matrix = frame_to_face(points, size_px, kind)
    return FaceRecord(
        face_type=kind,
        landmarks=transform_points(points, matrix),
        source_filename="a.png",
        source_rect=np.array([0, 0, 9, 9]),
        source_landmarks=points,
        image_to_face_mat=matrix,
        own=OwnMetadata(**own) if own else None,  # type: ignore[arg-type]
    )


def test_pose_is_the_stored_one_or_the_same_in_every_crop() -> None:
    stored = record(20, "whole_face", 256, pose=(1.5, -2.5, 3.5))
    assert pose_deg(stored) == (1.5, -2.5, 3.5)
    poses = [
        pose_deg(record(20, kind, size, roll_deg=25))
        for kind, size in (("whole_face", 320), ("full_face", 128), ("head", 512))
    ]
    np.testing.assert_allclose(poses, [poses[0]] * 3, atol=0.05)
    upright = pose_deg(record(20, "full_face", 256))
    assert poses[0][1] == pytest.approx(upright[1], abs=1)
    assert poses[0][2] - upright[2] == pytest.approx(25, abs=1)
    assert pose_deg(record(-20, "full_face", 256))[1] < -10 < 10 < upright[1]


def test_dfl_pose_is_read_in_the_picture_itself() -> None:
    face = record(25, "whole_face", 320)
    pose = head_pose(face.landmarks, 320)
    assert dfl_pose(face, 320) == (pose.pitch, pose.yaw)


def test_legacy_pose_projects_back_onto_the_points() -> None:
    """The angles of DFL 1.0, checked by drawing the model with a camera of 256 px."""
    rotation = cv2.Rodrigues(np.array([0.0, -0.4, 0.0]))[0]
    camera = np.array([[256, 0, 128], [0, 256, 128], [0, 0, 1]], np.float64)
    points, _ = cv2.projectPoints(
        MODEL_POINTS_3D, cv2.Rodrigues(rotation)[0], np.array([0, 0, 220.0]), camera, None
    )
    drawn = record(0, "full_face", 512)
    doubled = FaceRecord(
        face_type="full_face",
        landmarks=points.reshape(68, 2) * 2,
        source_filename="a.png",
        source_rect=drawn.source_rect,
        source_landmarks=drawn.source_landmarks,
    )
    pitch, yaw = legacy_pose(doubled, 512)
    assert pitch == pytest.approx(0, abs=0.01)
    assert abs(yaw) == pytest.approx(0.4 / 1.11, abs=0.01)
    assert math.copysign(1, yaw) == math.copysign(1, dfl_pose(doubled, 512)[1])


@pytest.mark.parametrize("kind", ["full_face", "whole_face", "head"])
def test_source_size_is_the_crops_side_in_the_frame(kind: FaceType) -> None:
    face = record(0, kind, 256)
    assert face.image_to_face_mat is not None
    expected = math.sqrt(crop_area(face.image_to_face_mat, 256))
    assert source_size_px(face) == pytest.approx(expected, rel=1e-4)
    assert enlargement(face) == pytest.approx(256 / expected, rel=1e-4)
    without = FaceRecord(
        face_type=kind,
        landmarks=face.landmarks,
        source_filename="a.png",
        source_rect=face.source_rect,
        source_landmarks=face.source_landmarks,
    )
    assert enlargement(without) == pytest.approx(256 / expected, rel=1e-3)


def test_one_face_is_as_large_in_every_kind_of_crop() -> None:
    """Its size as a trait is that of a full_face crop, of uncut frames too."""
    kinds: list[FaceType] = [kind for kind in FACE_TYPES if kind != "mark_only"]
    records = [record(12, kind, 256) for kind in kinds]
    uncut = dataclasses.replace(records[0], face_type="mark_only", image_to_face_mat=None)
    records.append(dataclasses.replace(uncut, landmarks=uncut.source_landmarks))
    table = made_table(len(records), source_size=np.array([source_size_px(r) for r in records]))
    sizes = traits_of(dataclasses.replace(table, records=tuple(records))).size_px
    matrix = frame_to_face(uncut.source_landmarks, 256, "full_face")
    np.testing.assert_allclose(sizes, math.sqrt(crop_area(matrix, 256)), rtol=1e-3)


def test_occlusion_rises_as_the_mesh_loses_the_face() -> None:
    found = occlusion_of([22.0, 18.0, 9.0, 0.0, -5.0], np.zeros(5))
    np.testing.assert_allclose(found, [0, 0, 0.5, 1, 1], atol=1e-6)
    assert occlusion_of([12.0], [-30.0]) < occlusion_of([12.0], [0.0]), (
        "a turned face is half hidden"
    )
    assert np.isnan(occlusion_of([np.nan], [0.0])[0])
    assert np.isfinite(occlusion_of([10.0], [np.nan])[0])
