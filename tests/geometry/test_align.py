"""Alignment against the reference's golden numbers and scikit-image's own estimator."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.transform import SimilarityTransform

from faceloom.core import InputError
from faceloom.geometry import (
    ALIGNED_LANDMARKS,
    FACE_TYPES,
    MODEL_POINTS_3D,
    TEMPLATE_POINTS,
    FaceType,
    covers,
    crop_area,
    crop_corners,
    face_type,
    frame_roll,
    frame_to_face,
    invert_affine,
    rect_from_landmarks,
    transform_points,
    umeyama,
)
from geometry_inputs import INPUT_A, INPUT_B, turned

GOLDEN_A: dict[FaceType, list[float]] = {
    "half_face": [2.100796, 0.357003, -943.836670, -0.357003, 2.100796, -382.093904],
    "midfull_face": [1.764013, 0.299771, -751.488171, -0.299771, 1.764013, -279.799693],
    "full_face": [1.315776, 0.223599, -495.484775, -0.223599, 1.315776, -143.652617],
    "full_face_no_align": [1.334640, 0, -417.907652, 0, 1.334640, -263.903999],
    "whole_face": [0.985655, 0.167499, -306.941324, -0.167499, 0.985655, -26.566446],
    "head": [0.704989, 0.119804, -146.444730, -0.119804, 0.704989, 127.776234],
    "head_no_align": [0.715096, 0, -105.077752, 0, 0.715096, -22.563019],
}
CROPS = [t for t in FACE_TYPES if t != "mark_only"]


def test_inputs_are_those_of_the_reference():
    assert INPUT_A[0] == pytest.approx((365.792905, 315.813335), abs=1e-5)
    assert INPUT_A[30] == pytest.approx((505.338630, 383.852646), abs=1e-5)
    assert INPUT_B[0] == pytest.approx((580.409666, 315.297853), abs=1e-5)


@pytest.mark.parametrize("kind", GOLDEN_A)
def test_golden_matrices_of_input_a(kind: FaceType):
    # The reference rounds the corners to float32, hence 1e-4 px; it asks for 1e-3.
    assert frame_to_face(INPUT_A, 512, kind).ravel() == pytest.approx(GOLDEN_A[kind], abs=1.5e-4)


def test_golden_matrices_of_input_b():
    whole = [1.418190, 0.079733, -672.643979, -0.079733, 1.418190, -171.795957]
    head = [1.014359, 0.057029, -449.119613, -0.057029, 1.014359, 23.900995]
    assert frame_to_face(INPUT_B, 512, "whole_face").ravel() == pytest.approx(whole, abs=1.5e-4)
    assert frame_to_face(INPUT_B, 512, "head").ravel() == pytest.approx(head, abs=1.5e-4)


def test_golden_unit_square_and_rect():
    fit = umeyama(INPUT_A[ALIGNED_LANDMARKS], TEMPLATE_POINTS[ALIGNED_LANDMARKS - 17])
    expected = [0.004103118, 0.000697271, -1.843431, -0.000697271, 0.004103118, -0.746277]
    assert fit.ravel() == pytest.approx(expected, abs=5e-7)
    rect = [313.124, 197.734, 695.250, 579.860]
    assert rect_from_landmarks(INPUT_A) == pytest.approx(rect, abs=1e-3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_umeyama_agrees_with_scikit_image(mirrored: bool):
    rng = np.random.default_rng(3)
    for _ in range(20):
        x = rng.normal(size=(33, 2)) * rng.uniform(1, 200) + rng.uniform(-500, 500, 2)
        t = turned(x * (-1 if mirrored else 1, 1), rng.uniform(-180, 180)) / 77
        t = t + rng.normal(scale=0.05, size=t.shape)
        oracle = SimilarityTransform.from_estimate(x, t)
        assert umeyama(x, t) == pytest.approx(oracle.params[:2], abs=1e-9)


def test_float32_landmarks_are_fitted_in_float64():
    far = INPUT_A + np.array([3000, 2000])
    loss = np.abs(
        frame_to_face(far.astype(np.float32), 512, "whole_face")
        - frame_to_face(far.astype(np.float32).astype(np.float64), 512, "whole_face")
    )
    assert loss.max() == 0


@pytest.mark.parametrize("kind", CROPS)
def test_corners_map_to_zero_and_n(kind: FaceType):
    matrix = frame_to_face(INPUT_A, 300, kind)
    corners = crop_corners(matrix, 300)
    square = [[0, 0], [300, 0], [300, 300], [0, 300]]
    assert transform_points(corners, matrix) == pytest.approx(np.array(square, float), abs=1e-9)
    sides = corners[[1, 3]] - corners[0]
    assert abs(np.linalg.det(sides)) == pytest.approx(crop_area(matrix, 300))


@pytest.mark.parametrize("kind", CROPS)
def test_scale_shrinks_the_square_about_its_centre(kind: FaceType):
    plain, scaled = (
        crop_corners(frame_to_face(INPUT_B, 256, kind, scale=s), 256) for s in (1, 1.3)
    )
    assert scaled.mean(0) == pytest.approx(plain.mean(0))
    assert np.ptp(plain, 0) / np.ptp(scaled, 0) == pytest.approx(1.3)


@pytest.mark.parametrize("kind", [t for t in CROPS if not t.endswith("_no_align")])
def test_crop_follows_the_face_wherever_it_goes(kind: FaceType):
    moved = turned(INPUT_B, -37) * 0.6 + (800, -20)
    a = transform_points(INPUT_B, frame_to_face(INPUT_B, 256, kind))
    b = transform_points(moved, frame_to_face(moved, 256, kind))
    assert a == pytest.approx(b, abs=1e-6)


@pytest.mark.parametrize("kind", CROPS)
@pytest.mark.parametrize("aspect", [16 / 15, 12 / 11, 0.5])
def test_pixel_aspect_aligns_the_face_as_displayed(kind: FaceType, aspect: float):
    stored = INPUT_A / (aspect, 1)
    matrix = frame_to_face(stored, 512, kind, pixel_aspect=aspect)
    square = frame_to_face(INPUT_A, 512, kind)
    assert transform_points(stored, matrix) == pytest.approx(transform_points(INPUT_A, square))
    assert frame_roll(matrix, pixel_aspect=aspect) == pytest.approx(frame_roll(square))


def test_frame_roll_is_clockwise_on_the_screen():
    upright = MODEL_POINTS_3D[:, :2] + 100
    base = frame_roll(frame_to_face(upright, 100, "full_face"))
    lean = frame_roll(frame_to_face(turned(upright, 25), 100, "full_face"))
    assert math.degrees(lean - base) == pytest.approx(25)
    # Positive: the chin moves to the left of the brows.
    assert turned(upright, 25)[8, 0] < turned(upright, 25)[27, 0]


def test_inverse():
    matrix = frame_to_face(INPUT_A, 512, "head")
    points = np.random.default_rng(0).uniform(-50, 900, (40, 2))
    there = transform_points(points, matrix)
    assert transform_points(there, invert_affine(matrix)) == pytest.approx(points)
    assert transform_points(points.astype(np.float32), matrix).dtype == np.float32
    with pytest.raises(InputError, match="degenerate"):
        invert_affine([[1, 2, 0], [2, 4, 0]])


@pytest.mark.parametrize(
    "points", [np.zeros((68, 2)), np.full((68, 2), np.nan), np.full((68, 2), np.inf)]
)
def test_landmarks_that_fix_no_crop_are_one_clear_error(points: np.ndarray):
    with np.errstate(invalid="ignore"), pytest.raises(InputError, match="cannot be aligned"):
        frame_to_face(points, 256, "whole_face")


def test_wrong_arguments_are_one_clear_error():
    with pytest.raises(InputError, match="mark_only"):
        frame_to_face(INPUT_A, 256, "mark_only")
    with pytest.raises(InputError, match="68 landmarks"):
        frame_to_face(INPUT_A[:51], 256, "head")
    with pytest.raises(InputError, match="unknown face type 'face'; known: half_face"):
        face_type("face")


def test_names():
    assert face_type("wf") == face_type("whole_face") == "whole_face"
    assert covers("head", "whole_face") and not covers("half_face", "full_face")
