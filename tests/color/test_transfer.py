"""Colour transfer against the golden numbers of the reference and against Reinhard's definition."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from color_pictures import pipeline_pair, training_pair
from faceloom.color import rct
from faceloom.core import InputError


def test_pipeline_golden_unmasked() -> None:
    source, target = pipeline_pair()
    np.testing.assert_allclose(source[5, 7, ::-1], (0.53480, 0.70613, 0.65775), atol=1e-5)
    result = rct(source, target)
    np.testing.assert_allclose(result[5, 7, ::-1], (0.46846, 0.61801, 0.58099), atol=2e-5)


def test_pipeline_golden_masked() -> None:
    source, target = pipeline_pair()
    mask = np.ones((16, 16), np.float32)
    mask[:4] = 0.0
    result = rct(source, target, mask)
    np.testing.assert_allclose(result[5, 7, ::-1], (0.47094, 0.63244, 0.57155), atol=2e-5)


def test_training_golden() -> None:
    source, target = training_pair()
    np.testing.assert_allclose(source[3, 5, ::-1], (0.74818, 0.62888, 0.35711), atol=1e-5)
    result = rct(source, target)
    np.testing.assert_allclose(result[3, 5, ::-1], (0.53102, 0.50161, 0.27352), atol=2e-5)
    flat = result[..., ::-1].reshape(-1, 3)
    np.testing.assert_allclose(flat.mean(0), (0.37082, 0.42184, 0.38573), atol=2e-5)
    np.testing.assert_allclose(flat.std(0), (0.15856, 0.14580, 0.14962), atol=2e-5)


def test_inside_statistics_are_reinhards_in_another_library() -> None:
    rng = np.random.default_rng(5)
    image = (0.4 + 0.2 * rng.random((24, 20, 3))).astype(np.float32)
    reference = (0.3 + 0.25 * rng.random((24, 20, 3))).astype(np.float32)
    mask = np.zeros((24, 20), np.float32)
    mask[4:18, 3:17] = 1.0
    inside = mask >= 0.5
    lab, lab_to = rgb2lab(image), rgb2lab(reference)
    expected = (lab - lab[inside].mean(0)) / lab[inside].std(0) * lab_to[inside].std(0)
    expected = lab2rgb(np.clip(expected + lab_to[inside].mean(0), (0, -127, -127), (100, 127, 127)))
    result = rct(image, reference, mask, statistics="inside")
    # OpenCV's float Lab works through tables: exact to about half an 8-bit level.
    np.testing.assert_allclose(result, expected, atol=4e-3)
    assert np.abs(result - expected).mean() < 1e-3


def test_what_lies_outside_the_mask_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    image = rng.random((16, 16, 3), np.float32)
    reference = rng.random((16, 16, 3), np.float32)
    mask = np.zeros((16, 16), np.float32)
    mask[4:12, 4:12] = 1.0
    other = np.where(mask[..., None] > 0, reference, np.float32(0.9))
    for statistics in ("black", "inside"):
        first = rct(image, reference, mask, statistics=statistics)
        np.testing.assert_array_equal(first, rct(image, other, mask, statistics=statistics))


def test_same_colours_change_nothing() -> None:
    source, _ = pipeline_pair()
    np.testing.assert_allclose(rct(source, source), source, atol=2.5e-3)


@pytest.mark.parametrize("statistics", ["black", "inside"])
def test_flat_picture_takes_the_mean_without_noise(statistics: str) -> None:
    rng = np.random.default_rng(7)
    flat = np.full((16, 16, 3), 0.5, np.float32) + rng.normal(0, 1e-7, (16, 16, 3)).astype("f4")
    result = rct(flat, rng.random((16, 16, 3), np.float32), statistics=statistics)
    assert np.isfinite(result).all()
    assert result.std(axis=(0, 1)).max() < 1e-3


def test_empty_mask_returns_a_copy() -> None:
    source, target = pipeline_pair()
    result = rct(source, target, np.zeros((16, 16), np.float32))
    np.testing.assert_array_equal(result, source)
    assert result is not source


def test_sizes_must_agree() -> None:
    source, target = pipeline_pair()
    with pytest.raises(InputError, match="differ in size"):
        rct(source, target, np.ones((8, 8), np.float32))
    assert rct(source, target[:8]).shape == source.shape
