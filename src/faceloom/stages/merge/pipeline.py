"""Frames through the merger: decode, cut, predict in batches, composite and write in threads.

The caller's thread decodes and cuts. A model on a GPU is run by it as well, while a pool
composites and encodes. A model on the CPU is run by the pool, batches side by side with one thread
each: that scales with the cores, where one prediction spread over all of them waits at every layer.
What is in flight is bounded, and results come in order.
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

from faceloom.compositing import (
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
from faceloom.faces import FaceRecord
from faceloom.media import Frame
from faceloom.models import FaceModel

T = TypeVar("T")

# What frames that wait for the model, or are in work, may hold.
_MAX_BATCH_BYTES = 256 << 20
_MAX_IN_WORK_BYTES = 1 << 30
_MAX_BATCH_FRAMES = 64


def predictor_of(model: FaceModel, *, morph: float = 1.0) -> Predictor:
    """A model as the merger calls it: NumPy in, NumPy out, clipped to [0, 1].

    `morph`: how far an AMP model goes from dst (0) to src (1).
    """

    def predict(crops: NDArray[np.float32]) -> list[SwappedFace]:
        faces = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))
        predicted = model.predict(faces.to(model.device), morph=morph)
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
    predict_in_pool: bool = True
    """Let the threads run the model, too: for one on the CPU."""


@dataclass(frozen=True)
class _Cut:
    frame: Frame
    crops: list[FaceCrop]


@dataclass(frozen=True)
class _Task(Generic[T]):
    """Frames that a thread works on, and what it will make of them."""

    frames: list[Frame]
    future: Future[list[T]]

    @property
    def nbytes(self) -> int:
        return sum(frame.image.nbytes for frame in self.frames)


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
        in_work: deque[_Task[T]] = deque()
        batch: list[_Cut] = []
        try:
            for frame in frames:
                batch.append(self._cut(frame, faces_of(frame)))
                if self._full(batch):
                    in_work.extend(self._start(pool, batch))
                    batch = []
                while self._crowded(in_work):
                    yield from _results(in_work.popleft())
            in_work.extend(self._start(pool, batch))
            while in_work:
                yield from _results(in_work.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _cut(self, frame: Frame, faces: Sequence[FaceRecord]) -> _Cut:
        merger = self._merger
        return _Cut(frame, cut_faces(frame.image, faces, merger.geometry, merger.transform))

    def _full(self, batch: Sequence[_Cut]) -> bool:
        """Enough for the model, or too much to keep waiting; frames without faces go at once."""
        faces = sum(len(cut.crops) for cut in batch)
        return (
            not faces
            or faces >= self._merger.batch_size
            or len(batch) >= _MAX_BATCH_FRAMES
            or sum(cut.frame.image.nbytes for cut in batch) >= _MAX_BATCH_BYTES
        )

    def _crowded(self, in_work: deque[_Task[T]]) -> bool:
        """Whether the threads have enough to do until the next batch is ready."""
        many = len(in_work) > 2 * self._merger.workers
        return many or sum(task.nbytes for task in in_work) > _MAX_IN_WORK_BYTES

    def _start(self, pool: ThreadPoolExecutor, cuts: list[_Cut]) -> Iterator[_Task[T]]:
        """Hand frames to the pool: a batch at once, or each by itself after predicting here."""
        if self._merger.predict_in_pool:
            if cuts:
                yield _Task([cut.frame for cut in cuts], pool.submit(self._work, cuts, None))
            return
        swapped = iter(self._predict(cuts))
        for cut in cuts:
            mine = [next(swapped) for _ in cut.crops]
            yield _Task([cut.frame], pool.submit(self._work, [cut], mine))

    def _work(self, cuts: Sequence[_Cut], swapped: Sequence[SwappedFace] | None) -> list[T]:
        """Composite and finish frames, after predicting their faces unless that is done."""
        merger = self._merger
        faces = iter(self._predict(cuts) if swapped is None else swapped)
        made: list[T] = []
        for cut in cuts:
            mine = [next(faces) for _ in cut.crops]
            image = cut.frame.image
            done = paste_faces(image, cut.crops, mine, merger.settings, merger.transform)
            made.append(self._finish(cut.frame, done))
        return made

    def _predict(self, cuts: Sequence[_Cut]) -> list[SwappedFace]:
        crops = [crop.image for cut in cuts for crop in cut.crops]
        size = self._merger.batch_size
        batches = (crops[i : i + size] for i in range(0, len(crops), size))
        return [face for batch in batches for face in self._merger.predictor(np.stack(batch))]


def _results(task: _Task[T]) -> Iterator[tuple[Frame, T]]:
    yield from zip(task.frames, task.future.result(), strict=True)
