"""What a user chooses about a mask model (reference: training.md 5.2)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from faceloom.models.settings import FaceTypeField, ModelSettings


class XsegSettings(ModelSettings):
    """XSeg: learns from hand-drawn masks which part of a picture is the face."""

    structural: ClassVar[tuple[str, ...]] = ("resolution", "face_type")
    fixed: ClassVar[tuple[str, ...]] = ("resolution",)

    resolution: int = Field(default=256, ge=256, le=256)
    """Side of the face picture in pixels: always 256."""
    face_type: FaceTypeField = "whole_face"
    """How much of the head the model looks at: half_face, midfull_face, full_face, whole_face or
    head (also h, mf, f, wf). Take that of the faces to be masked."""
    batch_size: int = Field(default=4, ge=2, le=16)
    """Faces that one training step looks at, 2 to 16."""
    learning_rate: float = Field(default=1e-4, gt=0, le=1e-2)
    """Step size of the training."""
    pretrain: bool = False
    """First learn from all faces, without masks, what faces look like; switched off, training on
    the masks starts at iteration 0 with what was learned."""
