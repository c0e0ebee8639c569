"""Colour transfers that move whole distributions (reference: training.md 6.8, pipeline.md 6.5).

`idt`: Pitié, Kokaram and Dahyot, "N-dimensional probability density function transfer and its
application to colour transfer", ICCV 2005. `sot`: Rabin, Delon and Gousseau, "Regularization of
transportation maps for color and contrast transfer", ICIP 2010; sliced transport after Bonneel et
al., "Sliced and Radon Wasserstein barycenters of measures", 2015.

Random directions are the same at every call unless a generator is given, where the original's are
new each time: that would let the colours of a video flicker.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.color.pixels import MaskStatistics, inside_of, measured

Floats = NDArray[np.float64]

IDT_ITERATIONS: Final = 20
IDT_BINS: Final = 256
SOT_STEPS: Final = 10
SOT_DIRECTIONS: Final = 5
SOT_SIGMA_COLOR: Final = 5.0
"""In units of [0, 1]: so wide that the filter hardly looks at colour."""
SOT_SIGMA_SPACE_PX: Final = 16.0


def idt(
    image: NDArray[np.float32],
    reference: NDArray[np.float32],
    mask: NDArray[np.float32] | None = None,
    *,
    statistics: MaskStatistics = "black",
    iterations: int = IDT_ITERATIONS,
    relaxation: float = 1 / IDT_ITERATIONS,
    random: np.random.Generator | None = None,
) -> NDArray[np.float32]:
    """Match the histograms of `image` to `reference`'s along the axes of random rotations.

    Arguments, result and errors are those of `rct`, and further:
        iterations: how many rotations.
        relaxation: how much of the way a colour goes at each; DFL's 1/20 ends about two thirds of
            the way to the reference, which keeps it from copying the reference's noise.
        random: source of the rotations; None for always the same ones.

    What lies outside the mask is changed like the inside's equal colours.
    """
    inside = inside_of(image, reference, mask)
    if inside is not None and not inside.any():
        return image.copy()
    pixels = image.reshape(-1, 3).astype(np.float64)
    source = measured(image, inside, statistics).astype(np.float64)
    target = measured(reference, inside, statistics).astype(np.float64)
    random = random or np.random.default_rng(0)
    for rotation in rotations(random.standard_normal((iterations, 4))):
        turned, to = source @ rotation.T, target @ rotation.T
        all_turned = pixels @ rotation.T
        moved, all_moved = np.empty_like(turned), np.empty_like(all_turned)
        for axis in range(3):
            edges, mapped = match_histogram(turned[:, axis], to[:, axis])
            moved[:, axis] = np.interp(turned[:, axis], edges, mapped)
            all_moved[:, axis] = np.interp(all_turned[:, axis], edges, mapped)
        source = source + relaxation * (moved - turned) @ rotation
        pixels = pixels + relaxation * (all_moved - all_turned) @ rotation
    return np.clip(pixels, 0.0, 1.0).astype(np.float32).reshape(image.shape)


def match_histogram(values: Floats, target: Floats, bins: int = IDT_BINS) -> tuple[Floats, Floats]:
    """Edges, `bins + 1`, over the common range, and what they go to so that histograms agree.

    The original maps the first bin to 0 and what lies beyond the last to `bins`, whatever the range
    is, and the highest values to the end of the range even where the target has none; here every
    edge goes to where the target's cumulative histogram first reaches the same value.
    """
    low = min(values.min(), target.min())
    high = max(values.max(), target.max())
    if high - low < 1e-9:
        return np.array([low, low + 1.0]), np.array([low, low + 1.0])
    edges = np.linspace(low, high, bins + 1)
    cumulated = [
        np.concatenate([[0.0], np.cumsum(np.histogram(v, bins, (low, high))[0]) / len(v)])
        for v in (values, target)
    ]
    # Just above 0, the first value that the target has at all.
    wanted = np.maximum(cumulated[0], 1e-12)
    at = np.clip(np.searchsorted(cumulated[1], wanted), 1, bins)
    below = cumulated[1][at - 1]
    within = (wanted - below) / np.maximum(cumulated[1][at] - below, 1e-12)
    return edges, low + (at - 1 + within) * (high - low) / bins


def rotations(quaternions: Floats) -> Floats:
    """The rotations `n 3 3` of quaternions `n 4` of any length; uniform if they are normal."""
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def sot(
    image: NDArray[np.float32],
    reference: NDArray[np.float32],
    mask: NDArray[np.float32] | None = None,
    *,
    statistics: MaskStatistics = "black",
    steps: int = SOT_STEPS,
    directions: int = SOT_DIRECTIONS,
    smooth: bool = True,
    random: np.random.Generator | None = None,
) -> NDArray[np.float32]:
    """Move the colours of `image` to those of `reference` by sliced optimal transport.

    Arguments, result and errors are those of `rct`, and further:
        steps, directions: at each step, colours along this many random directions are matched by
            rank, and move by the mean of what the directions ask for.
        smooth: filter the change afterwards, so that it colours areas and keeps their texture.
        random: source of the directions; None for always the same ones.

    With a mask and "inside" statistics, pixels outside take the change of the nearby inside.
    """
    inside = inside_of(image, reference, mask)
    if inside is not None and not inside.any():
        return image.copy()
    start = measured(image, inside, statistics).astype(np.float64)
    moved = _slice_transport(
        start, measured(reference, inside, statistics), steps, directions, random
    )
    change = np.zeros(image.shape, np.float32)
    if inside is None or statistics == "black":
        change[:] = (moved - start).reshape(image.shape)
        share = np.float32(1)
    else:
        change[inside] = moved - start
        share = np.float32(1)
        if smooth:
            # Small numbers, of which the filter does not see that they differ.
            share = _smooth(inside[..., None].repeat(3, 2) * np.float32(1e-3)) * np.float32(1e3)
            share = np.maximum(share, np.float32(1e-6))
    if smooth:
        change = _smooth(change) / share
    return np.clip(image + change, np.float32(0), np.float32(1))


def _slice_transport(
    start: Floats,
    target: NDArray[Any],
    steps: int,
    directions: int,
    random: np.random.Generator | None,
) -> Floats:
    """Pixels n 3 moved onto the distribution of `target`, m 3."""
    random = random or np.random.default_rng(0)
    goal = target.astype(np.float64)
    ranks = np.linspace(0, len(goal) - 1, len(start))
    moved = start
    for _ in range(steps):
        axes = random.standard_normal((directions, 3))
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        wanted = np.zeros_like(moved)
        for axis in axes:
            along = moved @ axis
            order = np.argsort(along)
            goals = np.interp(ranks, np.arange(len(goal)), np.sort(goal @ axis))
            step = np.empty_like(along)
            step[order] = goals - along[order]
            wanted += step[:, None] * axis
        moved = moved + wanted / directions
    return moved


def _smooth(change: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(
        cv2.bilateralFilter(change, 0, SOT_SIGMA_COLOR, SOT_SIGMA_SPACE_PX), np.float32
    )
