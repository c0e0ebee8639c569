"""SAEHD: its losses, optimizer and samples (reference: training.md 2)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from faceloom.core import InputError
from faceloom.models.base import Precision, SampleNeeds, TrainBatch
from faceloom.models.graph import Decoded, Dims, make_graph
from faceloom.models.pair import PairModel, Recipe
from faceloom.models.settings import SaehdSettings
from faceloom.nn import (
    AdaBelief,
    RMSprop,
    absolute_error,
    blur_outside,
    mask_weight,
    squared_error,
    structural_loss,
)

SCALE_RANGE = 0.15
CLIP_NORM = 1.0
KEEP = 0.3
COSINE_PERIOD = 500
EYES_MOUTH_WEIGHT = 300.0


def build_saehd(
    settings: SaehdSettings, *, device: torch.device, seed: int, precision: Precision
) -> PairModel:
    """A freshly initialised SAEHD model."""
    archi = settings.parsed_archi
    dims = Dims(
        resolution=settings.resolution,
        ae=settings.ae_dims,
        e=settings.e_dims,
        d=settings.d_dims,
        d_mask=settings.mask_dims,
    )
    recipe = Recipe(
        class_name="SAEHD",
        settings=settings,
        sample_needs=_needs(settings),
        losses=partial(saehd_losses, settings=settings),
        make_optimizer=partial(_make_optimizer, settings=settings),
    )
    model = PairModel(
        recipe, partial(make_graph, archi, dims), device=device, seed=seed, precision=precision
    )
    if archi.kind == "liae" and not settings.random_warp:
        # What both faces share is learned from warped pictures only (reference 2.7).
        model.freeze("inter_AB")
    return model


def saehd_losses(decoded: Decoded, batch: TrainBatch, *, settings: SaehdSettings) -> Tensor:
    """Per-sample loss `b`: 10 DSSIM + 10 L2 of the picture, 10 L2 of the mask, and with
    `eyes_mouth_prio` 300 L1 of eyes and mouth (reference 2.5)."""
    target, mask = batch.target, batch.mask
    if settings.blur_out_mask:
        target = blur_outside(target, mask)
    total = 10 * squared_error(mask, decoded.mask)
    if settings.eyes_mouth_prio:
        if batch.eyes_mouth is None:
            raise InputError("SAEHD: eyes_mouth_prio is on, but the samples have no such mask")
        total = total + EYES_MOUTH_WEIGHT * absolute_error(
            target * batch.eyes_mouth, decoded.image * batch.eyes_mouth
        )
    image = decoded.image
    if settings.masked_training:
        weight = mask_weight(mask)
        target, image = target * weight, image * weight
    total = total + structural_loss(target, image, settings.resolution)
    return total + 10 * squared_error(target, image)


def _needs(settings: SaehdSettings) -> SampleNeeds:
    return SampleNeeds(
        resolution=settings.resolution,
        batch_size=settings.batch_size,
        warp=settings.random_warp,
        src_flip=settings.random_src_flip,
        dst_flip=settings.random_dst_flip,
        eyes_mouth=settings.eyes_mouth_prio,
        scale_range=SCALE_RANGE,
        uniform_yaw=settings.uniform_yaw,
    )


def _make_optimizer(params: list[nn.Parameter], seed: int, *, settings: SaehdSettings) -> Optimizer:
    kind = AdaBelief if settings.optimizer == "adabelief" else RMSprop
    dropping = settings.lr_dropout != "n"
    return kind(
        params,
        lr=settings.learning_rate,
        clip_norm=CLIP_NORM if settings.clipgrad else None,
        keep=KEEP if dropping else None,
        period=COSINE_PERIOD if dropping else 0,
        masks_on_cpu=settings.lr_dropout == "cpu",
        seed=seed,
    )
