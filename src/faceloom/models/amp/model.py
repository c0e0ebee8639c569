"""AMP: a face that morphs gradually into another."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from faceloom.core import InputError
from faceloom.models.amp.losses import (
    Truth,
    dst_guard,
    fooling_losses,
    judging_losses,
    rebuilding_losses,
    src_guard,
)
from faceloom.models.amp.network import AmpDims, AmpGraph
from faceloom.models.base import Precision, Prediction, Reconstruction, SampleBatch, SampleNeeds
from faceloom.models.discriminators import PatchDiscriminator
from faceloom.models.networks import recomputing_parts
from faceloom.models.optimizers import chosen_optimizer
from faceloom.models.stepping import (
    autocast,
    begin_step,
    checked_pictures,
    compiled_for,
    discriminate,
    drawn,
    rank,
)
from faceloom.nn import blur_outside, mask_weight
from faceloom.settings.models import AmpSettings

CLASS_NAME = "AMP"
SCALE_RANGE = 0.15
_ODD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: spreads consecutive numbers over the seed space


def build_amp(
    settings: AmpSettings,
    *,
    device: torch.device,
    seed: int,
    precision: Precision,
    compiled: bool = False,
) -> AmpModel:
    """A newly initialised AMP model; `compiled` compiles its losses into graphs."""
    return AmpModel(settings, device=device, seed=seed, precision=precision, compiled=compiled)


class AmpModel:
    """A `FaceModel` whose swap can stop anywhere between dst and src."""

    def __init__(
        self,
        settings: AmpSettings,
        *,
        device: torch.device,
        seed: int,
        precision: Precision,
        compiled: bool,
    ) -> None:
        self._settings = settings
        self._seed = seed
        self._precision: Precision = precision
        self.device = device
        make = partial(AmpGraph, _dims(settings))
        self._graph = drawn(make, device=device, seed=seed, precision=precision)
        for part in recomputing_parts(self._graph):
            part.checkpointing = settings.checkpointing
        for inter in (self._graph.inter_src, self._graph.inter_dst):
            inter.requires_grad_(settings.train_inters)
        self._judge: PatchDiscriminator | None = None
        if settings.gan_power:
            make_judge = partial(PatchDiscriminator, settings.patch_size, settings.gan_dims)
            self._judge = drawn(make_judge, device=device, seed=seed, precision=precision)
        self._optimizers: dict[str, Optimizer] = {}
        self._compiled = compiled
        self._objective, self._judging = self._step_losses, self._judge_losses
        if compiled:
            self._objective = compiled_for(device, self._step_losses)
            self._judging = compiled_for(device, self._judge_losses)

    @property
    def class_name(self) -> str:
        return CLASS_NAME

    @property
    def settings(self) -> AmpSettings:
        return self._settings

    @property
    def sample_needs(self) -> SampleNeeds:
        settings = self._settings
        return SampleNeeds(
            resolution=settings.resolution,
            batch_size=settings.batch_size,
            warp=settings.random_warp,
            src_flip=settings.random_src_flip,
            dst_flip=settings.random_dst_flip,
            eyes_mouth=True,
            scale_range=SCALE_RANGE,
            uniform_yaw=settings.uniform_yaw,
            ct_mode=settings.ct_mode,
            ct_statistics=settings.ct_statistics,
        )

    @property
    def loss_names(self) -> tuple[str, ...]:
        return ("src", "dst")

    @property
    def optional_networks(self) -> frozenset[str]:
        return frozenset({"GAN"} & self.networks().keys())

    @property
    def pretrain_resets(self) -> tuple[str, ...]:
        return ()

    def networks(self) -> Mapping[str, nn.Module]:
        networks = dict(self._graph.named_children())
        return networks if self._judge is None else {**networks, "GAN": self._judge}

    def optimizers(self) -> Mapping[str, Optimizer]:
        if not self._optimizers:
            self._optimizers["src_dst_opt"] = self._make_optimizer(self._graph)
            if self._judge is not None:
                self._optimizers["GAN_opt"] = self._make_optimizer(self._judge)
        return self._optimizers

    def train_step(
        self, src: SampleBatch, dst: SampleBatch, *, iteration: int
    ) -> dict[str, Tensor]:
        optimizers = self.optimizers()
        optimizers["src_dst_opt"].zero_grad(set_to_none=True)
        if self._compiled:
            begin_step(self.device)
        losses, total, real, made = self._objective(*self._step_inputs(src, dst, iteration))
        total.backward()
        optimizers["src_dst_opt"].step()
        if self._judge is not None:
            # The pictures made before the step (DeepFaceLab makes them again after it): the
            # discriminator lags by one step, which saves a third forward pass.
            optimizers["GAN_opt"].zero_grad(set_to_none=True)
            self._judging(real.detach(), made.detach()).backward()
            optimizers["GAN_opt"].step()
        return _means(losses, len(src.target))

    @torch.no_grad()
    def losses(
        self, src: SampleBatch, dst: SampleBatch, *, iteration: int = 0
    ) -> dict[str, Tensor]:
        losses = self._step_losses(*self._step_inputs(src, dst, iteration))[0]
        return _means(losses, len(src.target))

    @torch.inference_mode()
    def predict(self, faces: Tensor, *, morph: float = 1.0) -> Prediction:
        _check_morph(morph)
        with autocast(self.device, self._precision):
            return Prediction(*self._graph.swap(self._input(faces), morph))

    @torch.inference_mode()
    def reconstruct(self, src: Tensor, dst: Tensor, *, morph: float = 1.0) -> Reconstruction:
        """src-src mixes both inters as in training, but always takes the first channels from src's;
        `morph` applies to the swap."""
        _check_morph(morph)
        channels = torch.arange(self._settings.inter_dims, device=self.device)
        from_src = (channels < self._from_src_count).expand(len(src), -1)
        with autocast(self.device, self._precision):
            made = self._graph.rebuild(self._input(src), self._input(dst), from_src)
            swapped, swapped_mask, _ = self._graph.swap(self._input(dst), morph)
        src_src, dst_dst = made.image.split([len(src), len(dst)])
        src_mask, dst_mask = made.mask.split([len(src), len(dst)])
        return Reconstruction(src_src, src_mask, dst_dst, dst_mask, swapped, swapped_mask)

    @property
    def _from_src_count(self) -> int:
        """How many channels of src's code come from src's inter in training."""
        return int(self._settings.inter_dims * self._settings.morph_factor)

    def _step_inputs(
        self, src: SampleBatch, dst: SampleBatch, iteration: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What `_step_losses` takes."""
        return (
            self._input(src.warped),
            self._input(dst.warped),
            self._draw_channels(len(src.target), iteration),
            torch.cat([src.target, dst.target]),
            torch.cat([src.mask, dst.mask]),
            _eyes_mouth(src, dst),
        )

    def _draw_channels(self, samples: int, iteration: int) -> Tensor:
        channels = drawn_channels(
            samples,
            self._settings.inter_dims,
            self._from_src_count,
            seed=self._seed,
            iteration=iteration,
            first=rank() * samples,
        )
        return channels.to(self.device, non_blocking=True)

    def _step_losses(
        self,
        src: Tensor,
        dst: Tensor,
        from_src: Tensor,
        target: Tensor,
        mask: Tensor,
        eyes_mouth: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The reported losses `s+d`, the sum to differentiate, and the weighted target and output
        pictures `s+d 3 r r` for the discriminator."""
        if self._settings.blur_out_mask:
            target = blur_outside(target, mask)
        truth = Truth(target, mask, eyes_mouth, mask_weight(mask))
        of_src, of_dst = slice(len(src)), slice(len(src), None)
        with autocast(self.device, self._precision):
            made = self._graph.rebuild(src, dst, from_src)
        reported = rebuilding_losses(made, truth)
        total = reported.sum() + dst_guard(made.image[of_dst], truth.of(of_dst)).sum()
        real, fake = target * truth.weight, made.image * truth.weight
        if self._judge is not None:
            with autocast(self.device, self._precision):
                logits = discriminate(self._judge, fake)
            total = total + self._settings.gan_power * fooling_losses(logits).sum()
            total = total + src_guard(made.image[of_src], truth.of(of_src)).sum()
        return reported, total, real, fake

    def _judge_losses(self, real: Tensor, made: Tensor) -> Tensor:
        """The sum of the discriminator's losses."""
        assert self._judge is not None
        with autocast(self.device, self._precision):
            center, full = self._judge(torch.cat([real, made]))
        true, false = ((center[part], full[part]) for part in _halves(len(real)))
        return judging_losses(true, false).sum()

    def _input(self, faces: Tensor) -> Tensor:
        return checked_pictures(
            faces,
            side=self._settings.resolution,
            class_name=CLASS_NAME,
            precision=self._precision,
        )

    def _make_optimizer(self, network: nn.Module) -> Optimizer:
        # Inters that are not trained need no slots, a quarter of the optimizer's memory.
        params = [param for param in network.parameters() if param.requires_grad]
        return chosen_optimizer(params, self._seed, settings=self._settings)


def drawn_channels(
    samples: int, channels: int, chosen: int, *, seed: int, iteration: int, first: int = 0
) -> Tensor:
    """For each sample exactly `chosen` random channels: `samples channels` bool.

    The same `(seed, iteration)` gives the same choice in any session and on any device. `first` is
    the index of the first sample in a batch that several processes share.
    """
    generator = torch.Generator().manual_seed((seed + (iteration + 1) * _ODD) % (1 << 63))
    draws = torch.rand(first + samples, channels, generator=generator)[first:]
    return draws.argsort(1) < chosen


def _dims(settings: AmpSettings) -> AmpDims:
    return AmpDims(
        resolution=settings.resolution,
        ae=settings.ae_dims,
        inter=settings.inter_dims,
        e=settings.e_dims,
        d=settings.d_dims,
        d_mask=settings.mask_dims,
    )


def _eyes_mouth(src: SampleBatch, dst: SampleBatch) -> Tensor:
    if src.eyes_mouth is None or dst.eyes_mouth is None:
        raise InputError("AMP: the samples have no eyes_mouth mask")
    return torch.cat([src.eyes_mouth, dst.eyes_mouth])


def _means(losses: Tensor, samples: int) -> dict[str, Tensor]:
    """The mean losses of both sides, of `samples` src losses and as many of dst."""
    of_src, of_dst = losses.detach().split([samples, len(losses) - samples])
    return {"src": of_src.mean(), "dst": of_dst.mean()}


def _halves(first: int) -> tuple[slice, slice]:
    return slice(first), slice(first, None)


def _check_morph(morph: float) -> None:
    if not 0 <= morph <= 1:
        raise InputError(f"morph must be between 0 (dst) and 1 (src), not {morph}")
