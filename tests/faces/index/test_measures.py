"""The measure cache: what is current, what a foreign index may claim, and working without one."""

from __future__ import annotations

import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from face_inputs import own, picture, record
from faceloom.core import FaceloomError, InputError
from faceloom.faces import INDEX_NAME, Faceset, write_face
from faceloom.faces.index.measures import MeasureCache

NAMES = [f"{i:05d}_0.jpg" for i in range(6)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "aligned"
    folder.mkdir()
    for i, name in enumerate(NAMES):
        write_face(folder / name, picture(16), record(own=own(track=i)))
        os.utime(folder / name, (1_600_000_000 + i, 1_600_000_000 + i))
    return folder


def write(folder: Path, **kinds: dict[str, np.ndarray]) -> None:
    with MeasureCache(folder) as cache:
        for kind, values in kinds.items():
            cache.write(kind, 1, values)


def read(folder: Path, kind: str, version: int = 1) -> dict[str, list[float]]:
    with MeasureCache(folder) as cache:
        return {name: value.tolist() for name, value in cache.read(kind, version, NAMES).items()}


VALUES: dict[str, np.ndarray] = {
    "scalar": np.float64(0.1) * np.arange(6),
    "vector": np.random.default_rng(0).standard_normal((6, 128)).astype(np.float32),
    "picture": np.random.default_rng(1).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8),
    "flag": np.arange(6) % 2 == 0,
    "nothing": np.zeros((6, 0), np.float32),
    "unknown": np.full(6, np.nan, np.float32),
    "big_endian": np.arange(6, dtype=">f4"),
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_come_back_as_they_were_put(folder: Path, kind: str):
    column = VALUES[kind]
    write(folder, **{kind: dict(zip(NAMES, column, strict=True))})
    with MeasureCache(folder) as cache:
        found = cache.read(kind, 1, NAMES[::-1])
        assert cache.read(kind, 2, NAMES) == {} and cache.read("other", 1, NAMES) == {}
    assert sorted(found) == NAMES
    for name, value in zip(NAMES, column, strict=True):
        assert (
            found[name].dtype == column.dtype.newbyteorder("<")
            and found[name].shape == column[0].shape
        )
        assert np.array_equal(found[name], value, equal_nan=column.dtype.kind == "f")
        found[name][...] = 0  # the reader's own


def test_only_names_asked_for_and_last_value_written(folder: Path):
    write(folder, a={name: np.float32(1) for name in NAMES})
    write(folder, a={NAMES[2]: np.float32(2)})
    with MeasureCache(folder) as cache:
        found = cache.read("a", 1, [NAMES[2], NAMES[3], "unheard.jpg"])
    assert {name: float(value) for name, value in found.items()} == {NAMES[2]: 2, NAMES[3]: 1}


def test_changed_file_loses_all_its_measures_and_no_other(folder: Path):
    for kind in ("a", "b"):
        write(folder, **{kind: {name: np.float32(7) for name in NAMES}})
    os.utime(folder / NAMES[1], (1_500_000_000, 1_500_000_000))
    for _ in range(2):
        assert sorted(read(folder, "a")) == sorted(read(folder, "b")) == NAMES[:1] + NAMES[2:]
        Faceset(folder)
    # A new value of one kind makes the other kind's old value no more current.
    write(folder, a={NAMES[1]: np.float32(8)})
    assert read(folder, "a")[NAMES[1]] == 8 and NAMES[1] not in read(folder, "b")


def test_records_and_measures_do_not_disturb_each_other(folder: Path):
    write(folder, a={name: np.float32(i) for i, name in enumerate(NAMES)})
    assert len(list(Faceset(folder))) == 6
    assert read(folder, "a") == {name: i for i, name in enumerate(NAMES)}
    (folder / NAMES[0]).unlink()
    assert len(Faceset(folder)) == 5
    assert sorted(read(folder, "a")) == NAMES[1:]
    with sqlite3.connect(folder / INDEX_NAME) as connection:
        for table in ("files", "faces", "measures"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (5,)


def test_face_changed_while_it_was_measured_is_measured_again(folder: Path):
    with MeasureCache(folder) as cache:
        os.utime(folder / NAMES[4], (1_500_000_000, 1_500_000_000))
        cache.write("a", 1, {name: np.float32(1) for name in NAMES})
    assert sorted(read(folder, "a")) == NAMES[:4] + NAMES[5:]


def test_value_of_a_fresh_file_is_not_kept_beyond_the_session(folder: Path):
    write_face(folder / NAMES[0], picture(16), record())
    with MeasureCache(folder) as cache:
        cache.write("a", 1, {name: np.float32(1) for name in NAMES})
        assert sorted(cache.read("a", 1, NAMES)) == NAMES
    assert sorted(read(folder, "a")) == NAMES[1:]


def test_another_version_or_form_replaces(folder: Path):
    write(folder, a={name: np.float32(1) for name in NAMES}, b={NAMES[0]: np.zeros(3)})
    with MeasureCache(folder) as cache:
        cache.write("a", 2, {NAMES[0]: np.zeros(2, np.uint8)})
        assert cache.read("a", 1, NAMES) == {}
        assert list(cache.read("a", 2, NAMES)) == NAMES[:1]
        cache.write("a", 2, {NAMES[1]: np.zeros(4, np.uint8)})
        assert list(cache.read("a", 2, NAMES)) == NAMES[1:2]
    assert list(read(folder, "b")) == NAMES[:1]


@pytest.mark.parametrize(
    "values",
    [
        {NAMES[0]: np.zeros(2), NAMES[1]: np.zeros(3)},
        {NAMES[0]: np.zeros(2, np.float32), NAMES[1]: np.zeros(2, np.float64)},
        {NAMES[0]: np.array([object()])},
        {NAMES[0]: np.array(["text"])},
    ],
)
def test_values_without_one_plain_form_are_refused(folder: Path, values: dict[str, np.ndarray]):
    with MeasureCache(folder) as cache, pytest.raises(FaceloomError, match="the measure 'a'"):
        cache.write("a", 1, values)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE kinds SET dtype = '|O'",
        "UPDATE kinds SET dtype = '<f8'",
        "UPDATE kinds SET dtype = 'nonsense'",
        "UPDATE kinds SET dtype = x'00ff'",
        "UPDATE kinds SET shape = '[1000000, 1000000, 1000000, 1000000]'",
        "UPDATE kinds SET shape = '[-1]'",
        "UPDATE kinds SET shape = '[4, true]'",
        "UPDATE kinds SET shape = 'x'",
        "UPDATE kinds SET shape = NULL",
        "UPDATE kinds SET shape = replace(hex(zeroblob(50000)), '0', '[')",
        "UPDATE kinds SET id = 1 << 62",
        "UPDATE kinds SET id = -1",
        "UPDATE measures SET data = x'00'",
        "UPDATE measures SET data = zeroblob(1 << 20)",
        "UPDATE measures SET data = 'text of length '",
        "UPDATE measures SET data = 3.5",
        "UPDATE files SET size = 'text'",
        "UPDATE files SET mtime_ns = NULL",
        "UPDATE files SET id = id + (1 << 40)",
    ],
)
def test_a_foreign_index_is_not_believed(folder: Path, damage: str):
    write(folder, a={name: np.zeros(4, np.float32) for name in NAMES})
    with sqlite3.connect(folder / INDEX_NAME) as connection:
        connection.execute(damage)
    connection.close()
    assert read(folder, "a") == {}
    write(folder, a={name: np.ones(4, np.float32) for name in NAMES})
    with MeasureCache(folder) as cache:  # whatever was there, the session works
        cache.write("b", 1, {name: np.float32(1) for name in NAMES})
        assert sorted(cache.read("b", 1, NAMES)) == NAMES
    assert len(list(Faceset(folder))) == 6


