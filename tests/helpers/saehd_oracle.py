"""SAEHD's losses written out in float64 NumPy and SciPy (docs/internals/losses.md).

Pictures are `b c r r`, masks `b 1 r r`; every term is a vector `b`. Shares no code with ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

Array = NDArray[np.float64]
AXES = (1, 2, 3)


def blur(x: Array, sigma: float) -> Array:
    taps = max(3, int(4 * sigma))
    taps += 1 - taps % 2
    window = np.exp(-((np.arange(taps) - taps // 2) ** 2) / (2 * sigma**2))
    window /= window.sum()
    x = correlate1d(x, window, axis=-1, mode="constant")
    return correlate1d(x, window, axis=-2, mode="constant")


def weight(mask: Array) -> Array:
    return 2 * np.minimum(blur(mask, max(1, mask.shape[-1] // 32)), 0.5)


def blurred_outside(target: Array, mask: Array) -> Array:
    sigma = target.shape[-1] / 128
    spread = blur(1 - mask, sigma)
    outside = blur(target * (1 - mask), sigma) / np.where(spread == 0, 1, spread)
    return target * mask + outside * (1 - mask)


def dssim(x: Array, y: Array, taps: int) -> Array:
    window = np.exp(-((np.arange(taps) - (taps - 1) / 2) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image: Array) -> Array:
        views = np.lib.stride_tricks.sliding_window_view(image, taps, axis=-1) @ window
        return np.lib.stride_tricks.sliding_window_view(views, taps, axis=-2) @ window

    mx, my = mean(x), mean(y)
    luminance = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
    joint = 2 * (mean(x * y) - mx * my) + 9e-4
    contrast = joint / (mean(x * x) + mean(y * y) - mx**2 - my**2 + 9e-4)
    return (1 - (luminance * contrast).mean((-2, -1))).mean(1) / 2


def rebuilding(
    p: Array, t: Array, pm: Array, m: Array, em: Array | None, w: Array | float
) -> Array:
    """The rows of 2.5 up to the mask's, below 256 px; `w` is W(m), or 1 without masked training."""
    total = 10 * dssim(t * w, p * w, int(t.shape[-1] / 11.6))
    total += 10 * ((t * w - p * w) ** 2).mean(AXES) + 10 * ((m - pm) ** 2).mean(AXES)
    if em is not None:
        total += 300 * np.abs(t * em - p * em).mean(AXES)
    return total


def style(x: Array, y: Array, sigma: float, power: float) -> Array:
    x, y = blur(x, sigma), blur(y, sigma)
    means = (x.mean((2, 3)) - y.mean((2, 3))) ** 2
    spreads = (np.sqrt(x.var((2, 3)) + 1e-5) - np.sqrt(y.var((2, 3)) + 1e-5)) ** 2
    return power / 3 * (means + spreads).sum(1)


def background_style(swap: Array, t: Array, swap_mask: Array, dst_mask: Array, q: float) -> Array:
    around = 1 - weight(swap_mask * dst_mask)
    x, y = swap * around, t * around
    return 10 * q * dssim(x, y, int(t.shape[-1] / 11.6)) + 10 * q * ((x - y) ** 2).mean(AXES)


def cross_entropy(logits: Array, truth: float) -> Array:
    p = 1 / (1 + np.exp(-logits))
    return -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean(AXES)


def guard(p: Array, t: Array, w: Array) -> Array:
    down, across = np.diff(p, axis=2), np.diff(p, axis=3)
    variation = (down**2).sum(AXES) + (across**2).sum(AXES)
    return 1e-6 * variation + 0.02 * (((p - t) * (1 - w)) ** 2).mean(AXES)


def cosine(x: Array, y: Array) -> Array:
    return (x * y).sum(-1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1)
