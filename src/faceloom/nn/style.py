"""How unlike two pictures' colours are, wherever in them the colours lie.

Reference: training.md 2.3. After Huang and Belongie, "Arbitrary style transfer in real-time with
adaptive instance normalization" (ICCV 2017): style is the mean and the spread of each channel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from faceloom.nn.losses import gaussian_blur

VARIANCE_FLOOR = 1e-5
"""Added to a variance before its root, whose gradient would be infinite at 0."""


def style_loss(x: Tensor, y: Tensor, sigma: float, weight: float) -> Tensor:
    """`weight` · mean over c of (difference of means)² + (difference of spreads)² → `b`, float32.

    `x` and `y` are `b c h w`; both are blurred first, with `sigma` in pixels and zero padding.
    """
    mean_x, spread_x = _style(gaussian_blur(x, sigma))
    mean_y, spread_y = _style(gaussian_blur(y, sigma))
    return weight * ((mean_x - mean_y).square() + (spread_x - spread_y).square()).mean(1)


def _style(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of each channel, `b c`."""
    variance, mean = torch.var_mean(x, (-2, -1), correction=0)
    return mean, (variance + VARIANCE_FLOOR).sqrt()
