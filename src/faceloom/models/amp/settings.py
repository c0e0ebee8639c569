"""What a user chooses about an AMP model (reference: training.md 3.4)."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from faceloom.color import TransferName, TransferStatistics
from faceloom.models.settings import (
    LARGEST_PATCH,
    SMALLEST_PATCH,
    FaceTypeField,
    LrDropout,
    ModelSettings,
    check_patch_size,
)

_FACE_TYPES = ("full_face", "whole_face", "head")
_STEP = 32


class AmpSettings(ModelSettings):
    """AMP: one face changes into the other by degrees; how far is chosen at the merge."""

    structural: ClassVar[tuple[str, ...]] = (
        "resolution",
        "face_type",
        "ae_dims",
        "inter_dims",
        "e_dims",
        "d_dims",
        "d_mask_dims",
        "morph_factor",
    )
    fixed: ClassVar[tuple[str, ...]] = ("pretrain",)

    resolution: int = Field(default=224, ge=64, le=640)
    """Side of the face picture in pixels, 64 to 640: a multiple of 32. More shows finer detail and
    costs time and memory with its square."""
    face_type: FaceTypeField = "whole_face"
    """How much of the head is learned: full_face, whole_face or head (also f, wf)."""
    batch_size: int = Field(default=8, ge=1, le=1024)
    """Faces of each side that one training step looks at."""
    ae_dims: int = Field(default=256, ge=32, le=1024)
    """Size of the code that the encoder makes, 32 to 1024: how much the model can tell apart."""
    inter_dims: int = Field(default=1024, ge=32, le=2048)
    """Channels of the code between the inters and the decoder, 32 to 2048: the steps of a morph.
    Best not below ae_dims."""
    e_dims: int = Field(default=64, ge=16, le=256)
    """Width of the encoder, 16 to 256, even: how many features it sees."""
    d_dims: int = Field(default=64, ge=16, le=256)
    """Width of the decoder, 16 to 256, even: how fine the detail that it can draw."""
    d_mask_dims: int | None = Field(default=None, ge=16, le=256)
    """Width of the mask's decoder, 16 to 256, even; unset: a third of d_dims."""
    morph_factor: float = Field(default=0.5, ge=0.1, le=0.5)
    """Share of src's channels that training takes from src's own inter, 0.1 to 0.5. Less makes the
    swap more like dst's expressions and less like src."""
    train_inters: bool = False
    """Train the two inters as well, as DFL did until September 2021; off, they stay as they were
    drawn, as in its last version. Measured side by side (64 px, 2000 iterations): resting inters
    rebuild both faces with a tenth less error, trained ones part the two people more at full
    morph. Switch it on when the swap keeps too much of dst."""
    uniform_yaw: bool = False
    """Show every yaw angle equally often, for profiles that are rare in the faceset."""
    blur_out_mask: bool = False
    """Blur what lies outside the mask in the training pictures: a calmer edge near the mask."""
    models_opt_on_gpu: bool = True
    """Keep the optimizer's memory on the GPU; off, it stays in the computer's own: for models that
    do not fit otherwise, at a loss of speed."""
    lr_dropout: LrDropout = "n"
    """y trains a random 30 % of the weights a step, for the last sharpness of a trained model; cpu
    draws the choice on the CPU to spare GPU memory."""
    random_warp: bool = True
    """Distort the network's input, from which it learns expressions; switch off at the end of the
    training for the last sharpness."""
    random_src_flip: bool = False
    """Mirror 40 % of the src faces: covers more angles, costs asymmetry."""
    random_dst_flip: bool = True
    """Mirror 40 % of the dst faces."""
    ct_mode: TransferName = "none"
    """Give each src picture the colours of a random dst picture, so that the swap takes on dst's
    light: rct and lct match the colours' means and spreads, mkl also how they vary together, idt
    and sot the whole distribution, slower; none leaves them alone."""
    ct_statistics: TransferStatistics = "inside"
    """Whose colours ct_mode matches: inside, the faces' inside their masks; whole, those of the
    whole pictures as DeepFaceLab does, where a dark background makes src's face dark, too."""
    gan_power: float = Field(default=0.0, ge=0, le=5)
    """Train against a discriminator that learns to tell both sides' pictures from the model's: fine
    detail of skin and hair. 0 to 5; for the very end, with random_warp off, at about 0.1; 0 is
    off."""
    gan_patch_size: int | None = Field(default=None, ge=SMALLEST_PATCH, le=LARGEST_PATCH)
    """Pixels across that the discriminator judges at a time, 3 to 640; unset: an eighth of the
    resolution. More judges larger features and needs more memory; another value starts the
    discriminator afresh."""
    gan_dims: int = Field(default=16, ge=4, le=512)
    """Width of the discriminator, 4 to 512: more sees finer faults and needs more memory; another
    value starts it afresh."""

    pretrain: bool = False
    """Always off: a set of many people has no two sides whose channels could be mixed."""

    @property
    def mask_dims(self) -> int:
        """`d_mask_dims`, or when unset a third of `d_dims` rounded up to even, at least 16."""
        if self.d_mask_dims is not None:
            return self.d_mask_dims
        third = self.d_dims // 3
        return max(16, third + third % 2)

    @property
    def patch_size(self) -> int:
        """`gan_patch_size`, or when unset an eighth of the resolution."""
        return self.gan_patch_size or self.resolution // 8

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.resolution % _STEP:
            below = self.resolution // _STEP * _STEP
            raise ValueError(
                f"resolution {self.resolution} does not go with AMP, which halves the picture five"
                f" times: use {below} or {below + _STEP}"
            )
        if self.face_type not in _FACE_TYPES:
            raise ValueError(f"AMP learns {', '.join(_FACE_TYPES)}, not {self.face_type}")
        for name in ("e_dims", "d_dims", "d_mask_dims"):
            value = getattr(self, name)
            if value is not None and value % 2:
                raise ValueError(f"{name} {value} is odd, it must be even: use {value + 1}")
        if self.pretrain:
            raise ValueError(
                "AMP does not pretrain: its inters hold the two people themselves, and a set of"
                " many people has no two sides to mix; to start from learned weights, go on with"
                " a copy of another AMP model"
            )
        if self.gan_power:
            check_patch_size(self.patch_size, self.resolution)
        return self
