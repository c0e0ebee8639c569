"""What detectors share: resizing, choosing among boxes that overlap, comparable scores.

Boxes here are `n 4`: left, top, right, bottom.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
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
    """Indices of the boxes that stay, best first: each removes those that it overlaps too much.

    The overlap is the shared area over the `union`, or over the `smaller` box; above `limit` the
    worse box goes. `pixel` is added to every length (1 where a box ends with its last pixel).
    """
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
    """A detector's own score on the common scale of 0 to 1, between `anchors` (own, common).

    On the common scale, that of YuNet, a find of 0.5 is worth a look and one of 0.7 is sure.
    """
    own, common = zip(*anchors, strict=True)
    return float(np.interp(score, own, common))


def as_rect(box: NDArray[Any]) -> Rect:
    left, top, right, bottom = (float(value) for value in box[:4])
    return left, top, right, bottom


def open_session(model: Path | bytes, threads: int) -> Any:
    """An ONNX network on the CPU, which says nothing while it loads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
