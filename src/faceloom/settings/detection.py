"""Detectors and landmarkers by name, and the settings they share."""

from __future__ import annotations

from typing import Final, Literal, get_args

from faceloom.core.config import suggestion
from faceloom.core.errors import InputError

DetectorName = Literal["yunet", "centerface", "mtcnn", "dlib", "s3fd", "manual"]
LandmarkerName = Literal["mesh-478", "2dfan", "3dfan"]
DETECTOR_NAMES: Final[tuple[DetectorName, ...]] = get_args(DetectorName)
LANDMARKER_NAMES: Final[tuple[LandmarkerName, ...]] = get_args(LandmarkerName)

_SIDES_PX: Final = {"mtcnn": 1920, "dlib": 1850}
_SIDE_PX: Final = 640


def detector_names(text: str) -> tuple[str, ...]:
    """The detectors in a text such as `yunet,centerface`. `InputError` on an unknown name."""
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",")))
    for name in names:
        if name not in DETECTOR_NAMES:
            raise InputError(f"unknown detector {name!r}; {suggestion(name, DETECTOR_NAMES)}")
    return names


def default_side_px(name: str) -> int:
    """The longer side at which a detector sees a picture by default, in pixels."""
    return _SIDES_PX.get(name, _SIDE_PX)


def parse_turns(value: object) -> object:
    """Turns from what a file or a command line may contain: `auto`, a number, a text such as
    `0,90`, or a list. Raises `ValueError` on other turns; returns other types as they are."""
    if isinstance(value, int):
        value = [value]
    if isinstance(value, str):
        value = value if value.lower() == "auto" else value.split(",")
    if not isinstance(value, list | tuple):
        return value
    known = {"0": 0, "90": 90, "180": 180, "270": 270}
    turns = dict.fromkeys(str(turn).strip() for turn in value)
    if not turns or any(turn not in known for turn in turns):
        raise ValueError("must be auto, or some of 0, 90, 180 and 270, separated by commas")
    return tuple(known[turn] for turn in turns)
