"""Convolutions and dense layers in bfloat16 on a CPU, faster than autocast's.

This module avoids four costs of plain autocast without changing the result:

* Autocast casts every weight in every step. Here each weight has a bfloat16 copy, which is updated
  when the weight changes; the optimizers of `faceloom.nn` do so in the same pass as their update.
* Autocast casts every weight's gradient back to float32. Here the gradient stays in bfloat16, the
  format in which it was computed, until the optimizer reads it.
* oneDNN computes the weight gradient of a small map with many channels several times slower than
  the same sum as one matrix product.
* Leaky ReLU is a separate pass. Here it is part of the convolution, before rounding.

On other devices, in float32, and under `torch.compile` the layers run unchanged.
"""

# `_version` is the only way to see that a tensor has changed.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_COPY = "bfloat16_copy"
# Up to this many output pixels (of the whole batch) per output channel, the weights' gradient is
# one matrix product; measured with AMX and AVX-512.
PRODUCT_PIXELS_PER_CHANNEL = 2


@dataclass
class _Copy:
    """A weight's bfloat16 copy and its source."""

    half: Tensor
    source: Tensor
    """The weight's memory, referenced so that no other tensor can reuse its address."""
    version: int


def applies_to(x: Tensor) -> bool:
    """Whether this module handles `x`: on a CPU under bfloat16 autocast, not compiled."""
    return (
        not torch.compiler.is_compiling()  # first: a compiler cannot trace what follows
        and x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
    )


def half_copy(weight: Tensor) -> Tensor:
    """`weight` in bfloat16, in its memory format; the same tensor until `weight` changes.

    Every change is detected except writing through `weight.data`, which torch itself does not see
    (assigning to `.data` is fine).
    """
    if weight.is_inference():
        return weight.to(torch.bfloat16)
    kept: _Copy | None = getattr(weight, _COPY, None)
    if kept is None or not _same_memory(kept.source, weight):
        with torch.inference_mode(False), torch.no_grad():
            kept = _Copy(weight.to(torch.bfloat16), weight.detach(), weight._version)
        setattr(weight, _COPY, kept)
    elif kept.version != weight._version:
        with torch.no_grad():
            kept.half.copy_(weight)
        kept.version = weight._version
    return kept.half


def copy_to_renew(weight: Tensor) -> Tensor | None:
    """The bfloat16 copy, if any, to which an update of `weight` should be written as well.

    Call `renewed` afterwards.
    """
    kept: _Copy | None = getattr(weight, _COPY, None)
    return kept.half if kept is not None and _same_memory(kept.source, weight) else None


def renewed(weight: Tensor) -> None:
    """Mark the bfloat16 copy of `weight` as up to date."""
    kept: _Copy | None = getattr(weight, _COPY, None)
    if kept is not None:
        kept.version = weight._version


def convolve(x: Tensor, layer: nn.Conv2d, slope: float | None) -> Tensor:
    """`layer` on `b i h w`, then leaky ReLU if `slope` is given → `b o h' w'`, bfloat16."""
    _accept_half_gradient(layer.weight)
    return _Convolution.apply(x, layer.weight, layer.bias, layer.stride, layer.padding, slope)


def dense(x: Tensor, layer: nn.Linear) -> Tensor:
    """`layer` on `b i` → `b o`, bfloat16."""
    _accept_half_gradient(layer.weight)
    return _Dense.apply(x, layer.weight, layer.bias)


def _same_memory(source: Tensor, weight: Tensor) -> bool:
    return (
        source.untyped_storage()._cdata == weight.untyped_storage()._cdata
        and source.storage_offset() == weight.storage_offset()
        and source.stride() == weight.stride()
    )


def _accept_half_gradient(weight: Tensor) -> None:
    """Allow a bfloat16 `weight.grad`, except with several processes, which exchange float32."""
    alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
    wanted = None if alone else torch.float32
    if weight.requires_grad and weight.is_leaf and weight.grad_dtype != wanted:
        weight.grad_dtype = wanted


class _Convolution(torch.autograd.Function):
    """oneDNN's convolution with activation; see the module's docstring."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: list[int],
        padding: list[int],
        slope: float | None,
    ) -> Tensor:
        x = x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        half = half_copy(weight)
        out = torch.ops.mkldnn._convolution_pointwise(
            x,
            half,
            None if bias is None else bias.to(torch.bfloat16),
            padding,
            stride,
            [1, 1],
            1,
            "none" if slope is None else "leaky_relu",
            [] if slope is None else [slope],
            "",
        )
        ctx.save_for_backward(x, half, None if slope is None else out)
        ctx.stride, ctx.padding, ctx.slope = stride, padding, slope
        return out

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        x, half, out = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        if ctx.slope is not None:
            grad = torch.ops.aten.leaky_relu_backward(grad, out, ctx.slope, True)
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        b, o, h, w = grad.shape
        as_product = wants_weight and b * h * w <= PRODUCT_PIXELS_PER_CHANNEL * o
        of_x, of_weight, of_bias = None, None, None
        wanted = [wants_x, wants_weight and not as_product, wants_bias and not as_product]
        if any(wanted):
            of_x, of_weight, of_bias = torch.ops.aten.convolution_backward(
                grad, x, half, [o], ctx.stride, ctx.padding, [1, 1], False, [0, 0], 1, wanted
            )
        if as_product:
            of_weight = _weight_gradient(x, grad, half.shape[-1], ctx.stride[0], ctx.padding[0])
            of_bias = grad.sum((0, 2, 3)) if wants_bias else None
        return of_x, of_weight, of_bias, None, None, None


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x, half = x.to(torch.bfloat16), half_copy(weight)
        ctx.save_for_backward(x, half)
        return F.linear(x, half, None if bias is None else bias.to(torch.bfloat16))

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        x, half = ctx.saved_tensors
        (grad,) = grads
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        return (
            grad @ half if wants_x else None,
            grad.t().contiguous() @ x if wants_weight else None,
            grad.sum(0) if wants_bias else None,
        )


def _weight_gradient(x: Tensor, grad: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """Gradient `o i k k` (channels-last) of a convolution's weights as one matrix product.

    `x` `b i h w` and `grad` `b o h' w'` are channels-last.
    """
    b, o, rows, columns = grad.shape
    pixels = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
    of_batch, of_row, of_column, of_channel = pixels.stride()
    windows = pixels.as_strided(
        (b, rows, columns, kernel, kernel, x.shape[1]),
        (of_batch, stride * of_row, stride * of_column, of_row, of_column, of_channel),
    ).reshape(b * rows * columns, -1)
    by_channel = grad.permute(0, 2, 3, 1).reshape(-1, o).t().contiguous()
    return (by_channel @ windows).view(o, kernel, kernel, -1).permute(0, 3, 1, 2)
