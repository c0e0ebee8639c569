"""The XSeg network: a U-Net with a dense centre (reference: training.md 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from faceloom.models.xseg.blocks import BlurPool, ConvBlock, UpBlock, convolve_plain
from faceloom.nn import conv
from faceloom.nn.blocks import dense

WIDTHS = (1, 2, 4, 8, 8, 8)
"""Channels of each level's skip, in multiples of the base width."""
DEPTHS = (2, 2, 2, 3, 3, 3)
"""Convolution blocks of each level, on the way down and on the way up."""
POOLS = (4, 3, 2, 2, 2, 2)
"""Size of the blur pool below each level."""
UP_WIDTHS = (1, 2, 4, 4, 4, 4)
"""Channels that come up to each level."""
CODE_WIDTH = 16
HALVINGS = len(WIDTHS)


class XsegNetwork(nn.Module):
    """Pictures `b 3 r r` RGB in [0, 1] → logits `b 1 r r` of the mask.

    `resolution` must be a multiple of 64; DFL's network has 256 and `base` 32. Children carry
    DFL's names: `conv01` … `conv53`, `dense1`, `dense2`, `up5`, `uconv53` … `uconv01`, `out_conv`.
    """

    def __init__(self, resolution: int = 256, base: int = 32) -> None:
        super().__init__()
        widths = [base * width for width in WIDTHS]
        incoming = 3
        for level, (width, depth, pool) in enumerate(zip(widths, DEPTHS, POOLS, strict=True)):
            channels = [incoming] + [width] * depth
            for number, (i, o) in enumerate(pairwise(channels), 1):
                self.add_module(f"conv{level}{number}", ConvBlock(i, o))
            self.add_module(f"bp{level}", BlurPool(width, pool))
            incoming = width
        self.centre = (incoming, resolution // 2**HALVINGS, resolution // 2**HALVINGS)
        flat = incoming * self.centre[1] * self.centre[2]
        self.dense1 = nn.Linear(flat, base * CODE_WIDTH)
        self.dense2 = nn.Linear(base * CODE_WIDTH, flat)
        for level in reversed(range(HALVINGS)):
            width, up_width = widths[level], base * UP_WIDTHS[level]
            self.add_module(f"up{level}", UpBlock(incoming, up_width))
            channels = [up_width + width] + [width] * DEPTHS[level]
            for done, (i, o) in enumerate(pairwise(channels)):
                self.add_module(f"uconv{level}{DEPTHS[level] - done}", ConvBlock(i, o))
            incoming = width
        self.out_conv = conv(incoming, 1, 3)
        self.checkpointing = False
        """Compute each level's activations anew in the backward pass."""

    def forward(self, x: Tensor, *, skips: bool = True) -> Tensor:
        """Logits; without `skips` zeros stand in their place, so that the whole picture must pass
        through the dense centre (pretraining)."""
        kept: list[Tensor] = []
        for level in range(HALVINGS):
            x = self._run(self._down, x, level)
            kept.append(x if skips else torch.zeros_like(x))
            x = self.get_submodule(f"bp{level}")(x)
        x = dense(dense(x.flatten(1), self.dense1), self.dense2).unflatten(1, self.centre)
        for level in reversed(range(HALVINGS)):
            x = self._run(self._up, x, kept[level], level)
        return convolve_plain(x, self.out_conv)

    def _down(self, x: Tensor, level: int) -> Tensor:
        for block in self._blocks("conv", level):
            x = block(x)
        return x

    def _up(self, x: Tensor, skip: Tensor, level: int) -> Tensor:
        x = torch.cat([self.get_submodule(f"up{level}")(x), skip], 1)
        for block in reversed(list(self._blocks("uconv", level))):
            x = block(x)
        return x

    def _blocks(self, kind: str, level: int) -> Iterator[nn.Module]:
        for number in range(1, DEPTHS[level] + 1):
            yield self.get_submodule(f"{kind}{level}{number}")

    def _run(self, part: Callable[..., Tensor], *arguments: Tensor | int) -> Tensor:
        if not (self.checkpointing and torch.is_grad_enabled()):
            return part(*arguments)
        result = checkpoint(part, *arguments, use_reentrant=False, preserve_rng_state=False)
        assert isinstance(result, Tensor)
        return result
