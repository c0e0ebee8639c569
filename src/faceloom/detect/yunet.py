"""YuNet: boxes and five points, through OpenCV."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from faceloom.core import Progress
from faceloom.detect.types import Detection, UInt8Image
from faceloom.weights import fetch

_OVERLAP = 0.3
_MOST_CANDIDATES = 500


class YuNet:
    """The detector of Wu et al., "YuNet: a tiny millisecond-level face detector" (2023).

    The picture is looked at with its longer side at `long_side_px`, smaller ones enlarged: faces
    down to about 10 px at that size are found, so 640 finds a face of 20 px in 720p and one of
    60 px in 4K. `score` is the least score of a detection.
    """

    name = "yunet"

    def __init__(
        self,
        model: Path | None = None,
        *,
        long_side_px: int = 640,
        score: float = 0.5,
        progress: Progress | None = None,
    ) -> None:
        path = model or fetch("yunet", progress=progress)
        self._long_side_px = long_side_px
        self._lock = threading.Lock()
        with _quiet_opencv():
            self._network: Any = cv2.FaceDetectorYN.create(
                str(path), "", (320, 320), score, _OVERLAP, _MOST_CANDIDATES
            )

    def detect(self, images: Sequence[UInt8Image]) -> list[list[Detection]]:
        """Faces of each `h w 3` RGB picture, best first."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: UInt8Image) -> list[Detection]:
        height, width = image.shape[:2]
        factor = self._long_side_px / max(height, width)
        size = max(1, round(width * factor)), max(1, round(height * factor))
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        small = cv2.resize(image, size, interpolation=method)
        small = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        with self._lock:
            self._network.setInputSize(size)
            rows = self._network.detect(small)[1]
        if rows is None:
            return []
        scale = np.array([width / size[0], height / size[1]])
        return [_detection(row, scale) for row in rows]


def _detection(row: np.ndarray[Any, Any], scale: np.ndarray[Any, Any]) -> Detection:
    """One row of YuNet's output, x y w h, five points, score, in the picture's pixels.

    A resize keeps the outer edges of the picture in place, and a pixel's centre is at integer
    coordinates: hence the halves.
    """
    corners = np.array([row[:2], row[:2] + row[2:4]], dtype=np.float64)
    corners = (corners + 0.5) * scale - 0.5
    points = (row[4:14].reshape(5, 2).astype(np.float64) + 0.5) * scale - 0.5
    return Detection(
        rect=(
            float(corners[0, 0]),
            float(corners[0, 1]),
            float(corners[1, 0]),
            float(corners[1, 1]),
        ),
        points=points.astype(np.float32),
        score=float(min(row[14], 1.0)),
    )


@contextlib.contextmanager
def _quiet_opencv() -> Generator[None]:
    """OpenCV 5 warns about a backend choice that it makes itself while it loads YuNet."""
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)
