"""A training step on noise, to measure what depends only on the size of the pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from faceloom.models import TrainableModel
from faceloom.nn.batch import MaskBatch, SampleBatch


def train_on_noise(model: TrainableModel, *, batch_size: int) -> None:
    """Run one real step of any model on `batch_size` random samples per side."""
    side = model.settings.resolution
    any_model: Any = model

    def noise(channels: int) -> Tensor:
        return torch.rand(batch_size, channels, side, side, device=model.device)

    if hasattr(any_model, "sample_needs"):
        src, dst = (SampleBatch(noise(3), noise(3), noise(1), noise(1)) for _ in range(2))
        any_model.train_step(src, dst, iteration=1)
    else:
        any_model.train_step(MaskBatch(noise(3), noise(1)), iteration=1)
