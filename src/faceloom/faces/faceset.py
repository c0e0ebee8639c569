"""A faceset: a folder of faces that any file manager may rearrange."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from faceloom.core import FaceloomError
from faceloom.faces.files import FACE_SUFFIXES, read_record
from faceloom.faces.index import FaceIndex, Stamp, open_index
from faceloom.faces.moves import recover_moves
from faceloom.faces.packed import packed_trouble
from faceloom.faces.record import FaceRecord
from faceloom.faces.stamps import FRESH_NS, list_stamps

_BATCH = 256


class Faceset:
    """The faces of a folder, in the order of their file names, as they were when it was opened.

    Files that are no faces are left out and named in `skipped`. Records come from an index in the
    folder where that is current and from the pictures where it is not; the index may be deleted
    at any time, and where it cannot be written everything works without it.

    Faces of a pack in the folder (`faceset.pak`) are listed like loose ones, under paths that lead
    into it; of two equal names the loose file counts.
    """

    def __init__(self, folder: Path, *, use_index: bool = True) -> None:
        """Open `folder`; `InputError` when there is none."""
        self.folder = folder
        self.paths: tuple[Path, ...] = ()
        """The faces' files."""
        self.skipped: list[tuple[Path, str]] = []
        """Pictures that are no faces, and why."""
        self._use_index = use_index
        self._names: tuple[str, ...] = ()
        self._stamps: dict[str, Stamp] = {}
        self._loose: dict[str, FaceRecord] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look at the folder again."""
        with contextlib.suppress(FaceloomError, OSError):
            recover_moves(self.folder)
        stamps = list_stamps(self.folder)
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
        self._names = tuple(name for name in stamps if name not in reasons)
        self.paths = tuple(self.folder / name for name in self._names)
        self.skipped = [(self.folder / name, reason) for name, reason in reasons.items()]
        trouble = packed_trouble(self.folder)
        if trouble is not None:
            self.skipped.append(trouble)

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[Path, FaceRecord]]:
        """Each face's file and record. A face that vanished meanwhile raises `InputError`."""
        index = open_index(self.folder) if self._use_index and self.paths else None
        try:
            remaining = zip(self._names, self.paths, strict=True)
            while batch := tuple(islice(remaining, _BATCH)):
                yield from self._records(batch, index)
        finally:
            if index is not None:
                index.close()

    def _records(
        self, faces: tuple[tuple[str, Path], ...], index: FaceIndex | None
    ) -> Iterator[tuple[Path, FaceRecord]]:
        stored = {} if index is None else index.records([name for name, _ in faces])
        for name, path in faces:
            loose = self._loose.get(name)
            stamp, record = stored.get(name, (None, None))
            if loose is not None:
                yield path, loose
            elif record is not None and stamp == self._stamps[name]:
                yield path, record
            else:
                yield path, read_record(path)

    def by_frame(self) -> dict[str, list[FaceRecord]]:
        """Stem of the source frame → its faces, for the merge."""
        frames: dict[str, list[FaceRecord]] = {}
        for _, record in self:
            frames.setdefault(record.source_stem, []).append(record)
        return frames


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
    settled = time.time_ns() - FRESH_NS
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
