"""A detector that sees coloured squares, and a landmarker that trusts it: no network needed.

A face is a square of one red level with one blue corner at its top left; landmarks are spread in
the square, so that every mapping can be checked to the pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from faceloom.detect import Detection, FaceLandmarks, FoundFace, Region, Seed


def canvas(height: int = 120, width: int = 200) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def paint(image: np.ndarray, left: int, top: int, side: int, level: int = 200) -> None:
    """A face: red, its top-left quarter blue as well."""
    image[top : top + side, left : left + side, 0] = level
    image[top : top + side // 2, left : left + side // 2, 2] = 255


def spread(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """68 points that fill a rectangle, corners included."""
    x = np.linspace(left, right, 68)
    y = np.concatenate([np.linspace(top, bottom, 34), np.linspace(bottom, top, 34)])
    return np.stack([x, y], axis=1).astype(np.float32)


class SquareDetector:
    """Sees the squares whose blue corner is at their top left, that is, the upright ones."""

    name = "squares"

    def __init__(self) -> None:
        self.calls = 0
        self.blind = False

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        return [self._one(image) for image in images]

    def _one(self, image: np.ndarray) -> list[Detection]:
        self.calls += 1
        if self.blind:
            return []
        found: list[Detection] = []
        for level in np.unique(image[..., 0]):
            if level < 100:
                continue
            rows, columns = np.nonzero(image[..., 0] == level)
            top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
            if not image[top, left, 2]:
                continue
            eyes = [[left + 2, top + 2], [right - 2, top + 2]]
            lower = [[(left + right) / 2, (top + bottom) / 2], [left, bottom], [right, bottom]]
            points = np.array([*eyes, *lower], dtype=np.float32)
            rect = (float(left), float(top), float(right), float(bottom))
            found.append(Detection(rect, points, 0.9))
        return found


class TrustingLandmarker:
    """Fills the detection's rectangle, or the place of a seed where the picture is red."""

    name = "trusting"

    def __init__(self, presence: float = 20.0) -> None:
        self.presence = presence

    def landmarks(
        self, image: np.ndarray, detections: Sequence[Detection | Seed]
    ) -> list[FaceLandmarks]:
        return [self._one(image, detection) for detection in detections]

    def _one(self, image: np.ndarray, detection: Detection | Seed) -> FaceLandmarks:
        left, top, right, bottom = detection.rect
        presence = self.presence
        if isinstance(detection, Seed):
            x = int(np.clip((left + right) / 2, 0, image.shape[1] - 1))
            y = int(np.clip((top + bottom) / 2, 0, image.shape[0] - 1))
            presence = presence if image[y, x, 0] else -5.0
        region = Region((left + right) / 2, (top + bottom) / 2, 1.5 * (right - left), 0.0)
        return FaceLandmarks(spread(left, top, right, bottom), presence, None, region)


def face(x: float, y: float, size: float = 20.0) -> FoundFace:
    """A found face around a place."""
    half = size / 2
    rect = (x - half, y - half, x + half, y + half)
    return FoundFace(
        rect=rect,
        landmarks=spread(*rect),
        score=0.9,
        presence=20.0,
        turn_deg=0,
        detector="squares",
        mesh=None,
        region=Region(x, y, 1.5 * size, 0.0),
    )
