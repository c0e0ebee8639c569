"""Frames through the merger: decode, cut, predict in batches, composite and write in threads.

The caller's thread decodes and runs the model, which keeps a GPU or all cores busy by itself; a
pool composites and encodes meanwhile. What is in flight is bounded, and results come in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from faceloom.faces import FaceRecord
from faceloom.media import Frame
from faceloom.merge import (
    Composite,
    FaceCrop,
    FaceGeometry,
    MergeSettings,
    Predictor,
    SwappedFace,
    WorkingTransform,
    cut_faces,
    paste_faces,
)
from faceloom.models import FaceModel

T = TypeVar("T")

# A batch of frames that wait for the model may hold this much.
_MAX_WAITING_BYTES = 256 << 20
_MAX_WAITING_FRAMES = 64


def predictor_of(model: FaceModel) -> Predictor:
    """A model as the merger calls it: NumPy in, NumPy out, clipped to [0, 1]."""

    def predict(crops: NDArray[np.float32]) -> list[SwappedFace]:
        faces = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))
        predicted = model.predict(faces.to(model.device))
        image, prd, dst = (
            np.ascontiguousarray(part.float().clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy())
            for part in (predicted.face, predicted.mask_prd, predicted.mask_dst)
        )
        return [SwappedFace(image[i], prd[i, ..., 0], dst[i, ..., 0]) for i in range(len(image))]

    return predict


@dataclass(frozen=True)
class Merger:
    """What turns a frame and its faces into a merged frame."""

    predictor: Predictor
    geometry: FaceGeometry
    settings: MergeSettings
    transform: WorkingTransform | None = None
    """Set for HDR footage."""
    batch_size: int = 4
    """Faces that the model sees at once."""
    workers: int = 2
    """Threads that composite and write."""


@dataclass(frozen=True)
class _Cut:
    frame: Frame
    crops: list[FaceCrop]


class MergePipeline(Generic[T]):
    """Runs frames through a `Merger`; `finish` (in the pool) makes of each what is handed on."""

    def __init__(self, merger: Merger, finish: Callable[[Frame, Composite], T]) -> None:
        self._merger = merger
        self._finish = finish

    def run(
        self, frames: Iterable[Frame], faces_of: Callable[[Frame], Sequence[FaceRecord]]
    ) -> Iterator[tuple[Frame, T]]:
        """Each frame with its result, in order. Closing the iterator stops the threads."""
        pool = ThreadPoolExecutor(self._merger.workers, thread_name_prefix="merge")
        running: deque[tuple[Frame, Future[T]]] = deque()
        waiting: list[_Cut] = []
        try:
            for frame in frames:
                waiting.append(self._cut(frame, faces_of(frame)))
                if not self._full(waiting):
                    continue
                running.extend(self._start(pool, waiting))
                waiting = []
                while len(running) > 2 * self._merger.workers:
                    yield _result(running.popleft())
            running.extend(self._start(pool, waiting))
            while running:
                yield _result(running.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _cut(self, frame: Frame, faces: Sequence[FaceRecord]) -> _Cut:
        merger = self._merger
        return _Cut(frame, cut_faces(frame.image, faces, merger.geometry, merger.transform))

    def _full(self, waiting: Sequence[_Cut]) -> bool:
        """Enough for the model, or too much to keep waiting; frames without faces go at once."""
        faces = sum(len(cut.crops) for cut in waiting)
        size = sum(cut.frame.image.nbytes for cut in waiting)
        return (
            not faces
            or faces >= self._merger.batch_size
            or size >= _MAX_WAITING_BYTES
            or len(waiting) >= _MAX_WAITING_FRAMES
        )

    def _start(
        self, pool: ThreadPoolExecutor, cuts: Sequence[_Cut]
    ) -> Iterator[tuple[Frame, Future[T]]]:
        """Predict all faces of `cuts`, then hand each frame to the pool."""
        swapped = iter(self._predict([crop for cut in cuts for crop in cut.crops]))
        for cut in cuts:
            mine = [next(swapped) for _ in cut.crops]
            yield cut.frame, pool.submit(self._paste, cut, mine)

    def _predict(self, crops: Sequence[FaceCrop]) -> list[SwappedFace]:
        size = self._merger.batch_size
        batches = (crops[i : i + size] for i in range(0, len(crops), size))
        return [
            face
            for batch in batches
            for face in self._merger.predictor(np.stack([crop.image for crop in batch]))
        ]

    def _paste(self, cut: _Cut, swapped: Sequence[SwappedFace]) -> T:
        merger = self._merger
        done = paste_faces(cut.frame.image, cut.crops, swapped, merger.settings, merger.transform)
        return self._finish(cut.frame, done)


def _result(pair: tuple[Frame, Future[T]]) -> tuple[Frame, T]:
    frame, future = pair
    return frame, future.result()
