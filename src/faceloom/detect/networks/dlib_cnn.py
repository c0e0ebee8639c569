"""dlib's CNN detector, as DeepFaceLab 1.0 used it. Optional: `pip install 'faceloom[dlib]'`.

King, "Max-margin object detection" (2015).
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from faceloom.core import InputError, Progress
from faceloom.detect.boxes import calibrated
from faceloom.detect.points import points_in_box
from faceloom.detect.types import Detection, UInt8Image
from faceloom.weights import fetch

# dlib's score is a margin: 0 at its own limit, about 1.1 for a frontal face. This is a rule of
# thumb, since dlib is too slow to measure it on many pictures.
_CALIBRATION: Final = ((0.0, 0.3), (0.4, 0.6), (0.8, 0.85), (1.1, 0.93), (1.3, 1.0))


class DlibCnn:
    """Boxes from brows to chin. dlib finds no points; those of a mean face are used.

    The picture is scaled, up or down, so that its longer side is `long_side_px`; faces of about
    80 px and more are found at that size. Runs on the CPU, unless dlib was built with CUDA. Raises
    `InputError` if dlib is not installed.
    """

    name = "dlib"

    def __init__(
        self,
        model: Path | None = None,
        *,
        long_side_px: int = 1850,
        progress: Progress | None = None,
    ) -> None:
        dlib = _dlib()
        path = model or fetch("dlib-cnn", progress=progress)
        self._long_side_px = long_side_px
        self._lock = threading.Lock()
        self._network: Any = dlib.cnn_face_detection_model_v1(str(path))

    def detect(self, images: Sequence[UInt8Image]) -> list[list[Detection]]:
        """Faces of each `h w 3` RGB picture, in dlib's order."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: UInt8Image) -> list[Detection]:
        factor = self._long_side_px / max(image.shape[:2])
        size = tuple(max(1, round(length * factor)) for length in image.shape[1::-1])
        scaled = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
        with self._lock:
            answers = self._network(np.ascontiguousarray(scaled), 0)
        found: list[Detection] = []
        for answer in answers:
            box = answer.rect
            sides = (box.left(), box.top(), box.right(), box.bottom())
            left, top, right, bottom = (side / factor for side in sides)
            rect = (left, top, right, bottom)
            score = calibrated(float(answer.confidence), _CALIBRATION)
            found.append(Detection(rect, points_in_box(rect), score))
        return found


def _dlib() -> Any:
    try:
        return importlib.import_module("dlib")
    except ImportError as error:
        missing = error.name == "dlib"
        reason = "is not installed" if missing else f"cannot be loaded ({error})"
        raise InputError(
            f"detector dlib: dlib {reason}; run `pip install 'faceloom[dlib]'` or use another "
            "detector"
        ) from None
