"""Measures of a faceset's faces, cached in its index.

A value is valid only for the file it was measured from (size and time stamp). It follows the face
when `faceloom.faces.moves.moves` renames or moves it. Values from the index are checked for type,
shape and length, because facesets are shared together with their index.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import FaceloomError
from faceloom.faces.index.stamps import list_stamps, settled
from faceloom.faces.index.store import (
    KIND_SHIFT,
    MOST_KINDS,
    FaceIndex,
    Stamp,
    drop_outdated,
    ids_of,
    open_index,
)

_DTYPES: Final = frozenset(
    {"|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"}
)
_MAX_VALUE_BYTES = 16 << 20
_MAX_AXES = 4
# Up to this many names are looked up one by one; for more, all values of a kind are read.
_FEW = 2000
_LAST_ID = (1 << KIND_SHIFT) - 1

Form = tuple[str, tuple[int, ...]]
"""dtype in NumPy's notation, and shape, of one face's value."""


class MeasureCache:
    """The measures of one faceset; a context manager.

    The faces' stamps are taken when it is opened: open it before the faces are read, and a measure
    of a face that changes in between is never considered current. If the index cannot be read or
    written, and for files written within the last seconds, values are kept in memory while this is
    open. Several processes may use a faceset's cache at once.
    """

    def __init__(self, folder: Path) -> None:
        """Open the cache of `folder`; `InputError` if there is no such folder."""
        self._stamps = list_stamps(folder)
        self._settled = settled(self._stamps)
        self._index = open_index(folder) if self._stamps else None
        self._memory: dict[tuple[str, int], dict[str, NDArray[Any]]] = {}

    def __enter__(self) -> MeasureCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._index is not None:
            self._index.close()

    def read(self, kind: str, version: int, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Name → value for the faces whose measure is known and current.

        Values are rows of shared arrays: copy those that you keep longer.
        """
        wanted = dict.fromkeys(names)
        found: dict[str, NDArray[Any]] = {}
        if self._index is not None:
            try:
                found = _read(self._index.connection, kind, version, wanted, self._stamps)
            except (sqlite3.Error, ValueError, TypeError, OverflowError):
                found = {}  # a damaged or hostile index
        memory = self._memory.get((kind, version), {})
        found.update({name: memory[name] for name in wanted if name in memory})
        return found

    def write(self, kind: str, version: int, values: Mapping[str, NDArray[Any]]) -> None:
        """Store values, all of one dtype and shape; other versions of the kind are dropped.

        Raises `FaceloomError` for values of several forms, or of one that cannot be stored.
        """
        if not values:
            return
        form, arrays = _common(kind, values)
        stored: dict[str, NDArray[Any]] = {}
        if self._index is not None:
            lasting = {name: array for name, array in arrays.items() if name in self._settled}
            try:
                _write(self._index, kind, version, form, lasting, self._settled)
                stored = lasting
            except (sqlite3.Error, UnicodeEncodeError):
                pass
        rest = {name: array for name, array in arrays.items() if name not in stored}
        self._memory.setdefault((kind, version), {}).update(rest)


def _common(kind: str, values: Mapping[str, NDArray[Any]]) -> tuple[Form, dict[str, NDArray[Any]]]:
    """The values' one form, and the values in it (little-endian, contiguous)."""
    arrays = {name: np.asarray(value) for name, value in values.items()}
    arrays = {
        name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
        for name, array in arrays.items()
    }
    forms = {(array.dtype.str, array.shape) for array in arrays.values()}
    if len(forms) != 1:
        raise FaceloomError(f"the measure {kind!r} has several forms: {sorted(forms)}")
    form = forms.pop()
    if not _storable(form):
        raise FaceloomError(f"the measure {kind!r} cannot be stored: {form[0]} {form[1]}")
    return form, arrays


def _storable(form: Form) -> bool:
    dtype, shape = form
    if dtype not in _DTYPES or len(shape) > _MAX_AXES:
        return False
    return math.prod(shape) * np.dtype(dtype).itemsize <= _MAX_VALUE_BYTES


# --- reading


def _read(
    connection: sqlite3.Connection,
    kind: str,
    version: int,
    wanted: Mapping[str, None],
    stamps: Mapping[str, Stamp],
) -> dict[str, NDArray[Any]]:
    entry = _kind(connection, kind, version)
    if entry is None:
        return {}
    number, (dtype, shape) = entry
    length = math.prod(shape) * np.dtype(dtype).itemsize
    rows = (
        _all_rows(connection, number) if len(wanted) > _FEW else _rows(connection, number, wanted)
    )
    names: list[str] = []
    blobs: list[bytes] = []
    for name, size, mtime_ns, data in rows:
        if name in wanted and stamps.get(name) == (size, mtime_ns):
            if not isinstance(data, bytes) or len(data) != length:
                continue
            names.append(name)
            blobs.append(data)
    # A bytearray, so that the values are writable like any others.
    values = np.frombuffer(bytearray().join(blobs), dtype) if length else np.empty(0, dtype)
    rows_of_values = values.reshape(len(names), *shape)
    return {name: rows_of_values[i : i + 1].reshape(shape) for i, name in enumerate(names)}


