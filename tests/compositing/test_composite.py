"""Compositing against an independent whole-frame implementation, and its invariants."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

import merge_oracle as oracle
from faceloom.compositing import (
    FaceGeometry,
    MergeSettings,
    SwappedFace,
    composite,
    cut_faces,
    paste_faces,
)
from faceloom.core import InputError
from faceloom.geometry import frame_to_face, warp_to_face
from merge_scenes import landmarks_at, record_of, smooth_frame, soft_masks

N = 64
WHOLE = FaceGeometry(N, "whole_face")


def predictor_of(change, masks):
    def predict(crops: np.ndarray) -> list[SwappedFace]:
        return [SwappedFace(change(crop), *masks) for crop in crops]

    return predict


def tint(crop: np.ndarray) -> np.ndarray:
    return np.clip(0.15 + 0.7 * crop[..., ::-1], 0, 1)


def levels(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference, in 8-bit levels."""
    return float(np.abs(first - second).max()) * 255


def ones(n: int = N) -> tuple[np.ndarray, np.ndarray]:
    return np.ones((n, n), np.float32), np.ones((n, n), np.float32)


CASES = [
    {"mask_mode": "full", "blur": 20},
    {"mask_mode": "dst", "blur": 12},
    {"mask_mode": "learned-prd"},
    {"mask_mode": "learned-dst", "erode": 15},
    {"mask_mode": "learned-prd*learned-dst", "erode": -15, "blur": 30},
    {"mask_mode": "learned-prd+learned-dst", "face_scale": 15},
    {"mask_mode": "learned-prd*learned-dst", "face_scale": -20, "color_transfer": "rct"},
    {"mask_mode": "dst", "blur": 40, "color_transfer": "rct"},
]


@pytest.mark.parametrize("options", CASES, ids=lambda o: " ".join(map(str, o.values())))
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("place", ["inside", "over the border"])
def test_region_equals_whole_frame(options, dtype, place) -> None:
    frame = smooth_frame((220, 260), dtype)
    center = (128.3, 110.7) if place == "inside" else (20.0, 200.0)
    landmarks = landmarks_at(center, 0.36, roll_deg=17)
    settings = MergeSettings(**{"color_transfer": "none", "blur": 0, **options})
    masks = soft_masks(N)
    result = composite(frame, [record_of(landmarks)], predictor_of(tint, masks), settings, WHOLE)
    expected, expected_mask = oracle.composite(
        frame, landmarks, N, "whole_face", lambda crop: (tint(crop), *masks), **options
    )
    top = np.iinfo(dtype).max
    assert result.faces == 1 and result.image.dtype == frame.dtype
    assert levels(result.image / top, expected) < 2
    assert levels(result.mask / 255, expected_mask) < 2
    assert (expected_mask > 0.9).any()
    np.testing.assert_array_equal(result.image[result.mask == 0], frame[result.mask == 0])


def test_literal_reference_differs_by_its_grid_shift_only() -> None:
    frame = smooth_frame((220, 260))
    landmarks = landmarks_at((128, 110), 0.36)
    masks = soft_masks(N)
    settings = MergeSettings(mask_mode="learned-prd", color_transfer="none", blur=0)
    result = composite(frame, [record_of(landmarks)], predictor_of(tint, masks), settings, WHOLE)
    _, literal = oracle.composite(
        frame,
        landmarks,
        N,
        "whole_face",
        lambda crop: (tint(crop), *masks),
        mask_mode="learned-prd",
        on_one_grid=False,
    )
    y, x = np.mgrid[:220, :260]
    pixels_a_model_pixel = 1 / frame_to_face(landmarks, N, "whole_face")[0, 0]
    for axis in (x, y):
        centers = [(m * axis).sum() / m.sum() for m in (result.mask.astype(float), literal)]
        np.testing.assert_allclose(centers[1] - centers[0], 0.375 * pixels_a_model_pixel, atol=0.04)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("face_type", ["half_face", "full_face", "whole_face", "head"])
def test_identity_gives_the_frame_back(dtype, face_type) -> None:
    frame = smooth_frame((300, 300), dtype)
    faces = [record_of(landmarks_at((150, 150), 0.3, roll_deg=-40))]
    geometry = FaceGeometry(96, face_type)
    settings = MergeSettings(mask_mode="full", color_transfer="rct", blur=0)
    result = composite(frame, faces, predictor_of(lambda c: c, ones(96)), settings, geometry)
    difference = np.abs(result.image.astype(float) - frame) / np.iinfo(dtype).max
    assert difference.max() < 5 / 255
    assert difference[result.mask > 0].mean() < 0.7 / 255


