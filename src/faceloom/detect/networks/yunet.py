"""YuNet, the default detector: boxes and five points, in ONNX Runtime.

OpenCV's own class for this network gives the same results but takes three times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from faceloom.core import FormatError, Progress
from faceloom.detect.types import Detection, UInt8Image
from faceloom.weights import fetch
from faceloom.weights.sessions import open_session

_OVERLAP = 0.3
_MOST_CANDIDATES = 500
_STRIDES: Final = (8, 16, 32)
_OUTPUTS: Final = ("cls", "obj", "bbox", "kps")
Floats = NDArray[np.float32]


class YuNet:
    """The detector of Wu et al., "YuNet: a tiny millisecond-level face detector" (2023).

    The picture is scaled, up or down, so that its longer side is `long_side_px`. Faces down to
    about 10 px are found at that size: with 640, a face of 20 px in 720p and one of 60 px in 4K.
    `score` is the lowest score of a detection. `threads` is the number of CPU threads of one
    inference; `device` as in `open_session`.
    """

    name = "yunet"

    def __init__(
        self,
        model: Path | None = None,
        *,
        long_side_px: int = 640,
        score: float = 0.5,
        threads: int = 1,
        device: str = "auto",
        progress: Progress | None = None,
    ) -> None:
        self._long_side_px = long_side_px
        self._score = score
        self._session = _open(model or fetch("yunet", progress=progress), threads, device)

    def detect(self, images: Sequence[UInt8Image]) -> list[list[Detection]]:
        """Faces of each `h w 3` RGB picture, best first. Thread-safe."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: UInt8Image) -> list[Detection]:
        height, width = image.shape[:2]
        factor = self._long_side_px / max(height, width)
        size = max(1, round(width * factor)), max(1, round(height * factor))
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        planes = _planes(np.asarray(cv2.resize(image, size, interpolation=method), np.uint8))
        names = [f"{kind}_{stride}" for kind in _OUTPUTS for stride in _STRIDES]
        outputs = dict(zip(names, self._session.run(names, {"input": planes}), strict=True))
        found = [
            _candidates(outputs, stride, planes.shape[3] // stride, self._score)
            for stride in _STRIDES
        ]
        rows = _without_rivals(np.concatenate(found), self._score)
        scale = np.array([width / size[0], height / size[1]])
        return [_detection(row, scale) for row in rows]


def _open(path: Path, threads: int, device: str) -> Any:
    """The network for pictures of any size; its file says 640 x 640 but does not need it."""
    try:
        model = onnx.load_model(str(path))
        dims = model.graph.input[0].type.tensor_type.shape.dim
        dims[2].dim_param, dims[3].dim_param = "height", "width"
        for output in model.graph.output:
            output.type.tensor_type.shape.dim[1].dim_param = f"count_{output.name}"
        del model.graph.value_info[:]
        return open_session(model.SerializeToString(), threads=threads, device=device)
    except Exception as error:
        # The exceptions of ONNX and its runtime have no common base.
        raise FormatError(f"{path}: not the YuNet network: {error}") from None


def _planes(image: UInt8Image) -> Floats:
    """`1 3 h w` BGR, as the network was trained on, padded with black to a multiple of 32."""
    h, w = image.shape[:2]
    rows, columns = -(-h // _STRIDES[-1]), -(-w // _STRIDES[-1])
    planes = np.zeros((1, 3, rows * _STRIDES[-1], columns * _STRIDES[-1]), np.float32)
    planes[0, :, :h, :w] = image.transpose(2, 0, 1)[::-1]
    return planes


def _candidates(outputs: dict[str, Floats], stride: int, columns: int, least: float) -> Floats:
    """`n 15`: x y w h, five points and score of the cells of one stride that see a face."""
    cls, obj, box, points = (outputs[f"{kind}_{stride}"][0] for kind in _OUTPUTS)
    scores = np.sqrt(cls.clip(0, 1) * obj.clip(0, 1)).reshape(-1)
    cells = np.flatnonzero(scores >= least)
    corner = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
    size = np.exp(box[cells, 2:]) * stride
    low = (corner + box[cells, :2]) * stride - size / 2
    marks = (points[cells].reshape(-1, 5, 2) + corner[:, None]) * stride
    return np.hstack([low, size, marks.reshape(-1, 10), scores[cells, None]])


def _without_rivals(rows: Floats, least: float) -> Floats:
    """The best candidate for each face, best first."""
    if not len(rows):
        return rows
    # Whole pixels, as in OpenCV's class.
    boxes = rows[:, :4].astype(np.int32)
    kept = cv2.dnn.NMSBoxes(
        boxes.tolist(), rows[:, 14].tolist(), least, _OVERLAP, eta=1.0, top_k=_MOST_CANDIDATES
    )
    return rows[np.asarray(kept, np.intp).reshape(-1)]


def _detection(row: np.ndarray[Any, Any], scale: np.ndarray[Any, Any]) -> Detection:
    """A row of x y w h, five points and score, in pixels of the picture.

    The halves are there because resizing keeps the picture's outer edges in place, while the
    centres of pixels are at integer coordinates.
    """
    corners = np.array([row[:2], row[:2] + row[2:4]], dtype=np.float64)
    corners = (corners + 0.5) * scale - 0.5
    points = (row[4:14].reshape(5, 2).astype(np.float64) + 0.5) * scale - 0.5
    return Detection(
        rect=(
            float(corners[0, 0]),
            float(corners[0, 1]),
            float(corners[1, 0]),
            float(corners[1, 1]),
        ),
        points=points.astype(np.float32),
        score=float(min(row[14], 1.0)),
    )
