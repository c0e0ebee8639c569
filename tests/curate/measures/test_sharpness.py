"""CPBD against its golden values, its Canny against scikit-image's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.feature import canny as reference

from faceloom.curate.measures.canny import EDGE_REACH_PX, canny, strong_ridges
from faceloom.curate.measures.sharpness import cpbd, motion_blur

GOLDEN = ((0.8, 0.7401), (1.5, 0.2409), (3.0, 0.0014), (6.0, 0.0))


def blurred_noise(sigma: float) -> np.ndarray:
    """The picture of pipeline.md 4.2, uint8."""
    noise = np.random.RandomState(0).rand(256, 256)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)


@pytest.mark.parametrize(("sigma", "expected"), GOLDEN)
def test_cpbd_gives_the_golden_values(sigma: float, expected: float) -> None:
    assert round(cpbd(blurred_noise(sigma)), 4) == expected


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0, 6.0])
def test_canny_finds_scikit_images_edges(sigma: float) -> None:
    picture = blurred_noise(sigma).astype(np.float64)
    np.testing.assert_array_equal(canny(picture), reference(picture))


def test_canny_on_a_picture_with_few_edges_and_another_range() -> None:
    """In [0, 1] the thresholds select, so that linking shows."""
    picture = np.zeros((90, 120))
    cv2.circle(picture, (60, 45), 30, (0.35,), -1)
    cv2.line(picture, (5, 80), (115, 60), (0.06,), 2)
    picture += np.random.default_rng(1).normal(0, 0.01, picture.shape)
    expected = reference(picture)
    assert 0 < expected.sum() < 800
    np.testing.assert_array_equal(canny(picture), expected)


@pytest.mark.media
def test_canny_on_photos(media) -> None:
    for name in ("astronaut.png", "woman_dim_close.jpg", "three_men_office.jpg"):
        picture = cv2.imread(str(media / "photos" / name), cv2.IMREAD_GRAYSCALE)
        small = cv2.resize(picture, (320, 320), interpolation=cv2.INTER_AREA).astype(np.float64)
        differing = (canny(small) != reference(small)).mean()
        # Plateaus of equal values may fall either way with the last bit of the smoothing.
        assert differing < 5e-4


def test_strong_ridges_of_a_part_are_those_of_the_whole() -> None:
    picture = blurred_noise(1.5).astype(np.float64)
    reach = EDGE_REACH_PX
    part = strong_ridges(picture[40 - reach : 56 + reach])[reach:-reach]
    np.testing.assert_array_equal(part, strong_ridges(picture)[40:56])
    assert not (part & ~reference(picture)[40:56]).any()


def test_cpbd_of_nothing_is_0() -> None:
    assert cpbd(np.zeros((256, 256), np.uint8)) == 0
    assert cpbd(np.full((40, 300), 7, np.uint8)) == 0
    half = np.zeros((128, 128), np.uint8)
    half[:, 64:] = 255
    assert cpbd(half) == 0, "a perfect step has no strict maximum (pipeline.md 4.2)"


@pytest.mark.media
def test_cpbd_falls_with_blur(media) -> None:
    picture = cv2.imread(str(media / "photos" / "man_black_27.jpg"), cv2.IMREAD_GRAYSCALE)
    face = cv2.resize(picture[200:1100, 200:1100], (256, 256), interpolation=cv2.INTER_AREA)
    scores = [cpbd(face)] + [cpbd(cv2.GaussianBlur(face, (0, 0), s)) for s in (0.8, 1.4, 2.5)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 2 * scores[-1]


def test_motion_blur_is_the_laplacians_variance() -> None:
    """Against NumPy's variance of all samples, and 0 for one colour."""
    picture = np.random.default_rng(3).integers(0, 256, (64, 48, 3), np.uint8)
    expected = cv2.Laplacian(picture, cv2.CV_64F, ksize=11).var()
    assert motion_blur(picture) == pytest.approx(expected, rel=1e-9)
    assert motion_blur(np.full((32, 32, 3), 9, np.uint8)) == 0