def test_full_mask_covers_the_crop_and_leaves_no_dark_rim() -> None:
    frame = np.full((200, 200, 3), 180, np.uint8)
    landmarks = landmarks_at((100, 100), 0.3, roll_deg=30)
    settings = MergeSettings(mask_mode="full", color_transfer="none", blur=0)
    white = predictor_of(np.ones_like, ones())
    result = composite(frame, [record_of(landmarks)], white, settings, WHOLE)
    assert result.image.min() >= 180
    matrix = frame_to_face(landmarks, N, "whole_face")
    covered = (result.image == 255).all(-1).sum()
    assert abs(covered * np.linalg.det(matrix[:, :2]) / N**2 - 1) < 0.03


def test_frame_without_face_is_the_same_frame() -> None:
    frame = smooth_frame((90, 120), "uint16")
    result = composite(frame, [], predictor_of(tint, ones()), MergeSettings(), WHOLE)
    assert result.image is frame and result.faces == 0 and not result.mask.any()


def test_input_is_not_changed() -> None:
    frame = smooth_frame((200, 200))
    kept = frame.copy()
    faces = [record_of(landmarks_at((100, 100), 0.3))]
    composite(frame, faces, predictor_of(tint, ones()), MergeSettings(), WHOLE)
    np.testing.assert_array_equal(frame, kept)


@pytest.mark.parametrize("center", [(-400.0, 90.0), (100.0, 900.0)])
def test_face_off_the_frame_is_left_out(center) -> None:
    frame = smooth_frame((120, 160))
    faces = [record_of(landmarks_at(center, 0.2))]
    result = composite(frame, faces, predictor_of(tint, ones()), MergeSettings(), WHOLE)
    assert result.faces == 0 and not result.mask.any()
    np.testing.assert_array_equal(result.image, frame)


def test_larger_face_lies_in_front_whatever_the_order() -> None:
    frame = smooth_frame((240, 320))
    small, large = landmarks_at((120, 120), 0.15), landmarks_at((170, 120), 0.35)
    settings = MergeSettings(mask_mode="full", color_transfer="none", blur=0)

    def by_order(crops: np.ndarray) -> list[SwappedFace]:
        values = np.linspace(0.2, 0.8, len(crops))
        return [
            SwappedFace(np.full_like(c, v), *ones()) for c, v in zip(crops, values, strict=True)
        ]

    for order in ((small, large), (large, small)):
        result = composite(frame, [record_of(m) for m in order], by_order, settings, WHOLE)
        assert result.faces == 2
        assert (result.image[120, 170] == 204).all()  # in the large one's crop only
        assert (result.image[120, 134] == 204).all()  # in both
        assert (result.image[120, 112] == 51).all()  # in the small one's only


def test_two_soft_faces_are_laid_over_each_other_once() -> None:
    frame = smooth_frame((240, 320))
    records = [record_of(landmarks_at(c, s)) for c, s in (((130, 120), 0.25), ((190, 120), 0.3))]
    settings = MergeSettings(color_transfer="none", blur=60)
    crops = cut_faces(frame, records, WHOLE)
    swapped = [SwappedFace(tint(crop.image), *soft_masks(N)) for crop in crops]
    both = paste_faces(frame, crops, swapped, settings)
    first = paste_faces(frame, crops[:1], swapped[:1], settings)
    second = paste_faces(first.image, crops[1:], swapped[1:], settings)
    np.testing.assert_array_equal(both.image, second.image)
    masks = first.mask / 255, second.mask / 255
    np.testing.assert_allclose(
        both.mask / 255, 1 - (1 - masks[0]) * (1 - masks[1]), atol=1.01 / 255
    )
    np.testing.assert_array_equal(both.image[both.mask == 0], frame[both.mask == 0])


def test_wide_pixels_are_honoured() -> None:
    # The same picture, stored with pixels 1.5 times as wide as high, gives the same crop.
    frame = smooth_frame((240, 300))
    stored = cv2.resize(frame, (200, 240), interpolation=cv2.INTER_AREA)
    square = record_of(landmarks_at((150, 120), 0.3, roll_deg=25))
    points = square.source_landmarks.copy()
    points[:, 0] = (points[:, 0] + 0.5) / 1.5 - 0.5
    crop = cut_faces(frame, [square], WHOLE)[0].image
    same = cut_faces(stored, [record_of(points, pixel_aspect=1.5)], WHOLE)[0].image
    assert np.abs(crop - same).mean() < 0.01
    assert np.abs(crop - cut_faces(stored, [record_of(points)], WHOLE)[0].image).mean() > 0.02
    result = composite(
        stored,
        [record_of(points, pixel_aspect=1.5)],
        predictor_of(lambda c: c, ones()),
        MergeSettings(mask_mode="full", face_scale=0, color_transfer="none", blur=0),
        WHOLE,
    )
    assert np.abs(result.image.astype(int) - stored).mean() < 1


