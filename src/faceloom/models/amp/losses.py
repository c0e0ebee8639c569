"""AMP's losses, per sample (reference: training.md 2.4, 2.6, 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from faceloom.models.networks import Decoded
from faceloom.nn import (
    absolute_error,
    bce_logits,
    dssim,
    squared_error,
    total_variation,
)

EYES_MOUTH_WEIGHT = 300.0
DST_GUARD_WEIGHT = 0.1
SRC_GUARD_WEIGHT = 0.02
SMOOTHNESS_WEIGHT = 1e-6


@dataclass(frozen=True)
class Truth:
    """What the decoder should have made, `b` samples."""

    image: Tensor
    """`b 3 r r`, its outside blurred where the settings say so."""
    mask: Tensor
    """`b 1 r r`."""
    eyes_mouth: Tensor
    """`b 1 r r`."""

    weight: Tensor
    """`b 1 r r`: 1 inside the mask, fading to 0 outside."""

    def of(self, samples: slice) -> Truth:
        """Some of the samples."""
        return Truth(
            self.image[samples],
            self.mask[samples],
            self.eyes_mouth[samples],
            self.weight[samples],
        )


def rebuilding_losses(made: Decoded, truth: Truth) -> Tensor:
    """How far `b` pictures and masks are from the truth → `b`; the losses that are reported.

    5 DSSIM in each of two windows + 10 L2, both under the mask; 300 L1 of eyes and mouth; 10 L2 of
    the mask.
    """
    side = truth.image.shape[-1]
    image, target = made.image * truth.weight, truth.image * truth.weight
    windows = (int(side / 11.6), int(side / 23.2))
    structural = torch.stack([dssim(target, image, k).mean(1) for k in windows]).sum(0)
    eyes_mouth = absolute_error(truth.image * truth.eyes_mouth, made.image * truth.eyes_mouth)
    return (
        5 * structural
        + 10 * squared_error(target, image)
        + EYES_MOUTH_WEIGHT * eyes_mouth
        + 10 * squared_error(truth.mask, made.mask)
    )


def dst_guard(image: Tensor, truth: Truth) -> Tensor:
    """Keeps dst-dst's background near the truth and smooth → `b`."""
    outside = 1 - truth.weight
    away = squared_error(image * outside, truth.image * outside)
    return DST_GUARD_WEIGHT * away + SMOOTHNESS_WEIGHT * total_variation(image * outside)


def src_guard(image: Tensor, truth: Truth) -> Tensor:
    """Keeps src-src near the truth outside the mask and smooth, with a GAN → `b`."""
    outside = 1 - truth.weight
    away = squared_error(image * outside, truth.image * outside)
    return SRC_GUARD_WEIGHT * away + SMOOTHNESS_WEIGHT * total_variation(image)


def fooling_losses(logits: tuple[Tensor, Tensor]) -> Tensor:
    """How far from "real" a discriminator's two maps call `b` pictures → `b`."""
    center, full = logits
    return bce_logits(center, 1.0) + bce_logits(full, 1.0)


def judging_losses(real: tuple[Tensor, Tensor], made: tuple[Tensor, Tensor]) -> Tensor:
    """A discriminator's own losses of `b` true and `b` made pictures of both sides → `b`.

    An eighth of each term: two sides, true and made, two maps.
    """
    terms = [bce_logits(logits, 1.0) for logits in real]
    terms += [bce_logits(logits, 0.0) for logits in made]
    return torch.stack(terms).sum(0) / 8
