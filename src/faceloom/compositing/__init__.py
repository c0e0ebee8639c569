"""Composite swapped faces onto frames, changing only the region of each face."""

from faceloom.compositing.composite import Composite, composite, paste_faces
from faceloom.compositing.crop import (
    FaceCrop,
    FaceGeometry,
    Predictor,
    SwappedFace,
    WorkingTransform,
    cut_faces,
)
from faceloom.compositing.mask import combine_masks, finish_mask
from faceloom.settings.merge import MaskMode, MergeSettings

__all__ = [
    "Composite",
    "FaceCrop",
    "FaceGeometry",
    "MaskMode",
    "MergeSettings",
    "Predictor",
    "SwappedFace",
    "WorkingTransform",
    "combine_masks",
    "composite",
    "cut_faces",
    "finish_mask",
    "paste_faces",
]
