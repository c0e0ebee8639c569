"""SAEHD's losses (see docs/internals/losses.md).

Per-sample vectors `b`, summed over the batch for the gradient. p are the model's pictures, t the
targets, m masks, W(m) the weight of a mask, M(x) = x·W(m) with `masked_training`, else x.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from faceloom.models.base import SampleBatch
from faceloom.models.discriminators import Adversary, Evidence
from faceloom.models.networks import Codes, Decoded, Graph
from faceloom.models.pair import StepLosses, stacked
from faceloom.nn import (
    absolute_error,
    blur_outside,
    dssim,
    dssim_windows,
    mask_weight,
    squared_error,
    structural_loss,
    style_loss,
    total_variation,
)
from faceloom.settings.models import SaehdSettings

GAN = "GAN"
CODE_DISCRIMINATOR = "code_discriminator"
EYES_MOUTH_WEIGHT = 300.0
FACE_STYLE_WEIGHT = 100.0
SMOOTHNESS_WEIGHT = 1e-6
BACKGROUND_WEIGHT = 0.02

Embed = Callable[[Tensor], Tensor]
"""Maps pictures `b 3 r r` to unit vectors `b n` that are similar for pictures of one person."""


@dataclass(frozen=True)
class Truth:
    """What the decoders should have produced, `b` samples."""

    image: Tensor
    """t, `b 3 r r`, blurred outside the mask if the settings say so."""
    mask: Tensor
    """m, `b 1 r r`."""
    weight: Tensor | None
    """W(m), `b 1 r r`; None where the whole picture counts."""
    eyes_mouth: Tensor | None
    """`b 1 r r`; None where eyes and mouth have no extra weight."""

    def weighted(self, image: Tensor) -> Tensor:
        """M of `b 3 r r`."""
        return image if self.weight is None else image * self.weight

    def of(self, samples: slice) -> Truth:
        """Some of the samples."""
        return Truth(
            self.image[samples],
            self.mask[samples],
            None if self.weight is None else self.weight[samples],
            None if self.eyes_mouth is None else self.eyes_mouth[samples],
        )


def truth_of(batch: SampleBatch, settings: SaehdSettings) -> Truth:
    """A batch's targets as the settings modify them."""
    return Truth(
        image=blur_outside(batch.target, batch.mask) if settings.blur_out_mask else batch.target,
        mask=batch.mask,
        weight=mask_weight(batch.mask) if settings.masked_training else None,
        eyes_mouth=batch.eyes_mouth if settings.eyes_mouth_prio else None,
    )


def rebuilding_losses(made: Decoded, truth: Truth) -> Tensor:
    """10 DSSIM + 10 L2 of the picture, 10 L2 of the mask, 300 L1 of eyes and mouth → `b`."""
    total = 10 * squared_error(truth.mask, made.mask)
    if truth.eyes_mouth is not None:
        total = total + EYES_MOUTH_WEIGHT * absolute_error(
            truth.image * truth.eyes_mouth, made.image * truth.eyes_mouth
        )
    target, image = truth.weighted(truth.image), truth.weighted(made.image)
    total = total + structural_loss(target, image, target.shape[-1])
    return total + 10 * squared_error(target, image)


