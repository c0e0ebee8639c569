"""The parts that losses are made of: blurs, structural similarity, mask weights, styles.

Images are `b c r r` float32; every function returns float32 and keeps the batch axis, since the
totals are sums over the batch (see `faceloom.models`). What the models make of them is described in
docs/internals/losses.md.

Blurs are separable, and each pass is a product with a banded matrix: at the sizes used here a
matrix product is faster than a depthwise convolution on CPUs and GPUs alike, and it stays in true
float32 where a GPU's convolution would round to TF32, which is too coarse for E[x²] − μ².
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# The window's σ, whatever its size: odd, but DeepFaceLab's loss is defined by it.
SSIM_SIGMA = 1.5

SSIM_C1 = 0.01**2
SSIM_C2 = 0.03**2
# Added to a variance before its root, whose gradient would be infinite at 0.
VARIANCE_FLOOR = 1e-5


def gaussian_window(size: int, sigma: float, center: float, device: torch.device) -> Tensor:
    """`size` weights exp(−(i − center)²/2σ²), summing to 1; float32."""
    offset = torch.arange(size, device=device, dtype=torch.float32) - center
    weights = torch.exp(-offset.square() / (2 * sigma * sigma))
    return weights / weights.sum()


def band_matrix(window: Tensor, size: int, padding: int) -> Tensor:
    """Correlation with `window` over a zero-padded line of `size`, as a matrix (…, `size`)."""
    taps = window.numel()
    rows = torch.arange(size + 2 * padding - taps + 1, device=window.device)
    columns = torch.arange(size, device=window.device)
    tap = columns[None, :] - rows[:, None] + padding
    inside = (tap >= 0) & (tap < taps)
    return torch.where(inside, window[tap.clamp(0, taps - 1)], 0.0)


def _separable(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply `rows` to the y axis and `columns` to the x axis of `… h w`."""
    with torch.autocast(x.device.type, enabled=False):
        return rows @ (x.float() @ columns.T)


