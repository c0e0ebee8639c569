"""Quick96: a small fixed model (reference: training.md 4)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from faceloom.models.archi import parse_archi
from faceloom.models.base import Precision, SampleNeeds, TrainBatch
from faceloom.models.graph import Decoded, Dims, make_graph
from faceloom.models.pair import PairModel, Recipe
from faceloom.models.settings import Quick96Settings
from faceloom.nn import RMSprop, blurred_mask, squared_error, structural_loss

DIMS = Dims(resolution=96, ae=128, e=64, d=64, d_mask=16)
LEARNING_RATE = 2e-4
KEEP = 0.3
SCALE_RANGE = 0.05
UNWARPED_EVERY = 3


def build_quick96(
    settings: Quick96Settings, *, device: torch.device, seed: int, precision: Precision
) -> PairModel:
    """A freshly initialised Quick96 model."""
    recipe = Recipe(
        class_name="Quick96",
        settings=settings,
        sample_needs=SampleNeeds(
            resolution=DIMS.resolution,
            batch_size=settings.batch_size,
            warp=True,
            src_flip=False,
            dst_flip=False,
            eyes_mouth=False,
            scale_range=SCALE_RANGE,
            unwarped_every=UNWARPED_EVERY,
        ),
        losses=quick96_losses,
        make_optimizer=_make_optimizer,
    )
    return PairModel(
        recipe,
        partial(make_graph, parse_archi(settings.archi), DIMS),
        device=device,
        seed=seed,
        precision=precision,
    )


def quick96_losses(decoded: Decoded, batch: TrainBatch) -> Tensor:
    """Per-sample loss `b`: 10 DSSIM + 10 L2 of the picture under the plainly blurred mask, 10 L2
    of the mask."""
    weight = blurred_mask(batch.mask)
    target, image = batch.target * weight, decoded.image * weight
    total = structural_loss(target, image, DIMS.resolution)
    return total + 10 * squared_error(target, image) + 10 * squared_error(batch.mask, decoded.mask)


def _make_optimizer(params: list[nn.Parameter], seed: int) -> Optimizer:
    return RMSprop(params, lr=LEARNING_RATE, keep=KEEP, seed=seed)
