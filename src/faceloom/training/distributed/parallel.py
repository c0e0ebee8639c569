"""Several processes that train one model, each on its own samples; `torchrun` starts them.

Every process draws its share of the batch, and before each optimizer step the gradients are summed
over all of them. The loss is a sum over the batch, so N processes with batch size b take the step
that one process with batch size N·b takes, up to the order of additions. That includes clipping,
learning-rate dropout and the discriminators' optimizers, which all see summed gradients only. The
replicas start equal and stay bit-equal.

PyTorch's `DistributedDataParallel` wraps the `forward` of one module and averages. A model here is
several networks, called at several places (a swap, a code, a discriminator's turn), each with its
own optimizer; some train in a pass and others rest. Each would need a wrapper, a search for unused
parameters and a scale factor. So only its idea is used: gradients are sent in buckets while the
backward pass computes the next ones.
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

# The other processes wait for a save or a preview of the first one, which may take long.
_TIMEOUT: Final = timedelta(minutes=60)


@dataclass(frozen=True)
class World:
    """The number of this process, and of all processes."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Its number among the processes of its machine."""

    @property
    def first(self) -> bool:
        """Whether this is the process that saves, reports and decides."""
        return self.rank == 0


def world_from_environment() -> World:
    """The world that torchrun describes in the environment; without it, a world of one process.

    Raises `UsageError` if the variables are inconsistent.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return World()
    try:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local = int(os.environ.get("LOCAL_RANK", rank))
    except ValueError:
        raise UsageError("RANK, WORLD_SIZE or LOCAL_RANK is not a number; use torchrun") from None
    if not 0 <= rank < size or local < 0:
        raise UsageError(f"RANK {rank} must be less than WORLD_SIZE {size}; use torchrun")
    return World(rank, size, local)


def own_device(device: torch.device, world: World) -> torch.device:
    """The device of this process if all were asked for `device`: each takes its own GPU.

    Raises `InputError` if the machine has too few GPUs or several processes cannot use `device`.
    """
    if world.size == 1 or device.type == "cpu":
        return device
    if device.type != "cuda":
        raise InputError(f"several processes cannot train on {device.type}; use cuda or cpu")
    count = torch.cuda.device_count()
    if world.local_rank >= count:
        raise InputError(
            f"no GPU for process {world.local_rank} of this machine, which has {count}; "
            f"use torchrun --nproc-per-node {count}"
        )
    return torch.device("cuda", world.local_rank)


@contextlib.contextmanager
def processes(world: World, device: torch.device) -> Generator[None]:
    """Join the process group: NCCL for tensors on CUDA, gloo for those on the CPU.

    `device` is this process's own. All processes must enter and leave together. Raises `ModelError`
    if another process has ended.
    """
    if world.size == 1:
        yield
        return
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)  # NCCL's default for objects without a device
        backend = "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(backend, rank=world.rank, world_size=world.size, timeout=_TIMEOUT)
        yield
    except RuntimeError as error:
        # gloo has no exception type of its own.
        if not isinstance(error, dist.DistError) and "gloo" not in str(error).lower():
            raise
        raise ModelError(
            f"process {world.rank} stopped because another process of this training ended; see the"
            " message of that process"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def mean_losses(losses: Tensor, world: World) -> Tensor:
    """The mean of a tensor over all processes; all must call this."""
    if world.size == 1:
        return losses
    total = losses.detach().clone()
    dist.all_reduce(total)
    return total / world.size


def broadcast_object(value: T, world: World) -> T:
    """The first process's `value`, in every process; all must call this. It must be picklable."""
    if world.size == 1:
        return value
    box: list[Any] = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


@torch.no_grad()
def broadcast_model(model: TrainableModel, world: World) -> None:
    """Give every process the first one's weights, optimizer slots, step counts and so on.

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
    """From now on, sum all gradients over all processes before each optimizer step.

    Call it once per optimizer. Which parameters have a gradient may differ between steps, but not
    between processes.
    """
    if world.size == 1:
        return
    for name, optimizer in optimizers.items():
        Reduction(name, optimizer).attach()


def _numbers(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


def _broadcast(value: Tensor) -> None:
    """Overwrite a dense tensor of any memory format with the first process's."""
    dist.broadcast(value.detach().as_strided((value.numel(),), (1,), value.storage_offset()), src=0)
    torch.autograd.graph.increment_version(value)
