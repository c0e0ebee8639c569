"""The mask that hand-drawn polygons make (pipeline.md 2.9)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.faces.record import SegPolygon

# Far outside any picture, yet safe in OpenCV's fixed-point arithmetic.
_FAR_PX = 1 << 20


def has_polygons(polygons: Sequence[SegPolygon]) -> bool:
    """Whether anything is drawn: at least one point."""
    return any(len(polygon.points) for polygon in polygons)


def polygon_mask(polygons: Sequence[SegPolygon], size: tuple[int, int]) -> NDArray[np.float32]:
    """The mask of polygons in pixels of a picture of `size` (h, w): h w float32, 0 or 1.

    Including polygons are filled first, then excluding ones are cut out, each with its points
    truncated to whole pixels and its inside by the even-odd rule, as DFL fills them.
    """
    mask = np.zeros(size, np.uint8)
    for polygon in sorted(polygons, key=lambda polygon: not polygon.include):
        if len(polygon.points):
            points = np.clip(polygon.points, -_FAR_PX, _FAR_PX).astype(np.int32)
            cv2.fillPoly(mask, [points], (1.0 if polygon.include else 0.0,))
    return mask.astype(np.float32)
