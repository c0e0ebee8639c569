"""Debug pictures: the right marks in the right place and colour."""

from __future__ import annotations

import numpy as np

from face_inputs import SIZE, SOURCE_LANDMARKS, record
from faceloom.faces import draw_debug, draw_landmarks
from faceloom.geometry import crop_corners, frame_to_face, hull_mask, transform_points

FRAME = np.full((800, 1000, 3), 200, np.uint8)
GREEN, BLUE, RED = (0, 255, 0), (0, 0, 255), (255, 0, 0)


def is_near(picture: np.ndarray, point: np.ndarray, colour: tuple[int, int, int]) -> bool:
    x, y = np.rint(point).astype(int)
    patch = picture[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4].astype(int)
    return bool((np.abs(patch - colour).sum(-1) < 60).any())


def test_every_mark_is_there():
    known = record()
    drawn = draw_debug(FRAME, [known], SIZE)
    assert (FRAME == 200).all()
    for point in SOURCE_LANDMARKS:
        assert is_near(drawn, point, GREEN)
    l, t, r, b = known.source_rect
    for corner in ((l, t), (r, t), (r, b), (l, b)):
        assert is_near(drawn, np.array(corner), BLUE)
    corners = crop_corners(known.image_to_face_mat, SIZE)  # type: ignore[arg-type]
    for corner in corners:
        assert is_near(drawn, corner, RED)
    inside = hull_mask(SOURCE_LANDMARKS, (800, 1000)) > 0
    assert np.median(drawn[inside]) == 100
    assert np.median(drawn[~inside]) == 200


def test_the_triangle_marks_the_top_left_of_the_crop():
    turned = SOURCE_LANDMARKS[:, ::-1] * (1, -1) + (0, 1000)  # a quarter turn
    matrix = frame_to_face(turned, SIZE, "whole_face")
    known = record(source_landmarks=turned, image_to_face_mat=matrix, source_rect=[0, 0, 1, 1])
    drawn = draw_debug(np.full((1000, 1000, 3), 200, np.uint8), [known], SIZE)
    centre = np.array([[0.05, 0.07]]) * SIZE
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    assert is_near(drawn, transform_points(centre, inverse)[0], RED)
    mirrored = np.array([[0.95, 0.07]]) * SIZE
    assert not is_near(drawn, transform_points(mirrored, inverse)[0], RED)


def test_frames_without_faces_and_mark_only_stay_as_they_are():
    assert (draw_debug(FRAME, [], SIZE) == FRAME).all()
    marked = record(face_type="mark_only", image_to_face_mat=None)
    assert (draw_debug(FRAME, [marked], SIZE) == FRAME).all()


def test_faces_far_outside_do_not_crash():
    known = record(source_landmarks=SOURCE_LANDMARKS + 1e7, source_rect=[-(10**8), 0, 10**8, 5])
    assert draw_debug(FRAME, [known], SIZE).shape == FRAME.shape
    assert draw_landmarks(FRAME, SOURCE_LANDMARKS).shape == FRAME.shape