def blur_kernel_size(sigma: float) -> int:
    """The odd kernel size that DFL gives a blur of `sigma` pixels: max(3, ⌊4σ⌋), +1 if even."""
    size = max(3, int(4 * sigma))
    return size + 1 - size % 2


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """G_σ of `b c h w`: Gaussian blur with `sigma` in pixels and zero padding."""
    taps = blur_kernel_size(sigma)
    window = gaussian_window(taps, sigma, taps // 2, x.device)
    rows = band_matrix(window, x.shape[-2], taps // 2)
    same = x.shape[-2] == x.shape[-1]
    columns = rows if same else band_matrix(window, x.shape[-1], taps // 2)
    return _separable(x, rows, columns)


def dssim(x: Tensor, y: Tensor, window: int) -> Tensor:
    """Structural dissimilarity (1 − SSIM)/2 of `b c h w` images with values up to 1 → `b c`.

    The Gaussian window has `window`² pixels and σ = 1.5, is centred at (window − 1)/2 (an even
    one between two pixels), and stays inside the picture (no padding). Needs h, w ≥ `window`.
    """
    weights = gaussian_window(window, SSIM_SIGMA, (window - 1) / 2, x.device)
    rows = band_matrix(weights, x.shape[-2], 0)
    columns = rows if x.shape[-1] == x.shape[-2] else band_matrix(weights, x.shape[-1], 0)
    x, y = x.float(), y.float()
    mean_x, mean_y, mean_xy, mean_squares = (
        _separable(torch.stack((x, y, x * y, x.square() + y.square())), rows, columns)
    ).unbind(0)
    product = mean_x * mean_y
    squares = mean_x.square() + mean_y.square()
    luminance = (2 * product + SSIM_C1) / (squares + SSIM_C1)
    contrast = (2 * (mean_xy - product) + SSIM_C2) / (mean_squares - squares + SSIM_C2)
    return (1 - (luminance * contrast).mean((-2, -1))) / 2


def dssim_windows(resolution: int) -> tuple[int, ...]:
    """Window sizes of the structural loss: ⌊R/11.6⌋, and from 256 px on also ⌊R/23.2⌋."""
    large = int(resolution / 11.6)
    return (large,) if resolution < 256 else (large, int(resolution / 23.2))


def structural_loss(x: Tensor, y: Tensor, resolution: int, weight: float = 10.0) -> Tensor:
    """`weight` · DSSIM, shared evenly between the resolution's windows, mean of c → `b`."""
    windows = dssim_windows(resolution)
    parts = [dssim(x, y, window).mean(1) for window in windows]
    return torch.stack(parts).sum(0) * (weight / len(windows))


def mask_blur_sigma(resolution: int) -> int:
    """σ in pixels of the blur that softens a training mask: max(1, R // 32)."""
    return max(1, resolution // 32)


def mask_weight(mask: Tensor) -> Tensor:
    """W(m) of `b 1 r r`: 1 inside and on the mask's edge, fading to 0 outside."""
    blurred = gaussian_blur(mask, mask_blur_sigma(mask.shape[-1]))
    return 2 * blurred.clamp(0, 0.5)


def blurred_mask(mask: Tensor) -> Tensor:
    """Quick96's weight of `b 1 r r`: the plain blurred mask, 0.5 on the edge."""
    return gaussian_blur(mask, mask_blur_sigma(mask.shape[-1]))


def squared_error(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared difference over all but the batch axis → `b`."""
    return (x.float() - y.float()).square().flatten(1).mean(1)


def absolute_error(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference over all but the batch axis → `b`."""
    return (x.float() - y.float()).abs().flatten(1).mean(1)


def blur_outside(target: Tensor, mask: Tensor) -> Tensor:
    """`target` with everything outside `mask` replaced by a blur of that outside, σ = R/128.

    The blur is normalised by the blur of (1 − mask), both with the same padding, so that a flat
    outside stays flat up to the frame's border. (DeepFaceLab normalises by 1 − G(mask), which
    darkens the border.)
    """
    sigma = target.shape[-1] / 128
    outside = 1 - mask
    weight = gaussian_blur(outside, sigma)
    blurred = gaussian_blur(target * outside, sigma) / torch.where(weight == 0, 1.0, weight)
    return target * mask + blurred * outside


def bce_logits(logits: Tensor, target: float) -> Tensor:
    """Sigmoid cross-entropy of logits `b …` and a `target` in [0, 1], mean over all but b → `b`."""
    wide = logits.float()
    losses = F.binary_cross_entropy_with_logits(
        wide, torch.full_like(wide, target), reduction="none"
    )
    return losses.flatten(1).mean(1)


def total_variation(x: Tensor) -> Tensor:
    """Sum of the squared forward differences along h and w of `b c h w` → `b`.

    (On a GPU, DeepFaceLab takes them along colour and height instead.)
    """
    wide = x.float()
    down = (wide[:, :, 1:] - wide[:, :, :-1]).square().flatten(1).sum(1)
    across = (wide[..., 1:] - wide[..., :-1]).square().flatten(1).sum(1)
    return down + across


def style_loss(x: Tensor, y: Tensor, sigma: float, weight: float) -> Tensor:
    """`weight` · mean over c of (difference of means)² + (difference of spreads)² → `b`, float32.

    After Huang and Belongie, "Arbitrary style transfer in real-time with adaptive instance
    normalization" (ICCV 2017): style is the mean and the spread of each channel.

    `x` and `y` are `b c h w`; both are blurred first, with `sigma` in pixels and zero padding.
    """
    mean_x, spread_x = _style(gaussian_blur(x, sigma))
    mean_y, spread_y = _style(gaussian_blur(y, sigma))
    return weight * ((mean_x - mean_y).square() + (spread_x - spread_y).square()).mean(1)


def _style(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of each channel, `b c`."""
    variance, mean = torch.var_mean(x, (-2, -1), correction=0)
    return mean, (variance + VARIANCE_FLOOR).sqrt()
