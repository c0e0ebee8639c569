"""Settings of Quick96."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from faceloom.settings.models.base import FaceTypeField, ModelSettings
from faceloom.settings.models.saehd import ArchiField


class Quick96Settings(ModelSettings):
    """Quick96: a small fixed model for a first look; the only choice is how long it trains."""

    structural: ClassVar[tuple[str, ...]] = ("resolution", "face_type", "archi")
    fixed: ClassVar[tuple[str, ...]] = (*structural, "pretrain")

    resolution: int = Field(default=96, ge=96, le=96)
    """Side of the face picture in pixels: always 96."""
    face_type: FaceTypeField = "full_face"
    """How much of the head is learned: always full_face."""
    archi: ArchiField = "df-ud"
    """The architecture: always df-ud."""
    learning_rate: float = Field(default=2e-4, gt=0, le=1e-2)
    """Step size of the optimizer, four times SAEHD's, for a quick first look."""
    pretrain: bool = False
    """Always off: a model that trains in minutes needs no head start from other people's faces."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.face_type != "full_face":
            raise ValueError("Quick96 learns full_face only; for another face type use SAEHD")
        if self.archi != "df-ud":
            raise ValueError("Quick96 is df-ud only; for another architecture use SAEHD")
        if self.pretrain:
            raise ValueError(
                "Quick96 trains in minutes, less time than pretraining takes; to pretrain use SAEHD"
            )
        return self
