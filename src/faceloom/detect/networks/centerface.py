"""CenterFace: boxes and five points from one heat map, through ONNX Runtime."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Progress
from faceloom.detect.boxes import as_rect, calibrated, resized, suppressed
from faceloom.detect.types import Detection, UInt8Image
from faceloom.weights import fetch
from faceloom.weights.sessions import open_session

_STRIDE = 4
_MULTIPLE = 32
_OVERLAP = 0.3
# From 0.78 on: CenterFace's quantiles of true detections in 99 pictures against YuNet's.
_CALIBRATION: Final = (
    (0.0, 0.0),
    (0.35, 0.4),
    (0.6, 0.65),
    (0.78, 0.845),
    (0.856, 0.915),
    (0.915, 0.932),
    (0.958, 0.96),
    (1.0, 1.0),
)
Array = NDArray[np.float32]


class CenterFace:
    """The detector of Xu et al., "CenterFace: joint face detection and alignment using face as
    point" (2019).

    The picture is scaled so that its longer side is about `long_side_px`. `score` is the lowest
    peak in the network's heat map that counts; detections have it on the common scale. `threads`
    is the number of CPU threads of one inference; `device` as in `open_session`.
    """

    name = "centerface"

    def __init__(
        self,
        model: Path | None = None,
        *,
        long_side_px: int = 640,
        score: float = 0.35,
        threads: int = 1,
        device: str = "auto",
        progress: Progress | None = None,
    ) -> None:
        path = model or fetch("centerface", progress=progress)
        self._long_side_px = long_side_px
        self._score = score
        self._lock = threading.Lock()
        self._network = open_session(_any_size(path), threads=threads, device=device)
        self._input: str = self._network.get_inputs()[0].name

    def detect(self, images: Sequence[UInt8Image]) -> list[list[Detection]]:
        """Faces of each `h w 3` RGB picture, best first."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: UInt8Image) -> list[Detection]:
        height, width = image.shape[:2]
        factor = self._long_side_px / max(height, width)
        size = _whole(height * factor), _whole(width * factor)
        batch = resized(image, size).astype(np.float32).transpose(2, 0, 1)[None]
        with self._lock:
            outputs = self._network.run(None, {self._input: np.ascontiguousarray(batch)})
        boxes, points, scores = decode(outputs, self._score)
        scale = np.array([width / size[1], height / size[0]])
        found: list[Detection] = []
        for i in suppressed(boxes, scores, _OVERLAP):
            # The network counts from the picture's edge, we from the centre of its first pixel.
            corners = boxes[i].reshape(2, 2) * scale - 0.5
            found.append(
                Detection(
                    rect=as_rect(corners.reshape(4)),
                    points=(points[i] * scale - 0.5).astype(np.float32),
                    score=calibrated(float(scores[i]), _CALIBRATION),
                )
            )
        return found


def decode(outputs: Sequence[Array], least: float) -> tuple[Array, Array, Array]:
    """Boxes `n 4` and points `n 5 2`, both in input pixels from the edge, and scores `n`.

    `outputs` are the heat map, the logarithm of the size, the offset and the points, `1 c h w`
    each, with one cell per four pixels. Size and offset have y first; points count from the box's
    corner in units of its size.
    """
    heat, size, offset, points = (output[0] for output in outputs)
    rows, columns = np.nonzero(heat[0] >= least)
    height, width = np.exp(size[:, rows, columns]) * _STRIDE
    middle_y = (rows + offset[0, rows, columns] + 0.5) * _STRIDE
    middle_x = (columns + offset[1, rows, columns] + 0.5) * _STRIDE
    left, top = middle_x - width / 2, middle_y - height / 2
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    marks = points[:, rows, columns].reshape(5, 2, -1)
    x, y = marks[:, 1] * width + left, marks[:, 0] * height + top
    five = np.stack([x.T, y.T], axis=2)
    return boxes.astype(np.float32), five.astype(np.float32), heat[0, rows, columns]


def _whole(length_px: float) -> int:
    """The nearest length that is a multiple of the network's strides."""
    return max(_MULTIPLE, round(length_px / _MULTIPLE) * _MULTIPLE)


def _any_size(path: Path) -> bytes:
    """The network for pictures of any size; its file is for batches of ten 32 x 32 pictures."""
    import onnx

    model: Any = onnx.load(str(path))
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    for value in (*inputs, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        for axis, name in zip((0, 2, 3), ("n", "h", "w"), strict=True):
            dimensions[axis].dim_param = f"{value.name}_{name}"
    # Weights that are listed as inputs could be replaced at run time, so they would not be folded.
    del graph.input[:]
    graph.input.extend(inputs)
    del graph.value_info[:]
    return model.SerializeToString()
