"""How far an extraction has come: one line a frame, so that a kill at any instant loses nothing.

The journal lies in the faceset as `.faceloom-extract.jsonl`. A frame's line is appended once all
its faces are written, and holds what the next frame needs to know (tracks, the last picture's
thumbnail). A run that follows a kill goes on behind the last whole line and writes what an
uninterrupted one would have written. Faces of frames that are in the journal are never looked at
again, so what the user deleted stays deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from faceloom.core import FormatError, InputError, atomic_write, file_lock

LOCK_NAME = ".faceloom-extract.lock"
JOURNAL_NAME = ".faceloom-extract.jsonl"
VERSION = 1


@dataclass
class Done:
    """What the journal says: the sum of its lines and the state behind the last of them."""

    header: dict[str, Any]
    next_index: int = 0
    frames: int = 0
    faces: int = 0
    without_face: int = 0
    finished: bool = False
    damaged: bool = False
    """Whether something of the footage could not be decoded cleanly so far."""
    state: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    stems: set[str] = field(default_factory=lambda: set[str]())
    """Stems of the frames that are done."""

    def count(
        self, index: int, stem: str, faces: int, state: dict[str, Any], damaged: bool
    ) -> None:
        """Add one frame."""
        self.next_index = index + 1
        self.frames += 1
        self.faces += faces
        self.without_face += faces == 0
        self.state = state
        self.damaged = damaged
        self.stems.add(stem)


class Journal:
    """Appends to the journal of a faceset folder. Use as a context manager."""

    def __init__(self, folder: Path, done: Done) -> None:
        self._path = folder / JOURNAL_NAME
        self.done = done
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Journal:
        self._file = self._path.open("ab")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(
        self, index: int, stem: str, faces: int, state: dict[str, Any], *, damaged: bool = False
    ) -> None:
        """Note that frame `index` is done and its faces are on disk."""
        assert self._file is not None, "the journal is not open"
        line = {"frame": index, "stem": stem, "faces": faces, "state": state}
        if damaged:
            line["damaged"] = True
        # One write without a buffer: after a kill a line is there or is cut, never interleaved.
        self._file.write(_line(line))
        self._file.flush()
        self.done.count(index, stem, faces, state, damaged)

    def finish(self) -> None:
        """Note that the footage is at its end, and shrink the journal to its sums."""
        assert self._file is not None, "the journal is not open"
        os.fsync(self._file.fileno())
        self.done.finished = True
        sums = {
            "finished": True,
            "next": self.done.next_index,
            "frames": self.done.frames,
            "faces": self.done.faces,
            "without_face": self.done.without_face,
        }
        atomic_write(self._path, _line(self.done.header) + _line(sums))


def start_journal(folder: Path, header: dict[str, Any]) -> Journal:
    """A new journal in `folder`."""
    head = {"faceloom_extract": VERSION, **header}
    atomic_write(folder / JOURNAL_NAME, _line(head))
    return Journal(folder, Done(head))


def read_journal(folder: Path) -> Journal | None:
    """The journal of `folder` to go on with; None when there is none.

    A line that a kill cut short is removed from the file. Raises `FormatError` when the head is
    damaged or a newer Faceloom wrote it.
    """
    path = folder / JOURNAL_NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    done, length = _sum_up(path, data)
    if length < len(data):
        with path.open("rb+") as file:
            file.truncate(length)
    return Journal(folder, done)


def read_done(folder: Path) -> Done | None:
    """What the journal of `folder` says, without touching it: it may be written just now.

    None when there is none. Raises `FormatError` as `read_journal` does.
    """
    path = folder / JOURNAL_NAME
    try:
        return _sum_up(path, path.read_bytes())[0]
    except FileNotFoundError:
        return None


def _sum_up(path: Path, data: bytes) -> tuple[Done, int]:
    """A journal's sum, and the length of its lines that are whole."""
    lines = data.split(b"\n")[:-1]
    header = _parse(lines[0]) if lines else None
    if header is None or header.get("faceloom_extract") != VERSION:
        raise FormatError(
            f"{path}: damaged, or written by another version; --restart extracts anew"
        )
    done, length = Done(header), len(lines[0]) + 1
    for line in lines[1:]:
        if not _count(done, _parse(line)):
            break
        length += len(line) + 1
    return done, length


def _count(done: Done, values: dict[str, Any] | None) -> bool:
    """Add a line's content; False when it is none that we write."""
    if values is None:
        return False
    try:
        if values.get("finished"):
            done.finished = True
            done.next_index = int(values["next"])
            done.frames, done.faces = int(values["frames"]), int(values["faces"])
            done.without_face = int(values["without_face"])
        else:
            frame, faces = int(values["frame"]), int(values["faces"])
            state, damaged = dict(values["state"]), bool(values.get("damaged"))
            done.count(frame, str(values["stem"]), faces, state, damaged)
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        values: object = json.loads(line)
    except ValueError:
        return None
    return cast("dict[str, Any]", values) if isinstance(values, dict) else None


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold a faceset folder for one extraction; `InputError` when another process extracts there.

    The lock is the operating system's and ends with the process, however that ends.
    """
    with file_lock(folder / LOCK_NAME, wait=False) as held:
        if not held:
            raise InputError(f"{folder}: another process is extracting there")
        yield
