"""The faceset's index: a cache of records and measures in one SQLite file, which may be deleted.

An entry counts only for a file of the same size and time stamp. What comes out is checked as if
it had come from the picture, since facesets travel with their index. Records and measures hang on
a number of the file, so that a rename changes one short row, however much is known of the face.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from faceloom.core import FormatError
from faceloom.faces.own import own_from_json, own_to_json
from faceloom.faces.record import FaceRecord, polygons_from_dfl, record_to_dfl
from faceloom.pickles import dumps, loads

INDEX_NAME: Final = ".faceloom-index.sqlite"
KIND_SHIFT: Final = 32
"""A measure's key is its kind's number, shifted by this, plus its file's number."""
MOST_KINDS: Final = 1 << 16
_VERSION = 2
_SCHEMA = (
    "CREATE TABLE files (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER, "
    "mtime_ns INTEGER, judged INTEGER, reason TEXT)",
    "CREATE TABLE faces (id INTEGER PRIMARY KEY, face_type TEXT, source_filename TEXT, "
    "brow REAL, arrays BLOB, own BLOB, rest BLOB)",
    "CREATE TABLE kinds (id INTEGER PRIMARY KEY, kind TEXT, version INTEGER, dtype TEXT, "
    "shape TEXT, UNIQUE (kind, version))",
    "CREATE TABLE measures (key INTEGER PRIMARY KEY, data BLOB)",
    "CREATE TABLE applied (operation TEXT PRIMARY KEY) WITHOUT ROWID",
)
_PAGE_BYTES = 8192
_MAX_REST = 4 << 20
_MAX_OWN = 1 << 20
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
"""What SQLite's journals begin with, and end with where they name another file."""
_POINTS = 68 * 2 * 4
_NO_MATRIX = 2 * _POINTS + 16
_MOST_NAMES = 500
"""Names in one query; SQLite built long ago takes 999."""


class Stamp(NamedTuple):
    """By what a file's entry is known to be current."""

    size: int
    mtime_ns: int