class Gamma:
    """A stand-in for HDR: code values are the fourth root of half the light."""

    def to_working(self, image: np.ndarray) -> np.ndarray:
        return np.minimum(2 * image**4, 1).astype(np.float32)

    def from_working(self, image: np.ndarray) -> np.ndarray:
        return ((image / 2) ** 0.25).astype(np.float32)


def test_working_transform_wraps_the_model_but_not_the_frame() -> None:
    frame = smooth_frame((200, 200), "uint16")
    seen = []

    def look(crop: np.ndarray) -> np.ndarray:
        seen.append(crop)
        return np.full_like(crop, 0.125)

    faces = [record_of(landmarks_at((100, 100), 0.3))]
    settings = MergeSettings(color_transfer="none", mask_mode="learned-prd", blur=0)
    predict = predictor_of(look, soft_masks(N))
    result = composite(frame, faces, predict, settings, WHOLE, Gamma())
    plain = frame.astype(np.float32) / 65535
    matrix = frame_to_face(faces[0].source_landmarks, N, "whole_face")
    np.testing.assert_allclose(
        seen[0], np.clip(warp_to_face(2 * plain**4, matrix, N), 0, 1), atol=0.03
    )
    np.testing.assert_array_equal(result.image[result.mask == 0], frame[result.mask == 0])
    solid = result.mask == 255
    assert solid.any()
    np.testing.assert_allclose(result.image[solid] / 65535, 0.5, atol=1.5e-3)


def test_face_much_larger_than_the_model_is_averaged_down() -> None:
    # One-pixel stripes under an eight-fold reduction: sampled they alias, averaged they are grey.
    frame = np.zeros((600, 600, 3), np.uint8)
    frame[:, ::2] = 255
    crop = cut_faces(
        frame, [record_of(landmarks_at((300, 300), 2.0))], FaceGeometry(32, "half_face")
    )
    inner = crop[0].image[8:-8, 8:-8]
    assert abs(inner.mean() - 0.5) < 0.01 and inner.std() < 0.08


def test_face_much_smaller_than_the_model_does_not_alias() -> None:
    frame = np.zeros((60, 60, 3), np.uint8)

    def stripes(crop: np.ndarray) -> np.ndarray:
        image = np.zeros_like(crop)
        image[:, ::2] = 1
        return image

    settings = MergeSettings(mask_mode="full", color_transfer="none", blur=0)
    predict = predictor_of(stripes, ones(256))
    faces = [record_of(landmarks_at((30, 30), 0.08))]
    result = composite(frame, faces, predict, settings, FaceGeometry(256, "whole_face"))
    solid = result.image[cv2.erode(result.mask, np.ones((5, 5), np.uint8)) == 255]
    assert solid.size and abs(solid.mean() - 127.5) < 4 and solid.std() < 8


def test_tiny_mask_is_not_pasted() -> None:
    frame = smooth_frame((100, 100))
    mask = np.zeros((N, N), np.float32)
    mask[30, 30] = 1
    settings = MergeSettings(mask_mode="learned-prd", color_transfer="none", blur=0)
    faces = [record_of(landmarks_at((50, 50), 0.12))]
    result = composite(frame, faces, predictor_of(tint, (mask, mask)), settings, WHOLE)
    assert result.faces == 0 and not result.mask.any()


def test_bigger_scale_pastes_a_bigger_face() -> None:
    frame = smooth_frame((240, 240))
    faces = [record_of(landmarks_at((120, 120), 0.3))]
    areas = []
    for face_scale in (-50, 0, 50):
        settings = MergeSettings(
            mask_mode="full", face_scale=face_scale, color_transfer="none", blur=0
        )
        result = composite(frame, faces, predictor_of(tint, ones()), settings, WHOLE)
        areas.append((result.mask > 127).sum())
    for (smaller, larger), ratio in zip(pairwise(areas), (4.0, 2.25), strict=True):
        assert abs(larger / smaller / ratio - 1) < 0.05


def test_numbers_of_faces_must_agree() -> None:
    frame = smooth_frame((100, 100))
    crops = cut_faces(frame, [record_of(landmarks_at((50, 50), 0.12))], WHOLE)
    with pytest.raises(InputError, match="1 face crops, but 0"):
        paste_faces(frame, crops, [], MergeSettings())


def test_settings_refuse_values_out_of_range() -> None:
    for wrong in ({"erode": 401}, {"blur": -1}, {"face_scale": 51}, {"mask_mode": "xseg"}):
        with pytest.raises(ValueError):
            MergeSettings(**wrong)
