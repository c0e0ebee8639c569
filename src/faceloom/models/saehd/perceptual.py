"""How unlike two pictures look: the distance of their VGG16 features.

LPIPS: Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric" (CVPR
2018). The weights are those of its shift-tolerant form: Ghildyal and Liu, "Shift-tolerant
perceptual similarity metric" (ECCV 2022; the package stlpips-pytorch, BSD 2-clause, whose tensor
names and whose feature distance this follows). There every max pooling moves by one pixel, and a
binomial filter halves the size after it (Zhang, "Making convolutional networks shift-invariant
again", ICML 2019), over borders reflected by two pixels. A reconstruction that is off by a pixel,
as a face that moves from frame to frame is, then costs little.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceloom.core import InputError, Progress, WeightsError
from faceloom.weights import fetch

SMALLEST_PX: Final = 32
"""Below this side the deepest features have no room for their reflected borders."""

_SHIFT: Final = (-0.030, -0.088, -0.188)
_SCALE: Final = (0.458, 0.448, 0.450)
_STAGES: Final = (
    (("net.slice1.0", 3, 64), ("net.slice1.2", 64, 64)),
    (("net.slice2.6", 64, 128), ("net.slice2.8", 128, 128)),
    (("net.slice3.12", 128, 256), ("net.slice3.14", 256, 256), ("net.slice3.16", 256, 256)),
    (("net.slice4.20", 256, 512), ("net.slice4.22", 512, 512), ("net.slice4.24", 512, 512)),
    (("net.slice5.28", 512, 512), ("net.slice5.30", 512, 512), ("net.slice5.32", 512, 512)),
)
"""Convolutions, by the file's names, with their channels; a pooling stands before each stage but
the first, and a head (`lin0` …) reads what each stage gives."""
_REFLECTED_PX: Final = 2
_BINOMIAL: Final = (1.0, 2.0, 1.0)
_EPSILON: Final = 1e-6


class PerceptualDistance(nn.Module):
    """The distance; frozen. It computes in its caller's autocast, and compares in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for _, before, after in stage)
            for stage in _STAGES
        )
        self.heads = nn.ParameterList(torch.zeros(stage[-1][2]) for stage in _STAGES)
        self.register_buffer("shift", torch.tensor(_SHIFT).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(3, 1, 1))
        row = torch.tensor(_BINOMIAL)
        self.register_buffer("binomial", torch.outer(row, row) / row.sum() ** 2)
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Per-sample distance `b`, float32, of two `b 3 h w` RGB pictures in [0, 1]; 0 for equal.

        Gradients flow to both. Raises `InputError` for shapes that differ or sides below 32.
        """
        if x.shape != y.shape or x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < SMALLEST_PX:
            raise InputError(
                f"the perceptual loss compares two (batch, 3, {SMALLEST_PX} or more, …) pictures of"
                f" one shape, not {tuple(x.shape)} and {tuple(y.shape)}"
            )
        total = torch.zeros(len(x), device=x.device)
        pairs = zip(self.features(x), self.features(y), self.heads, strict=True)
        for of_x, of_y, head in pairs:
            difference = _unit(of_x) - _unit(of_y)
            total = total + torch.einsum("bchw,c->bhw", difference.square(), head).mean((1, 2))
        return total

    def features(self, image: Tensor) -> Iterator[Tensor]:
        """What each of the five stages gives, `b c h' w'`; the first in the picture's size."""
        x = image.float().contiguous(memory_format=torch.channels_last)
        x = (2 * x - 1 - self.get_buffer("shift")) / self.get_buffer("scale")
        for number, stage in enumerate(self.stages):
            if number:
                x = self._halved(F.max_pool2d(x, 2, 1))
            for conv in stage.children():
                x = F.relu(conv(x))
            yield x

    def _halved(self, x: Tensor) -> Tensor:
        """Half the size, antialiased: `b c h w` → `b c h/2+1 …`, rounded down."""
        channels = x.shape[1]
        kernel = self.get_buffer("binomial").expand(channels, 1, 3, 3)
        return F.conv2d(F.pad(x, (_REFLECTED_PX,) * 4, "reflect"), kernel, None, 2, groups=channels)


def load_perceptual(
    device: torch.device, *, progress: Progress | None = None
) -> PerceptualDistance:
    """The distance with its published weights on `device`.

    Raises `WeightsError` when the file cannot be had or is not what it should be.
    """
    path = fetch("lpips-vgg", progress=progress)
    distance = PerceptualDistance()
    distance.load_state_dict(_translated(_read(path), path))
    for param in distance.stages.parameters():
        if param.ndim == 4:  # three times as fast on a CPU in bf16, and no slower in fp32
            param.data = param.data.contiguous(memory_format=torch.channels_last)
    return distance.to(device)


def _read(path: Path) -> Mapping[str, Tensor]:
    # The hash is checked and the reader restricted: nothing but tensors comes out of the pickle.
    return torch.load(path, map_location="cpu", weights_only=True)


def _translated(stored: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The file's tensors under this module's names; `WeightsError` names what is missing."""
    names = {"shift": "scaling_layer.shift", "scale": "scaling_layer.scale"}
    for i, stage in enumerate(_STAGES):
        names[f"heads.{i}"] = f"lin{i}.model.1.weight"
        for j, (name, _, _) in enumerate(stage):
            names |= {f"stages.{i}.{j}.{k}": f"{name}.{k}" for k in ("weight", "bias")}
    names["binomial"] = "net.slice2.5.filt"
    missing = sorted(set(names.values()) - stored.keys())
    if missing:
        raise WeightsError(f"{path}: not the perceptual loss's weights ({missing[0]} is missing)")
    tensors = {own: stored[name] for own, name in names.items()}
    for own in ("shift", "scale"):
        tensors[own] = tensors[own].reshape(3, 1, 1)
    for i in range(len(_STAGES)):
        tensors[f"heads.{i}"] = tensors[f"heads.{i}"].flatten()
    tensors["binomial"] = tensors["binomial"][0, 0]
    return tensors


def _unit(features: Tensor) -> Tensor:
    """Features of length 1 at every place, float32.

    `vector_norm` has a gradient where all features are 0, which a root of a sum has not.
    """
    x = features.float()
    return x * (torch.linalg.vector_norm(x, dim=1, keepdim=True) + _EPSILON).reciprocal()