class FaceIndex:
    """An open index. Every method treats a failing database as one that knows nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()

    @contextlib.contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """One transaction: all of it or nothing. Raises `sqlite3.Error` when it cannot be had."""
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()

    def known(self) -> dict[str, tuple[Stamp, str | None]]:
        """File name → (stamp, why it is no face or None)."""
        # Of another program's index, only what can be shown on a line.
        query = (
            "SELECT name, size, mtime_ns, substr(reason, 1, 300) FROM files WHERE judged = 1 "
            "AND typeof(name) = 'text' AND typeof(reason) IN ('text', 'null')"
        )
        try:
            rows = self.connection.execute(query)
            return {
                name: (Stamp(size, mtime), None if reason is None else _one_line(reason))
                for name, size, mtime, reason in rows
            }
        except sqlite3.Error:
            return {}

    def store(self, entries: Sequence[tuple[str, Stamp, FaceRecord | str]]) -> bool:
        """Remember records, or the reasons why files are no faces; False when that failed."""
        files = [
            (name, *stamp, 1, found if isinstance(found, str) else None)
            for name, stamp, found in entries
        ]
        rows = [(*_row(found), name) for name, _, found in entries if isinstance(found, FaceRecord)]
        try:
            with self.writing() as connection:
                drop_outdated(connection, [(name, stamp) for name, stamp, _ in entries])
                connection.executemany(
                    "INSERT INTO files (name, size, mtime_ns, judged, reason) VALUES (?,?,?,?,?) "
                    "ON CONFLICT (name) DO UPDATE SET judged = 1, reason = excluded.reason",
                    files,
                )
                connection.executemany(
                    "REPLACE INTO faces (face_type, source_filename, brow, arrays, own, rest, id) "
                    "VALUES (?,?,?,?,?,?, (SELECT id FROM files WHERE name = ?))",
                    rows,
                )
        except (sqlite3.Error, UnicodeEncodeError):
            return False
        return True

    def forget(self, names: Iterable[str]) -> None:
        """Drop the entries of files that are gone, with all that was measured of them."""
        with contextlib.suppress(sqlite3.Error), self.writing() as connection:
            drop_names(connection, names)

    def records(self, names: Sequence[str]) -> dict[str, tuple[Stamp, FaceRecord]]:
        """The records of those files that the index knows as faces."""
        query = (
            "SELECT name, size, mtime_ns, face_type, source_filename, brow, arrays, own, rest "
            "FROM files JOIN faces USING (id) WHERE judged = 1 AND reason IS NULL AND name IN ({})"
        )
        found: dict[str, tuple[Stamp, FaceRecord]] = {}
        with contextlib.suppress(sqlite3.Error, UnicodeEncodeError):
            for part in _parts(names):
                marks = ",".join("?" * len(part))
                found.update(_readable(self.connection.execute(query.format(marks), part)))
        return found


def open_index(folder: Path) -> FaceIndex | None:
    """The folder's index, made anew when it is missing, damaged or another version's.

    None where there can be none: a folder that cannot be written, or a locked index.
    """
    path = folder / INDEX_NAME
    try:
        _remove_traps(path)
    except OSError:
        return None
    for _ in range(2):
        try:
            connection = sqlite3.connect(
                path, timeout=5, check_same_thread=False, isolation_level=None
            )
        except sqlite3.Error:
            return None
        try:
            if _prepare(connection):
                return FaceIndex(connection)
        except sqlite3.OperationalError:
            connection.close()
            return None
        except sqlite3.Error:
            pass  # Damaged: it is only a cache.
        connection.close()
        try:
            path.unlink(missing_ok=True)
        except OSError:
            return None
    return None


def _remove_traps(path: Path) -> None:
    """Delete what would have SQLite touch files elsewhere: no index of ours looks so.

    A link leads to another file. A journal that names a file over several databases makes SQLite
    delete that file, whichever it is.
    """
    journal = path.with_name(f"{path.name}-journal")
    for ours in (path, journal, path.with_name(f"{path.name}-wal")):
        if ours.is_symlink():
            ours.unlink(missing_ok=True)
    trapped = False
    with contextlib.suppress(FileNotFoundError), journal.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_JOURNAL_MAGIC)))
        trapped = size > len(_JOURNAL_MAGIC) and file.read() == _JOURNAL_MAGIC
    if trapped:
        path.unlink(missing_ok=True)  # It may be half written.
        journal.unlink(missing_ok=True)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _prepare(connection: sqlite3.Connection) -> bool:
    """Make or check the schema; False when the file is something else than our index."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA synchronous = NORMAL")
    if _state(connection) == (0, []):
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("BEGIN IMMEDIATE")
        if _state(connection) == (0, []):  # else another process was faster
            for table in _SCHEMA:
                connection.execute(table)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    return _state(connection) == (_VERSION, sorted(_SCHEMA))


