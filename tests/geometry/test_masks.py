"""Hull, eye and mouth masks against the reference's golden numbers and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import polygon
from skimage.morphology import convex_hull_image

from faceloom.core import InputError
from faceloom.geometry import (
    expand_brows,
    eyes_mask,
    eyes_mouth_mask,
    frame_to_face,
    hull_mask,
    mirror_landmarks,
    mouth_mask,
    transform_points,
)
from geometry_inputs import INPUT_A

ALIGNED = transform_points(INPUT_A, frame_to_face(INPUT_A, 512, "whole_face"))


def test_golden_brows():
    expected = [(390, 266), (417, 244), (450, 245), (480, 253), (507, 266)]
    expected += [(539, 270), (570, 267), (601, 269), (630, 280), (645, 310)]
    assert [tuple(p) for p in expand_brows(INPUT_A)[17:27]] == expected
    assert (expand_brows(INPUT_A, 0) == INPUT_A.astype(np.int32)).all()


@pytest.mark.parametrize(("factor", "area"), [(0, 66_980), (1, 72_903), (2, 79_195)])
def test_golden_hull_area(factor: float, area: int):
    mask = hull_mask(INPUT_A, (800, 1000), factor)
    assert mask.shape == (800, 1000) and mask.dtype == np.float32
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert mask.sum() == area


def test_golden_hull_bounds():
    rows, columns = np.nonzero(hull_mask(INPUT_A, (800, 1000)))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (244, 553, 358, 651)


def test_golden_aligned_masks():
    assert ALIGNED[8] == pytest.approx((252.1273, 438.0339), abs=1e-4)
    assert ALIGNED[30] == pytest.approx((255.4432, 267.1361), abs=1e-4)
    assert hull_mask(ALIGNED, (512, 512)).sum() == 72_896
    eyes, mouth = eyes_mask(ALIGNED, (512, 512)), mouth_mask(ALIGNED, (512, 512))
    assert eyes.sum() == pytest.approx(3385.0, abs=0.1)
    assert eyes.max() == pytest.approx(0.99904, abs=1e-5)
    assert mouth.sum() == pytest.approx(2549.0, abs=0.1)
    assert mouth.max() == pytest.approx(0.99301, abs=1e-5)


def test_hull_agrees_with_scikit_image():
    points = expand_brows(ALIGNED)
    groups = [[*range(9), 17], [*range(8, 17), 26], [17, 18, 19, 8], [24, 25, 26, 8]]
    groups += [[*range(19, 25), 8], [*range(17, 22), 27, *range(31, 36), 8]]
    groups += [[*range(22, 27), 27, *range(31, 36), 8], [*range(27, 36)]]
    union = np.zeros((512, 512), bool)
    for group in groups:
        dots = np.zeros((512, 512), bool)
        dots[points[group, 1], points[group, 0]] = True
        union |= convex_hull_image(dots, offset_coordinates=False)
    differing = (hull_mask(ALIGNED, (512, 512)) > 0) != union
    assert differing.sum() < 0.01 * union.sum()  # only pixels on the outline are a matter of taste
    inner = np.zeros((512, 512), bool)
    inner[polygon(points[:17, 1], points[:17, 0], (512, 512))] = True
    assert (inner & (hull_mask(ALIGNED, (512, 512)) == 0)).sum() < 200


def test_eyes_and_mouth_are_where_they_are_and_stay_in_the_face():
    both = eyes_mouth_mask(ALIGNED, (512, 512))
    assert both.max() <= 1
    for part in (slice(36, 42), slice(42, 48), slice(60, 68)):
        x, y = ALIGNED[part].mean(0).astype(int)
        assert both[y, x] > 0.8
    face = np.zeros((512, 512), np.float32)
    face[:256] = 0.5
    kept = eyes_mouth_mask(ALIGNED, (512, 512), face_mask=face)
    assert (kept[256:] == 0).all() and (kept[:256] == both[:256]).all()


def test_mirrored_face_gives_mirrored_mask():
    whole = np.floor(ALIGNED)
    mask = hull_mask(whole, (512, 512), 0)
    mirrored = hull_mask(mirror_landmarks(whole, 512), (512, 512), 0)
    assert (mirrored[:, ::-1] != mask).mean() < 0.002


@pytest.mark.parametrize("size", [(8, 8), (31, 40), (1, 1)])
def test_tiny_pictures_work(size: tuple[int, int]):
    points = transform_points(INPUT_A, frame_to_face(INPUT_A, size[0], "whole_face"))
    assert eyes_mouth_mask(points, size).shape == hull_mask(points, size).shape == size


def test_points_far_outside_neither_crash_nor_wrap_around():
    points = ALIGNED.copy()
    points[5] = 1e12, -1e12
    assert hull_mask(points, (64, 64)).shape == (64, 64)
    assert hull_mask(ALIGNED + 5000, (64, 64)).sum() == 0
    points[5] = np.nan
    with pytest.raises(InputError, match="68 finite"):
        hull_mask(points, (64, 64))
