"""The blocks of the XSeg network (reference: training.md 5.1).

Attribute names follow DFL's tensor names: `conv01/frn/eps` of a DFL file is `conv01.frn.eps` here.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceloom.nn import half
from faceloom.nn.blocks import conv, initialize

FRN_EPSILON = 1e-6
"""Where a filter response norm's learned ε starts."""
BINOMIALS: dict[int, tuple[float, ...]] = {2: (1, 1), 3: (1, 2, 1), 4: (1, 3, 3, 1)}
"""The rows of the blur pools' kernels."""


class FilterResponseNorm(nn.Module):
    """The learned part of a filter response norm; see `norm_threshold`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.eps = nn.Parameter(torch.empty(1))

    def reset(self) -> None:
        """Back to the start: weight 1, bias 0, ε 1e-6."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)
        nn.init.constant_(self.eps, FRN_EPSILON)


class ThresholdedLinear(nn.Module):
    """The learned part of a thresholded linear unit; see `norm_threshold`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.tau = nn.Parameter(torch.empty(channels))

    def reset(self) -> None:
        """Back to the start: τ 0."""
        nn.init.zeros_(self.tau)


def norm_threshold(x: Tensor, frn: FilterResponseNorm, tlu: ThresholdedLinear) -> Tensor:
    """`b c h w` → the same: max(x / √(mean over the picture of x² + |ε|) · weight + bias, τ).

    Weight, bias and τ are one a channel, ε one a layer. Sums are accumulated in float32 at least.
    """
    if torch.compiler.is_compiling():  # a compiler joins the operations by itself
        power = _wide(x).square().mean((2, 3))
        scale = _over(frn.weight * torch.rsqrt(power + frn.eps.abs()), x)
        return torch.maximum(torch.addcmul(_over(frn.bias, x), x, scale), _over(tlu.tau, x))
    return cast(Tensor, _NormThreshold.apply(x, frn.weight, frn.bias, frn.eps, tlu.tau))


class _NormThreshold(torch.autograd.Function):
    """Both steps as one, with the derivative written out: composed of torch's operations they move
    three times as much memory, which on a CPU is most of a training step."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: Tensor, tau: Tensor
    ) -> Tensor:
        power = _wide(x.square().sum((2, 3))) / (x.shape[2] * x.shape[3])
        inverse = torch.rsqrt(power + eps.abs())
        y = torch.addcmul(_over(bias, x), x, _over(weight * inverse, x))
        torch.maximum(y, _over(tau, x), out=y)
        ctx.save_for_backward(x, y, weight, eps, tau, inverse)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        x, y, weight, eps, tau, inverse = ctx.saved_tensors
        (grad,) = grads
        passed: Tensor = torch.ops.aten.threshold_backward(grad, y - _over(tau, x), 0)
        of_bias = _wide(passed.sum((0, 2, 3)))
        of_tau = _wide(grad.sum((0, 2, 3))) - of_bias
        correlation = _wide((passed * x).sum((2, 3)))
        of_inverse = weight * correlation
        of_power = -0.5 * of_inverse * inverse**3
        of_x = torch.addcmul(
            passed.mul_(_over(weight * inverse, x)),
            x,
            _over(of_power * (2 / (x.shape[2] * x.shape[3])), x),
        )
        of_weight = (inverse * correlation).sum(0)
        of_eps = (of_power.sum() * eps.sign()).reshape(eps.shape)
        return of_x, of_weight, of_bias, of_eps, of_tau


def _wide(x: Tensor) -> Tensor:
    """`x` in float32 at least. (torch accumulates sums wide, but rounds them to their terms'
    format.)"""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _over(values: Tensor, x: Tensor) -> Tensor:
    """`c` or `b c` values with room for the picture's axes, in the number format of `x`."""
    return values.to(x.dtype)[..., None, None]


class BlurPool(nn.Module):
    """`b c h w` → `b c h/2 w/2` for even sides: a binomial blur of `size` 2, 3 or 4, stride 2.

    The picture is continued by zeros: ⌊(size − 1)/2⌋ before and ⌈(size − 1)/2⌉ after.
    """

    kernel: Tensor

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.channels = channels
        self.size = size
        before = (size - 1) // 2
        after = size - 1 - before
        self.padding = (before, after, before, after)
        self.register_buffer("kernel", torch.empty(channels, 1, size, size), persistent=False)

    def reset(self) -> None:
        """Fill in the kernel, which is fixed and no part of a saved state."""
        row = torch.tensor(BINOMIALS[self.size])
        self.kernel.copy_(torch.outer(row, row) / row.sum().square())

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, self.padding)
        return F.conv2d(padded, self.kernel.to(x.dtype), stride=2, groups=self.channels)


class ConvBlock(nn.Module):
    """`b i h w` → `b o h w`: 3x3 convolution, filter response norm, thresholded linear unit."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv(in_channels, out_channels, 3)
        self.frn = FilterResponseNorm(out_channels)
        self.tlu = ThresholdedLinear(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return norm_threshold(convolve_plain(x, self.conv), self.frn, self.tlu)


def convolve_plain(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """`layer` of `b i h w`, without an activation."""
    return half.convolve(x, layer, None) if half.applies_to(x) else layer(x)


class TransposedConv(nn.ConvTranspose2d):
    """`b i h w` → `b o 2h 2w`: transposed 3x3 convolution of stride 2, aligned as TensorFlow's
    SAME is: torch's unpadded result without its last row and column."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, stride=2)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        del output_size  # always twice the input
        return super().forward(input)[:, :, :-1, :-1]


class UpBlock(nn.Module):
    """`b i h w` → `b o 2h 2w`: transposed convolution, norm and threshold as in `ConvBlock`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = TransposedConv(in_channels, out_channels)
        self.frn = FilterResponseNorm(out_channels)
        self.tlu = ThresholdedLinear(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return norm_threshold(self.conv(x), self.frn, self.tlu)


@torch.no_grad()
def initialize_xseg(network: nn.Module, generator: torch.Generator) -> None:
    """Everything in `network` to its start: Glorot-uniform weights, zero biases, norms, kernels.

    Draws on the generator's device, as `initialize` does.
    """
    initialize(network, generator)
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, FilterResponseNorm | ThresholdedLinear | BlurPool):
            module.reset()
