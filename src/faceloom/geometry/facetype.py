"""Face types: how much of the head a square crop shows, by DFL's names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from faceloom.core import InputError
from faceloom.core.vocabulary import FACE_TYPES, SHORT, FaceType

PADDING: Final[Mapping[FaceType, float]] = MappingProxyType(
    {
        "half_face": 0.0,
        "midfull_face": 0.0675,
        "full_face": 0.2109375,
        "full_face_no_align": 0.2109375,
        "whole_face": 0.40,
        "head": 0.70,
        "head_no_align": 0.70,
    }
)
"""Padding constant p: the crop's side is (1 + 2·√2·p) template sides."""


def face_type(name: str) -> FaceType:
    """The face type called `name`, long or short; `InputError` if there is none."""
    if name in FACE_TYPES:
        return name
    try:
        return SHORT[name]
    except KeyError:
        known = ", ".join((*FACE_TYPES, *SHORT))
        raise InputError(f"unknown face type {name!r}; known: {known}") from None


def covers(outer: FaceType, inner: FaceType) -> bool:
    """Whether a crop of type `outer` shows at least the area of type `inner`."""
    return FACE_TYPES.index(outer) >= FACE_TYPES.index(inner)
