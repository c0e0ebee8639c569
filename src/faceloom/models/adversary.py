"""A discriminator that learns beside a model (reference: training.md 2.5 and 2.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from faceloom.models.stepping import judged
from faceloom.nn import bce_logits


class Evidence(NamedTuple):
    """What a discriminator judges: pictures `b 3 r r` or codes `b c s s`, without gradients."""

    real: Tensor
    """What it should call real."""
    fake: Tensor
    """What it should call false, and the model would have it call real."""


@dataclass(frozen=True)
class Adversary:
    """A network whose logits tell real from false, in one map or several."""

    network: nn.Module
    optimizer_name: str
    """DFL's name of its optimizer."""

    def fooling(self, fake: Tensor) -> Tensor:
        """The model's loss: how far from real `fake` is judged, sum over the maps → `b`.

        Gradients reach `fake` and not the network's weights.
        """
        return torch.stack(
            [bce_logits(logits, 1.0) for logits in _maps(judged(self.network, fake))]
        ).sum(0)

    def judging(self, evidence: Evidence) -> Tensor:
        """The network's own loss: how far it errs, half for each kind, sum over the maps → `b`."""
        maps = _maps(self.network(torch.cat(evidence)))
        sizes = [len(evidence.real), len(evidence.fake)]
        halves = [logits.split(sizes) for logits in maps]
        errors = [bce_logits(real, 1.0) + bce_logits(fake, 0.0) for real, fake in halves]
        return torch.stack(errors).sum(0) / 2


def _maps(logits: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (logits,) if isinstance(logits, Tensor) else logits
