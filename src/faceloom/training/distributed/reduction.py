"""Gradients summed over processes, bucket by bucket, during the backward pass.

An optimizer's gradients are copied into buckets of some megabytes, in the order in which the first
backward pass computes them; a full bucket is sent immediately. The step waits for all buckets and
then uses the sums as its gradients. Li et al., "PyTorch distributed: experiences on accelerating
data parallel training" (VLDB 2020).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from faceloom.core import ModelError

# Large enough for the full bandwidth, small enough to start early.
BUCKET_BYTES: Final = 25 * 2**20


@dataclass
class _Bucket:
    """The gradients of some parameters, contiguous in memory."""

    params: list[Tensor]
    flat: Tensor
    views: list[Tensor]
    """Views of `flat` for the gradients, shaped and strided like the parameters."""
    arrived: set[int] = field(default_factory=lambda: set[int]())
    """Ids of the parameters whose gradient this step's backward pass has computed."""
    work: dist.Work | None = None
    outdated: bool = False
    """Whether a gradient has changed since it was sent."""

    @property
    def full(self) -> bool:
        return len(self.arrived) == len(self.params)

    def send(self) -> None:
        """Copy the gradients and start to sum the copies; the gradients do not change."""
        for param, view in zip(self.params, self.views, strict=True):
            gradient = _gradient(param)
            if gradient.data_ptr() == view.data_ptr():  # kept from the last step, and added to
                param.grad = gradient.clone()
            view.copy_(gradient)
        self.work = dist.all_reduce(self.flat, async_op=True)
        self.outdated = False

    def receive(self) -> None:
        """Wait for the sums."""
        if self.work is not None:
            self.work.wait()
        self.work = None


class Reduction:
    """Sums one optimizer's gradients. Every process must create them in the same order.

    Buckets are always sent in order, so that all processes send the same one at a time. A copy is
    sent: if a second backward pass adds to a gradient, its bucket is sent again before the step.
    """

    def __init__(self, name: str, optimizer: Optimizer) -> None:
        self._name = name
        self._optimizer = optimizer
        self._params: list[Tensor] = [p for g in optimizer.param_groups for p in g["params"]]
        self._order: dict[int, int] = {}
        """Id of a parameter → its position in the order of arrival."""
        self._buckets: list[_Bucket] = []
        self._bucket_of: dict[int, _Bucket] = {}
        self._sent = 0

    def attach(self) -> None:
        """Start summing: during backward passes, and finishing before each step."""
        for param in self._params:
            if param.requires_grad:
                param.register_post_accumulate_grad_hook(self._arrived)
        self._optimizer.register_step_pre_hook(self._before_step)

    def _arrived(self, param: Tensor) -> None:
        key = id(param)
        self._order.setdefault(key, len(self._order))
        bucket = self._bucket_of.get(key)
        if bucket is None:
            return
        bucket.outdated = bucket.work is not None
        bucket.arrived.add(key)
        with torch.no_grad():
            while self._sent < len(self._buckets) and self._buckets[self._sent].full:
                self._buckets[self._sent].send()
                self._sent += 1

    @torch.no_grad()
    def _before_step(self, _optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        present = {id(p) for p in self._params if p.grad is not None}
        if present != self._bucket_of.keys():
            self._plan(present)
        for bucket in self._buckets:
            if bucket.work is None:
                bucket.send()
            elif bucket.outdated:
                bucket.receive()
                bucket.send()
        for bucket in self._buckets:
            bucket.receive()
            bucket.arrived.clear()
            for param, view in zip(bucket.params, bucket.views, strict=True):
                param.grad = view
        self._sent = 0

    def _plan(self, present: set[int]) -> None:
        """Make buckets of the parameters that have a gradient, in the first process's order."""
        for bucket in self._buckets:
            bucket.receive()
        self._buckets.clear()
        numbers = self._agreed([i for i, p in enumerate(self._params) if id(p) in present])
        chosen: list[Tensor] = []
        for number in numbers:
            param = self._params[number]
            if chosen and not _fits(chosen, param):
                self._buckets.append(_bucket(chosen))
                chosen = []
            chosen.append(param)
        if chosen:
            self._buckets.append(_bucket(chosen))
        self._bucket_of = {id(p): bucket for bucket in self._buckets for p in bucket.params}

    def _agreed(self, numbers: list[int]) -> list[int]:
        """Numbers of the parameters with a gradient, in order of arrival at the first process.

        Raises `ModelError` in all processes unless they have the same ones.
        """
        last = len(self._order)
        mine = sorted(numbers, key=lambda i: (self._order.get(id(self._params[i]), last), i))
        box = [mine]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        differs = torch.tensor([int(set(box[0]) != set(mine))])
        dist.all_reduce(differs, dist.ReduceOp.MAX)
        if differs.item():
            raise ModelError(
                f"{self._name}: the processes train different parts of the model; start all of them"
                " with the same settings and the same version of Faceloom"
            )
        return box[0]


def _fits(chosen: list[Tensor], param: Tensor) -> bool:
    """Whether `param` may join the bucket of `chosen`."""
    first, used = _gradient(chosen[0]), sum(p.numel() for p in chosen)
    same = first.dtype == _gradient(param).dtype and first.device == param.device
    return same and (used + param.numel()) * first.element_size() <= BUCKET_BYTES


def _bucket(params: list[Tensor]) -> _Bucket:
    like = _gradient(params[0])
    flat = torch.empty(sum(p.numel() for p in params), dtype=like.dtype, device=like.device)
    starts = [0]
    for param in params:
        starts.append(starts[-1] + param.numel())
    views = [
        flat.as_strided(p.shape, p.stride(), start)
        for p, start in zip(params, starts, strict=False)
    ]
    return _Bucket(params, flat, views)


def _gradient(param: Tensor) -> Tensor:
    assert param.grad is not None
    return param.grad
