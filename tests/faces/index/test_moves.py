"""Records and measures follow faces through moves, so that nothing is read or measured again."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from face_inputs import own, picture, record, same_record
from faceloom.faces import (
    INDEX_NAME,
    Faceset,
    MeasureCache,
    Move,
    faceset,
    move_faces,
    read_record,
    undo_moves,
    write_face,
)
from faceloom.faces.index import fill as index_fill

COUNT = 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Faces whose track, sharpness and vector are their number; all stamps alike."""
    folder = tmp_path / "aligned"
    folder.mkdir()
    for i in range(COUNT):
        path = folder / f"{i}.jpg"
        write_face(path, picture(16), record(own=own(track=i)))
        os.utime(path, (1_600_000_000, 1_600_000_000))
    Faceset(folder)
    with MeasureCache(folder) as cache:
        cache.write("sharp", 3, {f"{i}.jpg": np.float32(i) for i in range(COUNT)})
        cache.write("vector", 1, {f"{i}.jpg": np.full(128, i, np.float64) for i in range(COUNT)})
    return folder


def check(folder: Path) -> int:
    """Every face's measures are its own; returns the number of faces."""
    faces = Faceset(folder)
    names = [path.name for path in faces.paths]
    with MeasureCache(folder) as cache:
        sharp, vector = cache.read("sharp", 3, names), cache.read("vector", 1, names)
    for path, known in faces:
        same_record(known, read_record(path))
        assert known.own is not None
        assert sharp[path.name] == known.own.track
        assert (vector[path.name] == known.own.track).all()
    return len(faces)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    read = faceset.read_record
    for module in (faceset, index_fill):
        monkeypatch.setattr(
            module, "read_record", lambda path: seen.append(path.name) or read(path)
        )
    return seen


@pytest.mark.parametrize("seed", range(6))
def test_all_that_is_known_follows_through_moves_and_back(
    folder: Path, seed: int, reads: list[str]
):
    rng = random.Random(seed)
    others = ["aligned_trash", "aligned_duplicates/3"]
    for i in range(4):
        places = [folder, *(folder.parent / other for other in others)]
        present = [path for place in places for path in sorted(place.glob("*.jpg"))]
        chosen = rng.sample(present, rng.randint(2, len(present)))
        ways = [
            Move(source, rng.choice(places) / f"{rng.randrange(COUNT)}.jpg") for source in chosen
        ]
        move_faces(folder, ways, label=str(i))
        assert sum(check(place) for place in places if place.is_dir()) == COUNT
    for _ in range(4):
        undo_moves(folder)
        there = [place for place in places if place.is_dir()]
        assert sum(check(place) for place in there) == COUNT
    assert check(folder) == COUNT and reads == []


def test_what_the_target_folder_knew_of_other_files_stays(folder: Path):
    trash = folder.parent / "aligned_trash"
    trash.mkdir()
    write_face(trash / "old.jpg", picture(16), record(own=own(track=99)))
    os.utime(trash / "old.jpg", (1_600_000_000, 1_600_000_000))
    with MeasureCache(trash) as cache:
        cache.write("other", 1, {"old.jpg": np.float32(1)})
        cache.write("vector", 1, {"old.jpg": np.full(128, 99.0)})
        cache.write("sharp", 3, {"old.jpg": np.float32(99)})
    move_faces(folder, [Move(folder / "3.jpg", trash / "3.jpg")], label="x")
    assert check(trash) == 2 and check(folder) == COUNT - 1
    with MeasureCache(trash) as cache:
        assert list(cache.read("other", 1, ["old.jpg", "3.jpg"])) == ["old.jpg"]


def test_moves_work_without_any_index(folder: Path):
    (folder / INDEX_NAME).unlink()
    trash = folder.parent / "aligned_trash"
    ways = [Move(folder / "3.jpg", trash / "3.jpg"), Move(folder / "4.jpg", folder / "3.jpg")]
    assert move_faces(folder, ways, label="x").moved == 2
    assert not (folder / INDEX_NAME).exists() and not (trash / INDEX_NAME).exists()
    (folder / INDEX_NAME).mkdir()
    undo_moves(folder)
    assert len(Faceset(folder)) == COUNT


def test_nothing_is_left_over_in_the_index(folder: Path):
    trash = folder.parent / "aligned_trash"
    move_faces(folder, [Move(folder / f"{i}.jpg", trash / f"{i}.jpg") for i in range(5)], label="x")
    for place, count in ((folder, COUNT - 5), (trash, 5)):
        with sqlite3.connect(place / INDEX_NAME) as connection:
            for table, times in (("files", 1), ("faces", 1), ("measures", 2)):
                query = f"SELECT count(*) FROM {table}"
                assert connection.execute(query).fetchone() == (count * times,)
            names = {name for (name,) in connection.execute("SELECT name FROM files")}
        assert names == {path.name for path in place.glob("*.jpg")}


def test_thousands_of_renames_take_moments(tmp_path: Path):
    count = 2000
    folder = tmp_path / "aligned"
    folder.mkdir()
    names = [f"{i:05d}.jpg" for i in range(count)]
    for name in names:
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (1, 1))
    with MeasureCache(folder) as cache:
        values = {name: np.full((64, 64, 3), i % 251, np.uint8) for i, name in enumerate(names)}
        cache.write("thumb", 1, values)
    order = random.Random(0).sample(names, count)
    ways = [Move(folder / a, folder / b) for a, b in zip(names, order, strict=True)]
    start = time.process_time()
    move_faces(folder, ways, label="sort")
    assert time.process_time() - start < 4  # 0.5 on an idle machine
    with MeasureCache(folder) as cache:
        found = cache.read("thumb", 1, order)
    assert all((found[b] == values[a]).all() for a, b in zip(names, order, strict=True))
