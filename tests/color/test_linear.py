"""lct and mkl against the reference's golden numbers and against what defines them."""

from __future__ import annotations

import numpy as np
import pytest

from color_pictures import colourful, pipeline_pair, training_pair
from faceloom.color import TRANSFERS, lct, mkl
from faceloom.color.linear import lct_matrix, mkl_matrix
from faceloom.core import InputError

GOLDEN = {
    "lct": [(0.37821, 0.42335, 0.38818), (0.14525, 0.14341, 0.14296), (0.53358, 0.50281, 0.26871)],
    "mkl": [(0.37821, 0.42335, 0.38818), (0.14525, 0.14340, 0.14295), (0.53261, 0.50335, 0.26784)],
}
"""Mean, spread and pixel [3, 5] of training.md, appendix A; channels as B, G, R."""


@pytest.mark.parametrize("mode", ["lct", "mkl"])
def test_training_golden(mode: str) -> None:
    mean, spread, pixel = GOLDEN[mode]
    source, target = training_pair()
    result = TRANSFERS[mode](source, target)[..., ::-1]
    np.testing.assert_allclose(result[3, 5], pixel, atol=1.5e-5)
    np.testing.assert_allclose(result.reshape(-1, 3).mean(0), mean, atol=1e-5)
    np.testing.assert_allclose(result.reshape(-1, 3).std(0), spread, atol=1.5e-5)


@pytest.mark.parametrize(
    ("mode", "pixel"),
    [("lct", (0.47385, 0.60922, 0.58172)), ("mkl", (0.47381, 0.60926, 0.58166))],
)
def test_pipeline_golden(mode: str, pixel: tuple[float, ...]) -> None:
    source, target = pipeline_pair()
    np.testing.assert_allclose(TRANSFERS[mode](source, target)[5, 7, ::-1], pixel, atol=1.5e-5)


@pytest.mark.parametrize("mode", ["lct", "mkl"])
def test_mean_and_covariance_become_the_references(mode: str) -> None:
    image = colourful(1, 32, (0.5, 0.45, 0.4), 0.1)
    reference = colourful(2, 24, (0.4, 0.5, 0.55), 0.08)
    result = TRANSFERS[mode](image, reference).reshape(-1, 3).astype(np.float64)
    target = reference.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(result.mean(0), target.mean(0), atol=1e-6)
    np.testing.assert_allclose(np.cov(result.T), np.cov(target.T), atol=2e-5, rtol=0.01)


def test_mkl_is_the_gradient_of_a_convex_function() -> None:
    """Of all maps between two normal distributions, the symmetric positive one moves least."""
    rng = np.random.default_rng(3)
    a, b = (r @ r.T / 50 for r in rng.normal(0, 1, (2, 3, 3)))
    matrix = mkl_matrix(a, b)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert np.linalg.eigvalsh(matrix).min() > 0
    np.testing.assert_allclose(matrix @ a @ matrix.T, b, atol=1e-12)

    def moved(m: np.ndarray) -> float:
        return float(np.trace((m - np.eye(3)) @ a @ (m - np.eye(3)).T))

    assert moved(matrix) < moved(lct_matrix(a, b))


@pytest.mark.parametrize("mode", ["lct", "mkl"])
@pytest.mark.parametrize("statistics", ["black", "inside"])
def test_what_lies_outside_the_mask_does_not_matter(mode: str, statistics: str) -> None:
    rng = np.random.default_rng(6)
    image, reference = rng.random((2, 16, 16, 3), np.float32)
    mask = np.zeros((16, 16), np.float32)
    mask[4:12, 4:12] = 1.0
    other = np.where(mask[..., None] > 0, reference, np.float32(0.9))
    first = TRANSFERS[mode](image, reference, mask, statistics=statistics)
    np.testing.assert_array_equal(first, TRANSFERS[mode](image, other, mask, statistics=statistics))
    cut = TRANSFERS[mode](image[4:12, 4:12], reference[4:12, 4:12])
    same = np.allclose(first[4:12, 4:12], cut, atol=1e-6)
    assert same == (statistics == "inside")


def test_black_statistics_are_those_of_pictures_times_their_mask() -> None:
    rng = np.random.default_rng(8)
    image, reference = rng.random((2, 12, 12, 3), np.float32)
    mask = np.ones((12, 12), np.float32)
    mask[:5] = 0
    times = mask[..., None]
    expected = mkl(image * times, reference * times)
    np.testing.assert_allclose(mkl(image, reference, mask)[5:], expected[5:], atol=1e-6)


@pytest.mark.parametrize("mode", ["lct", "mkl"])
def test_grey_and_flat_pictures_stay_finite_and_quiet(mode: str) -> None:
    rng = np.random.default_rng(7)
    reference = colourful(5, 16, (0.5, 0.4, 0.6), 0.15)
    flat = np.full((16, 16, 3), 0.5, np.float32) + rng.normal(0, 1e-7, (16, 16, 3)).astype("f4")
    result = TRANSFERS[mode](flat, reference)
    np.testing.assert_allclose(
        result, np.broadcast_to(reference.mean((0, 1)), result.shape), atol=1e-3
    )
    grey = np.repeat(rng.uniform(0.3, 0.7, (16, 16, 1)), 3, 2).astype(np.float32)
    result = TRANSFERS[mode](grey, reference)
    assert np.isfinite(result).all()
    order = np.argsort(grey[..., 0].ravel())
    smooth = result.reshape(-1, 3)[order]
    assert np.abs(np.diff(smooth, axis=0)).max() < 0.05, "equal greys must stay nearly equal"


def test_sizes_and_empty_masks() -> None:
    image, reference = pipeline_pair()
    with pytest.raises(InputError, match="differ in size"):
        lct(image, reference, np.ones((8, 8), np.float32))
    np.testing.assert_array_equal(mkl(image, reference, np.zeros((16, 16), np.float32)), image)
    assert lct(image, reference[:8]).shape == image.shape
