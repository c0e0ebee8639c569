"""Measuring in a few seconds how fast this device runs the parts of a training step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from faceloom.models import ModelSettings, Precision
from faceloom.nn import AdaBelief, RMSprop, half, kept_memory
from faceloom.training.planning.simulate import Convolution, Simulated

# About as large as the activations of a network, to hit the same caches.
_COPY_ELEMENTS = 1 << 20
_OPTIMIZED_ELEMENTS = 1 << 23
# Rows, columns and depth of a float32 product like those of the losses.
_PRODUCT_SIDE = (8192, 128, 128)
# Share of the update that learning-rate dropout keeps.
_KEEP = 0.3


@dataclass(frozen=True)
class Rates:
    """The time that one device needs for a model's work."""

    convolutions_s: float
    """All convolutions of a step, forward and backward."""
    s_per_byte: float
    """Reading or writing a byte in an operation without arithmetic."""
    s_per_parameter: float
    """The optimizer's update of one parameter."""
    s_per_product_flop: float
    """An operation of a float32 matrix product."""


def calibrate(
    work: Simulated, settings: ModelSettings, *, device: torch.device, precision: Precision
) -> Rates:
    """Measure the parts of `work`, a step of a model with `settings`, with PyTorch's current
    number of threads."""
    with kept_memory():
        convolutions = sum(
            count * convolution_seconds(shape, device=device, precision=precision)
            for shape, count in work.convolutions.items()
        )
        optimizing = _optimizing(settings, device)
        return Rates(convolutions, _copying(device), optimizing, _multiplying(device))


def convolution_seconds(
    shape: Convolution,
    *,
    device: torch.device,
    precision: Precision,
    rounds: int = 3,
    plain: bool = False,
) -> float:
    """The best time of one convolution alone, forward and backward.

    `plain`: PyTorch's own, even if `faceloom.nn.half` has a faster one.
    """
    o, i, kernel, _ = shape.weight
    layout = torch.channels_last if precision == "bf16" else torch.contiguous_format
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    kept = dtype if plain else torch.float32
    x = torch.rand(shape.input, device=device).to(dtype).contiguous(memory_format=layout)
    layer = torch.nn.Conv2d(i, o, kernel, shape.stride, kernel // 2, device=device, dtype=kept)
    layer.weight.data = layer.weight.data.contiguous(memory_format=layout)
    x.requires_grad_(shape.to_input)
    inputs = [x, *layer.parameters()] if shape.to_input else [*layer.parameters()]
    cast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16" and not plain)

    def forward() -> Tensor:
        with cast:
            return half.convolve(x, layer, 0.1) if half.applies_to(x) else layer(x)

    gradient = torch.rand_like(forward())
    return _best(lambda: torch.autograd.grad(forward(), inputs, gradient), device, rounds)


def _copying(device: torch.device) -> float:
    source = torch.zeros(_COPY_ELEMENTS, device=device)
    target = torch.empty_like(source)
    return _best(lambda: target.copy_(source), device, 3) / (8 * _COPY_ELEMENTS)


def _optimizing(settings: ModelSettings, device: torch.device) -> float:
    """Seconds per parameter for the optimizer of these settings. Classes without the setting
    `lr_dropout` always drop, and always use RMSprop."""
    chosen = getattr(settings, "lr_dropout", None)
    plain_rmsprop = chosen is None or getattr(settings, "optimizer", "") == "rmsprop"
    param = torch.zeros(_OPTIMIZED_ELEMENTS, device=device, requires_grad=True)
    param.grad = torch.ones_like(param)
    kind = RMSprop if plain_rmsprop else AdaBelief
    optimizer = kind([param], lr=1e-3, keep=None if chosen == "n" else _KEEP)
    return _best(optimizer.step, device, 2) / _OPTIMIZED_ELEMENTS


def _multiplying(device: torch.device) -> float:
    rows, columns, depth = _PRODUCT_SIDE
    one, two = torch.rand(rows, depth, device=device), torch.rand(depth, columns, device=device)
    return _best(lambda: one @ two, device, 3) / (2 * rows * columns * depth)


def _best(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """The shortest of some runs after a warm-up, in seconds."""
    times: list[float] = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])
