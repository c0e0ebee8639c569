"""MTCNN: a cascade of three networks, with the settings of DeepFaceLab 1.0, in ONNX Runtime.

Zhang et al., "Joint face detection and alignment using multi-task cascaded convolutional networks"
(2016).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import Progress
from faceloom.detect.boxes import as_rect, calibrated, suppressed
from faceloom.detect.types import Detection, UInt8Image
from faceloom.weights import fetch
from faceloom.weights.sessions import open_session

_NAMES = ("mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet")
_CELL_PX = 12
_STRIDE = 2
_MOST_AT_ONCE = 256
# From 0.953 on: the last network's quantiles of true detections in 99 pictures against YuNet's.
_CALIBRATION: Final = (
    (0.0, 0.0),
    (0.6, 0.4),
    (0.9, 0.65),
    (0.953, 0.845),
    (0.997, 0.915),
    (1.0, 0.95),
)
Array = NDArray[np.float64]


class Mtcnn:
    """Boxes and five points from an image pyramid.

    The picture is scaled, up or down, so that its longer side is `long_side_px`. Faces of
    `min_face_px` and more are found there, at sizes that differ by `factor`. `thresholds` are the
    lowest scores of the three networks. `threads` is the number of CPU threads of one inference;
    `device` as in `open_session`.
    """

    name = "mtcnn"

    def __init__(
        self,
        models: Sequence[Path] | None = None,
        *,
        long_side_px: int = 1920,
        min_face_px: float = 0.042 * 1920,
        thresholds: tuple[float, float, float] = (0.7, 0.85, 0.6),
        factor: float = 0.95,
        threads: int = 1,
        device: str = "auto",
        progress: Progress | None = None,
    ) -> None:
        paths = models or [fetch(name, progress=progress) for name in _NAMES]
        self._networks = [open_session(path, threads=threads, device=device) for path in paths]
        self._long_side_px = long_side_px
        self._min_face_px = min_face_px
        self._thresholds = thresholds
        self._factor = factor
        self._lock = threading.Lock()

    def detect(self, images: Sequence[UInt8Image]) -> list[list[Detection]]:
        """Faces of each `h w 3` RGB picture, best first."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: UInt8Image) -> list[Detection]:
        height, width = image.shape[:2]
        factor = self._long_side_px / max(height, width)
        size = max(1, round(height * factor)), max(1, round(width * factor))
        scaled = _resize(image, size)
        boxes = self._propose(scaled)
        if len(boxes):
            boxes = self._refine(scaled, boxes)
        if not len(boxes):
            return []
        boxes, points, scores = self._decide(scaled, boxes)
        scale = np.array([width / size[1], height / size[0]])
        found: list[Detection] = []
        for i in suppressed(boxes, scores, 0.7, over="smaller"):
            corners = (boxes[i].reshape(2, 2) + 0.5) * scale - 0.5
            found.append(
                Detection(
                    rect=as_rect(corners.reshape(4)),
                    points=((points[i] + 0.5) * scale - 0.5).astype(np.float32),
                    score=calibrated(float(scores[i]), _CALIBRATION),
                )
            )
        return found

    def _propose(self, image: UInt8Image) -> Array:
        """Boxes `n 4` of the first network at all sizes, corrected by it and made square."""
        height, width = image.shape[:2]
        scale = _CELL_PX / self._min_face_px
        found: list[Array] = []
        while min(height, width) * scale >= _CELL_PX:
            size = int(np.ceil(height * scale)), int(np.ceil(width * scale))
            shifts, probability = self._run(0, _resize(image, size)[None])
            face = probability[0, :, :, 1]
            rows = _windows(face, shifts[0], scale, self._thresholds[0])
            found.append(rows[suppressed(rows[:, :4], rows[:, 4], 0.5)])
            scale *= self._factor
        rows = np.concatenate(found) if found else np.empty((0, 9))
        rows = rows[suppressed(rows[:, :4], rows[:, 4], 0.7)]
        return _square(_shifted(rows[:, :4], rows[:, 5:]))

    def _refine(self, image: UInt8Image, boxes: Array) -> Array:
        """The boxes that the second network accepts, corrected and made square."""
        shifts, probability = self._run(1, _crops(image, boxes, 24))
        scores = probability[:, 1].astype(np.float64)
        good = scores > self._thresholds[1]
        boxes, shifts, scores = boxes[good], shifts[good], scores[good]
        keep = suppressed(boxes, scores, 0.7)
        return _square(_shifted(boxes[keep], shifts[keep]))

    def _decide(self, image: UInt8Image, boxes: Array) -> tuple[Array, Array, Array]:
        """Boxes `n 4`, points `n 5 2` and scores of what the third network accepts."""
        shifts, marks, probability = self._run(2, _crops(image, boxes, 48))
        scores = probability[:, 1].astype(np.float64)
        good = scores > self._thresholds[2]
        boxes, scores = boxes[good], scores[good]
        # Ten numbers: five x, then five y, as fractions of the box.
        five = marks[good].reshape(-1, 2, 5).transpose(0, 2, 1)
        size = (boxes[:, 2:] - boxes[:, :2])[:, None]
        points = boxes[:, None, :2] + five * size
        return _shifted(boxes, shifts[good]), points, scores

    def _run(self, number: int, pictures: NDArray[np.uint8]) -> list[Any]:
        """A network's outputs for `n h w 3`. The networks take pictures transposed."""
        network = self._networks[number]
        values = (pictures.astype(np.float32) - np.float32(127.5)) / np.float32(128)
        values = np.ascontiguousarray(values.transpose(0, 2, 1, 3))
        parts: list[list[Any]] = []
        for start in range(0, len(values), _MOST_AT_ONCE):
            batch = values[start : start + _MOST_AT_ONCE]
            with self._lock:
                parts.append(network.run(None, {network.get_inputs()[0].name: batch}))
        return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _windows(face: NDArray[Any], shifts: NDArray[Any], scale: float, least: float) -> Array:
    """Rows of box, score and shifts for the cells (x, y) of the first network above `least`."""
    columns, rows = np.nonzero(face > least)
    corner = np.stack([columns, rows], axis=1).astype(np.float64) * _STRIDE
    boxes = np.concatenate([corner, corner + _CELL_PX], axis=1) / scale
    scores = face[columns, rows].astype(np.float64)[:, None]
    return np.concatenate([boxes, scores, shifts[columns, rows].astype(np.float64)], axis=1)


def _shifted(boxes: Array, shifts: NDArray[Any]) -> Array:
    """Boxes with the networks' corrections, which are in units of width and height."""
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes + shifts * np.concatenate([size, size], axis=1)


def _square(boxes: Array) -> Array:
    """Squares around the same centres, as large as the longer sides."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def _crops(image: UInt8Image, boxes: Array, side_px: int) -> NDArray[np.uint8]:
    """`n side side 3`: the contents of the boxes, black outside the picture."""
    crops = np.zeros((len(boxes), side_px, side_px, 3), dtype=np.uint8)
    height, width = image.shape[:2]
    for crop, box in zip(crops, boxes, strict=True):
        left, top, right, bottom = (int(value) for value in np.round(box))
        canvas = np.zeros((max(1, bottom - top), max(1, right - left), 3), dtype=np.uint8)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if x1 > x0 and y1 > y0:
            canvas[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
            crop[:] = _resize(canvas, (side_px, side_px))
    return crops


def _resize(image: UInt8Image, size: tuple[int, int]) -> UInt8Image:
    # Area interpolation in both directions, as these networks were trained.
    picture = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(picture, dtype=np.uint8)
