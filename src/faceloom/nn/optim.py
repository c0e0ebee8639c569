"""AdaBelief and RMSprop in DeepFaceLab's variants (see docs/internals/optimizers.md).

Neither has bias correction, weight decay or an ε inside the root. Both support learning-rate
dropout: in each step every element of the update is kept with probability `keep` (without
rescaling), and the learning rate follows a cosine of `period` steps that does not decay.

The arithmetic runs on lists of tensors (`torch._foreach_*`) in blocks: large ones on a GPU, to
limit temporary memory; on a CPU blocks that fit into its cache, so that a step is one pass over
memory instead of seven. Gradients may be bfloat16 (`faceloom.nn.half`) and are read as float32. If
a weight has a bfloat16 copy, the pass that updates the weight also writes the copy.

All randomness comes from `(seed, step)`, both part of `state_dict`: a resumed run uses the same
masks as an uninterrupted one.
"""

# torch's list arithmetic has only underscored names.
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from faceloom.nn.half import copy_to_renew, renewed

EPSILON = 1e-6
CPU_BLOCK = 1 << 17
GPU_BLOCK = 1 << 26
OFFLOAD_BLOCK = 1 << 24
_ODD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: spreads consecutive steps over the seed space


class _DflOptimizer(Optimizer):
    """Blocks, dropout, schedule, clipping and state handling; subclasses give the update rule."""

    slots: tuple[str, ...] = ()

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float,
        clip_norm: float | None = None,
        keep: float | None = None,
        period: int = 0,
        masks_on_cpu: bool = False,
        seed: int = 0,
        epsilon: float = EPSILON,
        offload: bool = False,
    ) -> None:
        """`params`: float32 tensors on one device with dense memory.

        `clip_norm`: gradients are scaled down to this global L2 norm if theirs is larger.
        `keep`: probability that learning-rate dropout keeps an element; None: no dropout.
        `period`: steps of the cosine; 0: none. `masks_on_cpu`: generate dropout masks on the CPU.
        `offload`: keep the slots in main memory and copy them to the device block by block; saves
        8 bytes of GPU memory per weight (RMSprop 4) at the cost of two copies in every step.
        """
        defaults = {
            "lr": lr,
            "clip_norm": clip_norm,
            "keep": keep,
            "period": period,
            "masks_on_cpu": masks_on_cpu,
            "seed": seed,
            "epsilon": epsilon,
            "step": 0,
        }
        super().__init__(params, defaults)
        self._offload = offload
        for group in self.param_groups:
            for param in group["params"]:
                for slot in self.slots:
                    self.state[param][slot] = self._new_slot(param).zero_()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; no host synchronisation."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """As for any optimizer; waits for offloaded slots first."""
        if self._offload and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a `state_dict`; the slots get their parameters' strides."""
        super().load_state_dict(state_dict)
        for param, state in self.state.items():
            for slot in self.slots:
                value = state[slot]
                if self._offload or value.stride() != param.stride():
                    state[slot] = self._new_slot(param).copy_(value)

    def _new_slot(self, param: Tensor) -> Tensor:
        """Memory like `param`'s; if offloaded, main memory, pinned for a GPU."""
        if not self._offload:
            return torch.empty_like(param, requires_grad=False)
        pinned = param.device.type == "cuda"
        return torch.empty_like(param, requires_grad=False, device="cpu", pin_memory=pinned)

    def _step_group(self, group: dict[str, Any]) -> None:
        params = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        grads = [_strided_like(p.grad, p) for p in params]
        scale = _clip_scale(grads, group["clip_norm"])
        lr = group["lr"]
        if group["period"]:
            lr *= 0.5 * (1 + math.cos(2 * math.pi * group["step"] / group["period"]))
        device = params[0].device
        generator = _mask_generator(group, device)
        halves = [copy_to_renew(p) for p in params]
        columns = [params, grads, halves]
        columns += [[self.state[p][slot] for p in params] for slot in self.slots]
        for values, gradients, copies, *kept in _blocks(columns, self._block_size(device)):
            gradients = [piece.float() for piece in gradients]
            if scale is not None:
                gradients = list(torch._foreach_mul(gradients, scale))
            keep = None if generator is None else _keep_masks(values, group["keep"], generator)
            slots = [[piece.to(device, non_blocking=True) for piece in slot] for slot in kept]
            self._update(values, gradients, slots, lr, group["epsilon"], keep)
            for there, here in zip(kept, slots, strict=True):
                if there[0] is not here[0]:
                    torch._foreach_copy_(there, here, non_blocking=True)
            if copies:
                torch._foreach_copy_(copies, values)
        for param, half in zip(params, halves, strict=True):
            if half is not None:
                renewed(param)
        group["step"] += 1

    def _block_size(self, device: torch.device) -> int:
        """Elements of a block of work on `device`."""
        if device.type == "cpu":
            return CPU_BLOCK
        return OFFLOAD_BLOCK if self._offload else GPU_BLOCK

    def _update(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        slots: list[list[Tensor]],
        lr: float,
        epsilon: float,
        keep: list[Tensor] | None,
    ) -> None:
        raise NotImplementedError


