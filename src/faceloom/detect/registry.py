"""Detectors and landmarkers by name, and a finder made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from faceloom.core import InputError, Progress, Registry
from faceloom.detect.finder import MIN_FACE_PX, FaceFinder, Turns
from faceloom.detect.manual import MANUAL, NoDetector, read_manual
from faceloom.detect.merged import MergedDetector
from faceloom.detect.networks.centerface import CenterFace
from faceloom.detect.networks.dlib_cnn import DlibCnn
from faceloom.detect.networks.fan import open_fan
from faceloom.detect.networks.mesh import MeshLandmarker
from faceloom.detect.networks.mtcnn import Mtcnn
from faceloom.detect.networks.s3fd import S3fd
from faceloom.detect.networks.yunet import YuNet
from faceloom.detect.types import Detector, Landmarker

DetectorFactory = Callable[[int, Progress | None], Detector]
"""Makes a detector from the length of the longer side it looks at, in pixels, and a progress."""
LandmarkerFactory = Callable[[Progress | None], Landmarker]

DETECTORS: Registry[DetectorFactory] = Registry(
    "detector",
    {
        "yunet": lambda side_px, progress: YuNet(long_side_px=side_px, progress=progress),
        "centerface": lambda side_px, progress: CenterFace(long_side_px=side_px, progress=progress),
        "mtcnn": lambda side_px, progress: Mtcnn(long_side_px=side_px, progress=progress),
        "dlib": lambda side_px, progress: DlibCnn(long_side_px=side_px, progress=progress),
        "s3fd": lambda side_px, _: S3fd(long_side_px=side_px),
        MANUAL: lambda _side_px, _progress: NoDetector(),
    },
)
LANDMARKERS: Registry[LandmarkerFactory] = Registry(
    "landmarker",
    {
        "mesh-478": lambda progress: MeshLandmarker(progress=progress),
        "2dfan": lambda progress: open_fan("2dfan", progress),
        "3dfan": lambda progress: open_fan("3dfan", progress),
    },
)

_OWN_SIDE_PX = {"mtcnn": 1920, "dlib": 1850}
_SIDE_PX = 640


def detector_names(text: str) -> tuple[str, ...]:
    """The detectors in a text such as `yunet,centerface`. Raises `InputError` on one unknown."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        DETECTORS[name]
    return names


def default_side_px(name: str) -> int:
    """The longer side at which a detector looks at a picture unless told otherwise, in pixels."""
    return _OWN_SIDE_PX.get(name, _SIDE_PX)


def parse_turns(value: object) -> object:
    """Turns from what a file or a command line may say: `auto`, a number, a text such as `0,90`,
    or a list. Raises `ValueError` on turns that are none; other kinds of values come back."""
    if isinstance(value, int):
        value = [value]
    if isinstance(value, str) and value != "auto":
        value = value.split(",")
    if not isinstance(value, list | tuple):
        return value
    known = {"0": 0, "90": 90, "180": 180, "270": 270}
    turns = dict.fromkeys(str(turn).strip() for turn in value)
    if not turns or any(turn not in known for turn in turns):
        raise ValueError("auto, or some of 0, 90, 180 and 270 with commas, is needed")
    return tuple(known[turn] for turn in turns)


def open_finder(
    detector: str = "yunet",
    landmarker: str = "mesh-478",
    *,
    long_side_px: int | None = None,
    min_face_px: float = MIN_FACE_PX,
    turns: Turns = "auto",
    manual_file: Path | None = None,
    progress: Progress | None = None,
) -> FaceFinder:
    """A finder from names of the registries, fetching the networks' files if need be.

    `detector` may name several with commas: their finds are merged. `long_side_px` is the longer
    side at which they look at a picture, each at its own unless given. `manual` among them takes
    faces from `manual_file`. Raises `InputError` on an unknown name, or `manual` without a file or
    the reverse; `WeightsError` when a network cannot be had.
    """
    names = detector_names(detector)
    if (MANUAL in names) != (manual_file is not None):
        raise InputError(
            "detector manual needs a manual_file with the faces"
            if manual_file is None
            else f"{manual_file}: to use it, put manual among the detectors ({detector},{MANUAL})"
        )
    manual = None if manual_file is None else read_manual(manual_file)
    detectors = [
        DETECTORS[name](long_side_px or default_side_px(name), progress)
        for name in names
        if name != MANUAL
    ]
    return FaceFinder(
        None
        if not detectors
        else detectors[0]
        if len(detectors) == 1
        else MergedDetector(detectors),
        LANDMARKERS[landmarker](progress),
        min_face_px=min_face_px,
        turns=turns,
        manual=manual,
    )
