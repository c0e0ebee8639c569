"""Settings of XSeg."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from faceloom.settings.models.base import FaceTypeField, ModelSettings


class XsegSettings(ModelSettings):
    """XSeg: learns from hand-drawn masks which part of a picture is the face."""

    structural: ClassVar[tuple[str, ...]] = ("resolution", "face_type")
    fixed: ClassVar[tuple[str, ...]] = ("resolution",)

    resolution: int = Field(default=256, ge=256, le=256)
    """Side of the face picture in pixels: always 256."""
    face_type: FaceTypeField = "whole_face"
    """How much of the head the model sees: half_face, midfull_face, full_face, whole_face or head
    (short: h, mf, f, wf). Use that of the faces to be masked."""
    batch_size: int = Field(default=4, ge=2, le=16)
    """Faces in one training step, 2 to 16."""
    learning_rate: float = Field(default=1e-4, gt=0, le=1e-2)
    """Step size of the optimizer."""
    pretrain: bool = False
    """First learn from all faces, without masks, what faces look like; when it is switched off,
    training on the masks starts at iteration 0 from what was learned."""
