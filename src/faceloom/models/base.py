"""What every model takes and returns: batches, predictions, and the protocols of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from faceloom.color import TransferName, TransferStatistics
from faceloom.nn.batch import MaskBatch, SampleBatch
from faceloom.settings.models import ModelSettings

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class SampleNeeds:
    """What the sampler must produce for a model."""

    resolution: int
    """Side of every picture, in pixels."""
    batch_size: int
    """Samples of each side in a step."""
    warp: bool
    """Warp the network's input at random; otherwise it is the target."""
    src_flip: bool
    """Mirror src samples at random."""
    dst_flip: bool
    """Mirror dst samples at random."""
    eyes_mouth: bool
    """Produce the mask of eyes and mouth."""
    scale_range: float
    """a in the random scale 1/(1+a) … 1+a."""
    uniform_yaw: bool = False
    """Sample every yaw angle equally often."""
    hsv_power: float = 0.0
    """Change hue, saturation and brightness of src's input by up to this much."""
    ct_mode: TransferName = "none"
    """Give each src sample the colours of a random dst sample, input and target alike."""
    ct_statistics: TransferStatistics = "inside"
    """Measure these colours inside the faces' masks, or over the whole picture."""
    unwarped_every: int = 0
    """n > 0: every n-th iteration except the first repeats the previous batch, unwarped (Quick96);
    0: every iteration uses a new batch."""

    def repeats(self, iteration: int) -> bool:
        """Whether `iteration` (counted from 0) trains on the previous batch, `unwarped()`."""
        return self.unwarped_every > 0 and iteration > 0 and iteration % self.unwarped_every == 0

    def draw_index(self, iteration: int) -> int:
        """The index, from 0, of the batch that `iteration` trains on.

        A repeat has the index of the iteration before it, so a sampler that makes batches by index
        can resume at any iteration.
        """
        return iteration - (iteration // self.unwarped_every if self.unwarped_every else 0)


@dataclass(frozen=True)
class Prediction:
    """A swapped face, float32 in [0, 1]."""

    face: Tensor
    """`b 3 r r`: src's face with dst's expression."""
    mask_prd: Tensor
    """`b 1 r r`: the mask of the swapped face (learned-prd)."""
    mask_dst: Tensor
    """`b 1 r r`: the mask of dst's own reconstruction (learned-dst)."""


@dataclass(frozen=True)
class Reconstruction:
    """Everything a preview shows; images `b 3 r r`, masks `b 1 r r`, float32 in [0, 1]."""

    src_src: Tensor
    src_src_mask: Tensor
    dst_dst: Tensor
    dst_dst_mask: Tensor
    src_dst: Tensor
    src_dst_mask: Tensor


class TrainableModel(Protocol):
    """What trainer and checkpoints need from any model."""

    @property
    def class_name(self) -> str:
        """Its name in `MODELS`: "SAEHD", "AMP", "Quick96", "XSeg"."""
        ...

    @property
    def settings(self) -> ModelSettings:
        """What it was built with."""
        ...

    @property
    def device(self) -> torch.device:
        """The device of its weights, where its inputs must be too."""
        ...

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses that a training step returns, in the order of the history."""
        ...

    @property
    def optional_networks(self) -> frozenset[str]:
        """Networks that may be newly initialised, with their optimizers, when a saved state lacks
        them or has them in another shape: discriminators."""
        ...

    @property
    def pretrain_resets(self) -> tuple[str, ...]:
        """Networks that are reinitialised when pretraining is switched off."""
        ...

    def networks(self) -> Mapping[str, nn.Module]:
        """Its networks by DFL's names, always float32. Weights may be channels-last: make them
        contiguous before writing."""
        ...

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Its optimizers by DFL's names; created when first needed (merging needs none)."""
        ...


class FaceModel(TrainableModel, Protocol):
    """A model that learns to swap the faces of one pair; its losses are "src" and "dst"."""

    @property
    def sample_needs(self) -> SampleNeeds:
        """What its training batches must contain."""
        ...

    def train_step(
        self, src: SampleBatch, dst: SampleBatch, *, iteration: int
    ) -> dict[str, Tensor]:
        """One optimizer step; the losses "src" and "dst", detached scalars on the device.

        Does not synchronise with the device. Gradients are those of the sum over the batch of the
        per-sample losses, as in DFL; the returned losses are means.
        """
        ...

    def losses(
        self, src: SampleBatch, dst: SampleBatch, *, iteration: int = 0
    ) -> dict[str, Tensor]:
        """The losses that `train_step` would report for these batches, without training.

        No gradients, no optimizer, and no change to the model. `iteration` matters to AMP alone,
        which chooses channels by it.
        """
        ...

    def predict(self, faces: Tensor, *, morph: float = 1.0) -> Prediction:
        """Swap dst faces, `b 3 r r` RGB in [0, 1]; no gradients.

        `morph`, 0 (dst) to 1 (src), is how far AMP morphs; other models always swap completely.
        """
        ...

    def reconstruct(self, src: Tensor, dst: Tensor, *, morph: float = 1.0) -> Reconstruction:
        """Both sides reconstructed and dst swapped, from unwarped `b 3 r r`; no gradients."""
        ...


class MaskModel(TrainableModel, Protocol):
    """A model that learns a face's mask; its loss is "mask"."""

    def train_step(self, batch: MaskBatch, *, iteration: int) -> dict[str, Tensor]:
        """One optimizer step; the loss "mask", a detached scalar on the device."""
        ...

    def losses(self, batch: MaskBatch, *, iteration: int = 0) -> dict[str, Tensor]:
        """The loss that `train_step` would report for this batch, without training."""
        ...

    def predict_mask(self, faces: Tensor) -> Tensor:
        """The masks `b 1 r r` in [0, 1] of `b 3 r r` RGB in [0, 1]; no gradients."""
        ...
