"""Files of networks as DFL and face-alignment write them, made from random tensors.

The networks here are oracles: written anew from docs/internals/alignment.md as functions of a
dictionary of tensors, and for TorchScript as modules with face-alignment's names.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

Tensors = dict[str, torch.Tensor]


def randomised(network: nn.Module, seed: int) -> Tensors:
    """Random values for all tensors of a network, of a size that keeps signals alive."""
    generator = torch.Generator().manual_seed(seed)
    state: Tensors = {}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            state[name] = 0.5 + noise.abs()
        elif value.ndim == 4:
            state[name] = noise / float(np.sqrt(value[0].numel()))
        elif name.endswith("weight"):
            state[name] = 1 + 0.2 * noise
        else:
            state[name] = 0.2 * noise
    return state


def write_dfl(path: Path, state: Tensors) -> Path:
    """A pickle of arrays; kernels height, width, in, out; norms `1 1 1 c`; names with `:0`."""
    arrays = {}
    for name, value in state.items():
        array = value.numpy()
        if array.ndim == 4:
            array = np.ascontiguousarray(array.transpose(2, 3, 1, 0))
        if "_norm.weight" in name:
            array = array.reshape(1, 1, 1, -1)
        arrays[f"{name.replace('.', '/')}:0"] = array
    path.write_bytes(pickle.dumps(arrays, protocol=4))
    return path


def face_alignment_names(state: Tensors) -> Tensors:
    """FAN's tensors under the names of the public files (an hourglass's depths side by side)."""
    renamed: Tensors = {}
    for name, value in state.items():
        parts = name.split(".")
        head = parts[0]
        for stem in ("conv_last", "bn_end", "bl", "al", "l", "m"):
            if head.startswith(f"{stem}_"):
                head = stem + head[len(stem) + 1 :]
        rest = parts[1:]
        if parts[0].startswith("m_"):
            depth = 4
            while rest[0] == "b2_plus" and rest[1] in ("b1", "b2", "b2_plus", "b3"):
                rest, depth = rest[1:], depth - 1
            rest = [f"{rest[0]}_{depth}", *rest[1:]]
        dotted = ".".join([head, *rest])
        dotted = dotted.replace("down_bn1.", "downsample.0.")
        renamed[dotted.replace("down_conv1.", "downsample.2.")] = value
    return renamed


def fan_forward(t: Tensors, x: torch.Tensor) -> torch.Tensor:
    """2DFAN from docs/internals/alignment.md, with DFL's names."""

    def conv(name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        kernel = t[f"{name}.weight"]
        pad = kernel.shape[-1] // 2
        return F.conv2d(x, kernel, t.get(f"{name}.bias"), stride=stride, padding=pad)

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        mean, var = t[f"{name}.running_mean"], t[f"{name}.running_var"]
        x = (x - mean[:, None, None]) / torch.sqrt(var + 1e-5)[:, None, None]
        return x * t[f"{name}.weight"][:, None, None] + t[f"{name}.bias"][:, None, None]

    def block(name: str, x: torch.Tensor) -> torch.Tensor:
        a = conv(f"{name}.conv1", norm(f"{name}.bn1", x).relu())
        b = conv(f"{name}.conv2", norm(f"{name}.bn2", a).relu())
        c = conv(f"{name}.conv3", norm(f"{name}.bn3", b).relu())
        if f"{name}.down_conv1.weight" in t:
            x = conv(f"{name}.down_conv1", norm(f"{name}.down_bn1", x).relu())
        return torch.cat([a, b, c], 1) + x

    def hourglass(name: str, x: torch.Tensor, depth: int) -> torch.Tensor:
        low = block(f"{name}.b2", F.avg_pool2d(x, 2))
        plus = f"{name}.b2_plus"
        low = hourglass(plus, low, depth - 1) if depth > 1 else block(plus, low)
        low = block(f"{name}.b3", low)
        return block(f"{name}.b1", x) + low.repeat_interleave(2, 2).repeat_interleave(2, 3)

    x = norm("bn1", conv("conv1", x, stride=2)).relu()
    x = F.avg_pool2d(block("conv2", x), 2)
    x = block("conv4", block("conv3", x))
    maps = x
    for i in range(4):
        y = block(f"top_m_{i}", hourglass(f"m_{i}", x, 4))
        y = norm(f"bn_end_{i}", conv(f"conv_last_{i}", y)).relu()
        maps = conv(f"l_{i}", y)
        if i < 3:
            x = x + conv(f"bl_{i}", y) + conv(f"al_{i}", maps)
    return maps


def s3fd_forward(t: Tensors, x: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """S3FD from docs/internals/alignment.md: raw class scores and shifts of six levels."""

    def conv(name: str, x: torch.Tensor, pad: int = 1, stride: int = 1) -> torch.Tensor:
        return F.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"], padding=pad, stride=stride)

    def stage(names: str, x: torch.Tensor) -> torch.Tensor:
        for name in names.split():
            x = conv(name, x).relu()
        return x

    def normed(name: str, x: torch.Tensor) -> torch.Tensor:
        length = (x**2).sum(1, keepdim=True) ** 0.5 + 1e-10
        return x / length * t[f"{name}.weight"][None, :, None, None]

    x = F.max_pool2d(stage("conv1_1 conv1_2", x), 2)
    x = F.max_pool2d(stage("conv2_1 conv2_2", x), 2)
    f3 = stage("conv3_1 conv3_2 conv3_3", x)
    f4 = stage("conv4_1 conv4_2 conv4_3", F.max_pool2d(f3, 2))
    f5 = stage("conv5_1 conv5_2 conv5_3", F.max_pool2d(f4, 2))
    f7 = conv("fc7", conv("fc6", F.max_pool2d(f5, 2), pad=3).relu(), pad=0).relu()
    f6 = conv("conv6_2", conv("conv6_1", f7, pad=0).relu(), stride=2).relu()
    f72 = conv("conv7_2", conv("conv7_1", f6, pad=0).relu(), stride=2).relu()
    features = {
        "conv3_3_norm": normed("conv3_3_norm", f3),
        "conv4_3_norm": normed("conv4_3_norm", f4),
        "conv5_3_norm": normed("conv5_3_norm", f5),
        "fc7": f7,
        "conv6_2": f6,
        "conv7_2": f72,
    }
    return [(conv(f"{n}_mbox_conf", f), conv(f"{n}_mbox_loc", f)) for n, f in features.items()]


class PublicBlock(nn.Module):
    """face-alignment's block, to be scripted."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out // 2)
        self.conv2 = nn.Conv2d(channels_out // 2, channels_out // 4, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out // 4)
        self.conv3 = nn.Conv2d(channels_out // 4, channels_out // 4, 3, padding=1, bias=False)
        self.downsample: nn.Module = nn.Identity()
        if channels_in != channels_out:
            bypass = nn.Conv2d(channels_in, channels_out, 1, bias=False)
            self.downsample = nn.Sequential(nn.BatchNorm2d(channels_in), nn.ReLU(), bypass)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.conv1(torch.relu(self.bn1(x)))
        b = self.conv2(torch.relu(self.bn2(a)))
        c = self.conv3(torch.relu(self.bn3(b)))
        return torch.cat([a, b, c], 1) + self.downsample(x)


class PublicFan(nn.Module):
    """face-alignment's network with its names; the forward is only there to be compiled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width // 4, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(width // 4)
        self.conv2 = PublicBlock(width // 4, width // 2)
        self.conv3 = PublicBlock(width // 2, width // 2)
        self.conv4 = PublicBlock(width // 2, width)
        for i in range(4):
            hourglass = nn.Sequential()
            for depth in (4, 3, 2, 1):
                for branch in ("b1", "b2", "b3"):
                    hourglass.add_module(f"{branch}_{depth}", PublicBlock(width, width))
            hourglass.add_module("b2_plus_1", PublicBlock(width, width))
            self.add_module(f"m{i}", hourglass)
            self.add_module(f"top_m_{i}", PublicBlock(width, width))
            self.add_module(f"conv_last{i}", nn.Conv2d(width, width, 1))
            self.add_module(f"bn_end{i}", nn.BatchNorm2d(width))
            self.add_module(f"l{i}", nn.Conv2d(width, 68, 1))
            if i < 3:
                self.add_module(f"bl{i}", nn.Conv2d(width, width, 1))
                self.add_module(f"al{i}", nn.Conv2d(68, width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv4(self.conv3(self.conv2(torch.relu(self.bn1(self.conv1(x))))))
