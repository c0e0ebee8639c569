"""Colour transfers against the golden numbers of the reference and against what defines them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from color_pictures import colourful, pipeline_pair, training_pair
from faceloom.color import TRANSFERS, idt, lct, mkl, rct, sot
from faceloom.color.transfer import lct_matrix, match_histogram, mkl_matrix, rotations
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


GOLDEN = {
    "lct": [(0.37821, 0.42335, 0.38818), (0.14525, 0.14341, 0.14296), (0.53358, 0.50281, 0.26871)],
    "mkl": [(0.37821, 0.42335, 0.38818), (0.14525, 0.14340, 0.14295), (0.53261, 0.50335, 0.26784)],
}
"""Mean, spread and pixel [3, 5] of training.md, appendix A; channels as B, G, R."""


@pytest.mark.parametrize("mode", ["lct", "mkl"])
def test_linear_training_golden(mode: str) -> None:
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
def test_linear_pipeline_golden(mode: str, pixel: tuple[float, ...]) -> None:
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
def test_linear_what_lies_outside_the_mask_does_not_matter(mode: str, statistics: str) -> None:
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


def pair(size: int = 40) -> tuple[np.ndarray, np.ndarray]:
    return colourful(1, size, (0.55, 0.4, 0.35), 0.12), colourful(2, size, (0.4, 0.5, 0.6), 0.1)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean distance of the quantiles along the axes and diagonals of RGB: 1-D Wasserstein."""
    axes = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [1, -1, 0], [0, 1, -1]])
    axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    quantiles = np.linspace(0, 1, 101)
    a, b = (np.quantile(p.reshape(-1, 3) @ axes.T, quantiles, axis=0) for p in (one, other))
    return float(np.abs(a - b).mean())


def test_sot_reaches_the_reference_in_every_direction() -> None:
    image, reference = pair()
    result = sot(image, reference, smooth=False)
    # A step goes a third of the way on average: (2/3)^10 is left, and what directions are missed.
    assert apart(result, reference) < 0.08 * apart(image, reference)
    longer = sot(image, reference, smooth=False, steps=40)
    assert apart(longer, reference) < 0.02 * apart(image, reference)
    assert apart(sot(image, reference[:20], smooth=False), reference) < 0.2 * apart(
        image, reference
    )


def test_sot_filters_the_change_not_the_picture() -> None:
    """Grain stays; the change is what OpenCV's bilateral filter makes of the unfiltered one."""
    image, reference = pair(48)
    result = sot(image, reference)
    raw = sot(image, reference, smooth=False) - image
    expected = cv2.bilateralFilter(raw, 0, 5, 16)
    np.testing.assert_allclose(result - image, expected, atol=1e-5)

    def grain(picture: np.ndarray) -> float:
        return float((picture - cv2.GaussianBlur(picture, (0, 0), 1.5)).std())

    assert grain(result) == pytest.approx(grain(image), rel=0.02)


def test_sot_goes_on_beyond_the_mask_as_it_ends_there() -> None:
    """The same change everywhere inside is the same change on both sides of the mask's edge."""
    image, _ = pair()
    reference = image - np.float32(0.1)
    mask = np.zeros((40, 40), np.float32)
    mask[10:30, 8:24] = 1
    result = sot(image, reference, mask, statistics="inside")
    np.testing.assert_allclose(result[6:34, 4:28], reference[6:34, 4:28], atol=5e-3)


def test_idt_relaxed_goes_two_thirds_of_the_way() -> None:
    """20 steps of a twentieth leave 0.95^20 = 0.36 of what a whole step would take away."""
    image, reference = pair()
    left = apart(idt(image, reference), reference) / apart(image, reference)
    assert 0.3 < left < 0.42


def test_idt_unrelaxed_reaches_the_reference() -> None:
    image, reference = pair()
    result = idt(image, reference, iterations=30, relaxation=1.0)
    assert apart(result, reference) < 0.05 * apart(image, reference)


