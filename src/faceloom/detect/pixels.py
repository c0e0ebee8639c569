"""Coordinates in a picture, in the picture as it is displayed, and in the turned picture."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.detect.types import Detection, FoundFace, Rect, Seed, UInt8Image


def square_pixels(image: UInt8Image, pixel_aspect: float) -> UInt8Image:
    """The picture as it is displayed: stretched in width if its pixels are not square."""
    height, width = image.shape[:2]
    shown_width = max(1, round(width * pixel_aspect))
    if shown_width == width:
        return image
    return np.asarray(
        cv2.resize(image, (shown_width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8
    )


def stretch_detection(detection: Detection, factor: float) -> Detection:
    """A detection, from pixels of the picture to pixels of the displayed picture."""
    if factor == 1:
        return detection
    marks = detection.landmarks
    return replace(
        detection,
        rect=_stretch_rect(detection.rect, factor),
        points=_stretch_points(detection.points, factor),
        landmarks=None if marks is None else _stretch_points(marks, factor),
    )


def stretch_seed(seed: Seed, factor: float) -> Seed:
    """A seed, from pixels of the picture to pixels of the displayed picture."""
    # Its region is always in pixels of the displayed picture.
    return seed if factor == 1 else replace(seed, rect=_stretch_rect(seed.rect, factor))


def squeeze_face(face: FoundFace, factor: float) -> FoundFace:
    """A face, from pixels of the displayed picture to pixels of the picture; not its region."""
    if factor == 1:
        return face
    return replace(
        face,
        rect=_stretch_rect(face.rect, 1 / factor),
        landmarks=_stretch_points(face.landmarks, 1 / factor),
        mesh=None if face.mesh is None else _stretch_points(face.mesh, 1 / factor),
    )


def turn_back(
    detection: Detection, turn_deg: int, size: tuple[int, int], scale: NDArray[np.float64]
) -> Detection:
    """A detection, from a picture that was shrunk and turned clockwise to the original one.

    `size` is (h, w) of the shrunk picture before turning, `scale` the factors back to full size.
    """

    def back(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return (unturned(points, turn_deg, size) + 0.5) * scale - 0.5

    left, top, right, bottom = detection.rect
    corners = back(np.array([[left, top], [right, bottom]]))
    low, high = corners.min(axis=0), corners.max(axis=0)
    return replace(
        detection,
        rect=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        points=back(detection.points.astype(np.float64)).astype(np.float32),
        turn_deg=turn_deg,
    )


def unturned(
    points: NDArray[np.float64], turn_deg: int, size: tuple[int, int]
) -> NDArray[np.float64]:
    """Points `n 2`, from a picture turned clockwise to the original one of `size` (h, w)."""
    x, y = points[:, 0], points[:, 1]
    height, width = size
    if turn_deg == 90:
        x, y = y, height - 1 - x
    elif turn_deg == 180:
        x, y = width - 1 - x, height - 1 - y
    elif turn_deg == 270:
        x, y = width - 1 - y, x
    return np.stack([x, y], axis=1)


def _stretch_rect(rect: Rect, factor: float) -> Rect:
    left, top, right, bottom = rect
    return (left + 0.5) * factor - 0.5, top, (right + 0.5) * factor - 0.5, bottom


def _stretch_points(points: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    stretched = points.copy()
    stretched[:, 0] = (points[:, 0] + np.float32(0.5)) * np.float32(factor) - np.float32(0.5)
    return stretched
