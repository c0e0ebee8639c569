"""The building blocks of DeepFaceLab's networks (see docs/internals/networks.md).

Attribute names follow DFL's tensor names, so that a tensor `down1/downs_0/conv1/weight` of a DFL
file is `down1.downs.0.conv1.weight` here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceloom.nn import half

Activation = Literal["leaky", "xcosx"]
"""`leaky`: leaky ReLU with the block's slope; `xcosx`: x·cos(x), DFL's flag C."""

SLOPE_SCALING = 0.1
SLOPE_RESIDUAL = 0.2


def activate(x: Tensor, activation: Activation, slope: float) -> Tensor:
    """`activation` of `x`, any shape. May overwrite `x`, which must not be needed afterwards."""
    if activation == "xcosx":
        return x * torch.cos(x)
    return F.leaky_relu(x, slope, inplace=True)


def depth_to_space(x: Tensor) -> Tensor:
    """`b 4c h w` → `b c 2h 2w` in TensorFlow's DCR order.

    Output pixel (2y+i, 2x+j) of channel k comes from input channel (2i+j)·c + k. This is not
    `torch.nn.PixelShuffle`, which reads channel 4k + 2i + j. Keeps the memory format of `x`.
    """
    b, c4, h, w = x.shape
    c = c4 // 4
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        pixels = x.permute(0, 2, 3, 1).reshape(b, h, w, 2, 2, c).permute(0, 1, 3, 2, 4, 5)
        return pixels.reshape(b, 2 * h, 2 * w, c).permute(0, 3, 1, 2)
    planes = x.reshape(b, 2, 2, c, h, w).permute(0, 3, 4, 1, 5, 2)
    return planes.reshape(b, c, 2 * h, 2 * w)


def pixel_norm(x: Tensor, dim: int = -1, epsilon: float = 1e-6) -> Tensor:
    """`x` divided by its root mean square along `dim`; computed in float32 at least."""
    wide = x if x.dtype == torch.float64 else x.float()
    return wide * torch.rsqrt(wide.square().mean(dim, keepdim=True) + epsilon)


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution with bias and symmetric zero padding `kernel_size // 2`, as DFL pads."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)


def convolve(x: Tensor, layer: nn.Conv2d, activation: Activation, slope: float) -> Tensor:
    """`layer` on `b i h w`, then `activation`."""
    if not half.applies_to(x):
        return activate(layer(x), activation, slope)
    if activation == "leaky":
        return half.convolve(x, layer, slope)
    return activate(half.convolve(x, layer, None), activation, slope)


def dense(x: Tensor, layer: nn.Linear) -> Tensor:
    """`layer` on `b i`."""
    return half.dense(x, layer) if half.applies_to(x) else layer(x)


class Downscale(nn.Module):
    """`b i h w` → `b o ⌈h/2⌉ ⌈w/2⌉`: 5×5 convolution with stride 2, activation."""

    def __init__(self, in_channels: int, out_channels: int, activation: Activation) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, 5, 2)
        self.activation: Activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.conv1, self.activation, SLOPE_SCALING)


class DownscaleStack(nn.Module):
    """A sequence of downscales, `downs.0`, `downs.1`, …; `channels` from input to output."""

    def __init__(self, channels: list[int], activation: Activation) -> None:
        super().__init__()
        self.downs = nn.ModuleList(Downscale(i, o, activation) for i, o in pairwise(channels))

    def forward(self, x: Tensor) -> Tensor:
        for down in self.downs:
            x = down(x)
        return x


class Upscale(nn.Module):
    """`b i h w` → `b o 2h 2w`: 3×3 convolution to 4·o, activation, then depth to space."""

    def __init__(self, in_channels: int, out_channels: int, activation: Activation) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, 4 * out_channels, 3)
        self.activation: Activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return depth_to_space(convolve(x, self.conv1, self.activation, SLOPE_SCALING))


class ResidualBlock(nn.Module):
    """`b c h w` → the same: act(x + conv(act(conv(x)))) with 3×3 convolutions, no norm."""

    def __init__(self, channels: int, activation: Activation) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, 3)
        self.conv2 = conv(channels, channels, 3)
        self.activation: Activation = activation

    def forward(self, x: Tensor) -> Tensor:
        inner = convolve(x, self.conv1, self.activation, SLOPE_RESIDUAL)
        outer = half.convolve(inner, self.conv2, None) if half.applies_to(x) else self.conv2(inner)
        return activate(x + outer, self.activation, SLOPE_RESIDUAL)


@torch.no_grad()
def initialize(network: nn.Module, generator: torch.Generator) -> None:
    """Glorot-uniform weights and zero biases in every convolution and dense layer of `network`.

    Uses the generator in the order of `network.modules()`: a CPU generator gives the same weights
    whatever device the network is moved to later.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
