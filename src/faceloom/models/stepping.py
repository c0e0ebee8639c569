"""What all models share: initial weights, precision, input checks, compilation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from faceloom.core import InputError
from faceloom.models.base import Precision
from faceloom.nn import initialize

N = TypeVar("N", bound=nn.Module)
T = TypeVar("T")


def layout_of(precision: Precision) -> torch.memory_format:
    """The memory format of pictures and convolution weights."""
    return torch.channels_last if precision == "bf16" else torch.contiguous_format


def drawn(make: Callable[[], N], *, device: torch.device, seed: int, precision: Precision) -> N:
    """The network that `make` builds, initialised from `seed`: the same on every device."""
    with torch.device("meta"):  # no default initialisation: it would draw from the global RNG
        network = make().to_empty(device="cpu")
    initialize(network, torch.Generator().manual_seed(seed))
    if device.type != "cpu":  # a copy onto itself is more than fake tensors can do
        network = network.to(device)
    for param in network.parameters():
        if param.ndim == 4:
            param.data = param.data.contiguous(memory_format=layout_of(precision))
    return network


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which networks compute in `precision`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def checked_pictures(faces: Tensor, *, side: int, class_name: str, precision: Precision) -> Tensor:
    """`faces` in the layout of `precision`; `InputError` unless they are `b 3 side side`."""
    if faces.ndim != 4 or faces.shape[1:] != (3, side, side):
        raise InputError(
            f"{class_name}: got pictures of shape {tuple(faces.shape)}, expected"
            f" (batch, 3, {side}, {side})"
        )
    return faces.contiguous(memory_format=layout_of(precision))


def discriminate(discriminator: nn.Module, pictures: Tensor) -> Any:
    """A discriminator's logits, with gradients to `pictures` but none to its weights."""
    weights = {name: param.detach() for name, param in discriminator.named_parameters()}
    return functional_call(discriminator, weights, (pictures,))


def compiled_for(device: torch.device, function: Callable[..., T]) -> Callable[..., T]:
    """`function` as one compiled graph, which a GPU replays without work for the host."""
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    return torch.compile(function, fullgraph=True, dynamic=False, mode=mode)


def forget_compiled() -> None:
    """Free what was compiled for models that no longer exist.

    Models of a class share their code, and torch compiles the same code only a few times: without
    this, the ninth model of a process could not be compiled.
    """
    torch.compiler.reset()


def begin_step(device: torch.device) -> None:
    """Call before a step of compiled graphs, which overwrites the previous step's outputs."""
    if device.type == "cuda":
        torch.compiler.cudagraph_mark_step_begin()


def rank() -> int:
    """The rank of this process among those that train a model together; 0 when alone."""
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if several else 0
