"""How far an extraction has come: one line a frame, so that a kill at any instant loses nothing.

The journal lies in the faceset as `.faceloom-extract.jsonl`. A frame's line is appended once all
its faces are written, and holds what finding the next frame's faces needs to know (where the
faces are, the last picture's thumbnail), and what was learned of the tracks in it. A run that
follows a kill finds the last frames of the window again, goes on behind the last whole line and
writes what an uninterrupted one would have written. Faces of frames that are in the journal are
never looked at again, so what the user deleted stays deleted.

At the end the lines shrink to one: the sums, and how many faces each frame had, as runs of
frames with the same number. Frames that are extracted again later add a line each once more.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from faceloom.core import FormatError, InputError, atomic_write, file_lock

LOCK_NAME = ".faceloom-extract.lock"
JOURNAL_NAME = ".faceloom-extract.jsonl"
VERSION = 1


_RECENT = 64
"""States that are kept: more than the longest window."""


@dataclass
class Done:
    """What the journal says: the sum of its lines and the states behind the last of them."""

    header: dict[str, Any]
    next_index: int = 0
    frames: int = 0
    faces: int = 0
    without_face: int = 0
    filled: int = 0
    """Faces that fill a gap of their track."""
    left_out: int = 0
    """Faces that were not written because they are not of the person asked for."""
    tracks: int = 0
    joined: int = 0
    """Tracks that go on with an earlier one's number."""
    finished: bool = False
    damaged: bool = False
    """Whether something of the footage could not be decoded cleanly so far."""
    recent: deque[tuple[int, dict[str, Any]]] = field(
        default_factory=lambda: deque[tuple[int, dict[str, Any]]](maxlen=_RECENT)
    )
    """The last frames and the states behind them."""
    learned: list[dict[str, Any]] = field(default_factory=lambda: list[dict[str, Any]]())
    """What was learned of tracks, in order."""
    stems: set[str] = field(default_factory=lambda: set[str]())
    """Stems of the frames that are done."""
    counts: dict[int, int] = field(default_factory=lambda: dict[int, int]())
    """Frame → its faces. Empty for journals that were finished before they kept it."""
    redone: dict[int, str] = field(default_factory=lambda: dict[int, str]())
    """Frame → how it was extracted again, in a repeat that has not come to its end."""

    def count(self, line: FrameLine) -> None:
        """Add one frame."""
        self.next_index = line.index + 1
        self.frames += 1
        self.faces += line.faces
        self.without_face += line.faces == 0
        self.filled += line.filled
        self.left_out += line.left_out
        self.tracks += sum("joined" not in item for item in line.learned if item.get("new"))
        self.joined += sum("joined" in item for item in line.learned if item.get("new"))
        self.recent.append((line.index, line.state))
        self.learned.extend(line.learned)
        self.damaged = line.damaged
        self.stems.add(line.stem)
        self.counts[line.index] = line.faces

    def before(self, frames: int) -> tuple[list[int], dict[str, Any]]:
        """The last `frames` frames done, fewer where there are no more, and the state before."""
        recent = list(self.recent)
        if len(recent) <= frames:
            return [index for index, _ in recent], {}
        first = len(recent) - frames
        return [index for index, _ in recent[first:]], recent[first - 1][1]

    def count_again(self, index: int, faces: int, how: str) -> None:
        """Frame `index` was extracted again and has `faces` faces now."""
        before = self.counts.get(index, 0)
        self.faces += faces - before
        self.without_face += (faces == 0) - (before == 0)
        self.counts[index] = faces
        self.redone[index] = how

    def runs(self) -> list[list[int]]:
        """`counts` as [first frame, number of frames, faces of each]."""
        runs: list[list[int]] = []
        for index in sorted(self.counts):
            faces = self.counts[index]
            if runs and runs[-1][0] + runs[-1][1] == index and runs[-1][2] == faces:
                runs[-1][1] += 1
            else:
                runs.append([index, 1, faces])
        return runs


