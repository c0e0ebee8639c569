"""Quick96: a small fixed model."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from faceloom.models.base import Precision, SampleBatch, SampleNeeds
from faceloom.models.networks import Decoded, Dims, Graph, make_graph
from faceloom.models.pair import Objective, PairModel, PairSpec, StepLosses, stacked
from faceloom.models.stepping import drawn
from faceloom.nn import RMSprop, blurred_mask, squared_error, structural_loss
from faceloom.settings.models import Quick96Settings, parse_archi

DIMS = Dims(resolution=96, ae=128, e=64, d=64, d_mask=16)
CLIP_NORM = 1.0
KEEP = 0.3
SCALE_RANGE = 0.05
UNWARPED_EVERY = 3


def build_quick96(
    settings: Quick96Settings,
    *,
    device: torch.device,
    seed: int,
    precision: Precision,
    compiled: bool = False,
) -> PairModel:
    """A newly initialised Quick96 model; `compiled` compiles its losses into a graph."""
    spec = PairSpec(
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
        make_objective=_objective,
        make_optimizer=partial(_make_optimizer, settings=settings),
    )
    make = partial(make_graph, parse_archi(settings.archi), DIMS)
    graph = drawn(make, device=device, seed=seed, precision=precision)
    graph.checkpointing = settings.checkpointing
    return PairModel(spec, graph, device=device, seed=seed, precision=precision, compiled=compiled)


def quick96_losses(decoded: Decoded, batch: SampleBatch) -> Tensor:
    """Per-sample loss `b`: 10 DSSIM + 10 L2 of the picture under the plainly blurred mask, 10 L2
    of the mask."""
    weight = blurred_mask(batch.mask)
    target, image = batch.target * weight, decoded.image * weight
    total = structural_loss(target, image, DIMS.resolution)
    return total + 10 * squared_error(target, image) + 10 * squared_error(batch.mask, decoded.mask)


def _objective() -> Objective:
    def losses(graph: Graph, src: SampleBatch, dst: SampleBatch) -> StepLosses:
        both = quick96_losses(graph.rebuild(src.warped, dst.warped), stacked(src, dst))
        of_src, of_dst = both.detach().split([len(src.target), len(dst.target)])
        return StepLosses(both.sum(), of_src, of_dst)

    return losses


def _make_optimizer(
    params: list[nn.Parameter], seed: int, *, settings: Quick96Settings
) -> Optimizer:
    return RMSprop(
        params,
        lr=settings.learning_rate,
        clip_norm=CLIP_NORM if settings.clipgrad else None,
        keep=KEEP,
        seed=seed,
    )
