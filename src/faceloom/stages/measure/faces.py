"""Measure a faceset: each face once, on all cores, and not again while its file stays the same."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, Progress
from faceloom.core.pool import one_opencv_thread, ordered_map, worker_count
from faceloom.curate import FaceTable
from faceloom.faces import FaceRecord, Faceset, MeasureCache
from faceloom.stages.measure.kinds import (
    Kind,
    Measurer,
    column_values,
    kinds_for,
    stored_embedding,
)

# Faces whose measures are stored together: the most a kill can lose.
BATCH: Final = 128
_AHEAD_PER_WORKER: Final = 4
_MOST_NAMED: Final = 5
_LONG_S: Final = 10.0

Packets = dict[str, NDArray[Any]]


def measure_faces(
    folder: Path,
    columns: Collection[str],
    *,
    workers: int = 0,
    progress: Progress,
    cancel: Cancel,
) -> FaceTable:
    """Return the faces of `folder` (loose or packed) with at least `columns`, each n or n × d.

    What the folder's index does not have yet is measured in `workers` threads (0: one per core),
    decoding each picture once, and stored there. A face that cannot be measured is named in a note
    and has NaN, or zeros in columns of whole numbers. docs/measures.md describes every column.

    Raises `InputError` for a missing folder or an unknown column, `WeightsError` when a network is
    not available, `CancelledError` on `cancel`, after which the measures taken so far are kept.
    """
    kinds = kinds_for(columns)
    with MeasureCache(folder) as cache:
        faceset = Faceset(folder, progress=progress, cancel=cancel)
        names, faces = faceset.names, list(faceset)
        packets = _Packets(kinds, names)
        if kinds:
            packets.load(cache)
            if missing := packets.missing():
                _measure(packets, missing, faces, cache, worker_count(workers), progress, cancel)
    records = tuple(record for _, record in faces)
    values = {name: column_values(name, records, packets.values) for name in columns}
    strangers = tuple(path for path, _ in faceset.skipped)
    return FaceTable(folder, tuple(path for path, _ in faces), records, values, strangers)


class _Packets:
    """The measured packets of all faces as arrays; new ones are collected until they are saved."""

    def __init__(self, kinds: Sequence[Kind], names: Sequence[str]) -> None:
        self._kinds = tuple(kinds)
        self._names = tuple(names)
        self.values: Packets = {kind.name: kind.empty(len(names)) for kind in kinds}
        self._there = {kind.name: np.zeros(len(names), np.bool_) for kind in kinds}
        self._unsaved: dict[str, Packets] = {}
        self._faces_unsaved = 0

    def load(self, cache: MeasureCache) -> None:
        """Take over cached packets that have the expected type and shape."""
        for kind in self._kinds:
            found = cache.read(kind.name, kind.version, self._names)
            values, there = self.values[kind.name], self._there[kind.name]
            for row, name in enumerate(self._names):
                value = found.get(name)
                if value is not None and value.shape == kind.shape and value.dtype == kind.dtype:
                    values[row] = value
                    there[row] = True

    def missing(self) -> list[tuple[int, tuple[Kind, ...]]]:
        """(row, the kinds it lacks) of each face that lacks any."""
        lacking = [
            (row, tuple(kind for kind in self._kinds if not self._there[kind.name][row]))
            for row in range(len(self._names))
        ]
        return [(row, kinds) for row, kinds in lacking if kinds]

    def add(self, row: int, found: Packets, cache: MeasureCache) -> None:
        """Take a face's new packets, and save them when a batch is full."""
        for kind, value in found.items():
            self.values[kind][row] = value
            self._unsaved.setdefault(kind, {})[self._names[row]] = value
        self._faces_unsaved += 1
        if self._faces_unsaved >= BATCH:
            self.save(cache)

    def save(self, cache: MeasureCache) -> None:
        """Store what is not stored yet."""
        for kind in self._kinds:
            if values := self._unsaved.get(kind.name):
                cache.write(kind.name, kind.version, values)
        self._unsaved.clear()
        self._faces_unsaved = 0


def _measure(
    packets: _Packets,
    missing: Sequence[tuple[int, tuple[Kind, ...]]],
    faces: Sequence[tuple[Path, FaceRecord]],
    cache: MeasureCache,
    workers: int,
    progress: Progress,
    cancel: Cancel,
) -> None:
    """Measure what is missing and store it batch by batch."""
    groups = {kind.group for _, kinds in missing for kind in kinds}
    if all(stored_embedding(faces[row][1]) is not None for row, _ in missing):
        groups.discard("identity")
    measurer = Measurer(groups, progress=progress)
    seconds = sum(kind.cost_ms for _, kinds in missing for kind in kinds) / workers / 1000
    if seconds >= _LONG_S:
        about = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
        progress.note(
            f"measuring {len(missing)} faces, which takes about {about} once; the measures are kept"
        )

    def measured(item: tuple[int, tuple[Kind, ...]]) -> tuple[int, Packets, str | None]:
        row, kinds = item
        return row, *measurer.measure(*faces[row], kinds)

    results = ordered_map(
        measured, missing, workers=workers, ahead=_AHEAD_PER_WORKER * workers, cancel=cancel
    )
    failed: list[tuple[Path, str]] = []
    progress.start("measuring", len(faces), "faces", done=len(faces) - len(missing))
    try:
        with one_opencv_thread(), closing(results):
            for row, found, trouble in results:
                packets.add(row, found, cache)
                if trouble is not None:
                    failed.append((faces[row][0], trouble))
                progress.advance()
    finally:
        packets.save(cache)
    cancel.check()
    progress.finish()
    for path, trouble in failed[:_MOST_NAMED]:
        progress.note(f"{path}: not measured: {trouble}")
    if len(failed) > _MOST_NAMED:
        progress.note(f"{len(failed) - _MOST_NAMED} more faces could not be measured")
