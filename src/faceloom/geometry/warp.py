"""Resampling between frame and face crop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.geometry.align import crop_corners

Interpolation = Literal["nearest", "linear", "cubic", "lanczos4"]
Border = Literal["black", "replicate", "reflect"]

INTERPOLATIONS: Final[Mapping[Interpolation, int]] = MappingProxyType(
    {
        "nearest": cv2.INTER_NEAREST,
        "linear": cv2.INTER_LINEAR,
        "cubic": cv2.INTER_CUBIC,
        "lanczos4": cv2.INTER_LANCZOS4,
    }
)
BORDERS: Final[Mapping[Border, int]] = MappingProxyType(
    {
        "black": cv2.BORDER_CONSTANT,
        "replicate": cv2.BORDER_REPLICATE,
        "reflect": cv2.BORDER_REFLECT_101,
    }
)
# Margin around the shrunk region for the widest kernel.
_MARGIN_PX = 8


def warp_to_face(
    frame: NDArray[Any],
    frame_to_face: ArrayLike,
    size_px: int,
    *,
    interpolation: Interpolation = "cubic",
    border: Border = "black",
    antialias: bool = False,
) -> NDArray[Any]:
    """The `size_px` square crop of `frame` (h w or h w c; any dtype OpenCV warps).

    `antialias` averages the frame down first if the crop has less than half the size of the face
    in the frame: a plain warp would skip pixels, and fine texture would flicker. Cubic and Lanczos
    overshoot on float pictures; clip if a range is required.
    """
    matrix = np.asarray(frame_to_face, dtype=np.float64)
    if antialias:
        frame, matrix = _shrink(frame, matrix, size_px)
    return _warp(frame, matrix, (size_px, size_px), INTERPOLATIONS[interpolation], border)


def warp_to_frame(
    face: NDArray[Any],
    frame_to_face: ArrayLike,
    size: tuple[int, int],
    *,
    interpolation: Interpolation = "cubic",
    border: Border = "black",
) -> NDArray[Any]:
    """Warp a face crop back to its position on an empty frame of `size` (h, w)."""
    matrix = np.asarray(frame_to_face, dtype=np.float64)
    flags = INTERPOLATIONS[interpolation] | cv2.WARP_INVERSE_MAP
    return _warp(face, matrix, size, flags, border)


def _warp(
    image: NDArray[Any],
    matrix: NDArray[np.float64],
    size: tuple[int, int],
    flags: int,
    border: Border,
) -> NDArray[Any]:
    h, w = size
    return np.asarray(
        cv2.warpAffine(image, matrix, (w, h), flags=flags, borderMode=BORDERS[border])
    )


def _shrink(
    frame: NDArray[Any], matrix: NDArray[np.float64], size_px: int
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The region of the crop in the frame, averaged by an integer factor, and its matrix."""
    factor = int(1 / math.sqrt(abs(float(np.linalg.det(matrix[:, :2])))))
    if factor < 2:
        return frame, matrix
    h, w = frame.shape[:2]
    corners = crop_corners(matrix, size_px)
    margin = _MARGIN_PX * factor
    left, top = (int(v) for v in np.maximum(np.floor(corners.min(0)) - margin, 0))
    right, bottom = (int(v) for v in np.minimum(np.ceil(corners.max(0)) + margin, (w, h)))
    columns, rows = (right - left) // factor, (bottom - top) // factor
    if columns < 1 or rows < 1:
        return frame, matrix
    region = frame[top : top + rows * factor, left : left + columns * factor]
    small = cv2.resize(region, (columns, rows), interpolation=cv2.INTER_AREA)
    # Pixel i of the small picture is centred at i·factor + (factor - 1)/2 of the region.
    shift = (factor - 1) / 2
    to_frame = np.array([[factor, 0, left + shift], [0, factor, top + shift], [0, 0, 1]])
    return np.asarray(small), matrix @ to_frame
