"""Settings of SAEHD."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from faceloom.core.errors import InputError
from faceloom.settings.models.archi import Archi, parse_archi
from faceloom.settings.models.base import FaceTypeField, ModelSettings, SwapSettings


def _canonical_archi(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_archi(value).name
    except InputError as error:
        raise ValueError(str(error)) from None


def _optimizer_name(value: Any) -> Any:
    """DeepFaceLab's option is a switch, `adabelief`."""
    switch = str(value).lower()
    if switch in {"true", "y", "yes", "1", "on"}:
        return "adabelief"
    return "rmsprop" if switch in {"false", "n", "no", "0", "off"} else value


ArchiField = Annotated[str, BeforeValidator(_canonical_archi)]
OptimizerName = Annotated[Literal["adabelief", "rmsprop"], BeforeValidator(_optimizer_name)]


class SaehdSettings(SwapSettings):
    """SAEHD: the workhorse, in any size and architecture."""

    ALIASES: ClassVar[Mapping[str, str]] = {**ModelSettings.ALIASES, "adabelief": "optimizer"}

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
    """Side of the face picture in pixels, 64 to 640: a multiple of 16, or of 32 with flag d or t.
    More shows finer detail; time and memory grow with its square."""
    face_type: FaceTypeField = "full_face"
    """How much of the head is learned: half_face, midfull_face, full_face, whole_face or head
    (short: h, mf, f, wf)."""
    archi: ArchiField = "liae-ud"
    """df keeps src's likeness closer, liae adapts better to dst's light and shape. Flags after a
    dash: u more likeness to src, d twice the resolution at the same cost, t even more likeness,
    c a different activation (experimental)."""
    masked_training: bool = True
    """Train only the face inside its mask and ignore the background."""
    eyes_mouth_prio: bool = False
    """Give eyes and mouth more weight, against a wrong gaze or a mouth without teeth."""
    random_hsv_power: float = Field(default=0.0, ge=0, le=0.3)
    """Change hue, saturation and brightness of src's pictures at random by up to this much, 0 to
    0.3; 0: off. Only for facesets in a single light; 0.05 is already a lot."""
    true_face_power: float = Field(default=0.0, ge=0, le=1)
    """Make src's codes look like dst's, using a discriminator, so that the swap looks more like
    src. 0 to 1; 0: off; df only. Try 0.01."""
    face_style_power: float = Field(default=0.0, ge=0, le=100)
    """Pull the swap's colours towards dst's face, for skin that does not match. 0 to 100; 0: off.
    Start at 0.001 once the face is clear, watch the preview and keep backups."""
    bg_style_power: float = Field(default=0.0, ge=0, le=100)
    """Pull the area around the swapped face towards dst's picture, for a face shape closer to
    dst's. 0 to 100; 0: off. Try 2; costs likeness."""
    perceptual_power: float = Field(default=0.0, ge=0, le=10)
    """Also compare pictures by the features of a network trained on human judgement: crisper
    texture without a discriminator, from the middle of training on. 0 to 10; 0: off. Try 1;
    slower."""
    identity_power: float = Field(default=0.0, ge=0, le=10)
    """Pull the swap and src's own pictures towards src's identity as a face recogniser sees it, for
    a swap that does not look enough like src. 0 to 10; 0: off. Try 1; slower."""
    optimizer: OptimizerName = "adabelief"
    """adabelief learns better, rmsprop needs a quarter less memory."""

    @property
    def parsed_archi(self) -> Archi:
        """`archi`, parsed."""
        return parse_archi(self.archi)

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_resolution()
        self.check_networks()
        if self.true_face_power and self.parsed_archi.kind == "liae":
            raise ValueError(
                f"true_face_power needs a df archi, not {self.archi}: a liae model has no"
                " code for one person alone; use 0"
            )
        return self

    def _check_resolution(self) -> None:
        step = self.parsed_archi.resolution_step
        if self.resolution % step:
            below, above = self.resolution // step * step, -(-self.resolution // step) * step
            choice = " or ".join(str(r) for r in (below, above) if 64 <= r <= 640)
            raise ValueError(
                f"resolution {self.resolution} does not fit archi {self.archi}, which needs a"
                f" multiple of {step}: {_why(self.parsed_archi)}; use {choice}"
            )


def _why(archi: Archi) -> str:
    if archi.t:
        return "flag t halves the picture five times"
    if archi.d:
        return "with flag d the decoder starts at a 32nd of the side"
    return "the encoder halves the picture four times"
