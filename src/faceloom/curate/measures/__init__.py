"""Measures of one face: sharpness, light, pose, expression, occlusion; and what a faceset shows."""

from faceloom.curate.measures.aligned import aligned_face, luma
from faceloom.curate.measures.blendshapes import blendshape_columns
from faceloom.curate.measures.light import LightReader
from faceloom.curate.measures.occlusion import occlusion_of
from faceloom.curate.measures.phash import perceptual_hash
from faceloom.curate.measures.pose import (
    dfl_pose,
    enlargement,
    identity_crop_px,
    legacy_pose,
    picture_aspect,
    pose_deg,
    source_size_px,
)
from faceloom.curate.measures.sharpness import cpbd, motion_blur
from faceloom.curate.measures.spectral import spectral_sharpness
from faceloom.curate.measures.tone import black_samples, brightness_and_hue, histograms
from faceloom.curate.measures.traits import (
    EXPRESSIONS,
    TRAIT_COLUMNS,
    Expression,
    Traits,
    known,
    traits_of,
)

__all__ = [
    "EXPRESSIONS",
    "TRAIT_COLUMNS",
    "Expression",
    "LightReader",
    "Traits",
    "aligned_face",
    "black_samples",
    "blendshape_columns",
    "brightness_and_hue",
    "cpbd",
    "dfl_pose",
    "enlargement",
    "histograms",
    "identity_crop_px",
    "known",
    "legacy_pose",
    "luma",
    "motion_blur",
    "occlusion_of",
    "perceptual_hash",
    "picture_aspect",
    "pose_deg",
    "source_size_px",
    "spectral_sharpness",
    "traits_of",
]
