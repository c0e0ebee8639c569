"""What a user chooses about a model (reference: training.md 2.1 and 4)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from faceloom.color import TransferName, TransferStatistics
from faceloom.core import InputError, Settings
from faceloom.models.archi import Archi, parse_archi
from faceloom.models.discriminators import patch_step

ModelFaceType = Literal["half_face", "midfull_face", "full_face", "whole_face", "head"]
OptimizerName = Literal["adabelief", "rmsprop"]
LrDropout = Literal["n", "y", "cpu"]

SMALLEST_PATCH, LARGEST_PATCH = 3, 640

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
    pretraining: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Settings that have another value while `pretrain` is on, and that value."""

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

    @property
    def overridden(self) -> dict[str, Any]:
        """Settings that pretraining overrules now, with the values in force instead."""
        forced = self.pretraining if self.pretrain else {}
        return {name: value for name, value in forced.items() if getattr(self, name) != value}

    @property
    def effective(self) -> Self:
        """These settings with what is `overridden`: by them the training goes at present."""
        return self.model_copy(update=self.overridden)


def largest_patch_size(limit: int, resolution: int) -> int:
    """The largest patch size up to `limit` whose discriminator fits pictures of `resolution`, px.

    It fits when it halves the picture evenly all the way (see `patch_step`). A larger patch takes
    no fewer halvings, so above one that does not fit there is none that does.
    """
    sizes = range(limit, SMALLEST_PATCH, -1)
    fits = (size for size in sizes if resolution % patch_step(size) == 0)
    return next(fits, SMALLEST_PATCH)