class AdaBelief(_DflOptimizer):
    """m ← 0.9m + 0.1g; s ← 0.999s + 0.001(g − m)² with the new m; Δ = −lr·m/(√s + ε)."""

    slots = ("m", "s")

    def _update(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        slots: list[list[Tensor]],
        lr: float,
        epsilon: float,
        keep: list[Tensor] | None,
    ) -> None:
        means, variances = slots
        torch._foreach_lerp_(means, grads, 0.1)
        surprise = torch._foreach_sub(grads, means)
        torch._foreach_mul_(variances, 0.999)
        torch._foreach_addcmul_(variances, surprise, surprise, 0.001)
        _apply(params, means, variances, lr, epsilon, keep)


class RMSprop(_DflOptimizer):
    """a ← 0.9a + 0.1g²; Δ = −lr·g/(√a + ε)."""

    slots = ("a",)

    def _update(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        slots: list[list[Tensor]],
        lr: float,
        epsilon: float,
        keep: list[Tensor] | None,
    ) -> None:
        (squares,) = slots
        torch._foreach_mul_(squares, 0.9)
        torch._foreach_addcmul_(squares, grads, grads, 0.1)
        _apply(params, grads, squares, lr, epsilon, keep)


def _apply(
    params: list[Tensor],
    directions: list[Tensor],
    squares: list[Tensor],
    lr: float,
    epsilon: float,
    keep: list[Tensor] | None,
) -> None:
    """params ← params − lr · keep · directions / (√squares + ε)."""
    roots = torch._foreach_sqrt(squares)
    torch._foreach_add_(roots, epsilon)
    if keep is None:
        torch._foreach_addcdiv_(params, directions, roots, -lr)
        return
    torch._foreach_div_(keep, roots)
    torch._foreach_addcmul_(params, directions, keep, -lr)


def _clip_scale(grads: list[Tensor], clip_norm: float | None) -> Tensor | None:
    """The factor that reduces the global norm to `clip_norm`, 1 if it is below."""
    if clip_norm is None:
        return None
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads, 2, torch.float32)))
    return torch.where(norm >= clip_norm, clip_norm / norm, torch.ones_like(norm))


def _mask_generator(group: dict[str, Any], device: torch.device) -> torch.Generator | None:
    """A generator for this step's dropout masks, or None when nothing is dropped."""
    if group["keep"] is None:
        return None
    place = torch.device("cpu") if group["masks_on_cpu"] else device
    generator = torch.Generator(place)
    generator.manual_seed((group["seed"] + (group["step"] + 1) * _ODD) % (1 << 63))
    return generator


def _keep_masks(like: list[Tensor], keep: float, generator: torch.Generator) -> list[Tensor]:
    """Flat masks of ones (probability `keep`) and zeros, one as long as each tensor of `like`.

    Every element compares 16 random bits with a threshold: `keep` is exact to 1e-5, and on a CPU
    this is ten times as fast as `bernoulli_`.
    """
    sizes = [tensor.numel() for tensor in like]
    words = torch.empty(-(-sum(sizes) // 4), dtype=torch.int64, device=generator.device)
    words.random_(-(2**63), None, generator=generator)
    levels = words.view(torch.int16)[: sum(sizes)].to(like[0].device, non_blocking=True)
    flat = levels.to(torch.float32).lt_(round(keep * 2**16) - 2**15)
    return list(flat.split(sizes))


def _strided_like(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor` if it has the strides of `like`, else a copy with these strides."""
    if tensor.stride() == like.stride():
        return tensor
    return torch.empty_like(like, dtype=tensor.dtype, requires_grad=False).copy_(tensor)


def _flat(tensor: Tensor) -> Tensor:
    """A one-dimensional view of a dense tensor's memory, whatever its memory format."""
    return tensor.detach().as_strided((tensor.numel(),), (1,))


def _blocks(columns: Sequence[Sequence[Tensor | None]], limit: int) -> Iterable[list[list[Tensor]]]:
    """Cut parallel lists of tensors into parallel lists of flat pieces, block by block.

    Tensors of more than `limit` elements are split, smaller ones combined; a block has at most
    `limit` elements. A column that is None for a row of tensors is an empty list in their block:
    all rows of a block have the same columns.
    """
    block: list[list[Tensor]] = [[] for _ in columns]
    filled, kind = 0, None
    for tensors in zip(*columns, strict=True):
        present = [tensor is not None for tensor in tensors]
        pieces = [() if tensor is None else _flat(tensor).split(limit) for tensor in tensors]
        for index in range(len(pieces[0])):
            size = pieces[0][index].numel()
            if filled and (filled + size > limit or present != kind):
                yield block
                block, filled = [[] for _ in columns], 0
            kind = present
            for column, parts in zip(block, pieces, strict=True):
                if parts:
                    column.append(parts[index])
            filled += size
    if filled:
        yield block
