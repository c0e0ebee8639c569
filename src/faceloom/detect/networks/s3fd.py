"""S3FD, DeepFaceLab's detector, from a weight file that the user adds.

Zhang et al., "S3FD: single shot scale-invariant face detector" (2017). Input size, decoding and
post-processing are as in DeepFaceLab (docs/internals/alignment.md).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.detect.boxes import suppressed
from faceloom.detect.points import points_in_box
from faceloom.detect.types import Detection, UInt8Image
from faceloom.weights import owned_path
from faceloom.weights.foreign_weights import best_device, fit, read_weights

if TYPE_CHECKING:
    from faceloom.detect.networks.s3fd_network import S3fdNetwork

_MEANS_RGB: Final = np.array([104, 117, 123], dtype=np.float32)
_LEAST_SIDE_PX = 64
_LEAST_CANDIDATE = 0.05
_LEAST_SCORE = 0.5
_OVERLAP = 0.3
_CHIN = 0.1
# Five poolings leave nothing of a side shorter than this.
_POOLS_PX = 32

Level = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Probabilities `h w` and shifts `4 h w` of one of the six levels."""


class S3fd:
    """Boxes from mid-forehead to below the chin, in whole pixels, largest first. Thread-safe.

    Pictures whose longer side is at least twice `long_side_px` are scaled to that size, others to
    half their size. Boxes smaller than `min_side_px` in the picture are left out. S3FD finds no
    points; those of a mean face are used. `device` is `auto` (CUDA if there is any, otherwise the
    CPU) or the name of a PyTorch device.

    Raises `WeightsError` if there is no file, and `FormatError` if it is not S3FD.
    """

    name = "s3fd"

    def __init__(
        self,
        model: Path | None = None,
        *,
        long_side_px: int = 640,
        min_side_px: int = 40,
        device: str = "auto",
    ) -> None:
        self._device = best_device(None if device == "auto" else device)
        self._network: Any = load_s3fd(model or owned_path("s3fd")).to(self._device)
        self._long_side_px = long_side_px
        self._min_side_px = min_side_px
        self._lock = threading.Lock()

    def detect(self, images: Sequence[UInt8Image]) -> list[list[Detection]]:
        """Faces of each `h w 3` RGB picture, largest first."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: UInt8Image) -> list[Detection]:
        size, factor = input_size((image.shape[0], image.shape[1]), self._long_side_px)
        if min(size) < _POOLS_PX:
            return []
        small = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        batch = (np.asarray(small, dtype=np.float32) - _MEANS_RGB).transpose(2, 0, 1)[None]
        boxes, scores = chosen(decode(self._run(batch)))
        boxes, scores = finished(boxes, scores, factor, self._min_side_px)
        found: list[Detection] = []
        for box, score in zip(boxes.tolist(), scores.tolist(), strict=True):
            left, top, right, bottom = (float(value) for value in box)
            rect = (left, top, right, bottom)
            found.append(Detection(rect, points_in_box(rect), score))
        return found

    def _run(self, batch: NDArray[np.float32]) -> list[Level]:
        import torch

        with self._lock, torch.inference_mode():
            answers = self._network(torch.from_numpy(np.ascontiguousarray(batch)).to(self._device))
        return [(face[0].cpu().numpy(), shifts[0].cpu().numpy()) for face, shifts in answers]


def load_s3fd(path: Path, network: S3fdNetwork | None = None) -> S3fdNetwork:
    """The network with the weights of a file: DFL's `S3FD.npy` or face-alignment's `s3fd-….pth`.

    Loads them into `network` if given. Raises `WeightsError` and `FormatError`.
    """
    import torch

    from faceloom.detect.networks.s3fd_network import S3fdNetwork

    network = (network or S3fdNetwork()).eval().requires_grad_(False)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    arrays = fit(read_weights(path), shapes, network="S3FD")
    network.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
    return network


def input_size(size: tuple[int, int], long_side_px: int = 640) -> tuple[tuple[int, int], float]:
    """The size (h, w) at which the network sees a picture of `size`, and the ratio of the two."""
    longer = max(size)
    target = long_side_px if longer >= 2 * long_side_px else max(_LEAST_SIDE_PX, longer / 2)
    factor = longer / target
    return (int(size[0] / factor), int(size[1] / factor)), factor


def decode(levels: Sequence[Level]) -> NDArray[np.float64]:
    """Rows `n 5` of box and score, in pixels of the input, for every cell that may be a face."""
    found: list[NDArray[np.float64]] = []
    for level, (face, shifts) in enumerate(levels):
        stride = 4 << level
        side = 4.0 * stride
        rows, columns = np.nonzero(face > _LEAST_CANDIDATE)
        a, b, c, d = shifts[:, rows, columns].astype(np.float64)
        x = (columns + 0.5) * stride + 0.1 * side * a
        y = (rows + 0.5) * stride + 0.1 * side * b
        # A damaged file may give a width beyond any picture; it must not overflow.
        width, height = (side * np.exp(np.minimum(0.2 * v, 20.0)) for v in (c, d))
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        found.append(np.stack([*box, face[rows, columns].astype(np.float64)], axis=1))
    return np.concatenate(found)


def chosen(rows: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Suppressed rows of `decode`: boxes `n 4` in whole pixels, and scores, best first."""
    kept = rows[suppressed(rows[:, :4], rows[:, 4], _OVERLAP, pixel=1)]
    kept = kept[kept[:, 4] >= _LEAST_SCORE]
    return np.trunc(kept[:, :4]).astype(np.int64), kept[:, 4]


def finished(
    boxes: NDArray[np.int64], scores: NDArray[np.float64], factor: float, min_side_px: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Boxes in pixels of the picture, extended below the chin, large ones only, largest first."""
    scaled = boxes * factor
    size = scaled[:, 2:] - scaled[:, :2]
    large = size.min(axis=1, initial=np.inf) >= min_side_px
    scaled, size, scores = scaled[large], size[large], scores[large]
    scaled[:, 3] += _CHIN * size[:, 1]
    whole = np.trunc(scaled).astype(np.int64)
    order = np.argsort(-(whole[:, 2:] - whole[:, :2]).prod(axis=1), kind="stable")
    return whole[order], scores[order]