def _state(connection: sqlite3.Connection) -> tuple[int, list[str]]:
    """Version and tables; tables' automatic indexes have no text."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    texts = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    return version, sorted(text for (text,) in texts)


# --- rows of the files; within a transaction of the caller's


def ids_of(
    connection: sqlite3.Connection, names: Iterable[str]
) -> Iterator[tuple[int, str, Stamp]]:
    """(number, name, stamp) of those files that the index has."""
    for part in _parts(names):
        marks = ",".join("?" * len(part))
        query = (
            "SELECT id, name, size, mtime_ns FROM files "
            f"WHERE id BETWEEN 1 AND {(1 << KIND_SHIFT) - 1} AND name IN ({marks})"
        )
        for number, name, size, mtime_ns in connection.execute(query, part).fetchall():
            yield number, name, Stamp(size, mtime_ns)


def drop_outdated(connection: sqlite3.Connection, entries: Sequence[tuple[str, Stamp]]) -> None:
    """Drop the entries of files that have another stamp than the one given."""
    # Numbers that no measure could be kept under: another program's.
    connection.execute("DELETE FROM files WHERE id < 1 OR id > ?", ((1 << KIND_SHIFT) - 1,))
    stamps = dict(entries)
    known = ids_of(connection, stamps)
    drop_ids(connection, [number for number, name, stamp in known if stamp != stamps[name]])


def drop_names(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    """Drop files with all that hangs on them."""
    drop_ids(connection, [number for number, _, _ in ids_of(connection, names)])


def drop_ids(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Drop files by their numbers."""
    query = "SELECT id FROM kinds WHERE id BETWEEN 1 AND ?"
    kinds = [kind for (kind,) in connection.execute(query, (MOST_KINDS,)).fetchall()]
    for table in ("files", "faces"):
        connection.executemany(f"DELETE FROM {table} WHERE id = ?", [(number,) for number in ids])
    connection.executemany(
        "DELETE FROM measures WHERE key = ?",
        ((kind << KIND_SHIFT | number,) for kind in kinds for number in ids),
    )


def _parts(names: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(names)
    while part := list(islice(remaining, _MOST_NAMES)):
        yield part


# --- records


def _row(record: FaceRecord) -> tuple[Any, ...]:
    arrays = [
        np.ascontiguousarray(record.landmarks, "<f4").tobytes(),
        np.ascontiguousarray(record.source_landmarks, "<f4").tobytes(),
        np.ascontiguousarray(record.source_rect, "<i4").tobytes(),
    ]
    if record.image_to_face_mat is not None:
        arrays.append(np.ascontiguousarray(record.image_to_face_mat, "<f8").tobytes())
    kept: dict[str, Any] = {}
    if record.seg_ie_polys or record.xseg_mask is not None or record.unknown:
        dfl = record_to_dfl(record)
        keys = ("seg_ie_polys", "xseg_mask", *record.unknown)
        kept = {key: dfl[key] for key in keys if key in dfl}
    return (
        record.face_type,
        record.source_filename,
        record.eyebrows_expand_mod,
        b"".join(arrays),
        None if record.own is None else own_to_json(record.own),
        dumps(kept) if kept else None,
    )


def _readable(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, tuple[Stamp, FaceRecord]]]:
    for row in rows:
        # An entry that makes no record is as good as none: the picture will be read.
        with contextlib.suppress(FormatError, ValueError, TypeError):
            yield row[0], (Stamp(row[1], row[2]), _record(*row[3:]))


def _record(
    face_type: Any, source_filename: str, brow: float, arrays: bytes, own: Any, rest: Any
) -> FaceRecord:
    kept = {} if rest is None else loads(rest, max_bytes=_MAX_REST)
    if not isinstance(kept, dict) or not isinstance(own, (bytes, type(None))):
        raise FormatError("damaged index")
    if own is not None and len(own) > _MAX_OWN:
        raise FormatError("damaged index")
    mask = kept.pop("xseg_mask", None)
    matrix = arrays[_NO_MATRIX:]
    return FaceRecord(
        face_type=face_type,
        landmarks=np.frombuffer(arrays[:_POINTS], "<f4").reshape(68, 2),
        source_filename=source_filename,
        source_rect=np.frombuffer(arrays[2 * _POINTS : _NO_MATRIX], "<i4"),
        source_landmarks=np.frombuffer(arrays[_POINTS : 2 * _POINTS], "<f4").reshape(68, 2),
        image_to_face_mat=np.frombuffer(matrix, "<f8").reshape(2, 3) if matrix else None,
        eyebrows_expand_mod=brow,
        seg_ie_polys=polygons_from_dfl(kept.pop("seg_ie_polys", None)),
        xseg_mask=None if mask is None else np.asarray(mask, np.uint8).tobytes(),
        unknown=kept,
        own=None if own is None else own_from_json(own),
    )
