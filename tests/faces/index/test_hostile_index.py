"""Indexes that came with a faceset: nothing elsewhere is touched, nothing odd is shown."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from pathlib import Path

import pytest

from faceloom.faces import Faceset
from faceloom.faces.index.stamps import list_stamps
from faceloom.faces.index.store import INDEX_NAME, open_index
from synthetic_faces import write_faceset

MAGIC = bytes.fromhex("d9d505f920a163d7")
PAGE = 8192


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_faceset(tmp_path / "aligned", 3)
    for path in folder.glob("*.png"):
        os.utime(path, (1000, 1000))  # long ago: its entry is kept
    Faceset(folder)
    return folder


def trap(folder: Path, victim: Path) -> Path:
    """A journal as SQLite leaves it of a transaction over several files, `victim` the list."""
    index = folder / INDEX_NAME
    head = MAGIC + struct.pack(">5I", 0, 1, index.stat().st_size // PAGE, 512, PAGE)
    name = os.fsencode(victim)
    tail = struct.pack(">I", 0x40000000 // PAGE + 1) + name
    tail += struct.pack(">2I", len(name), sum(name)) + MAGIC
    journal = index.with_name(f"{INDEX_NAME}-journal")
    journal.write_bytes(head.ljust(512, b"\0") + tail)
    return journal


def test_the_trap_works_on_sqlite_itself(folder: Path, tmp_path: Path):
    """Else the next test would show nothing."""
    victim = tmp_path / "precious"
    victim.write_text("x")
    trap(folder, victim)
    with sqlite3.connect(folder / INDEX_NAME) as connection:
        connection.execute("SELECT count(*) FROM files").fetchone()
    connection.close()
    assert not victim.exists()


def test_a_journal_has_no_file_elsewhere_deleted(folder: Path, tmp_path: Path):
    victim = tmp_path / "precious"
    victim.write_text("x")
    journal = trap(folder, victim)
    assert len(Faceset(folder)) == 3
    assert victim.read_text() == "x" and not journal.exists()


def test_an_interrupted_write_of_ours_is_still_rolled_back(folder: Path):
    """A journal of one file is what a kill leaves: its pages must come back."""
    index, copy = folder / INDEX_NAME, folder.with_name("copy")
    copy.mkdir()
    connection = sqlite3.connect(index, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE files SET reason = 'half a transaction'")
    rows = [(f"{i}.png", "x" * 4000) for i in range(200)]
    connection.executemany("INSERT INTO files (name, reason, judged) VALUES (?, ?, 1)", rows)
    for name in (INDEX_NAME, f"{INDEX_NAME}-journal"):
        shutil.copy2(folder / name, copy / name)
    connection.rollback()
    connection.close()
    found = open_index(copy)
    assert found is not None
    assert sorted(found.known()) == sorted(list_stamps(folder))
    assert all(reason is None for _, reason in found.known().values())
    found.close()


@pytest.mark.parametrize("ending", ["", "-journal", "-wal"])
def test_an_index_that_is_a_link_is_not_followed(folder: Path, tmp_path: Path, ending: str):
    link = folder / f"{INDEX_NAME}{ending}"
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / "elsewhere")
    assert len(Faceset(folder)) == 3
    assert not (tmp_path / "elsewhere").exists() and not link.is_symlink()


def test_reasons_from_elsewhere_are_short_lines(folder: Path):
    reasons: list[object] = ["two\nlines\x1b[2J", "x" * 10_000, b"bytes"]
    with sqlite3.connect(folder / INDEX_NAME) as connection:
        for i, reason in enumerate(reasons, 1):
            connection.execute("UPDATE files SET reason = ? WHERE id = ?", (reason, i))
        row = ("name", 1, 1, 1, None)
        query = "INSERT INTO files (name, size, mtime_ns, judged, reason) VALUES (?, ?, ?, ?, ?)"
        connection.execute(query, (b"name", *row[1:]))
    connection.close()
    faces = Faceset(folder)
    assert len(faces.skipped) == 2 and len(faces) == 1
    assert all(reason.isprintable() and len(reason) <= 300 for _, reason in faces.skipped)


def test_faces_that_vanish_while_they_are_listed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """As another tool moves them: the folder is still a faceset."""
    scandir = os.scandir

    class Scan:
        def __init__(self, path: Path) -> None:
            self._found = scandir(path)

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            self._found.close()

        def __iter__(self):
            for entry in self._found:
                if entry.name == "00002_0.png":
                    (folder / entry.name).rename(folder.with_name("moved.png"))
                yield entry

    monkeypatch.setattr(os, "scandir", Scan)
    assert sorted(list_stamps(folder)) == ["00001_0.png", "00003_0.png"]


def test_a_block_of_absurd_length_is_not_parsed(folder: Path):
    """The picture is read in its place."""
    with sqlite3.connect(folder / INDEX_NAME) as connection:
        block = b'{"version": 1, "unknown": "' + b"x" * (2 << 20) + b'"}'
        connection.execute("UPDATE faces SET own = ?", (block,))
    connection.close()
    records = dict(Faceset(folder))
    assert len(records) == 3
    assert all(r.own is None or "unknown" not in r.own.unknown for r in records.values())
