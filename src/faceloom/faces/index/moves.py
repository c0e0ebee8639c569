"""Updating the indexes when faces are renamed or moved, so that nothing is measured again."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from faceloom.faces.index.measures import kind_for, kinds_of
from faceloom.faces.index.store import (
    INDEX_NAME,
    KIND_SHIFT,
    FaceIndex,
    drop_names,
    drop_outdated,
    ids_of,
    open_index,
)

# Faces copied at a time: their measures are in memory together.
_CHUNK: Final = 200


def follow_moves(root: Path, moved: Sequence[tuple[str, str]], operation: str) -> None:
    """Move the entries of faces (old path, new path; relative to `root`, with `/`).

    May be repeated after a kill: what was done for `operation` is not done again. If an index
    cannot be opened, its entries are lost and the faces are read again.
    """
    by_folders: dict[tuple[str, str], dict[str, str]] = {}
    for source, target in moved:
        (old_folder, _, old), (new_folder, _, new) = source.rpartition("/"), target.rpartition("/")
        by_folders.setdefault((old_folder, new_folder), {})[old] = new
    with contextlib.ExitStack() as stack:
        indexes = _open(root, by_folders, stack)
        for (source, target), names in by_folders.items():
            if source != target and source in indexes and target in indexes:
                # If an index fails, the faces will be read again.
                with contextlib.suppress(sqlite3.Error, OverflowError, TypeError, ValueError):
                    _copy(indexes[source], indexes[target], names, operation)
        for folder, index in indexes.items():
            with contextlib.suppress(sqlite3.Error, UnicodeEncodeError):
                _rename(index, folder, by_folders, operation)


def _open(
    root: Path, folders: Mapping[tuple[str, str], object], stack: contextlib.ExitStack
) -> dict[str, FaceIndex]:
    """Indexes of all folders that have one, and of those that receive faces from such a folder."""
    having = {
        folder for pair in folders for folder in pair if (root / folder / INDEX_NAME).is_file()
    }
    getting = {target for source, target in folders if source in having}
    indexes: dict[str, FaceIndex] = {}
    for folder in sorted(having | getting):
        index = open_index(root / folder)
        if index is not None:
            stack.callback(index.close)
            indexes[folder] = index
    return indexes


def _applied(connection: sqlite3.Connection, operation: str) -> bool:
    query = "SELECT 1 FROM applied WHERE operation = ?"
    return connection.execute(query, (operation,)).fetchone() is not None


def _staged(operation: str) -> str:
    """Prefix of a name in transit; no file name starts with a slash."""
    return f"/{operation}/"


def _copy(source: FaceIndex, target: FaceIndex, names: Mapping[str, str], operation: str) -> None:
    """Copy faces' rows to another folder's index, under provisional names."""
    if _applied(target.connection, operation):
        return
    remaining: Iterator[str] = iter(names)
    while part := list(islice(remaining, _CHUNK)):
        with target.writing() as connection:
            new_ids: dict[int, int] = {}
            for number, name, stamp in ids_of(source.connection, part):
                staged = _staged(operation) + names[name]
                drop_names(connection, [staged])
                connection.execute(
                    "INSERT INTO files (name, size, mtime_ns, judged) VALUES (?, ?, ?, 0)",
                    (staged, *stamp),
                )
                new_ids[number] = next(ids_of(connection, [staged]))[0]
            _copy_rows(source.connection, connection, new_ids)


def _copy_rows(
    source: sqlite3.Connection, target: sqlite3.Connection, ids: Mapping[int, int]
) -> None:
    marks = ",".join("?" * len(ids))
    olds = list(ids)
    rows: list[tuple[Any, ...]] = source.execute(
        f"SELECT id, judged, reason FROM files WHERE id IN ({marks})", olds
    ).fetchall()
    target.executemany(
        "UPDATE files SET judged = ?, reason = ? WHERE id = ?",
        [(judged, reason, ids[old]) for old, judged, reason in rows],
    )
    faces = source.execute(f"SELECT * FROM faces WHERE id IN ({marks})", olds)
    target.executemany(
        "REPLACE INTO faces VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(ids[row[0]], *row[1:]) for row in faces],
    )
    for number, kind, version, form in kinds_of(source):
        keys = [number << KIND_SHIFT | old for old in olds]
        found = source.execute(
            f"SELECT key, data FROM measures WHERE key IN ({marks})", keys
        ).fetchall()
        if found:
            first = kind_for(target, kind, version, form) << KIND_SHIFT
            low = (1 << KIND_SHIFT) - 1
            target.executemany(
                "REPLACE INTO measures VALUES (?, ?)",
                [(first | ids[key & low], data) for key, data in found],
            )


def _rename(
    index: FaceIndex,
    folder: str,
    by_folders: Mapping[tuple[str, str], Mapping[str, str]],
    operation: str,
) -> None:
    """Update one folder's index, in one transaction that is not repeated."""
    within = by_folders.get((folder, folder), {})
    left = [n for pair, names in by_folders.items() if pair[0] == folder != pair[1] for n in names]
    arrived = [
        name
        for pair, names in by_folders.items()
        if pair[1] == folder != pair[0]
        for name in names.values()
    ]
    staged = _staged(operation)
    with index.writing() as connection:
        if _applied(connection, operation):
            return
        drop_outdated(connection, [])
        connection.executemany(
            "UPDATE files SET name = ? WHERE name = ?",
            [(staged + new, old) for old, new in within.items()],
        )
        drop_names(connection, [*left, *within.values(), *arrived])
        connection.execute(
            "UPDATE files SET name = substr(name, ?) WHERE substr(name, 1, ?) = ?",
            (len(staged) + 1, len(staged), staged),
        )
        connection.execute("DELETE FROM applied")
        connection.execute("INSERT INTO applied VALUES (?)", (operation,))
