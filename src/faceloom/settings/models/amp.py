"""Settings of AMP."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from faceloom.settings.models.base import FaceTypeField, SwapSettings

_FACE_TYPES = ("full_face", "whole_face", "head")
_STEP = 32


class AmpSettings(SwapSettings):
    """AMP: one face morphs gradually into the other; how far is chosen when merging."""

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
    """Side of the face picture in pixels, 64 to 640: a multiple of 32. More shows finer detail;
    time and memory grow with its square."""
    face_type: FaceTypeField = "whole_face"
    """How much of the head is learned: full_face, whole_face or head (short: f, wf)."""
    batch_size: int = Field(default=8, ge=1, le=1024)
    """Faces of each side in one training step."""
    ae_dims: int = Field(default=256, ge=32, le=1024)
    """Size of the encoder's code, 32 to 1024: how much the model can tell apart."""
    inter_dims: int = Field(default=1024, ge=32, le=2048)
    """Channels of the code between the inters and the decoder, 32 to 2048: the steps of a morph.
    Best not below ae_dims."""
    morph_factor: float = Field(default=0.5, ge=0.1, le=0.5)
    """Share of src's channels that training takes from src's own inter, 0.1 to 0.5. A smaller share
    makes the swap follow dst's expressions more and look less like src."""
    train_inters: bool = False
    """Also train the two inters, as DFL did until September 2021; off, they keep their random
    initial weights, as in its last version. Measured side by side (64 px, 2000 iterations):
    untrained inters reconstruct both faces with a tenth less error, trained ones separate the two
    people more at full morph. Switch it on when the swap keeps too much of dst."""
    pretrain: bool = False
    """Always off: a set of many people has no two sides whose channels could be mixed."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.resolution % _STEP:
            below = self.resolution // _STEP * _STEP
            raise ValueError(
                f"resolution {self.resolution} does not fit AMP, which halves the picture five"
                f" times: use {below} or {below + _STEP}"
            )
        if self.face_type not in _FACE_TYPES:
            raise ValueError(f"AMP learns {', '.join(_FACE_TYPES)}, not {self.face_type}")
        self.check_networks()
        if self.pretrain:
            raise ValueError(
                "AMP does not pretrain: its inters represent the two people themselves, and a set"
                " of many people has no two sides to mix; to start from learned weights, continue"
                " with a copy of another AMP model"
            )
        return self
