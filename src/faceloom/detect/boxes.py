"""What detectors share: resizing, suppressing overlapping boxes, comparable scores.

Boxes are `n 4`: left, top, right, bottom.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.detect.types import Rect, UInt8Image

Boxes = NDArray[Any]


def resized(image: UInt8Image, size: tuple[int, int]) -> UInt8Image:
    """`image` at `size` (h, w), averaged where it shrinks and interpolated where it grows."""
    shrinks = size[0] < image.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=method), dtype=np.uint8)


def suppressed(
    boxes: Boxes,
    scores: NDArray[Any],
    limit: float,
    *,
    over: Literal["union", "smaller"] = "union",
    pixel: float = 0.0,
) -> NDArray[np.intp]:
    """Non-maximum suppression: indices of the boxes that remain, best first.

    Of two boxes whose overlap is above `limit` the one with the lower score goes. The overlap is
    the shared area over the `union` or over the `smaller` box. `pixel` is added to every length (1
    where a box ends with its last pixel).
    """
    # `cv2.dnn.NMSBoxes` is faster, but compares in float32 and knows only the union. Networks take
    # a hundred times longer than this.
    left, top, right, bottom = (boxes[:, i].astype(np.float64) for i in range(4))
    areas = (right - left + pixel) * (bottom - top + pixel)
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest]) + pixel
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest]) + pixel
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        whole = areas[best] + areas[rest] - shared
        if over == "smaller":
            whole = np.minimum(areas[best], areas[rest])
        order = rest[shared <= limit * whole]
    return np.array(kept, dtype=np.intp)


def calibrated(score: float, anchors: Sequence[tuple[float, float]]) -> float:
    """A detector's own score on the common scale from 0 to 1, interpolated between `anchors` (own,
    common).

    The common scale is YuNet's: 0.5 is worth a look, and 0.7 is certain.
    """
    own, common = zip(*anchors, strict=True)
    return float(np.interp(score, own, common))


def as_rect(box: NDArray[Any]) -> Rect:
    left, top, right, bottom = (float(value) for value in box[:4])
    return left, top, right, bottom
