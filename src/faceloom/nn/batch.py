"""Training batches: what samplers make and models take."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class SampleBatch:
    """Samples of one side; RGB float32 in [0, 1] on the training device."""

    warped: Tensor
    """`b 3 r r`: the network's input. The same tensor as `target` if nothing distorts it."""
    target: Tensor
    """`b 3 r r`: what the network should make of it; the same affine transform, not warped."""
    mask: Tensor
    """`b 1 r r`: the full-face mask in the target's geometry, with grey values."""
    eyes_mouth: Tensor | None = None
    """`b 1 r r`: eyes and mouth, scaled to a maximum of 1; zeros if the store has none, None if the
    model does not need it (`SampleNeeds.eyes_mouth`)."""

    def unwarped(self) -> SampleBatch:
        """The same samples with the target as the network's input."""
        return replace(self, warped=self.target)


@dataclass(frozen=True)
class MaskBatch:
    """Samples of a mask model; float32 in [0, 1] on the training device."""

    image: Tensor
    """`b 3 r r` RGB: the network's input."""
    target: Tensor
    """`b 1 r r`: the mask it should make; in pretraining the picture in grey."""
