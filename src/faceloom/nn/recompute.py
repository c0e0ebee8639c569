"""Activation checkpointing: less memory for more arithmetic.

Chen et al., "Training deep nets with sublinear memory cost" (2016).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def recomputed(part: Callable[[Tensor], Tensor], x: Tensor, *, when: bool) -> Tensor:
    """`part(x)`; if `when`, its activations are recomputed in the backward pass, not stored.

    `part` must not use random numbers. The gradients are bit for bit the same.
    """
    if not (when and torch.is_grad_enabled()):
        return part(x)
    result = checkpoint(part, x, use_reentrant=False, preserve_rng_state=False)
    assert isinstance(result, Tensor)
    return result
