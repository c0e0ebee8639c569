"""CPBD against its golden values, its edges against scikit-image's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.feature import canny as reference

from faceloom.curate.measures import cpbd, motion_blur, sharpness

GOLDEN = ((0.8, 0.7401), (1.5, 0.2409), (3.0, 0.0014), (6.0, 0.0))


def blurred_noise(sigma: float) -> np.ndarray:
    """Smoothed noise, stretched to 0 … 255, uint8."""
    noise = np.random.RandomState(0).rand(256, 256)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)


@pytest.mark.parametrize(("sigma", "expected"), GOLDEN)
def test_cpbd_gives_the_golden_values(sigma: float, expected: float) -> None:
    assert round(cpbd(blurred_noise(sigma)), 4) == expected


def blocks_with_edges(edges: np.ndarray) -> np.ndarray:
    """Which blocks of 64 pixels have edges on over 0.2 % of their pixels, by a plain loop."""
    rows, columns = edges.shape[0] // 64, edges.shape[1] // 64
    return np.array(
        [
            [
                edges[64 * i : 64 * i + 64, 64 * j : 64 * j + 64].mean() > 0.002
                for j in range(columns)
            ]
            for i in range(rows)
        ]
    )


def assert_same_blocks(picture: np.ndarray) -> np.ndarray:
    values = picture.astype(np.float64)
    expected = blocks_with_edges(reference(values))
    np.testing.assert_array_equal(blocks_with_edges(sharpness._edges(values)), expected)
    return expected


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0, 6.0])
def test_blocks_with_edges_are_those_of_scikit_image(sigma: float) -> None:
    assert assert_same_blocks(blurred_noise(sigma)).all()


def test_blocks_with_few_edges_are_told_from_flat_ones() -> None:
    picture = np.zeros((192, 256), np.uint8)
    cv2.circle(picture, (100, 100), 3, (40,), -1)
    cv2.line(picture, (10, 180), (14, 183), (9,), 1)
    expected = assert_same_blocks(cv2.GaussianBlur(picture, (0, 0), 1))
    assert 0 < expected.sum() < expected.size


@pytest.mark.media
def test_blocks_with_edges_of_photos(media) -> None:
    for name in ("astronaut.png", "woman_dim_close.jpg", "three_men_office.jpg"):
        picture = cv2.imread(str(media / "photos" / name), cv2.IMREAD_GRAYSCALE)
        small = cv2.resize(picture, (320, 320), interpolation=cv2.INTER_AREA)
        cv2.circle(small, (160, 160), 300, (0,), 340)
        assert_same_blocks(small)


def test_cpbd_of_nothing_is_0() -> None:
    assert cpbd(np.zeros((256, 256), np.uint8)) == 0
    assert cpbd(np.full((40, 300), 7, np.uint8)) == 0
    half = np.zeros((128, 128), np.uint8)
    half[:, 64:] = 255
    assert cpbd(half) == 0, "a perfect step has no strict maximum"


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
