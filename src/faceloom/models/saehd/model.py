"""SAEHD: its networks, optimizers and samples (reference: training.md 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn

from faceloom.models.base import Precision, SampleNeeds
from faceloom.models.discriminators import Adversary, CodeDiscriminator, PatchDiscriminator
from faceloom.models.networks import Dims, make_graph
from faceloom.models.optimizers import chosen_optimizer
from faceloom.models.pair import PairModel, PairSpec
from faceloom.models.saehd.losses import CODE_DISCRIMINATOR, GAN, SaehdObjective
from faceloom.models.stepping import drawn
from faceloom.settings.models import SaehdSettings, ledger

SCALE_RANGE = 0.15


def build_saehd(
    settings: SaehdSettings,
    *,
    device: torch.device,
    seed: int,
    precision: Precision,
    compiled: bool = False,
) -> PairModel:
    """A freshly initialised SAEHD model; `compiled` turns its losses into compiled graphs."""
    effective = settings.effective
    make_network = partial(drawn, device=device, seed=seed, precision=precision)
    graph = make_network(partial(make_graph, settings.parsed_archi, _dims(settings)))
    graph.checkpointing = settings.checkpointing
    adversaries = {
        name: Adversary(make_network(make), optimizer_name)
        for name, (make, optimizer_name) in _discriminators(effective).items()
    }
    spec = PairSpec(
        class_name="SAEHD",
        settings=settings,
        sample_needs=_needs(effective),
        make_objective=partial(_objective, effective, adversaries, device),
        make_optimizer=partial(chosen_optimizer, settings=effective),
        adversaries=adversaries,
    )
    model = PairModel(spec, graph, device=device, seed=seed, precision=precision, compiled=compiled)
    if settings.parsed_archi.kind == "liae" and not (settings.random_warp or settings.pretrain):
        # What both faces share is learned from warped pictures only (reference 2.7). Pretraining,
        # which never warps, is no reason: there the reference leaves it untrained (oddity 20).
        model.freeze("inter_AB")
    return model


def _dims(settings: SaehdSettings) -> Dims:
    return Dims(
        resolution=settings.resolution,
        ae=settings.ae_dims,
        e=settings.e_dims,
        d=settings.d_dims,
        d_mask=settings.mask_dims,
    )


def _discriminators(settings: SaehdSettings) -> dict[str, tuple[Callable[[], nn.Module], str]]:
    """By network name what makes each, and its optimizer's name; in the order of training."""
    made: dict[str, tuple[Callable[[], nn.Module], str]] = {}
    if settings.true_face_power:
        side = ledger(settings.parsed_archi, settings.resolution, settings.e_dims).inter_side
        make_code = partial(CodeDiscriminator, settings.ae_dims, side)
        made[CODE_DISCRIMINATOR] = (make_code, "D_code_opt")
    if settings.gan_power:
        make_patch = partial(PatchDiscriminator, settings.patch_size, settings.gan_dims)
        made[GAN] = (make_patch, "GAN_opt")
    return made


def _objective(
    settings: SaehdSettings, adversaries: Mapping[str, Adversary], device: torch.device
) -> SaehdObjective:
    """The losses, with the networks that they compare by fetched where a power asks for them."""
    # Not at the top: a merge, which trains nothing, has no use for what these import.
    perceptual = embed = None
    if settings.perceptual_power:
        from faceloom.models.saehd.perceptual import load_perceptual

        perceptual = load_perceptual(device)
    if settings.identity_power:
        from faceloom.models.saehd.identity import load_identity

        embed = load_identity(
            device, face_type=settings.face_type, resolution=settings.resolution
        ).embed
    return SaehdObjective(settings, adversaries, perceptual, embed)


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
        hsv_power=settings.random_hsv_power,
        ct_mode=settings.ct_mode,
        ct_statistics=settings.ct_statistics,
    )
