"""Several processes that train one model, each on its own samples; `torchrun` starts them.

Every process draws its share of the batch, and before each optimizer step the gradients are summed
over all of them. The loss is a sum over the batch (training.md 2.5), so N processes with batch b
take the step that one process with batch N·b takes, up to the order of the additions: clipping,
learning-rate dropout and the discriminators' own optimizers included, since all of them see summed
gradients only. The replicas start equal and stay equal to the bit.

PyTorch's own `DistributedDataParallel` wraps the `forward` of one module, and averages. A model
here is several networks that are entered at several places (a swap, a code, a discriminator's
turn), with an optimizer each, of which some train in one pass and some rest; it would need a
wrapper, a search for unused parameters and a factor around each. So its idea is used without it:
gradients travel in buckets, while the backward pass still computes the next ones.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from faceloom.core import InputError, ModelError, UsageError
from faceloom.models import TrainableModel
from faceloom.training.distributed.reduction import Reduction

T = TypeVar("T")

_TIMEOUT: Final = timedelta(minutes=60)
"""A save or a preview of the first process, for which the others wait, may take long."""


@dataclass(frozen=True)
class World:
    """Which of how many processes this one is."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Its number among those of its own machine."""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, shows and decides."""
        return self.rank == 0


def world_from_environment() -> World:
    """What torchrun says in the environment; a world of one without it.

    Raises `UsageError` when the variables are there but make no sense.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return World()
    try:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local = int(os.environ.get("LOCAL_RANK", rank))
    except ValueError:
        raise UsageError("RANK, WORLD_SIZE or LOCAL_RANK is not a number; use torchrun") from None
    if not 0 <= rank < size or local < 0:
        raise UsageError(f"RANK {rank} is not below WORLD_SIZE {size}; use torchrun")
    return World(rank, size, local)


def own_device(device: torch.device, world: World) -> torch.device:
    """The device of this process, where all were asked for `device`: each has a GPU of its own.

    Raises `InputError` when its machine has none for it, or `device` cannot be used by several
    processes.
    """
    if world.size == 1 or device.type == "cpu":
        return device
    if device.type != "cuda":
        raise InputError(f"several processes cannot train on {device.type}; use cuda or cpu")
    count = torch.cuda.device_count()
    if world.local_rank >= count:
        raise InputError(
            f"process {world.local_rank} of this machine has no GPU: there are {count}; "
            f"use torchrun --nproc-per-node {count}"
        )
    return torch.device("cuda", world.local_rank)


@contextlib.contextmanager
def processes(world: World, device: torch.device) -> Generator[None]:
    """Join the group of processes: NCCL for tensors on CUDA and gloo for the CPU's.

    `device` is this process's own one. All must enter, and leave, alike. Raises `ModelError` when
    another process has ended, whose own message tells why.
    """
    if world.size == 1:
        yield
        return
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)  # NCCL takes the current one for what has no device
        backend = "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(backend, rank=world.rank, world_size=world.size, timeout=_TIMEOUT)
        yield
    except RuntimeError as error:
        # gloo has no type of its own for what it throws.
        if not isinstance(error, dist.DistError) and "gloo" not in str(error).lower():
            raise
        raise ModelError(
            f"process {world.rank} cannot go on: another process of this training has ended; its"
            " own message tells why"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def mean_losses(losses: Tensor, world: World) -> Tensor:
    """The mean over all processes of a tensor that each of them has; all must call it."""
    if world.size == 1:
        return losses
    total = losses.detach().clone()
    dist.all_reduce(total)
    return total / world.size


def broadcast_object(value: T, world: World) -> T:
    """The first process's `value` in every process; all must call it. It must be picklable."""
    if world.size == 1:
        return value
    box: list[Any] = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def agree(flag: bool, world: World) -> bool:
    """Whether any process says so; the same answer in all of them, and all must call it."""
    if world.size == 1:
        return flag
    answer = torch.tensor([int(flag)])
    dist.all_reduce(answer, dist.ReduceOp.MAX)
    return bool(answer.item())


@torch.no_grad()
def broadcast_model(model: TrainableModel, world: World) -> None:
    """Give every process the first one's weights, optimizer slots, steps and other numbers.

    All must have built the model from the same settings.
    """
    if world.size == 1:
        return
    for network in model.networks().values():
        for value in network.state_dict().values():
            _broadcast(value)
    for optimizer in model.optimizers().values():
        for slots in optimizer.state.values():
            for value in slots.values():
                if isinstance(value, Tensor):
                    _broadcast(value)
        mine = [_numbers(group) for group in optimizer.param_groups]
        groups = zip(optimizer.param_groups, broadcast_object(mine, world), strict=True)
        for group, numbers in groups:
            group.update(numbers)


def reduce_gradients(optimizers: Mapping[str, Optimizer], world: World) -> None:
    """From now on, sum every gradient over all processes before each optimizer steps.

    Call it once for an optimizer. Which parameters have a gradient may differ from step to step,
    but not from process to process.
    """
    if world.size == 1:
        return
    for name, optimizer in optimizers.items():
        Reduction(name, optimizer).attach()


def _numbers(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


def _broadcast(value: Tensor) -> None:
    """Overwrite a dense tensor, in whatever memory format, by the first process's."""
    dist.broadcast(value.detach().as_strided((value.numel(),), (1,), value.storage_offset()), src=0)
    torch.autograd.graph.increment_version(value)
