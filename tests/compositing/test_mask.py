"""Mask arithmetic against the padded form of the reference."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from faceloom.compositing import combine_masks, finish_mask
from merge_oracle import MODES, padded_mask
from merge_scenes import soft_masks


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode: str) -> None:
    prd, dst = soft_masks(64)
    hull = np.zeros((64, 64), np.float32)
    hull[20:50, 10:40] = 1
    expected = MODES[mode](prd, dst, hull)
    result = combine_masks(mode, prd, dst, hull)
    np.testing.assert_array_equal(result, np.where(expected < 1 / 255, 0, expected))
    assert result.dtype == np.float32


@pytest.mark.parametrize("erode", [-130, -60, -7, 0, 1, 12, 31, 100])
@pytest.mark.parametrize("blur", [0, 1, 33, 90, 200])
def test_finished_mask_is_the_padded_one(erode: int, blur: int) -> None:
    n = 64
    mask = soft_masks(n)[0]
    result = finish_mask(mask, erode=erode, blur=blur)
    expected = padded_mask(mask, erode, blur)
    assert result.shape == expected.shape == (4 * n, 4 * n)
    if abs(erode) <= 64:
        assert np.abs(result - expected).max() < 0.005
    else:
        # Large kernels run on a smaller mask: the edge may lie up to half a model pixel elsewhere.
        window = np.ones((5, 5), np.uint8)
        assert (result >= cv2.erode(expected, window) - 0.03).all()
        assert (result <= cv2.dilate(expected, window) + 0.03).all()
        assert np.abs(result - expected).mean() < 0.006
    assert result.min() >= 0 and result.max() <= 1


def test_full_mask_is_kept_off_the_border_by_half_the_blur() -> None:
    hard = finish_mask(np.ones((64, 64), np.float32), erode=0, blur=0)
    assert (hard == 1).all()
    soft = finish_mask(np.ones((64, 64), np.float32), erode=0, blur=40)
    assert soft[:, 0].max() < 0.01 and soft[0].max() < 0.01
    # The blurred edge is at its middle where the inset put it.
    profile = soft[128, :128]
    assert abs(float(np.interp(0.5, profile[:60], np.arange(60))) - 19.5) < 0.5


def test_erode_units_are_quarter_pixels() -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[16:48, 16:48] = 1
    areas = [finish_mask(mask, erode=e, blur=0).sum() for e in (0, 9, -9)]
    side = np.sqrt(areas[0])
    assert abs(side - 128) < 2
    # An ellipse of 9 pixels takes or gives 4 on each side.
    assert abs(np.sqrt(areas[1]) - (side - 8)) < 2
    assert abs(np.sqrt(areas[2]) - (side + 8)) < 2


def test_extremes_stay_in_range() -> None:
    for value in (0.0, 1.0):
        for erode in (-400, 400):
            mask = finish_mask(np.full((32, 32), value, np.float32), erode=erode, blur=400)
            assert np.isfinite(mask).all() and mask.min() >= 0 and mask.max() <= 1
