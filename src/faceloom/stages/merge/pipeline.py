"""Frames through the merger: decode, crop, predict in batches, composite and write in threads.

The caller's thread decodes and crops. It also runs a model on a GPU, while a pool composites and
encodes. A model on the CPU runs in the pool, one batch per thread: that scales with the cores,
whereas one prediction spread over all of them waits at every layer. Memory is bounded, and results
come in order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
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
from faceloom.core.pool import ordered_map
from faceloom.faces import FaceRecord
from faceloom.media import Frame
from faceloom.models import FaceModel

T = TypeVar("T")

# Bytes of the frames that wait for the model, and of those in progress.
_MAX_BATCH_BYTES = 256 << 20
_MAX_IN_WORK_BYTES = 1 << 30
_MAX_BATCH_FRAMES = 64


def predictor_of(model: FaceModel, *, morph: float = 1.0) -> Predictor:
    """Wrap a model for the merger: NumPy in, NumPy out, clipped to [0, 1].

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
    """Faces per batch of the model."""
    workers: int = 2
    """Threads that composite and write."""
    predict_in_pool: bool = True
    """Run the model in the threads, too: for a model on the CPU."""


@dataclass(frozen=True)
class _Cut:
    frame: Frame
    crops: list[FaceCrop]


@dataclass(frozen=True)
class _Task:
    """Frames for a thread, with their swapped faces if those are predicted already."""

    cuts: list[_Cut]
    swapped: list[SwappedFace] | None = None

    @property
    def nbytes(self) -> int:
        return sum(cut.frame.image.nbytes for cut in self.cuts)


class MergePipeline(Generic[T]):
    """Runs frames through a `Merger`; `finish` is called in the threads with each merged frame."""

    def __init__(self, merger: Merger, finish: Callable[[Frame, Composite], T]) -> None:
        self._merger = merger
        self._finish = finish

    def run(
        self, frames: Iterable[Frame], faces_of: Callable[[Frame], Sequence[FaceRecord]]
    ) -> Generator[tuple[Frame, T]]:
        """Each frame with its result, in order. Closing the generator stops the threads."""
        made = ordered_map(
            self._work,
            self._tasks(frames, faces_of),
            workers=self._merger.workers,
            cost=lambda task: task.nbytes,
            budget=_MAX_IN_WORK_BYTES,
        )
        with contextlib.closing(made):
            for results in made:
                yield from results

    def _tasks(
        self, frames: Iterable[Frame], faces_of: Callable[[Frame], Sequence[FaceRecord]]
    ) -> Iterator[_Task]:
        """Cut the faces and make batches, in the caller's thread; predict there, too, on a GPU."""
        merger = self._merger
        batch: list[_Cut] = []
        for frame in frames:
            crops = cut_faces(frame.image, faces_of(frame), merger.geometry, merger.transform)
            batch.append(_Cut(frame, crops))
            if self._is_full(batch):
                yield from self._split(batch)
                batch = []
        yield from self._split(batch)

    def _is_full(self, batch: Sequence[_Cut]) -> bool:
        """Enough faces for the model, or too much memory; frames without faces do not wait."""
        faces = sum(len(cut.crops) for cut in batch)
        return (
            not faces
            or faces >= self._merger.batch_size
            or len(batch) >= _MAX_BATCH_FRAMES
            or sum(cut.frame.image.nbytes for cut in batch) >= _MAX_BATCH_BYTES
        )

    def _split(self, batch: list[_Cut]) -> Iterator[_Task]:
        """A batch as one task, or predicted here and then one task per frame."""
        if self._merger.predict_in_pool:
            if batch:
                yield _Task(batch)
            return
        swapped = iter(self._predict(batch))
        for cut in batch:
            yield _Task([cut], [next(swapped) for _ in cut.crops])

    def _work(self, task: _Task) -> list[tuple[Frame, T]]:
        """Composite and finish frames, after predicting their faces unless that is done."""
        merger = self._merger
        faces = iter(self._predict(task.cuts) if task.swapped is None else task.swapped)
        made: list[tuple[Frame, T]] = []
        for cut in task.cuts:
            swapped = [next(faces) for _ in cut.crops]
            image = cut.frame.image
            done = paste_faces(image, cut.crops, swapped, merger.settings, merger.transform)
            made.append((cut.frame, self._finish(cut.frame, done)))
        return made

    def _predict(self, cuts: Sequence[_Cut]) -> list[SwappedFace]:
        crops = [crop.image for cut in cuts for crop in cut.crops]
        size = self._merger.batch_size
        batches = (crops[i : i + size] for i in range(0, len(crops), size))
        return [face for batch in batches for face in self._merger.predictor(np.stack(batch))]