def check_patch_size(patch_size: int, resolution: int) -> None:
    """`ValueError`, in one line, when a discriminator of this patch size does not fit."""
    step = patch_step(patch_size)
    if resolution % step:
        raise ValueError(
            f"gan_patch_size {patch_size} does not go with resolution {resolution}: its"
            f" discriminator needs a multiple of {step}; use"
            f" {largest_patch_size(patch_size, resolution)} or less"
        )


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
    pretraining: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            "random_warp": False,
            "random_src_flip": True,
            "random_dst_flip": True,
            "random_hsv_power": 0.0,
            "uniform_yaw": True,
            "ct_mode": "none",
            "lr_dropout": "n",
            "gan_power": 0.0,
            "true_face_power": 0.0,
            "face_style_power": 0.0,
            "bg_style_power": 0.0,
            "perceptual_power": 0.0,
            "identity_power": 0.0,
        }
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
    random_hsv_power: float = Field(default=0.0, ge=0, le=0.3)
    """Change hue, saturation and brightness of src's pictures at random by up to this much, 0 to
    0.3: for facesets in one light only. 0.05 is much already; 0 is off."""
    ct_mode: TransferName = "none"
    """Give each src picture the colours of a random dst picture, so that the swap takes on dst's
    light: rct and lct match the colours' means and spreads, mkl also how they vary together, idt
    and sot the whole distribution, slower; none leaves them alone."""
    ct_statistics: TransferStatistics = "inside"
    """Whose colours ct_mode matches: inside, the faces' inside their masks; whole, those of the
    whole pictures as DeepFaceLab does, where a dark background makes src's face dark, too."""
    uniform_yaw: bool = False
    """Show every yaw angle equally often, for profiles that are rare in the faceset."""
    blur_out_mask: bool = False
    """Blur what lies outside the mask in the training pictures: a calmer edge near the mask."""
    gan_power: float = Field(default=0.0, ge=0, le=5)
    """Train against a discriminator that learns to tell src's pictures from the model's: fine
    detail of skin and hair. 0 to 5; for the very end, with random_warp off, at about 0.1; 0 is
    off."""
    gan_patch_size: int | None = Field(default=None, ge=SMALLEST_PATCH, le=LARGEST_PATCH)
    """Pixels across that the discriminator judges at a time, 3 to 640; unset: an eighth of the
    resolution. More judges larger features and needs more memory; another value starts the
    discriminator afresh."""
    gan_dims: int = Field(default=16, ge=4, le=512)
    """Width of the discriminator, 4 to 512: more sees finer faults and needs more memory; another
    value starts it afresh."""
    true_face_power: float = Field(default=0.0, ge=0, le=1)
    """Make src's codes look like dst's by a discriminator, so that the swap is more like src. 0 to
    1, df only; try 0.01; 0 is off."""
    face_style_power: float = Field(default=0.0, ge=0, le=100)
    """Draw the swap's colours towards dst's face, 0 to 100: for skin that does not match. Start at
    0.001 once the face is clear, watch the preview, keep backups; 0 is off."""
    bg_style_power: float = Field(default=0.0, ge=0, le=100)
    """Draw what the swap has around the face towards dst's picture, 0 to 100: for a face shape
    nearer dst's. Try 2; costs likeness; 0 is off."""
    perceptual_power: float = Field(default=0.0, ge=0, le=10)
    """Compare pictures also by the features of a network that sees as people do, 0 to 10: crisper
    texture without a discriminator, from the middle of the training on. Try 1; slower; 0 is
    off."""
    identity_power: float = Field(default=0.0, ge=0, le=10)
    """Draw the swap and src's own pictures towards src's identity as a face recogniser sees it, 0
    to 10: for a swap that is not src enough. Try 1; slower; 0 is off."""
    models_opt_on_gpu: bool = True
    """Keep the optimizer's memory on the GPU; off, it stays in the computer's own: for models that
    do not fit otherwise, at a loss of speed."""
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
    def patch_size(self) -> int:
        """`gan_patch_size`; unset an eighth of the resolution, or less where that does not fit."""
        if self.gan_patch_size is not None:
            return self.gan_patch_size
        return largest_patch_size(self.resolution // 8, self.resolution)

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
        self._check_resolution()
        if self.gan_power:
            check_patch_size(self.patch_size, self.resolution)
        if self.true_face_power and self.parsed_archi.kind == "liae":
            raise ValueError(
                f"true_face_power needs a df archi, not {self.archi}: liae has no code that holds"
                " one face alone; use 0"
            )
        return self

    def _check_resolution(self) -> None:
        step = self.parsed_archi.resolution_step
        if self.resolution % step:
            below, above = self.resolution // step * step, -(-self.resolution // step) * step
            choice = " or ".join(str(r) for r in (below, above) if 64 <= r <= 640)
            raise ValueError(
                f"resolution {self.resolution} does not go with archi {self.archi}, which needs a"
                f" multiple of {step}: {_why(self.parsed_archi)}; use {choice}"
            )


def _why(archi: Archi) -> str:
    if archi.t:
        return "flag t halves the picture five times"
    if archi.d:
        return "flag d starts its decoder from a 32nd of the side"
    return "the encoder halves the picture four times"


class Quick96Settings(ModelSettings):
    """Quick96: a small fixed model for a first look; nothing to choose but how long."""

    structural: ClassVar[tuple[str, ...]] = ("resolution", "face_type", "archi")
    fixed: ClassVar[tuple[str, ...]] = (*structural, "pretrain")

    resolution: int = Field(default=96, ge=96, le=96)
    """Side of the face picture in pixels: always 96."""
    face_type: FaceTypeField = "full_face"
    """How much of the head is learned: always full_face."""
    archi: ArchiField = "df-ud"
    """The architecture: always df-ud."""
    learning_rate: float = Field(default=2e-4, gt=0, le=1e-2)
    """Step size of the training, four times SAEHD's: a first look should come soon."""
    pretrain: bool = False
    """Always off: what is trained in minutes needs no start from other people's faces."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.face_type != "full_face":
            raise ValueError("Quick96 learns full_face only; another face type needs SAEHD")
        if self.archi != "df-ud":
            raise ValueError("Quick96 is df-ud only; another architecture needs SAEHD")
        if self.pretrain:
            raise ValueError(
                "Quick96 is a first look of some minutes, which pretraining would outlast; to"
                " pretrain use SAEHD"
            )
        return self
