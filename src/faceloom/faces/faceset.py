"""A faceset: a folder of faces that any file manager may rearrange."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from faceloom.core import FaceloomError, InputError
from faceloom.core.paths import IMAGE_SUFFIXES
from faceloom.faces.files import FACE_SUFFIXES, read_record
from faceloom.faces.index import FaceIndex, Stamp, open_index
from faceloom.faces.record import FaceRecord

# A file written this shortly ago may be written again without its time stamp changing.
_FRESH_NS = 3_000_000_000
_BATCH = 256


class Faceset:
    """The faces of a folder, in the order of their file names, as they were when it was opened.

    Files that are no faces are left out and named in `skipped`. Records come from an index in the
    folder where that is current and from the pictures where it is not; the index may be deleted
    at any time, and where it cannot be written everything works without it.
    """

    def __init__(self, folder: Path, *, use_index: bool = True) -> None:
        """Open `folder`; `InputError` when there is none."""
        self.folder = folder
        self.paths: tuple[Path, ...] = ()
        """The faces' files."""
        self.skipped: list[tuple[Path, str]] = []
        """Pictures that are no faces, and why."""
        self._use_index = use_index
        self._stamps: dict[str, Stamp] = {}
        self._loose: dict[str, FaceRecord] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look at the folder again."""
        stamps = _list(self.folder)
        index = open_index(self.folder) if self._use_index and stamps else None
        try:
            known = index.known() if index is not None else {}
            reasons, loose = _look(self.folder, stamps, known, index)
            gone = known.keys() - stamps.keys()
            if index is not None and gone:
                index.forget(gone)
        finally:
            if index is not None:
                index.close()
        self._stamps, self._loose = stamps, loose
        self.paths = tuple(self.folder / name for name in stamps if name not in reasons)
        self.skipped = [(self.folder / name, reason) for name, reason in reasons.items()]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[Path, FaceRecord]]:
        """Each face's file and record. A face that vanished meanwhile raises `InputError`."""
        index = open_index(self.folder) if self._use_index and self.paths else None
        try:
            remaining = iter(self.paths)
            while batch := tuple(islice(remaining, _BATCH)):
                yield from self._records(batch, index)
        finally:
            if index is not None:
                index.close()

    def _records(
        self, paths: tuple[Path, ...], index: FaceIndex | None
    ) -> Iterator[tuple[Path, FaceRecord]]:
        stored = {} if index is None else index.records([path.name for path in paths])
        for path in paths:
            loose = self._loose.get(path.name)
            stamp, record = stored.get(path.name, (None, None))
            if loose is not None:
                yield path, loose
            elif record is not None and stamp == self._stamps[path.name]:
                yield path, record
            else:
                yield path, read_record(path)

    def by_frame(self) -> dict[str, list[FaceRecord]]:
        """Stem of the source frame → its faces, for the merge."""
        frames: dict[str, list[FaceRecord]] = {}
        for _, record in self:
            frames.setdefault(record.source_stem, []).append(record)
        return frames


def _list(folder: Path) -> dict[str, Stamp]:
    """The pictures of the folder with their stamps, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            found = [
                (entry.name, entry.stat())
                for entry in entries
                if Path(entry.name).suffix.lower() in IMAGE_SUFFIXES
                and not entry.name.startswith(".")
                and entry.is_file()
            ]
    except OSError as error:
        raise InputError(f"{folder}: no faceset there: {error.strerror or error}") from None
    return {name: Stamp(stat.st_size, stat.st_mtime_ns) for name, stat in sorted(found)}


def _look(
    folder: Path,
    stamps: dict[str, Stamp],
    known: dict[str, tuple[Stamp, str | None]],
    index: FaceIndex | None,
) -> tuple[dict[str, str], dict[str, FaceRecord]]:
    """Read what the index does not know: (name → why no face, name → record not in the index)."""
    reasons: dict[str, str] = {}
    loose: dict[str, FaceRecord] = {}
    batch: list[tuple[str, Stamp, FaceRecord | str]] = []
    settled = time.time_ns() - _FRESH_NS
    for name, stamp in stamps.items():
        entry = known.get(name)
        if entry is not None and entry[0] == stamp:
            if entry[1] is not None:
                reasons[name] = entry[1]
            continue
        found = _read(folder / name)
        if isinstance(found, str):
            reasons[name] = found
        if index is not None and stamp.mtime_ns < settled:
            batch.append((name, stamp, found))
        elif isinstance(found, FaceRecord):
            loose[name] = found
        if index is not None and len(batch) >= _BATCH:
            _store(index, batch, loose)
            batch = []
    if index is not None and batch:
        _store(index, batch, loose)
    return reasons, loose


def _read(path: Path) -> FaceRecord | str:
    """The file's record, or why it is no face."""
    if path.suffix.lower() not in FACE_SUFFIXES:
        return "faces are JPEG or PNG files"
    try:
        return read_record(path)
    except FaceloomError as error:
        return str(error).removeprefix(f"{path}: ")


def _store(
    index: FaceIndex,
    batch: list[tuple[str, Stamp, FaceRecord | str]],
    loose: dict[str, FaceRecord],
) -> None:
    """Into the index, or into memory where that fails."""
    if not index.store(batch):
        loose.update({name: found for name, _, found in batch if isinstance(found, FaceRecord)})