def face_style_loss(swap: Tensor, swap_mask: Tensor, made: Decoded, power: float) -> Tensor:
    """The difference of the swap's colours from those of dst's own picture `made` → `b`.

    Both under their masks. Only `swap` gets gradients.
    """
    face = swap * swap_mask.detach()
    reference = (made.image * made.mask).detach()
    return style_loss(face, reference, swap.shape[-1] // 8, FACE_STYLE_WEIGHT * power)


def background_style_loss(
    swap: Tensor, swap_mask: Tensor, made: Decoded, target: Tensor, power: float
) -> Tensor:
    """DSSIM and L2 of the swap and dst's picture `target` around the face → `b`.

    The area around the face is 1 − W of the product of the two predicted masks, the swap's and that
    of dst's own picture `made`, without gradients. (DeepFaceLab computes this too, but then uses
    src's true mask, which is in another place.)
    """
    outside = 1 - mask_weight((swap_mask * made.mask).detach())
    x, y = swap * outside, target * outside
    window = dssim_windows(target.shape[-1])[0]
    return power / 10 * (dssim(x, y, window).mean(1) + squared_error(x, y))


def background_guard(image: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Keeps src's picture smooth, and close to `target` outside the mask's `weight` → `b`.

    In masked training no other loss applies there, and a GAN would invent content.
    """
    outside = 1 - weight
    away = squared_error(image * outside, target * outside)
    return SMOOTHNESS_WEIGHT * total_variation(image) + BACKGROUND_WEIGHT * away


def identity_loss(embed: Embed, image: Tensor, swap: Tensor, target: Tensor) -> Tensor:
    """The identity difference of src's picture `image` and of the swap from src → `b`, 0 to 4.

    1 − the cosine between the embeddings of `image` and its `target`, and 1 − that between the
    swap's and the mean of the batch's targets.
    """
    with torch.no_grad():
        true = embed(target).float()
        mean = F.normalize(true.mean(0), dim=0)
    return 2 - (embed(image).float() * true).sum(1) - embed(swap).float() @ mean


@dataclass(frozen=True)
class Sides:
    """Both sides separately, `b` samples each."""

    made_src: Decoded
    made_dst: Decoded
    true_src: Truth
    true_dst: Truth


@dataclass(frozen=True)
class SaehdObjective:
    """The losses of a step; an `Objective`."""

    settings: SaehdSettings
    """The effective ones."""
    adversaries: Mapping[str, Adversary]
    """By the names of their networks."""
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None
    """Distance of two `b 3 r r` pictures → `b`; None when `perceptual_power` is 0."""
    embed: Embed | None = None
    """The face recogniser; None when `identity_power` is 0."""

    def __call__(self, graph: Graph, src: SampleBatch, dst: SampleBatch) -> StepLosses:
        of_src, of_dst = slice(len(src.target)), slice(len(src.target), None)
        codes = graph.encode(src.warped, dst.warped)
        made = graph.decode(codes)
        truth = truth_of(stacked(src, dst), self.settings)
        reported = rebuilding_losses(made, truth)
        if self.perceptual is not None:
            distance = self.perceptual(truth.weighted(truth.image), truth.weighted(made.image))
            reported = reported + self.settings.perceptual_power * distance
        sides = Sides(made.of(of_src), made.of(of_dst), truth.of(of_src), truth.of(of_dst))
        loss_src, loss_dst = reported[of_src], reported[of_dst]
        for loss in self._swap_losses(graph, codes, sides):
            loss_src = loss_src + loss
        total = loss_src.sum() + loss_dst.sum()
        for loss in self._fooling_losses(codes, sides):
            total = total + loss.sum()
        return StepLosses(total, loss_src.detach(), loss_dst.detach(), self._seen(codes, sides))

    def _swap_losses(self, graph: Graph, codes: Codes, sides: Sides) -> Iterator[Tensor]:
        """The reported losses on the swap, `b` each.

        Face style and identity train only the decoder: no gradients beyond the swap's code.
        """
        settings = self.settings
        if settings.face_style_power or self.embed is not None:
            swap, mask = graph.decode_swap(codes.swap.detach())
            if settings.face_style_power:
                yield face_style_loss(swap, mask, sides.made_dst, settings.face_style_power)
            if self.embed is not None:
                faces = (sides.made_src.image, swap, sides.true_src.image)
                yield settings.identity_power * identity_loss(self.embed, *faces)
        if settings.bg_style_power:
            swap, mask = graph.decode_swap(codes.swap)
            target = sides.true_dst.image
            power = settings.bg_style_power
            yield background_style_loss(swap, mask, sides.made_dst, target, power)

    def _fooling_losses(self, codes: Codes, sides: Sides) -> Iterator[Tensor]:
        """The losses that are not reported: of discriminators and background, `b` each."""
        if CODE_DISCRIMINATOR in self.adversaries:
            fooling = self.adversaries[CODE_DISCRIMINATOR].fooling(codes.src)
            yield self.settings.true_face_power * fooling
        if GAN in self.adversaries:
            image, truth = sides.made_src.image, sides.true_src
            yield self.settings.gan_power * self.adversaries[GAN].fooling(truth.weighted(image))
            if truth.weight is not None:
                yield background_guard(image, truth.image, truth.weight)

    def _seen(self, codes: Codes, sides: Sides) -> dict[str, Evidence]:
        """What each discriminator is to judge: src's pictures; and codes, dst's being the real."""
        image, truth = sides.made_src.image.detach(), sides.true_src
        evidence = {
            CODE_DISCRIMINATOR: Evidence(real=codes.dst.detach(), fake=codes.src.detach()),
            GAN: Evidence(real=truth.weighted(truth.image), fake=truth.weighted(image)),
        }
        return {name: evidence[name] for name in self.adversaries}
