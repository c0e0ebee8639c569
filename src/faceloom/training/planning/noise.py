"""A training step on noise, for what depends on the pictures' size and not on what they show."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from faceloom.models import TrainBatch
from faceloom.models.base import MaskBatch, TrainableModel


def train_on_noise(model: TrainableModel, *, batch_size: int) -> None:
    """One real step of any model, on `batch_size` samples of each side drawn on its device."""
    side = model.settings.resolution
    anyone: Any = model

    def noise(channels: int) -> Tensor:
        return torch.rand(batch_size, channels, side, side, device=model.device)

    if hasattr(anyone, "sample_needs"):
        src, dst = (TrainBatch(noise(3), noise(3), noise(1), noise(1)) for _ in range(2))
        anyone.train_step(src, dst, iteration=1)
    else:
        anyone.train_step(MaskBatch(noise(3), noise(1)), iteration=1)
