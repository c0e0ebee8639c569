"""A faceset: a folder of faces that any file manager may rearrange."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from faceloom.core import Cancel, FaceloomError, NullProgress, Progress
from faceloom.faces.archives.pack import pack_trouble
from faceloom.faces.files.face_file import read_record
from faceloom.faces.index.fill import MANY, STORED_TOGETHER, fill_index, look_at
from faceloom.faces.index.stamps import list_stamps, settled
from faceloom.faces.index.store import FaceIndex, Stamp, open_index
from faceloom.faces.moves.moves import recover_moves
from faceloom.faces.record import FaceRecord

_BATCH = 256


class Faceset:
    """The faces of a folder, in the order of their file names, as they were when it was opened.

    Pictures that are not faces are listed in `skipped`. Records come from an index in the folder,
    or from the pictures where the index is out of date; the index may be deleted at any time, and
    everything works if it cannot be written.

    Faces of a pack in the folder (`faceset.pak`) are listed like loose ones, with paths that lead
    into it; a loose file takes precedence over a packed one of the same name.
    """

    def __init__(
        self,
        folder: Path,
        *,
        use_index: bool = True,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Open `folder`; `InputError` if it does not exist. Otherwise as `refresh`."""
        self.folder = folder
        self.paths: tuple[Path, ...] = ()
        """The faces' files."""
        self.skipped: list[tuple[Path, str]] = []
        """Pictures that are not faces, and why."""
        self._use_index = use_index
        self._names: tuple[str, ...] = ()
        self._stamps: dict[str, Stamp] = {}
        self._loose: dict[str, FaceRecord] = {}
        self.refresh(progress=progress, cancel=cancel)

    @property
    def names(self) -> tuple[str, ...]:
        """The faces' names in the index: relative to the folder, with the pack if packed."""
        return self._names

    def refresh(self, *, progress: Progress | None = None, cancel: Cancel | None = None) -> None:
        """Read the folder again; renames that were interrupted are finished first.

        `progress` counts the files that are not in the index and must be read, in several
        processes if there are many. Raises `CancelledError`; finished work is kept in the index.
        """
        with contextlib.suppress(FaceloomError, OSError):
            recover_moves(self.folder)
        stamps = list_stamps(self.folder)
        look = _Look(self.folder, stamps, progress or NullProgress(), cancel or Cancel())
        index = open_index(self.folder) if self._use_index and stamps else None
        try:
            known = index.known() if index is not None else {}
            reasons, loose = look.at_unknown(known, index)
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
        trouble = pack_trouble(self.folder)
        if trouble is not None:
            self.skipped.append(trouble)

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[Path, FaceRecord]]:
        """Each face's file and record. A face that has vanished since raises `InputError`."""
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


class _Look:
    """One reading of the files that the index does not know."""

    def __init__(
        self, folder: Path, stamps: dict[str, Stamp], progress: Progress, cancel: Cancel
    ) -> None:
        self._folder, self._stamps = folder, stamps
        self._settled = settled(stamps)
        self._progress, self._cancel = progress, cancel

    def at_unknown(
        self, known: dict[str, tuple[Stamp, str | None]], index: FaceIndex | None
    ) -> tuple[dict[str, str], dict[str, FaceRecord]]:
        """(name → why it is not a face, name → record that is not in the index)."""
        unknown = self._unknown(known)
        if unknown:
            self._progress.start("reading faces", len(unknown), "faces")
        lasting = {name: stamp for name, stamp in unknown.items() if name in self._settled}
        if index is not None and len(lasting) >= MANY:
            fill_index(self._folder, lasting, progress=self._progress, cancel=self._cancel)
            known = index.known()
            unknown = self._unknown(known)
        reasons = {
            name: reason
            for name, (stamp, reason) in known.items()
            if reason is not None and self._stamps.get(name) == stamp
        }
        loose = self._read(unknown, index, reasons)
        return {name: reasons[name] for name in self._stamps if name in reasons}, loose

    def _unknown(self, known: dict[str, tuple[Stamp, str | None]]) -> dict[str, Stamp]:
        nothing = (None, None)
        return {
            name: stamp
            for name, stamp in self._stamps.items()
            if known.get(name, nothing)[0] != stamp
        }

    def _read(
        self, unknown: dict[str, Stamp], index: FaceIndex | None, reasons: dict[str, str]
    ) -> dict[str, FaceRecord]:
        """Read files into the index; return the records that could not be stored there."""
        loose: dict[str, FaceRecord] = {}
        remaining = iter(unknown)
        while names := tuple(islice(remaining, STORED_TOGETHER)):
            lasting: list[tuple[str, Stamp, FaceRecord | str]] = []
            for name in names:
                self._cancel.check()
                found = look_at(self._folder / name)
                if isinstance(found, str):
                    reasons[name] = found
                if name in self._settled:
                    lasting.append((name, unknown[name], found))
                elif isinstance(found, FaceRecord):
                    loose[name] = found
                self._progress.advance()
            if index is None or not index.store(lasting):
                loose.update((name, f) for name, _, f in lasting if isinstance(f, FaceRecord))
        return loose