def test_without_a_writable_index_values_live_in_memory(folder: Path):
    (folder / INDEX_NAME).mkdir()
    with MeasureCache(folder) as cache:
        cache.write("a", 1, {name: np.float32(3) for name in NAMES})
        assert sorted(cache.read("a", 1, NAMES)) == NAMES
    assert read(folder, "a") == {}


def test_index_held_by_another_process(folder: Path, monkeypatch: pytest.MonkeyPatch):
    Faceset(folder)
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **options: connect(path, **{**options, "timeout": 0.05})
    )
    with MeasureCache(folder) as cache:
        holder = connect(folder / INDEX_NAME)
        holder.execute("BEGIN EXCLUSIVE")
        try:
            cache.write("a", 1, {name: np.float32(3) for name in NAMES})
            assert sorted(cache.read("a", 1, NAMES)) == NAMES
        finally:
            holder.close()


def test_several_write_at_once(folder: Path):
    def work(number: int) -> None:
        for i in range(10):
            with MeasureCache(folder) as cache:
                cache.write(f"kind{number}", 1, {name: np.float32(number + i) for name in NAMES})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    for number in range(4):
        assert read(folder, f"kind{number}") == dict.fromkeys(NAMES, number + 9)


def test_missing_folder(tmp_path: Path):
    with pytest.raises(InputError, match="no faceset there"):
        MeasureCache(tmp_path / "missing")


def test_many_values_are_read_and_written_quickly(tmp_path: Path):
    count = 10_000
    names = [f"{i:06d}.jpg" for i in range(count)]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (1, 1))
    values = np.random.default_rng(0).standard_normal((count, 128)).astype(np.float32)
    start = time.process_time()
    with MeasureCache(tmp_path) as cache:
        cache.write("embedding", 1, dict(zip(names, values, strict=True)))
    with MeasureCache(tmp_path) as cache:
        found = cache.read("embedding", 1, names)
    assert time.process_time() - start < 2.0  # 0.3 on an idle machine
    assert (np.stack([found[name] for name in names]) == values).all()
