"""Bring the face of a stored picture into one alignment, whatever its crop's type and size."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.geometry import Border, FaceType, frame_to_face, warp_to_face


def aligned_face(
    image: NDArray[Any],
    landmarks: ArrayLike,
    size_px: int,
    face_type: FaceType = "whole_face",
    *,
    pixel_aspect: float = 1.0,
    border: Border = "black",
) -> NDArray[Any]:
    """Crop a `size_px` square of `face_type` around the 68 `landmarks` (pixels of `image`).

    `border` fills what lies outside the picture. `pixel_aspect` is 1 for every picture but a whole
    frame (`mark_only`). Raises `InputError` for degenerate landmarks.
    """
    matrix = frame_to_face(landmarks, size_px, face_type, pixel_aspect=pixel_aspect)
    return warp_to_face(
        image, matrix, size_px, interpolation="linear", border=border, antialias=True
    )


def luma(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert `image` (h w 3 RGB) to grey with the weights of BT.601, as OpenCV and DFL do."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
