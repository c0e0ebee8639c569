"""What adversarial training adds to the losses: sigmoid cross-entropy and total variation.

Reference: training.md 2.3. Both return float32 and keep the batch axis, as all losses here.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def bce_logits(logits: Tensor, target: float) -> Tensor:
    """Sigmoid cross-entropy of `b …` logits to one `target` in [0, 1], mean of all but b → `b`."""
    wide = logits.float()
    losses = F.binary_cross_entropy_with_logits(
        wide, torch.full_like(wide, target), reduction="none"
    )
    return losses.flatten(1).mean(1)


def total_variation(x: Tensor) -> Tensor:
    """Sum of the squared forward differences along h and w of `b c h w` → `b`.

    (On a GPU the reference differenced colour and height instead: its oddity 17.)
    """
    wide = x.float()
    down = (wide[:, :, 1:] - wide[:, :, :-1]).square().flatten(1).sum(1)
    across = (wide[..., 1:] - wide[..., :-1]).square().flatten(1).sum(1)
    return down + across
