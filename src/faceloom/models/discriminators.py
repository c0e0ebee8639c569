"""Discriminators of pictures and codes, and their part in adversarial training.

They return logits: above 0 means real. Attribute names are DFL's tensor names. The layers are
described in docs/internals/networks.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceloom.core import InputError
from faceloom.models.stepping import discriminate
from faceloom.nn import bce_logits, conv, convolve
from faceloom.settings.models import patch_step, patch_strides

MAX_CHANNELS = 512
PATCH_SLOPE = 0.2
CODE_SLOPE = 0.1


class UpConv(nn.ConvTranspose2d):
    """`b i h w` → `b o h·s w·s`: transposed 3×3 convolution with TensorFlow's SAME padding."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        padding = 1 if stride == 1 else 0
        super().__init__(in_channels, out_channels, 3, stride, padding)
        self.shrink = stride - 1

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        x = super().forward(input, output_size)
        return x[..., : -self.shrink, : -self.shrink] if self.shrink else x


class PatchDiscriminator(nn.Module):
    """`b 3 r r` → logits `b 1 s s` at the bottleneck and `b 1 r r` at full resolution.

    A U-Net: `patch_size` sets its depth (see `patch_strides`), `base` its width. The side r must be
    a multiple of `patch_step(patch_size)`; s is r divided by that.
    """

    def __init__(self, patch_size: int, base: int) -> None:
        super().__init__()
        strides = patch_strides(patch_size)
        # levels[i] are the channels before convolution i.
        levels = [base, *(min(base * 2 ** (i + 1), MAX_CHANNELS) for i in range(len(strides)))]
        self.step = patch_step(patch_size)
        self.in_conv = conv(3, base, 1)
        self.convs = nn.ModuleList(
            conv(levels[i], levels[i + 1], 3, stride) for i, stride in enumerate(strides)
        )
        deepest = len(strides) - 1
        self.upconvs = nn.ModuleList(
            UpConv(levels[i + 1] * (1 if i == deepest else 2), levels[i], strides[i])
            for i in reversed(range(len(strides)))
        )
        self.center_out = conv(levels[-1], 1, 1)
        self.center_conv = conv(levels[-1], levels[-1], 1)
        self.out_conv = conv(2 * base, 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        if image.shape[-1] % self.step or image.shape[-2] % self.step:
            raise InputError(
                f"a discriminator of this gan_patch_size needs sides that are multiples of"
                f" {self.step}, not {image.shape[-1]}; use a smaller gan_patch_size"
            )
        x = convolve(image, self.in_conv, "leaky", PATCH_SLOPE)
        skips: list[Tensor] = []
        for layer in cast(Iterable[nn.Conv2d], self.convs):
            skips.append(x)
            x = convolve(x, layer, "leaky", PATCH_SLOPE)
        center = self.center_out(x)
        x = convolve(x, self.center_conv, "leaky", PATCH_SLOPE)
        for layer, skip in zip(self.upconvs, reversed(skips), strict=True):
            x = torch.cat([skip, F.leaky_relu(layer(x), PATCH_SLOPE)], 1)
        return center, self.out_conv(x)


class CodeDiscriminator(nn.Module):
    """An inter's output `b c s s`, with `side` s, → a map of logits `b 1 m m`."""

    def __init__(self, in_channels: int, side: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_code_layers(in_channels, side))
        self.out_conv = conv(256 * min(2 ** (len(self.convs) - 1), 8), 1, 1)

    def forward(self, code: Tensor) -> Tensor:
        x = code
        for layer in cast(Iterable[nn.Conv2d], self.convs):
            x = convolve(x, layer, "leaky", CODE_SLOPE)
        return self.out_conv(x)


def _code_layers(in_channels: int, side: int) -> Iterator[nn.Conv2d]:
    before = in_channels
    for i in range(1 + side // 8):
        after = 256 * min(2**i, 8)
        yield conv(before, after, 3 if i else 4, 2)
        before = after


class Evidence(NamedTuple):
    """The input of a discriminator: pictures `b 3 r r` or codes `b c s s`, without gradients."""

    real: Tensor
    """What it should classify as real."""
    fake: Tensor
    """What it should classify as fake, and the model wants it to classify as real."""


@dataclass(frozen=True)
class Adversary:
    """A network whose logits tell real from fake, in one or several maps."""

    network: nn.Module
    optimizer_name: str
    """DFL's name of its optimizer."""

    def fooling(self, fake: Tensor) -> Tensor:
        """The model's loss: the cross-entropy of `fake` with "real", summed over the maps → `b`.

        Gradients flow to `fake`, not to the network's weights.
        """
        return torch.stack(
            [bce_logits(logits, 1.0) for logits in _maps(discriminate(self.network, fake))]
        ).sum(0)

    def judging(self, evidence: Evidence) -> Tensor:
        """The network's own loss: half for real, half for fake, summed over the maps → `b`."""
        maps = _maps(self.network(torch.cat(evidence)))
        sizes = [len(evidence.real), len(evidence.fake)]
        halves = [logits.split(sizes) for logits in maps]
        errors = [bce_logits(real, 1.0) + bce_logits(fake, 0.0) for real, fake in halves]
        return torch.stack(errors).sum(0) / 2


def _maps(logits: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (logits,) if isinstance(logits, Tensor) else logits
