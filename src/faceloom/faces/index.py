"""The faceset's index: a cache of records in one SQLite file, which may be deleted any time.

An entry counts only for a file of the same size and time stamp. What comes out is checked as if
it had come from the picture, since facesets travel with their index.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from faceloom.core import FormatError
from faceloom.faces.own import own_from_json, own_to_json
from faceloom.faces.pickle_safe import loads
from faceloom.faces.pickle_writer import dumps
from faceloom.faces.record import FaceRecord, polygons_from_dfl, record_to_dfl

INDEX_NAME: Final = ".faceloom-index.sqlite"
_VERSION = 1
_SCHEMA = (
    "CREATE TABLE faces (name TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, reason TEXT, "
    "face_type TEXT, source_filename TEXT, brow REAL, arrays BLOB, own BLOB, rest BLOB) "
    "WITHOUT ROWID"
)
_MAX_REST = 4 << 20
_POINTS = 68 * 2 * 4
_NO_MATRIX = 2 * _POINTS + 16


@dataclass(frozen=True)
class Stamp:
    """By what a file's entry is known to be current."""

    size: int
    mtime_ns: int


class FaceIndex:
    """An open index. Every method treats a failing database as one that knows nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def known(self) -> dict[str, tuple[Stamp, str | None]]:
        """File name → (stamp, why it is no face or None)."""
        try:
            rows = self._connection.execute("SELECT name, size, mtime_ns, reason FROM faces")
            return {name: (Stamp(size, mtime), reason) for name, size, mtime, reason in rows}
        except sqlite3.Error:
            return {}

    def store(self, entries: Sequence[tuple[str, Stamp, FaceRecord | str]]) -> bool:
        """Remember records, or the reasons why files are no faces; False when that failed."""
        rows = [_row(name, stamp, found) for name, stamp, found in entries]
        try:
            with self._connection:
                marks = ",".join("?" * 10)
                self._connection.executemany(f"REPLACE INTO faces VALUES ({marks})", rows)
        except sqlite3.Error:
            return False
        return True

    def forget(self, names: Iterable[str]) -> None:
        """Drop the entries of files that are gone."""
        with contextlib.suppress(sqlite3.Error), self._connection:
            self._connection.executemany(
                "DELETE FROM faces WHERE name = ?", [(name,) for name in names]
            )

    def records(self, names: Sequence[str]) -> dict[str, tuple[Stamp, FaceRecord]]:
        """The records of those files that the index knows as faces."""
        marks = ",".join("?" * len(names))
        query = f"SELECT * FROM faces WHERE reason IS NULL AND name IN ({marks})"
        try:
            return dict(_readable(self._connection.execute(query, list(names))))
        except sqlite3.Error:
            return {}


def open_index(folder: Path) -> FaceIndex | None:
    """The folder's index, made anew when it is missing, damaged or another version's.

    None where there can be none: a folder that cannot be written, or a locked index.
    """
    path = folder / INDEX_NAME
    for _ in range(2):
        try:
            connection = sqlite3.connect(path, timeout=5, check_same_thread=False)
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


def _prepare(connection: sqlite3.Connection) -> bool:
    """Make or check the schema; False when the file is something else than our index."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA synchronous = NORMAL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    schema = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master")]
    if version == 0 and not schema:
        with connection:
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        return True
    return version == _VERSION and schema == [_SCHEMA]


def _row(name: str, stamp: Stamp, found: FaceRecord | str) -> tuple[Any, ...]:
    if isinstance(found, str):
        return (name, stamp.size, stamp.mtime_ns, found, *[None] * 6)
    record = found
    arrays = [
        np.ascontiguousarray(record.landmarks, "<f4").tobytes(),
        np.ascontiguousarray(record.source_landmarks, "<f4").tobytes(),
        np.ascontiguousarray(record.source_rect, "<i4").tobytes(),
    ]
    if record.image_to_face_mat is not None:
        arrays.append(np.ascontiguousarray(record.image_to_face_mat, "<f8").tobytes())
    dfl = record_to_dfl(record)
    kept = {key: dfl[key] for key in ("seg_ie_polys", "xseg_mask", *record.unknown) if key in dfl}
    return (
        name,
        stamp.size,
        stamp.mtime_ns,
        None,
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
            yield row[0], (Stamp(row[1], row[2]), _record(*row[4:]))


def _record(
    face_type: Any, source_filename: str, brow: float, arrays: bytes, own: Any, rest: Any
) -> FaceRecord:
    kept = {} if rest is None else loads(rest, max_bytes=_MAX_REST)
    if not isinstance(kept, dict) or not isinstance(own, (bytes, type(None))):
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
