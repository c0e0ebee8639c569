"""Settings that models share."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field

from faceloom.core.config import Settings
from faceloom.core.vocabulary import SHORT, TransferName, TransferStatistics
from faceloom.settings.models.patches import (
    LARGEST_PATCH,
    SMALLEST_PATCH,
    check_patch_size,
    largest_patch_size,
)

ModelFaceType = Literal["half_face", "midfull_face", "full_face", "whole_face", "head"]
LrDropoutWord = Literal["n", "y", "cpu"]


def _long_face_type(value: Any) -> Any:
    return SHORT.get(value.lower(), value.lower()) if isinstance(value, str) else value


def _word(value: Any) -> Any:
    """DeepFaceLab stored a switch here until 2020."""
    return {True: "y", False: "n"}[value] if isinstance(value, bool) else value


FaceTypeField = Annotated[ModelFaceType, BeforeValidator(_long_face_type)]
LrDropout = Annotated[LrDropoutWord, BeforeValidator(_word)]


class ModelSettings(Settings):
    """What every face model has; the base of each class's own settings."""

    ALIASES: ClassVar[Mapping[str, str]] = {
        "batchsize": "batch_size",
        "lr": "learning_rate",
        "target_iterations": "target_iter",
    }

    structural: ClassVar[tuple[str, ...]] = ()
    """Names of settings that shape the networks: fixed once a model exists."""
    fixed: ClassVar[tuple[str, ...]] = ()
    """Names of settings for which the class allows one value only."""
    pretraining: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Settings that have another value while `pretrain` is on, and that value."""

    resolution: int
    """Side of the square face picture that the model makes, in pixels."""
    face_type: ModelFaceType
    """How much of the head the face picture covers."""
    batch_size: int = Field(default=4, ge=1, le=1024)
    """Faces of each side in one training step."""
    target_iter: int = Field(default=0, ge=0)
    """Training stops at this iteration; 0: never."""
    learning_rate: float = Field(default=5e-5, gt=0, le=1e-2)
    """Step size of the optimizer."""
    clipgrad: bool = False
    """Limit the size of each step's gradient: less risk of a collapse, slightly slower
    learning."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Keep a running mean of the weights for previews and merging, steadier than the weights
    themselves. 0: off; 0.999 averages about the last thousand steps."""
    checkpointing: bool = False
    """Recompute activations in the backward pass instead of storing them: saves memory, costs a
    third of the speed. For models that do not fit otherwise."""
    pretrain: bool = False
    """First learn faces in general from a large set of many people; when it is switched off, the
    pair's own training starts at iteration 0 from what was learned."""

    @property
    def overridden(self) -> dict[str, Any]:
        """Settings that pretraining overrides at present, with the values in force instead."""
        forced = self.pretraining if self.pretrain else {}
        return {name: value for name, value in forced.items() if getattr(self, name) != value}

    @property
    def effective(self) -> Self:
        """These settings with what is `overridden`: those that training uses at present."""
        return self.model_copy(update=self.overridden)


class SwapSettings(ModelSettings):
    """What SAEHD and AMP have in common."""

    ae_dims: int = Field(default=256, ge=32, le=1024)
    """Size of the code between encoder and decoder, 32 to 1024: how much the model can tell
    apart."""
    e_dims: int = Field(default=64, ge=16, le=256)
    """Width of the encoder, 16 to 256, even: how many features it sees."""
    d_dims: int = Field(default=64, ge=16, le=256)
    """Width of the decoder, 16 to 256, even: how fine the detail it can paint."""
    d_mask_dims: int | None = Field(default=None, ge=16, le=256)
    """Width of the mask decoder, 16 to 256, even; unset: a third of d_dims."""
    random_warp: bool = True
    """Distort the network's input so that it learns expressions; switch off near the end of
    training for the last sharpness."""
    random_src_flip: bool = False
    """Mirror 40 % of the src faces: covers more angles, loses asymmetry."""
    random_dst_flip: bool = True
    """Mirror 40 % of the dst faces."""
    ct_mode: TransferName = "none"
    """Give each src picture the colours of a random dst picture, so that the swap adapts to dst's
    light. rct and lct match the mean and spread of the colours, mkl also their covariance, idt and
    sot the whole distribution (slower); none changes nothing."""
    ct_statistics: TransferStatistics = "inside"
    """Which pixels ct_mode measures. inside: the face inside its mask; whole: the whole picture, as
    DeepFaceLab does, where a dark background darkens src's face too."""
    uniform_yaw: bool = False
    """Sample all yaw angles equally often, for facesets with few profiles."""
    blur_out_mask: bool = False
    """Blur the training pictures outside the mask, for a smoother edge near it."""
    gan_power: float = Field(default=0.0, ge=0, le=5)
    """Train against a discriminator that learns to tell real faces from the model's: fine detail
    of skin and hair. 0 to 5; 0: off. For the very end of training, with random_warp off, at about
    0.1."""
    gan_patch_size: int | None = Field(default=None, ge=SMALLEST_PATCH, le=LARGEST_PATCH)
    """Size in pixels of the patches that the discriminator sees, 3 to 640; unset: an eighth of the
    resolution. Larger patches show larger features and need more memory; a new value restarts the
    discriminator."""
    gan_dims: int = Field(default=16, ge=4, le=512)
    """Width of the discriminator, 4 to 512: more sees finer faults and needs more memory; a new
    value restarts the discriminator."""
    models_opt_on_gpu: bool = True
    """Keep the optimizer state on the GPU. Off: in main memory, slower, for models that do not fit
    otherwise."""
    lr_dropout: LrDropout = "n"
    """y trains a random 30 % of the weights in each step, for the last sharpness of a trained
    model; cpu does the same with the choice made on the CPU, which saves GPU memory."""

    @property
    def patch_size(self) -> int:
        """`gan_patch_size`; if unset an eighth of the resolution, or less if that does not fit."""
        if self.gan_patch_size is not None:
            return self.gan_patch_size
        return largest_patch_size(self.resolution // 8, self.resolution)

    @property
    def mask_dims(self) -> int:
        """`d_mask_dims`; if unset a third of `d_dims`, rounded up to even, at least 16."""
        if self.d_mask_dims is not None:
            return self.d_mask_dims
        third = self.d_dims // 3
        return max(16, third + third % 2)

    def check_networks(self) -> None:
        """`ValueError` when a width is odd or the discriminator does not fit the resolution."""
        for name in ("e_dims", "d_dims", "d_mask_dims"):
            value = getattr(self, name)
            if value is not None and value % 2:
                raise ValueError(f"{name} {value} is odd, but must be even: use {value + 1}")
        if self.gan_power:
            check_patch_size(self.patch_size, self.resolution)
