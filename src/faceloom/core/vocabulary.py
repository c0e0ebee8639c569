"""Words of the field that several packages and configurations share.

This module imports nothing heavy, so a configuration that uses them loads quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

Side = Literal["src", "dst"]
SIDES: Final[tuple[Side, Side]] = ("src", "dst")

FaceType = Literal[
    "half_face",
    "midfull_face",
    "full_face",
    "full_face_no_align",
    "whole_face",
    "head",
    "head_no_align",
    "mark_only",
]

# Each type shows what the ones before it show, and more.
FACE_TYPES: Final[tuple[FaceType, ...]] = get_args(FaceType)

# DeepFaceLab's short names.
SHORT: Final[Mapping[str, FaceType]] = MappingProxyType(
    {
        "h": "half_face",
        "mf": "midfull_face",
        "f": "full_face",
        "wf": "whole_face",
        "head": "head",
    }
)

ModelClassName = Literal["SAEHD", "AMP", "Quick96", "XSeg"]
# Weights of the last step, their running mean, or the mean if the model has one.
Weights = Literal["auto", "trained", "mean"]

# Colour transfers by DeepFaceLab's names.
TransferName = Literal["none", "rct", "lct", "mkl", "idt", "sot"]
# Pixels that a transfer of training samples measures: inside the masks, or whole pictures.
TransferStatistics = Literal["inside", "whole"]

# Clockwise turns at which a picture is searched. With `auto`, upright first, and the others only if
# nothing was found, a detection is doubtful, or a tracked face was lost.
Turn = Literal[0, 90, 180, 270]
Turns = Literal["auto"] | tuple[Turn, ...]

# Smaller faces (by the span of their landmarks) are skipped by default: at that size even noise
# gets a good presence score, and a real face is too small to learn from.
MIN_FACE_PX: Final = 12

# Model classes that put one face on another.
SwapClass = Literal["SAEHD", "AMP", "Quick96"]

PrecisionChoice = Literal["auto", "fp32", "bf16"]

# How a colour transfer treats pixels outside the mask: as black, or not at all.
MaskStatistics = Literal["black", "inside"]

VideoCodec = Literal["h264", "h265", "prores", "ffv1", "h264-lossless"]

# Speed of x264 and x265: slower presets make smaller files.
Preset = Literal[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
]

# Why a person's likeness may be used.
Ground = Literal["own", "consent", "licence", "public-domain", "synthetic"]
