"""Measuring a faceset: each face once, on all cores, and never again while its file stays."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, Progress
from faceloom.curate import FaceTable
from faceloom.faces import FaceRecord, Faceset
from faceloom.faces.index.measures import MeasureCache
from faceloom.stages.measure.columns import Group, Kind, column_values, kinds_for
from faceloom.stages.measure.one import Measurer, stored_embedding

BATCH: Final = 128
"""Faces whose measures are stored together: what a kill may lose."""
_AHEAD: Final = 4
"""Faces a worker that are handed out before their turn to be collected."""
_TOLD: Final = 5
"""Faces that could not be measured and are told by name."""


def measure_faces(
    folder: Path,
    columns: Collection[str],
    *,
    workers: int = 0,
    progress: Progress,
    cancel: Cancel,
) -> FaceTable:
    """The faces of `folder` (loose or packed) with at least `columns`, each n or n × d.

    What the folder's index does not hold is measured, with one decoding a face, by `workers`
    threads (0: one a core), and kept there. A face whose picture cannot be measured is told and
    has NaN, or zeros in whole numbers. docs/measures.md tells what each column is.

    Raises `InputError` when there is no such folder or column, `WeightsError` when a network that
    a column needs cannot be had, `CancelledError` when cancelled: measures taken by then are kept.
    """
    kinds = kinds_for(columns)
    with MeasureCache(folder) as cache:
        faceset = Faceset(folder, progress=progress, cancel=cancel)
        names = faceset.names
        faces = list(faceset)
        table = _Packets(kinds, names)
        if kinds:
            table.load(cache)
            missing = table.missing()
            if missing:
                work = _Work(table, faces, cache, progress, cancel)
                work.run(missing, workers or _cores())
    records = tuple(record for _, record in faces)
    values = {name: column_values(name, records, table.values) for name in columns}
    strangers = tuple(path for path, _ in faceset.skipped)
    return FaceTable(folder, tuple(path for path, _ in faces), records, values, strangers)


class _Packets:
    """The cached packets of all faces, as arrays, and which of them are there."""

    def __init__(self, kinds: Sequence[Kind], names: Sequence[str]) -> None:
        self.kinds = tuple(kinds)
        self.names = tuple(names)
        self.values: dict[str, NDArray[Any]] = {kind.name: kind.empty(len(names)) for kind in kinds}
        self._there = {kind.name: np.zeros(len(names), np.bool_) for kind in kinds}

    def load(self, cache: MeasureCache) -> None:
        """Take over what the cache has in the form that is asked for."""
        for kind in self.kinds:
            found = cache.read(kind.name, kind.version, self.names)
            values, there = self.values[kind.name], self._there[kind.name]
            for row, name in enumerate(self.names):
                value = found.get(name)
                if value is not None and value.shape == kind.shape and value.dtype == kind.dtype:
                    values[row] = value
                    there[row] = True

    def missing(self) -> list[tuple[int, tuple[Kind, ...]]]:
        """(row, what it lacks) of the faces that lack something."""
        lacking = ((row, self._lacks(row)) for row in range(len(self.names)))
        return [(row, kinds) for row, kinds in lacking if kinds]

    def _lacks(self, row: int) -> tuple[Kind, ...]:
        return tuple(kind for kind in self.kinds if not self._there[kind.name][row])


class _Work:
    """Measuring what is missing."""

    def __init__(
        self,
        table: _Packets,
        faces: Sequence[tuple[Path, FaceRecord]],
        cache: MeasureCache,
        progress: Progress,
        cancel: Cancel,
    ) -> None:
        self._table, self._faces, self._cache = table, faces, cache
        self._progress, self._cancel = progress, cancel
        self._unsaved: dict[str, dict[str, NDArray[Any]]] = {}
        self._waiting = 0
        self._failed: list[tuple[Path, str]] = []

    def run(self, missing: Sequence[tuple[int, tuple[Kind, ...]]], workers: int) -> None:
        measurer = Measurer(self._groups(missing), progress=self._progress)
        self._progress.start(
            "measuring", len(self._faces), "faces", done=len(self._faces) - len(missing)
        )
        with _one_thread_each(), ThreadPoolExecutor(workers) as pool:
            pending: deque[tuple[int, Future[tuple[dict[str, NDArray[Any]], str | None]]]] = deque()
            try:
                for row, kinds in missing:
                    self._cancel.check()
                    pending.append((row, pool.submit(measurer.measure, *self._faces[row], kinds)))
                    if len(pending) > _AHEAD * workers:
                        self._take(*pending.popleft())
                while pending:
                    self._cancel.check()
                    self._take(*pending.popleft())
            finally:
                for _, future in pending:
                    future.cancel()
                self._save()
        self._progress.finish()
        self._tell()

    def _groups(self, missing: Sequence[tuple[int, tuple[Kind, ...]]]) -> set[Group]:
        """What will be needed; no identity network where the files hold all embeddings."""
        groups: set[Group] = {kind.group for _, kinds in missing for kind in kinds}
        if all(stored_embedding(self._faces[row][1]) is not None for row, _ in missing):
            groups.discard("identity")
        return groups

    def _take(self, row: int, future: Future[tuple[dict[str, NDArray[Any]], str | None]]) -> None:
        found, trouble = future.result()
        name = self._table.names[row]
        for kind, value in found.items():
            self._table.values[kind][row] = value
            self._unsaved.setdefault(kind, {})[name] = value
        if trouble is not None:
            self._failed.append((self._faces[row][0], trouble))
        self._progress.advance()
        self._waiting += 1
        if self._waiting >= BATCH:
            self._save()

    def _save(self) -> None:
        for kind in self._table.kinds:
            values = self._unsaved.get(kind.name)
            if values:
                self._cache.write(kind.name, kind.version, values)
        self._unsaved.clear()
        self._waiting = 0

    def _tell(self) -> None:
        for path, trouble in self._failed[:_TOLD]:
            self._progress.note(f"{path}: not measured: {trouble}")
        more = len(self._failed) - _TOLD
        if more > 0:
            self._progress.note(f"{more} more faces could not be measured")


def _cores() -> int:
    return os.cpu_count() or 1


@contextmanager
def _one_thread_each() -> Generator[None]:
    """OpenCV's own threads off: the faces are spread over the cores already."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
