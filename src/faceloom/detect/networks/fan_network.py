"""The face alignment network: four stacked hourglasses.

Bulat and Tzimiropoulos, "How far are we from solving the 2D and 3D face alignment problem?" (2017).
Layers have the names of DFL's files; `face_alignment_name` translates those of the public files.
"""

from __future__ import annotations

import re
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

STAGES: Final = 4
DEPTH: Final = 4
POINTS: Final = 68


class Block(nn.Module):
    """Three convolutions in a row, whose outputs are concatenated and added to the input."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        half, quarter = channels_out // 2, channels_out // 4
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(quarter)
        self.conv3 = nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)
        self.down_bn1 = None if channels_in == channels_out else nn.BatchNorm2d(channels_in)
        self.down_conv1 = (
            None
            if channels_in == channels_out
            else nn.Conv2d(channels_in, channels_out, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """`b c_in h w` to `b c_out h w`."""
        first = self.conv1(relu(self.bn1(x)))
        second = self.conv2(relu(self.bn2(first)))
        third = self.conv3(relu(self.bn3(second)))
        if self.down_bn1 is not None and self.down_conv1 is not None:
            x = self.down_conv1(relu(self.down_bn1(x)))
        return torch.cat([first, second, third], dim=1) + x


class Hourglass(nn.Module):
    """A branch at full size, and one at half size that contains a smaller hourglass."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.b1 = Block(width, width)
        self.b2 = Block(width, width)
        self.b2_plus = Hourglass(depth - 1, width) if depth > 1 else Block(width, width)
        self.b3 = Block(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`b width h w` to the same; h and w are divisible by 2 ** depth."""
        low = self.b3(self.b2_plus(self.b2(avg_pool2d(x, 2))))
        return self.b1(x) + interpolate(low, scale_factor=2, mode="nearest")


class FanNetwork(nn.Module):
    """From `b 3 256 256` (RGB, 0 to 1) to a heat map per point, `b 68 64 64`.

    `width` is the number of inner channels: 256 in the files, fewer in tests.
    """

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width // 4, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(width // 4)
        self.conv2 = Block(width // 4, width // 2)
        self.conv3 = Block(width // 2, width // 2)
        self.conv4 = Block(width // 2, width)
        for i in range(STAGES):
            self.add_module(f"m_{i}", Hourglass(DEPTH, width))
            self.add_module(f"top_m_{i}", Block(width, width))
            self.add_module(f"conv_last_{i}", nn.Conv2d(width, width, 1))
            self.add_module(f"bn_end_{i}", nn.BatchNorm2d(width))
            self.add_module(f"l_{i}", nn.Conv2d(width, POINTS, 1))
            if i < STAGES - 1:
                self.add_module(f"bl_{i}", nn.Conv2d(width, width, 1))
                self.add_module(f"al_{i}", nn.Conv2d(POINTS, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.bn1(self.conv1(x)))
        x = avg_pool2d(self.conv2(x), 2)
        x = self.conv4(self.conv3(x))
        maps = x
        for i in range(STAGES):
            y = self._layer(f"top_m_{i}", self._layer(f"m_{i}", x))
            y = relu(self._layer(f"bn_end_{i}", self._layer(f"conv_last_{i}", y)))
            maps = self._layer(f"l_{i}", y)
            if i < STAGES - 1:
                x = x + self._layer(f"bl_{i}", y) + self._layer(f"al_{i}", maps)
        return maps

    def _layer(self, name: str, x: Tensor) -> Tensor:
        return self.get_submodule(name)(x)


def face_alignment_name(name: str) -> str:
    """The name here of a tensor in the public files; other names stay as they are.

    In those files an hourglass lists the blocks of all its depths next to each other, from the
    outer `b1_4` to the inner `b3_1`.
    """
    name = re.sub(r"^(m|conv_last|bn_end|l|bl|al)(\d)\.", r"\1_\2.", name)
    name = name.replace(".downsample.0.", ".down_bn1.").replace(".downsample.2.", ".down_conv1.")
    inner = re.match(r"^(m_\d)\.(b1|b2_plus|b2|b3)_([1-4])\.(.+)$", name)
    if inner is None:
        return name
    stage, block, depth, rest = inner.groups()
    return ".".join([stage, *["b2_plus"] * (DEPTH - int(depth)), block, rest])
