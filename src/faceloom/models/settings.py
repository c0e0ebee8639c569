"""What a user chooses about a model (reference: training.md 2.1 and 4)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from faceloom.core import InputError, Settings
from faceloom.models.archi import Archi, parse_archi

ModelFaceType = Literal["half_face", "midfull_face", "full_face", "whole_face", "head"]
OptimizerName = Literal["adabelief", "rmsprop"]
LrDropout = Literal["n", "y", "cpu"]

FACE_TYPE_SHORT: dict[str, ModelFaceType] = {
    "h": "half_face",
    "mf": "midfull_face",
    "f": "full_face",
    "wf": "whole_face",
    "head": "head",
}


def _long_face_type(value: Any) -> Any:
    return FACE_TYPE_SHORT.get(value.lower(), value.lower()) if isinstance(value, str) else value


def _canonical_archi(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_archi(value).name
    except InputError as error:
        raise ValueError(str(error)) from None


FaceTypeField = Annotated[ModelFaceType, BeforeValidator(_long_face_type)]
ArchiField = Annotated[str, BeforeValidator(_canonical_archi)]


class ModelSettings(Settings):
    """What every face model has; the base of each class's own settings."""

    structural: ClassVar[tuple[str, ...]] = ()
    """Names of settings that shape the networks: fixed once a model exists."""
    fixed: ClassVar[tuple[str, ...]] = ()
    """Names of settings of which the class allows one value only."""

    resolution: int
    """Side of the square face picture that the model makes, in pixels."""
    face_type: ModelFaceType
    """How much of the head the face picture covers."""
    batch_size: int = Field(default=4, ge=1, le=1024)
    """Faces of each side that one training step looks at."""
    target_iter: int = Field(default=0, ge=0)
    """Training stops at this iteration; 0 is endless."""
    learning_rate: float = Field(default=5e-5, gt=0, le=1e-2)
    """Step size of the training."""
    clipgrad: bool = False
    """Bound each step's gradient: less danger of a collapse, a little slower learning."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Keep a running mean of the weights for previews and merge, calmer than the weights
    themselves: 0 is off, 0.999 means the last thousand steps or so."""
    checkpointing: bool = False
    """Compute activations anew in the backward pass instead of keeping them: a third less speed,
    for models that do not fit otherwise."""
    pretrain: bool = False
    """Learn faces in general from a large set of many people's first; switched off, the pair's own
    training starts at iteration 0 with what was learned."""


class SaehdSettings(ModelSettings):
    """SAEHD: the workhorse, in any size and architecture."""

    structural: ClassVar[tuple[str, ...]] = (
        "resolution",
        "face_type",
        "archi",
        "ae_dims",
        "e_dims",
        "d_dims",
        "d_mask_dims",
    )

    resolution: int = Field(default=128, ge=64, le=640)
    """Side of the face picture in pixels, 64 to 640: a multiple of 16, of 32 with flag d or t.
    More shows finer detail and costs time and memory with its square."""
    face_type: FaceTypeField = "full_face"
    """How much of the head is learned: half_face, midfull_face, full_face, whole_face or head
    (also h, mf, f, wf)."""
    archi: ArchiField = "liae-ud"
    """df keeps src's likeness closer, liae takes over dst's light and shape better. Flags after a
    dash: u more likeness to src, d twice the resolution for the same cost, t still more likeness,
    c another activation (experimental)."""
    ae_dims: int = Field(default=256, ge=32, le=1024)
    """Size of the code between encoder and decoder, 32 to 1024: how much the model can tell
    apart."""
    e_dims: int = Field(default=64, ge=16, le=256)
    """Width of the encoder, 16 to 256, even: how many features it sees."""
    d_dims: int = Field(default=64, ge=16, le=256)
    """Width of the decoder, 16 to 256, even: how fine the detail that it can draw."""
    d_mask_dims: int | None = Field(default=None, ge=16, le=256)
    """Width of the mask's decoder, 16 to 256, even; unset: a third of d_dims."""
    masked_training: bool = True
    """Spend the training on the face inside its mask and leave the background alone."""
    eyes_mouth_prio: bool = False
    """Weigh eyes and mouth more: for a wrong look or a mouth without teeth."""
    random_warp: bool = True
    """Distort the network's input, from which it learns expressions; switch off at the end of the
    training for the last sharpness."""
    random_src_flip: bool = False
    """Mirror 40 % of the src faces: covers more angles, costs asymmetry."""
    random_dst_flip: bool = True
    """Mirror 40 % of the dst faces."""
    uniform_yaw: bool = False
    """Show every yaw angle equally often, for profiles that are rare in the faceset."""
    blur_out_mask: bool = False
    """Blur what lies outside the mask in the training pictures: a calmer edge near the mask."""
    optimizer: OptimizerName = "adabelief"
    """adabelief learns better, rmsprop needs a quarter less memory."""
    lr_dropout: LrDropout = "n"
    """y trains a random 30 % of the weights a step, for the last sharpness of a trained model; cpu
    draws the choice on the CPU to spare GPU memory."""

    @property
    def parsed_archi(self) -> Archi:
        """`archi`, taken apart."""
        return parse_archi(self.archi)

    @property
    def mask_dims(self) -> int:
        """`d_mask_dims`, or when unset a third of `d_dims` rounded up to even, at least 16."""
        if self.d_mask_dims is not None:
            return self.d_mask_dims
        third = self.d_dims // 3
        return max(16, third + third % 2)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("e_dims", "d_dims", "d_mask_dims"):
            value = getattr(self, name)
            if value is not None and value % 2:
                raise ValueError(f"{name} {value} is odd, it must be even: use {value + 1}")
        step = self.parsed_archi.resolution_step
        if self.resolution % step:
            below, above = self.resolution // step * step, -(-self.resolution // step) * step
            choice = " or ".join(str(r) for r in (below, above) if 64 <= r <= 640)
            raise ValueError(
                f"resolution {self.resolution} does not go with archi {self.archi}, which needs a"
                f" multiple of {step}: {_why(self.parsed_archi)}; use {choice}"
            )
        return self


def _why(archi: Archi) -> str:
    if archi.t:
        return "flag t halves the picture five times"
    if archi.d:
        return "flag d starts its decoder from a 32nd of the side"
    return "the encoder halves the picture four times"


class Quick96Settings(ModelSettings):
    """Quick96: a small fixed model for a first look; nothing to choose but how long."""

    structural: ClassVar[tuple[str, ...]] = ("resolution", "face_type", "archi")
    fixed: ClassVar[tuple[str, ...]] = structural

    resolution: int = Field(default=96, ge=96, le=96)
    """Side of the face picture in pixels: always 96."""
    face_type: FaceTypeField = "full_face"
    """How much of the head is learned: always full_face."""
    archi: ArchiField = "df-ud"
    """The architecture: always df-ud."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.face_type != "full_face":
            raise ValueError("Quick96 learns full_face only; another face type needs SAEHD")
        if self.archi != "df-ud":
            raise ValueError("Quick96 is df-ud only; another architecture needs SAEHD")
        return self
