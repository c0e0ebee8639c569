"""Large facesets: read by several processes, with progress, and the same result as by one."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from face_inputs import own, picture, record, same_record
from faceloom.core import Cancel, CancelledError, NullProgress
from faceloom.faces import Faceset, encode_face, faceset
from faceloom.faces.files.face_file import read_record
from faceloom.faces.index import fill as index_fill


class Count(NullProgress):
    """Adds up what is reported."""

    def __init__(self) -> None:
        super().__init__()
        self.total: int | None = 0
        self.done = 0
        self._lock = threading.Lock()

    def start(self, stage: str, total: int | None, unit: str, done: int = 0) -> None:
        self.total = total

    def advance(self, items: int = 1) -> None:
        with self._lock:
            self.done += items


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """300 faces, some strangers; many enough here for several processes."""
    folder = tmp_path / "aligned"
    folder.mkdir()
    for i in range(300):
        data = encode_face(picture(16), record(own=own(track=i)))
        (folder / f"{i:03d}.jpg").write_bytes(data if i % 50 else b"no picture")
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    for module in (faceset, index_fill):
        monkeypatch.setattr(module, "MANY", 100)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    return folder


def check(faces: Faceset) -> None:
    assert len(faces) == 294 and len(faces.skipped) == 6
    assert {reason for _, reason in faces.skipped} == {"neither JPEG nor PNG"}
    for path, known in faces:
        same_record(known, read_record(path))


def test_processes_find_what_one_finds(folder: Path, monkeypatch: pytest.MonkeyPatch):
    here: list[Path] = []
    look_at = faceset.look_at
    monkeypatch.setattr(faceset, "look_at", lambda path: here.append(path) or look_at(path))
    progress = Count()
    check(Faceset(folder, progress=progress))
    assert here == [], "other processes read them all"
    assert progress.done == progress.total == 300
    check(Faceset(folder, progress=progress))
    assert here == [] and progress.done == 300


@pytest.mark.parametrize("executable", ["", "/no/such/program", "/bin/false"])
def test_without_processes_it_is_read_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, executable: str
):
    monkeypatch.setattr(index_fill.sys, "executable", executable)
    check(Faceset(folder))


def test_a_program_in_the_current_folder_is_not_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for name in ("json.py", "faceloom.py", "cv2.py", "numpy.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    check(Faceset(folder))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("many", [100, 10_000])
def test_cancel_keeps_what_was_read(folder: Path, monkeypatch: pytest.MonkeyPatch, many: int):
    for module in (faceset, index_fill):
        monkeypatch.setattr(module, "MANY", many)
        monkeypatch.setattr(module, "STORED_TOGETHER", 20)
    cancel = Cancel()

    class Stop(Count):
        def advance(self, items: int = 1) -> None:
            super().advance(items)
            if self.done >= 60:
                cancel.set()

    progress = Stop()
    with pytest.raises(CancelledError):
        Faceset(folder, progress=progress, cancel=cancel)
    again = Count()
    check(Faceset(folder, progress=again))
    assert again.total is not None and again.total <= 300 - 40
