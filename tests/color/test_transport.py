"""idt and sot: the distributions they promise, and that they do nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from color_pictures import colourful
from faceloom.color import TRANSFERS, idt, sot
from faceloom.color.transport import match_histogram, rotations
from faceloom.core import InputError


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
def test_same_colours_change_nothing(mode: str) -> None:
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
