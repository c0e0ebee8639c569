"""Canny's edges as scikit-image finds them, since CPBD is defined on those (pipeline.md 4.2).

OpenCV's own differ: it smooths nothing, rounds directions and takes whole-number thresholds.
Canny, "A computational approach to edge detection", PAMI 1986; the interpolated suppression and
the smoothing that ignores what lies outside the picture are scikit-image's (BSD-3-Clause), against
which this is tested.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

LOW: Final = 0.1
HIGH: Final = 0.2
"""scikit-image's thresholds, a tenth and a fifth of a float picture's range. On samples from 0 to
255, as CPBD gives them, nearly every ripple passes."""
_TRUNCATE: Final = 4.0
EDGE_REACH_PX: Final = 6
"""4 of the smoothing, 1 of the gradient, 1 of the suppression."""


def canny(
    gray: NDArray[np.float64], *, sigma: float = 1.0, low: float = LOW, high: float = HIGH
) -> NDArray[np.bool_]:
    """The edges of `gray` (h w float64, any range): h w bool.

    A ridge of the gradient's magnitude that reaches `high` somewhere is an edge as far as it stays
    above `low`; the picture's outermost pixels never are.
    """
    ridge, magnitude = _ridges(gray, sigma, low)
    return _linked(ridge, magnitude, high)


def strong_ridges(
    gray: NDArray[np.float64], *, sigma: float = 1.0, high: float = HIGH
) -> NDArray[np.bool_]:
    """The pixels that are edges whatever they are linked to: ridges of at least `high`.

    A pixel depends on no more than `EDGE_REACH_PX` pixels around it (at the default `sigma`), so
    this may be asked of a part of a picture.
    """
    return _ridges(gray, sigma, high)[0]


def _ridges(
    gray: NDArray[np.float64], sigma: float, low: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """The ridges of at least `low`, and the gradient's magnitude."""
    smooth = _smooth(np.ascontiguousarray(gray, dtype=np.float64), sigma)
    down, right = _sobel(smooth, 0), _sobel(smooth, 1)
    magnitude = np.sqrt(down * down + right * right)
    return _ridge(down, right, magnitude, low), magnitude


def _smooth(gray: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Gaussian of the picture alone: what lies outside counts neither as black nor at all."""
    radius = int(_TRUNCATE * sigma + 0.5)
    steps = np.arange(-radius, radius + 1, dtype=np.float64)
    kernel: NDArray[np.float64] = np.exp(-0.5 * (steps / sigma) ** 2)
    kernel /= kernel.sum()
    smooth = cv2.sepFilter2D(gray, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    h, w = gray.shape
    down, right = (
        np.convolve(np.ones(n), kernel, mode="full")[radius : radius + n] for n in (h, w)
    )
    inside = np.outer(down, right) + np.finfo(np.float64).eps
    return np.divide(smooth, inside, dtype=np.float64)


def _sobel(gray: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    order = (0, 1) if axis == 0 else (1, 0)
    return np.asarray(
        cv2.Sobel(gray, cv2.CV_64F, *order, ksize=3, borderType=cv2.BORDER_REFLECT), np.float64
    )


def _ridge(
    down: NDArray[np.float64],
    right: NDArray[np.float64],
    magnitude: NDArray[np.float64],
    low: float,
) -> NDArray[np.bool_]:
    """Where the magnitude is at least `low` and no smaller than on either side along the gradient,
    read between the two neighbours that the gradient points between."""
    candidate = magnitude >= low
    candidate[[0, -1]] = False
    candidate[:, [0, -1]] = False
    place = np.flatnonzero(candidate)
    gi, gj, m = down.ravel()[place], right.ravel()[place], magnitude.ravel()[place]
    ai, aj = np.abs(gi), np.abs(gj)
    steep = ai > aj
    weight = np.minimum(ai, aj) / np.maximum(ai, aj)
    row = magnitude.shape[1]
    same = (gi <= 0) == (gj <= 0)
    # Offsets of the two neighbours on the gradient's one side; the other side's are opposite.
    straight = np.where(steep, np.where(same, row, -row), 1)
    oblique = np.where(same, row + 1, 1 - row)
    flat = magnitude.ravel()
    rest = 1.0 - weight
    ahead = flat[place + oblique] * weight + flat[place + straight] * rest
    behind = flat[place - oblique] * weight + flat[place - straight] * rest
    ridge = np.zeros(magnitude.shape, dtype=np.bool_)
    ridge.ravel()[place[(ahead <= m) & (behind <= m)]] = True
    return ridge


def _linked(
    ridge: NDArray[np.bool_], magnitude: NDArray[np.float64], high: float
) -> NDArray[np.bool_]:
    """The connected ridges (8 neighbours) that reach `high`."""
    count, found = cv2.connectedComponents(ridge.astype(np.uint8), connectivity=8)
    labels = np.asarray(found, dtype=np.int32)
    strong = np.zeros(count, dtype=np.bool_)
    strong[labels[ridge & (magnitude >= high)]] = True
    strong[0] = False
    return strong[labels]
