"""Tone and histograms against plain NumPy and the colour conversion of the standard library."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from faceloom.curate.measures.tone import black_samples, brightness_and_hue, histograms


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (24, 18, 3), np.uint8)


def test_brightness_and_hue_are_means_of_v_and_h(picture: np.ndarray) -> None:
    hsv = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in picture.reshape(-1, 3) / 255])
    brightness, hue = brightness_and_hue(picture)
    assert brightness == pytest.approx(255 * hsv[:, 2].mean(), abs=1e-6)
    # OpenCV's hue is a whole number of two degrees.
    assert hue == pytest.approx(180 * hsv[:, 0].mean(), abs=0.6)


def test_black_counts_samples_not_pixels(picture: np.ndarray) -> None:
    image = picture | 1
    image[3, 4] = 0
    image[5, 6, 1] = 0
    assert black_samples(image) == 4


def test_histograms_are_shares_of_each_channel(picture: np.ndarray) -> None:
    found = histograms(picture)
    assert found.shape == (3, 256) and found.dtype == np.float32
    for channel in range(3):
        expected = np.bincount(picture[..., channel].ravel(), minlength=256) / (24 * 18)
        np.testing.assert_allclose(found[channel], expected, rtol=1e-6)
    np.testing.assert_allclose(histograms(picture[..., 0])[0], found[0])