def test_histogram_matching_against_quantiles() -> None:
    rng = np.random.default_rng(4)
    values, target = rng.normal(0.2, 0.1, 4000), rng.gamma(2.0, 0.15, 3000) + 0.3
    edges, mapped = match_histogram(values, target)
    assert np.all(np.diff(mapped) >= 0)
    moved = np.interp(values, edges, mapped)
    quantiles = np.linspace(0, 1, 41)
    width = edges[1] - edges[0]
    difference = np.quantile(moved, quantiles) - np.quantile(target, quantiles)
    # In the sparse tail, where a bin has no value or one, its width is all that is known.
    assert np.abs(difference[1:-2]).max() < 2 * width
    assert np.abs(difference).max() < 8 * width
    assert target.min() - width <= moved.min()
    assert moved.max() <= target.max() + width


def test_idt_never_leaves_the_references_range() -> None:
    """The original sends what falls off its histogram to 256, and the first bin to 0."""
    image = colourful(3, 24, (0.7, 0.7, 0.7), 0.2)
    reference = colourful(4, 24, (0.4, 0.4, 0.4), 0.05)
    result = idt(image, reference, iterations=1, relaxation=1.0)
    assert result.max() <= reference.max() + 0.1
    assert result.min() >= reference.min() - 0.1


def test_rotations_are_rotations_and_go_everywhere() -> None:
    turns = rotations(np.random.default_rng(1).standard_normal((400, 4)))
    np.testing.assert_allclose(
        turns @ turns.transpose(0, 2, 1), np.tile(np.eye(3), (400, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(turns), 1.0)
    assert np.abs(turns.mean(0)).max() < 0.1


@pytest.mark.parametrize("mode", ["idt", "sot"])
def test_same_at_every_call(mode: str) -> None:
    image, reference = pair(16)
    np.testing.assert_array_equal(
        TRANSFERS[mode](image, reference), TRANSFERS[mode](image, reference)
    )
    other = TRANSFERS[mode](image, reference, random=np.random.default_rng(9))
    assert not np.array_equal(TRANSFERS[mode](image, reference), other)


@pytest.mark.parametrize("mode", ["idt", "sot"])
def test_transport_of_same_colours_changes_nothing(mode: str) -> None:
    image, _ = pair(24)
    np.testing.assert_allclose(TRANSFERS[mode](image, image), image, atol=2e-3)


@pytest.mark.parametrize("mode", ["idt", "sot"])
def test_masks(mode: str) -> None:
    image, reference = pair(24)
    mask = np.zeros((24, 24), np.float32)
    mask[4:20, 6:18] = 1
    other = np.where(mask[..., None] > 0, reference, np.float32(0.95))
    for statistics in ("black", "inside"):
        first = TRANSFERS[mode](image, reference, mask, statistics=statistics)
        again = TRANSFERS[mode](image, other, mask, statistics=statistics)
        np.testing.assert_array_equal(first, again)
    inside = mask > 0
    moved = TRANSFERS[mode](image, reference, mask, statistics="inside")
    before = np.abs(image[inside].mean(0) - reference[inside].mean(0)).mean()
    after = np.abs(moved[inside].mean(0) - reference[inside].mean(0)).mean()
    assert after < 0.45 * before
    empty = TRANSFERS[mode](image, reference, np.zeros_like(mask))
    np.testing.assert_array_equal(empty, image)
    with pytest.raises(InputError, match="differ in size"):
        TRANSFERS[mode](image, reference[:8], mask)


@pytest.mark.parametrize("mode", ["idt", "sot"])
def test_flat_pictures_stay_flat(mode: str) -> None:
    flat = np.full((16, 16, 3), 0.5, np.float32)
    np.testing.assert_allclose(TRANSFERS[mode](flat, flat), flat, atol=1e-6)
    to_flat = TRANSFERS[mode](colourful(1, 16, (0.5, 0.5, 0.5), 0.1), np.full_like(flat, 0.3))
    assert np.isfinite(to_flat).all()
