"""Facesets: what is listed, that the index is only a cache, and what happens without it."""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from face_inputs import own, picture, record, same_record
from faceloom.core import InputError
from faceloom.faces import (
    INDEX_NAME,
    Faceset,
    SegPolygon,
    encode_face,
    faceset,
    update_record,
    write_face,
)
from faceloom.faces.index import fill as index_fill


def age(folder: Path, seconds: float = 60) -> None:
    """Make the files old enough for the index to trust their time stamps."""
    then = time.time() - seconds
    for path in folder.iterdir():
        os.utime(path, (then, then))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "aligned"
    folder.mkdir()
    for i in range(5):
        changes = {"unknown": {"yaw_value": 0.5}} if i == 3 else {}
        made = record(source_filename=f"{i // 2:05d}.png", own=own(track=i), **changes)
        if i == 4:
            points = np.array([[1, 2], [3, 4], [9, 5]], np.float32)
            made = replace(made, seg_ie_polys=(SegPolygon(True, points),), xseg_mask=b"mask")
        write_face(folder / f"{i // 2:05d}_{i % 2}{'.png' if i == 1 else '.jpg'}", picture(), made)
    age(folder)
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were opened for their metadata."""
    seen: list[str] = []
    read = faceset.read_record

    def watched(path: Path):
        seen.append(path.name)
        return read(path)

    for module in (faceset, index_fill):
        monkeypatch.setattr(module, "read_record", watched)
    return seen


NAMES = ["00000_0.jpg", "00000_1.png", "00001_0.jpg", "00001_1.jpg", "00002_0.jpg"]


def check(faces: Faceset) -> None:
    assert len(faces) == 5
    found = list(faces)
    assert [path.name for path, _ in found] == NAMES == [p.name for p in faces.paths]
    for i, (path, known) in enumerate(found):
        assert known.own is not None and known.own.track == i
        same_record(known, faceset.read_record(path))


def test_faces_come_in_the_order_of_their_names(folder: Path):
    check(Faceset(folder))


def test_second_opening_reads_no_picture(folder: Path, reads: list[str]):
    check(Faceset(folder))
    assert set(reads) == set(NAMES)
    reads.clear()
    again = Faceset(folder)
    records = [known for _, known in again]
    assert reads == []
    check(again)
    assert [known.source_stem for known in records] == ["00000", "00000", "00001", "00001", "00002"]
    assert records[3].unknown == {"yaw_value": 0.5}
    assert records[4].xseg_mask == b"mask" and len(records[4].seg_ie_polys) == 1


def test_index_may_vanish_at_any_time(folder: Path):
    faces = Faceset(folder)
    (folder / INDEX_NAME).unlink()
    check(faces)
    check(Faceset(folder))
    walk = iter(faces)
    next(walk)
    (folder / INDEX_NAME).unlink()
    assert len(list(walk)) == 4


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(4000)])
def test_damaged_index_is_made_anew(folder: Path, content: bytes):
    Faceset(folder)
    (folder / INDEX_NAME).write_bytes(content)
    check(Faceset(folder))
    with sqlite3.connect(folder / INDEX_NAME) as connection:
        assert connection.execute("SELECT count(*) FROM faces").fetchone() == (5,)


def test_foreign_database_in_the_indexs_place_is_replaced(folder: Path):
    with sqlite3.connect(folder / INDEX_NAME) as connection:
        connection.execute("CREATE VIEW faces AS SELECT load_extension('x') AS name")
    connection.close()
    check(Faceset(folder))


def test_nonsense_in_the_index_is_not_believed(folder: Path):
    Faceset(folder)
    with sqlite3.connect(folder / INDEX_NAME) as connection:
        for column, value, name in (
            ("arrays", "x'00'", NAMES[0]),
            ("source_filename", "'../x'", NAMES[2]),
            ("own", "'text'", NAMES[3]),
            ("rest", "x'4e2e'", NAMES[4]),
        ):
            connection.execute(
                f"UPDATE faces SET {column} = {value} "
                f"WHERE id = (SELECT id FROM files WHERE name = '{name}')"
            )
    connection.close()
    check(Faceset(folder))


def test_folder_without_a_writable_index_works_in_memory(folder: Path):
    (folder / INDEX_NAME).mkdir()
    faces = Faceset(folder)
    check(faces)
    assert (folder / INDEX_NAME).is_dir()


def test_without_index_nothing_is_written(folder: Path):
    check(Faceset(folder, use_index=False))
    assert not (folder / INDEX_NAME).exists()


def test_locked_index_does_not_stop_anyone(folder: Path, monkeypatch: pytest.MonkeyPatch):
    Faceset(folder)
    os.utime(folder / NAMES[0], (1, 1))
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **options: connect(path, **{**options, "timeout": 0.05})
    )
    holder = connect(folder / INDEX_NAME)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        check(Faceset(folder))
    finally:
        holder.close()


def test_changed_new_renamed_and_deleted_files_are_noticed(folder: Path, reads: list[str]):
    Faceset(folder)
    (folder / NAMES[0]).unlink()
    (folder / NAMES[2]).rename(folder / "00009_0.jpg")
    write_face(folder / "00005_0.jpg", picture(), record(own=own(track=50)))
    update_record(folder / NAMES[3], record(own=own(track=33)))
    reads.clear()
    faces = Faceset(folder)
    tracks = {path.name: known.own.track for path, known in faces if known.own}
    assert tracks == {
        "00000_1.png": 1,
        "00001_1.jpg": 33,
        "00002_0.jpg": 4,
        "00005_0.jpg": 50,
        "00009_0.jpg": 2,
    }
    assert set(reads) == {"00001_1.jpg", "00005_0.jpg", "00009_0.jpg"}
    with sqlite3.connect(folder / INDEX_NAME) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM files")}
    assert NAMES[0] not in names and NAMES[2] not in names


def test_edit_of_a_fresh_file_within_one_clock_tick_is_noticed(folder: Path):
    path = folder / NAMES[0]
    write_face(path, picture(), record(own=own(track=7)))
    stamp = path.stat()
    Faceset(folder)
    update_record(path, record(own=own(track=8)))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert path.stat().st_size == stamp.st_size
    assert next(iter(Faceset(folder)))[1].own.track == 8  # type: ignore[union-attr]


def test_refresh_and_snapshot(folder: Path):
    faces = Faceset(folder)
    write_face(folder / "00003_0.jpg", picture(), record())
    assert len(faces) == len(list(faces)) == 5
    faces.refresh()
    assert len(faces) == len(list(faces)) == 6


def test_what_is_no_face_is_skipped_with_a_reason(folder: Path):
    (folder / "plain.jpg").write_bytes(cv2.imencode(".jpg", picture())[1].tobytes())
    (folder / "broken.jpg").write_bytes(encode_face(picture(), record())[:900])
    (folder / "scan.TIF").write_bytes(b"II")
    (folder / "notes.txt").write_text("not looked at")
    (folder / ".tmp-1-x.jpg").write_bytes(b"left by a killed process")
    (folder / "folder.jpg").mkdir()
    age(folder)
    for faces in (Faceset(folder), Faceset(folder), Faceset(folder, use_index=False)):
        assert len(faces) == 5
        reasons = {path.name: reason for path, reason in faces.skipped}
        assert reasons == {
            "plain.jpg": "no face metadata",
            "broken.jpg": "damaged JPEG: it ends before its picture",
            "scan.TIF": "faces must be JPEG or PNG files",
        }


def test_upper_case_and_long_suffixes_are_faces_too(tmp_path: Path):
    for name in ("a.JPG", "b.jpeg", "c.PNG"):
        suffix = ".png" if name.endswith("PNG") else ".jpg"
        (tmp_path / name).write_bytes(encode_face(picture(), record(), suffix))
    assert len(Faceset(tmp_path)) == 3


def test_empty_and_missing_folders(tmp_path: Path):
    assert len(Faceset(tmp_path)) == 0 and list(Faceset(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="no faceset there"):
        Faceset(tmp_path / "missing")


def test_a_thousand_faces_are_read_quickly_from_the_index(tmp_path: Path):
    data = encode_face(picture(16), record())
    for i in range(1000):
        (tmp_path / f"{i:05d}_0.jpg").write_bytes(data)
    age(tmp_path)
    Faceset(tmp_path)
    start = time.process_time()
    assert sum(1 for _ in Faceset(tmp_path)) == 1000
    assert time.process_time() - start < 1.0  # about 0.1 on an idle machine
