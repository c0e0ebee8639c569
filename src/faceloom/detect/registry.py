"""Detectors and landmarkers by name, and a face finder made from them."""

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
from faceloom.settings.detection import default_side_px, detector_names

DetectorFactory = Callable[[int, str, Progress | None], Detector]
"""Makes a detector from the longer side in pixels at which it sees a picture, a device, and a
progress."""
LandmarkerFactory = Callable[[str, Progress | None], Landmarker]
"""Makes a landmarker from a device and a progress."""

DETECTORS: Registry[DetectorFactory] = Registry(
    "detector",
    {
        "yunet": lambda side_px, device, progress: YuNet(
            long_side_px=side_px, device=device, progress=progress
        ),
        "centerface": lambda side_px, device, progress: CenterFace(
            long_side_px=side_px, device=device, progress=progress
        ),
        "mtcnn": lambda side_px, device, progress: Mtcnn(
            long_side_px=side_px, device=device, progress=progress
        ),
        "dlib": lambda side_px, _, progress: DlibCnn(long_side_px=side_px, progress=progress),
        "s3fd": lambda side_px, device, _: S3fd(long_side_px=side_px, device=device),
        MANUAL: lambda _side_px, _device, _progress: NoDetector(),
    },
)
LANDMARKERS: Registry[LandmarkerFactory] = Registry(
    "landmarker",
    {
        "mesh-478": lambda _, progress: MeshLandmarker(progress=progress),
        "2dfan": lambda device, progress: open_fan("2dfan", device=device, progress=progress),
        "3dfan": lambda device, progress: open_fan("3dfan", device=device, progress=progress),
    },
)


def open_finder(
    detector: str = "yunet",
    landmarker: str = "mesh-478",
    *,
    long_side_px: int | None = None,
    min_face_px: float = MIN_FACE_PX,
    turns: Turns = "auto",
    manual_file: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> FaceFinder:
    """A finder from names in the registries. Fetches the networks' files where necessary.

    `detector` may name several detectors, separated by commas; their detections are merged.
    `long_side_px` is the longer side at which they see a picture; by default each has its own.
    `manual` among them takes faces from `manual_file`.

    `device` is `auto`, `cpu`, `cuda`, `cuda:n` or `mps`. S3FD and FAN run on it in PyTorch; `auto`
    is CUDA if there is any, otherwise the CPU. YuNet, CenterFace and MTCNN use it in ONNX Runtime
    as `open_session` says. The mesh (LiteRT) always runs on the CPU; dlib decides by itself.

    Raises `InputError` on an unknown name, and for `manual` without a file or a file without
    `manual`; `WeightsError` when a network is not available.
    """
    names = detector_names(detector)
    if (MANUAL in names) != (manual_file is not None):
        raise InputError(
            "detector manual needs a file with faces: set manual_file"
            if manual_file is None
            else f"{manual_file}: not used; add manual to the detectors: {detector},{MANUAL}"
        )
    manual = None if manual_file is None else read_manual(manual_file)
    detectors = [
        DETECTORS[name](long_side_px or default_side_px(name), device, progress)
        for name in names
        if name != MANUAL
    ]
    return FaceFinder(
        MergedDetector(detectors) if len(detectors) > 1 else next(iter(detectors), None),
        LANDMARKERS[landmarker](device, progress),
        min_face_px=min_face_px,
        turns=turns,
        manual=manual,
    )
