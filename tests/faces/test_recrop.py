"""Faces cut anew: pictures against the scene that they show, metadata against the frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from faceloom.core import InputError
from faceloom.faces import FaceRecord, OwnMetadata, SegPolygon, decode_mask, encode_mask
from faceloom.faces.recrop import (
    frame_size_px,
    plan_recrop,
    plan_resize,
    recrop_picture,
    recrop_record,
    uncovered,
)
from faceloom.geometry import PADDING, frame_to_face, invert_affine, transform_points
from synthetic_faces import landmarks68, synthetic_record

SIZE = 320
_FRAME = landmarks68(400, turn=0.3, fill=0.4) @ np.float32([[0.97, 0.24], [-0.24, 0.97]])


def _scene(points: np.ndarray) -> np.ndarray:
    """The colour of the frame at (x, y): smooth, and different everywhere."""
    x, y = points[..., 0], points[..., 1]
    waves = [np.sin(x / 31 + y / 57), np.cos(x / 47 - y / 29), np.sin((x + 2 * y) / 63)]
    return 128 + 100 * np.stack(waves, -1)


def _pixels(size: int, matrix: np.ndarray) -> np.ndarray:
    """Where the pixels of a crop lie in the frame, size size 2."""
    rows, columns = np.mgrid[:size, :size].astype(np.float64)
    return transform_points(np.stack([columns, rows], -1), invert_affine(matrix))


def _face(face_type: str = "whole_face", size: int = SIZE, **changes: object) -> FaceRecord:
    matrix = frame_to_face(_FRAME, size, face_type)  # type: ignore[arg-type]
    values = {
        "face_type": face_type,
        "source_landmarks": _FRAME,
        "image_to_face_mat": matrix,
        **changes,
    }
    return synthetic_record(transform_points(_FRAME, matrix), "00007.png", **values)


@pytest.mark.parametrize(("kind", "size"), [("full_face", 256), ("half_face", 400)])
def test_a_smaller_type_shows_the_scene_where_the_landmarks_put_it(kind, size):
    record = _face()
    picture = np.round(_scene(_pixels(SIZE, record.image_to_face_mat))).astype(np.uint8)
    plan = plan_recrop(record, (SIZE, SIZE), size, kind)
    new = recrop_record(record, plan)
    seen = recrop_picture(picture, plan).astype(float)
    truth = _scene(_pixels(size, frame_to_face(_FRAME, size, kind)))
    assert np.abs(seen - truth).max() < 3
    np.testing.assert_allclose(new.image_to_face_mat, frame_to_face(_FRAME, size, kind))
    np.testing.assert_allclose(
        new.landmarks, transform_points(_FRAME, new.image_to_face_mat), atol=2e-3
    )
    assert new.face_type == kind and uncovered(plan) < 1e-6


@pytest.mark.parametrize("size", [64, 160, 448])
def test_a_resize_shows_the_scene_at_the_landmarks_scale(size):
    record = _face()
    picture = np.round(_scene(_pixels(SIZE, record.image_to_face_mat))).astype(np.uint8)
    plan = plan_resize(record, (SIZE, SIZE), size)
    new = recrop_record(record, plan)
    # Scaling the matrix, as DFL does, and aligning anew are the same.
    np.testing.assert_allclose(
        new.image_to_face_mat, frame_to_face(_FRAME, size, "whole_face"), atol=1e-9
    )
    inner = slice(size // 16, -size // 16)
    seen = recrop_picture(picture, plan).astype(float)[inner, inner]
    truth = _scene(_pixels(size, new.image_to_face_mat))[inner, inner]
    assert np.abs(seen - truth).max() < 3


def test_the_place_of_the_new_crop_is_that_of_dfl():
    # DFL's way: by the picture's own landmarks, for the new type and size.
    record = _face("head")
    plan = plan_recrop(record, (SIZE, SIZE), 200, "whole_face")
    dfl = frame_to_face(record.landmarks, 200, "whole_face")
    np.testing.assert_allclose(plan.old_to_new, dfl, atol=1e-4)


def test_landmarks_edited_by_hand_decide_where_the_matrix_does_not_fit_them():
    record = _face()
    moved = replace(record, landmarks=record.landmarks + np.float32([40, 0]))
    plan = plan_recrop(moved, (SIZE, SIZE), 200, "full_face")
    np.testing.assert_allclose(
        plan.old_to_new, frame_to_face(moved.landmarks, 200, "full_face"), atol=1e-9
    )


@pytest.mark.parametrize("mask_size", [96, 256, 300])
@pytest.mark.parametrize(("kind", "size"), [("full_face", 256), ("half_face", 200)])
def test_a_mask_of_any_size_keeps_its_place_in_the_frame(mask_size, kind, size):
    centre, radius = _FRAME[30] + (6, -4), 46.0

    def disk(matrix: np.ndarray, picture: int, side: int) -> np.ndarray:
        """The disk in the frame as a mask of `side` laid edge to edge over the crop."""
        rows, columns = (np.mgrid[:side, :side] + 0.5) * picture / side - 0.5
        at = transform_points(np.stack([columns, rows], -1), invert_affine(matrix))
        return np.linalg.norm(at - centre, axis=-1) < radius

    old = _face()
    mask = encode_mask(disk(old.image_to_face_mat, SIZE, mask_size))
    record = replace(old, xseg_mask=mask)
    new = recrop_record(record, plan_recrop(record, (SIZE, SIZE), size, kind))
    seen = decode_mask(new.xseg_mask)
    truth = disk(new.image_to_face_mat, size, mask_size)
    assert seen.shape == (mask_size, mask_size) and set(np.unique(seen)) == {0.0, 1.0}
    edge = 2 * np.pi * np.sqrt(truth.sum() / np.pi)
    # Half a pixel of the old mask, which the new one shows larger.
    assert np.count_nonzero((seen > 0.5) != truth) < 0.75 * edge


def test_a_resize_leaves_the_mask_bytes_and_a_soft_mask_stays_soft():
    soft = np.linspace(0, 1, 256)[None].repeat(256, 0)
    record = replace(_face(), xseg_mask=encode_mask(soft))
    same = recrop_record(record, plan_resize(record, (SIZE, SIZE), 100))
    assert same.xseg_mask == record.xseg_mask
    cut = recrop_record(record, plan_recrop(record, (SIZE, SIZE), 100, "full_face"))
    assert len(np.unique(decode_mask(cut.xseg_mask))) > 50


def test_polygons_and_everything_else_of_the_record_are_kept():
    in_frame = np.float32([[190, 200], [230, 210], [210, 260]])
    record = _face()
    polygon = SegPolygon(True, transform_points(in_frame, record.image_to_face_mat))
    own = OwnMetadata(frame_index=6, track=2, unknown={"later": [1]})
    record = replace(
        record, seg_ie_polys=(polygon,), own=own, eyebrows_expand_mod=1.25, unknown={"mve": 7}
    )
    new = recrop_record(record, plan_recrop(record, (SIZE, SIZE), 192, "full_face"))
    np.testing.assert_allclose(
        new.seg_ie_polys[0].points, transform_points(in_frame, new.image_to_face_mat), atol=2e-3
    )
    assert (new.own, new.eyebrows_expand_mod, new.unknown) == (own, 1.25, {"mve": 7})
    np.testing.assert_array_equal(new.source_landmarks, record.source_landmarks)


def test_what_a_larger_type_lacks_is_the_area_of_the_two_squares():
    plan = plan_recrop(_face("full_face"), (SIZE, SIZE), 256, "whole_face")
    sides = [1 + 2 * np.sqrt(2) * PADDING[kind] for kind in ("full_face", "whole_face")]
    assert uncovered(plan) == pytest.approx(1 - (sides[0] / sides[1]) ** 2, abs=1e-4)


def test_the_estimated_size_is_that_of_the_crop_in_the_frame():
    # Three times the landmarks make three times the face.
    record = _face()
    corners = transform_points(
        np.array([[0, 0], [SIZE, 0]]), invert_affine(record.image_to_face_mat)
    )
    side = float(np.linalg.norm(corners[1] - corners[0]))
    assert frame_size_px(record, "whole_face") == pytest.approx(side)
    large = replace(record, source_landmarks=record.source_landmarks * 3)
    assert frame_size_px(large, "whole_face") == pytest.approx(3 * side, rel=1e-5)


def test_a_frame_of_wide_pixels_is_cut_as_it_is_displayed():
    record = _face(own=OwnMetadata(pixel_aspect=2.0))
    matrix = plan_recrop(record, (SIZE, SIZE), 256, "full_face").frame_to_new
    np.testing.assert_allclose(matrix, frame_to_face(_FRAME, 256, "full_face", pixel_aspect=2.0))


def test_whole_frames_are_no_crops():
    record = _face()
    frame = replace(
        record, face_type="mark_only", landmarks=record.source_landmarks, image_to_face_mat=None
    )
    with pytest.raises(InputError, match="mark_only"):
        plan_resize(frame, (400, 400), 256)
    # But a face can be cut out of one.
    plan = plan_recrop(frame, (400, 400), 256, "full_face")
    new = recrop_record(frame, plan)
    np.testing.assert_allclose(
        new.landmarks, transform_points(_FRAME, plan.frame_to_new), atol=1e-3
    )