def _kind(connection: sqlite3.Connection, kind: str, version: int) -> tuple[int, Form] | None:
    """Number and form of a kind of measure; None if it is unknown or invalid."""
    query = "SELECT id, dtype, shape FROM kinds WHERE kind = ? AND version = ?"
    row = connection.execute(query, (kind, version)).fetchone()
    if row is None or not 0 < row[0] < MOST_KINDS:
        return None
    form = _form(row[1], row[2])
    return None if form is None else (row[0], form)


def kinds_of(connection: sqlite3.Connection) -> list[tuple[int, str, int, Form]]:
    """(number, kind, version, form) of all valid kinds."""
    query = "SELECT id, kind, version, dtype, shape FROM kinds WHERE id BETWEEN 1 AND ?"
    rows = connection.execute(query, (MOST_KINDS - 1,)).fetchall()
    forms = [(number, kind, version, _form(*form)) for number, kind, version, *form in rows]
    return [(*kind, form) for *kind, form in forms if form is not None]


def _form(dtype: Any, shape_text: Any) -> Form | None:
    try:
        shape = json.loads(shape_text)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(shape, list) or len(shape) > _MAX_AXES:
        return None
    if not all(type(side) is int and 0 <= side <= _MAX_VALUE_BYTES for side in shape):
        return None
    form = (dtype, tuple(shape))
    return form if _storable(form) else None


def _all_rows(connection: sqlite3.Connection, number: int) -> Iterator[tuple[Any, ...]]:
    query = (
        "SELECT f.name, f.size, f.mtime_ns, m.data FROM measures m "
        f"CROSS JOIN files f ON f.id = (m.key & {_LAST_ID}) WHERE m.key BETWEEN ? AND ?"
    )
    first = number << KIND_SHIFT
    return connection.execute(query, (first, first | _LAST_ID))


def _rows(
    connection: sqlite3.Connection, number: int, names: Iterable[str]
) -> Iterator[tuple[Any, ...]]:
    remaining = iter(names)
    while part := list(islice(remaining, 500)):
        marks = ",".join("?" * len(part))
        query = (
            "SELECT f.name, f.size, f.mtime_ns, m.data FROM files f "
            f"CROSS JOIN measures m ON m.key = (f.id | ?) WHERE f.name IN ({marks})"
        )
        yield from connection.execute(query, (number << KIND_SHIFT, *part))


# --- writing


def _write(
    index: FaceIndex,
    kind: str,
    version: int,
    form: Form,
    arrays: Mapping[str, NDArray[Any]],
    stamps: Mapping[str, Stamp],
) -> None:
    if not arrays:
        return
    with index.writing() as connection:
        number = kind_for(connection, kind, version, form)
        drop_outdated(connection, [(name, stamps[name]) for name in arrays])
        connection.executemany(
            "INSERT OR IGNORE INTO files (name, size, mtime_ns, judged) VALUES (?, ?, ?, 0)",
            ((name, *stamps[name]) for name in arrays),
        )
        ids = {name: file for file, name, _ in ids_of(connection, arrays)}
        first = number << KIND_SHIFT
        connection.executemany(
            "REPLACE INTO measures VALUES (?, ?)",
            ((first | ids[name], array.tobytes()) for name, array in arrays.items() if name in ids),
        )


def kind_for(connection: sqlite3.Connection, kind: str, version: int, form: Form) -> int:
    """The kind's number for writing; a new one if it is new or had another form or version."""
    entry = _kind(connection, kind, version)
    if entry is not None and entry[1] == form:
        return entry[0]
    query = "SELECT id FROM kinds WHERE kind = ?"
    for (number,) in connection.execute(query, (kind,)).fetchall():
        if 0 < number < MOST_KINDS:
            first = number << KIND_SHIFT
            connection.execute(
                "DELETE FROM measures WHERE key BETWEEN ? AND ?", (first, first | _LAST_ID)
            )
        connection.execute("DELETE FROM kinds WHERE id = ?", (number,))
    query = "SELECT coalesce(max(id), 0) + 1 FROM kinds"
    (number,) = connection.execute(query).fetchone()
    if not 0 < number < MOST_KINDS:
        raise sqlite3.DatabaseError("no room for another kind of measure")
    row = (number, kind, version, form[0], json.dumps(form[1]))
    connection.execute("INSERT INTO kinds VALUES (?, ?, ?, ?, ?)", row)
    return number
