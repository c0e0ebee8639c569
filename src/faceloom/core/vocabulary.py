"""The field's own words that several packages and configurations share.

This module imports nothing heavy, so that a configuration which names them loads at once.
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

FACE_TYPES: Final[tuple[FaceType, ...]] = get_args(FaceType)
"""All types, each containing the ones before it (reference: pipeline.md 2.6)."""

SHORT: Final[Mapping[str, FaceType]] = MappingProxyType(
    {
        "h": "half_face",
        "mf": "midfull_face",
        "f": "full_face",
        "wf": "whole_face",
        "head": "head",
    }
)
"""The short names that training options use."""

ModelClassName = Literal["SAEHD", "AMP", "Quick96", "XSeg"]
Weights = Literal["trained", "mean", "auto"]
"""The weights of the last step, their running mean, or the mean where the model has one."""

TransferName = Literal["none", "rct", "lct", "mkl", "idt", "sot"]
"""Colour transfers by DFL's names; `none` leaves the colours alone."""
TransferStatistics = Literal["inside", "whole"]
"""Which pixels a transfer of training samples measures: the faces inside their masks, or whole
pictures."""

Turn = Literal[0, 90, 180, 270]
Turns = Literal["auto"] | tuple[Turn, ...]
"""Clockwise turns at which a picture is searched: those listed, or with `auto` upright first and
the others only where nothing was found, a find is doubtful or a tracked face was lost."""

MIN_FACE_PX: Final = 12
"""Faces whose landmarks span fewer pixels are left out by default: below that, even noise gets a
good presence score, and a real face is too small to learn from."""

SwapClass = Literal["SAEHD", "AMP", "Quick96"]
"""The classes of models that put one face on another."""

WeightsChoice = Literal["auto", "trained", "mean"]
"""The weights of the last step (trained), their running mean that training with `ema_decay` keeps
(mean), or the mean where there is one (auto)."""

PrecisionChoice = Literal["auto", "fp32", "bf16"]

MaskStatistics = Literal["black", "inside"]
"""How a transfer treats pixels outside the mask: as black, or not at all."""

VideoCodec = Literal["h264", "h265", "prores", "ffv1", "h264-lossless"]

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
"""Speed of x264 and x265: slower presets make smaller files."""

Ground = Literal["own", "consent", "licence", "public-domain", "synthetic"]
"""Why a person's likeness may be used."""