@dataclass(frozen=True)
class FrameLine:
    """What is noted of a frame."""

    index: int
    stem: str
    faces: int
    state: dict[str, Any]
    filled: int = 0
    left_out: int = 0
    learned: Sequence[dict[str, Any]] = ()
    damaged: bool = False

    def values(self) -> dict[str, Any]:
        """For JSON; what is nothing is left out."""
        always = {"frame": self.index, "stem": self.stem, "faces": self.faces, "state": self.state}
        rest = {"filled": self.filled, "left_out": self.left_out, "learned": list(self.learned)}
        rest["damaged"] = self.damaged
        return {**always, **{key: value for key, value in rest.items() if value}}


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

    def add(self, line: FrameLine) -> None:
        """Note that a frame is done and its faces are on disk."""
        self._append(line.values())
        self.done.count(line)

    def add_again(self, index: int, faces: int, how: str) -> None:
        """Note that a frame was extracted again, how, and how many faces it has now."""
        self._append({"again": index, "faces": faces, "how": how})
        self.done.count_again(index, faces, how)

    def _append(self, values: dict[str, Any]) -> None:
        assert self._file is not None, "the journal is not open"
        # One write without a buffer: after a kill a line is there or is cut, never interleaved.
        self._file.write(_line(values))
        self._file.flush()

    def finish(self) -> None:
        """Note that the footage is at its end, and shrink the journal to its sums."""
        assert self._file is not None, "the journal is not open"
        os.fsync(self._file.fileno())
        self.done.finished = True
        self.done.redone.clear()
        sums: dict[str, Any] = {"finished": True, "next": self.done.next_index}
        sums |= {key: getattr(self.done, key) for key in _SUMS}
        if self.done.counts:
            sums["runs"] = self.done.runs()
        atomic_write(self._path, _line(self.done.header) + _line(sums))


_SUMS = ("frames", "faces", "without_face", "filled", "left_out", "tracks", "joined")


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
        done, length = _sum_up(path)
    except FileNotFoundError:
        return None
    if length < path.stat().st_size:
        with path.open("rb+") as file:
            file.truncate(length)
    return Journal(folder, done)


def read_done(folder: Path) -> Done | None:
    """What the journal of `folder` says, without touching it: it may be written just now.

    None when there is none. Raises `FormatError` as `read_journal` does.
    """
    try:
        return _sum_up(folder / JOURNAL_NAME)[0]
    except FileNotFoundError:
        return None


def _sum_up(path: Path) -> tuple[Done, int]:
    """A journal's sum, and the length of its lines that are whole.

    Line by line: that of a film that is not finished has hundreds of megabytes.
    """
    with path.open("rb") as file:
        head = file.readline()
        header = _parse(head) if head.endswith(b"\n") else None
        if header is None or header.get("faceloom_extract") != VERSION:
            raise FormatError(
                f"{path}: damaged, or written by another version; --restart extracts anew"
            )
        done, length = Done(header), len(head)
        for line in file:
            if not line.endswith(b"\n") or not _count(done, _parse(line)):
                break
            length += len(line)
    return done, length


def _count(done: Done, values: dict[str, Any] | None) -> bool:
    """Add a line's content; False when it is none that we write."""
    if values is None:
        return False
    try:
        if values.get("finished"):
            _take_sums(done, values)
        elif "again" in values:
            done.count_again(int(values["again"]), int(values["faces"]), str(values["how"]))
        else:
            done.count(
                FrameLine(
                    index=int(values["frame"]),
                    stem=str(values["stem"]),
                    faces=int(values["faces"]),
                    state=dict(values["state"]),
                    filled=int(values.get("filled", 0)),
                    left_out=int(values.get("left_out", 0)),
                    learned=[dict(item) for item in values.get("learned", ())],
                    damaged=bool(values.get("damaged")),
                )
            )
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _take_sums(done: Done, values: dict[str, Any]) -> None:
    done.finished = True
    done.next_index = int(values["next"])
    done.frames, done.faces = int(values["frames"]), int(values["faces"])
    done.without_face = int(values["without_face"])
    for key in _SUMS[3:]:
        setattr(done, key, int(values.get(key, 0)))
    runs = [[int(number) for number in run] for run in values.get("runs", ())]
    if any(length < 1 for _, length, _ in runs) or sum(run[1] for run in runs) > done.frames:
        raise ValueError("more frames in the runs than there are")
    for first, length, faces in runs:
        done.counts.update(dict.fromkeys(range(first, first + length), faces))


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
