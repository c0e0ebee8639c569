"""How far an extraction has come: one line per frame, so that a kill at any moment loses nothing.

The journal is the file `.faceloom-extract.jsonl` in the faceset. Its first line, the header, names
the footage and the settings. A frame's line is appended once all its faces are written. The line
holds what finding the next frame's faces needs (the tracker's state, the last thumbnail) and what
was learned about the tracks. A run that resumes finds the faces of the last frames again, continues
after the last complete line, and writes what an uninterrupted run would have written. Faces of
frames in the journal are never extracted again, so faces that the user deleted stay deleted.

When the footage is finished, the lines shrink to a single one: the totals, and the number of faces
of each frame as runs of frames with the same number. Frames that `--redo` extracts again add a line
each until that repeat is finished.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

from faceloom.core import FormatError, InputError, atomic_write, file_lock

LOCK_NAME: Final = ".faceloom-extract.lock"
JOURNAL_NAME: Final = ".faceloom-extract.jsonl"
VERSION: Final = 1

# States that are kept: more than the longest smoothing window.
_RECENT = 64
_TOTALS = ("frames", "faces", "without_face", "filled", "left_out", "tracks", "joined")
_State = tuple[int, dict[str, Any]]


@dataclass
class Done:
    """What the journal says: the totals of its lines and the states after the last of them."""

    header: dict[str, Any]
    next_index: int = 0
    frames: int = 0
    faces: int = 0
    without_face: int = 0
    filled: int = 0
    """Faces that fill a gap in their track."""
    left_out: int = 0
    """Faces that were not written because they are not of the person asked for."""
    tracks: int = 0
    joined: int = 0
    """Tracks that continue with an earlier track's number."""
    finished: bool = False
    damaged: bool = False
    """Whether any of the footage could not be decoded cleanly so far."""
    recent: deque[_State] = field(default_factory=lambda: deque[_State](maxlen=_RECENT))
    """The last frames and the states after them."""
    learned: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """What was learned about tracks, in order."""
    stems: set[str] = field(default_factory=set[str])
    """Stems of the frames that are done."""
    counts: dict[int, int] = field(default_factory=dict[int, int])
    """Frame → its faces. Empty for journals finished by versions that did not store it."""
    redone: dict[int, str] = field(default_factory=dict[int, str])
    """Frame → how it was extracted again, in a repeat that is not finished."""

    def add(self, line: Mapping[str, Any]) -> None:
        """Add the content of a line. Raises `KeyError`, `TypeError` or `ValueError`, and changes
        nothing, when it is not a journal line."""
        if line.get("finished"):
            self._add_totals(line)
        elif "again" in line:
            self._add_again(int(line["again"]), int(line["faces"]), str(line["how"]))
        else:
            self._add_frame(line)

    def _add_frame(self, line: Mapping[str, Any]) -> None:
        index, faces, stem = int(line["frame"]), int(line["faces"]), str(line["stem"])
        state = dict(line["state"])
        filled, left_out = int(line.get("filled", 0)), int(line.get("left_out", 0))
        learned = [dict(item) for item in line.get("learned", ())]
        new = ["joined" in item for item in learned if item.get("new")]
        self.next_index = index + 1
        self.frames += 1
        self.faces += faces
        self.without_face += faces == 0
        self.filled += filled
        self.left_out += left_out
        self.tracks += new.count(False)
        self.joined += new.count(True)
        self.recent.append((index, state))
        self.learned.extend(learned)
        self.damaged = bool(line.get("damaged"))
        self.stems.add(stem)
        self.counts[index] = faces

    def _add_again(self, index: int, faces: int, how: str) -> None:
        before = self.counts.get(index, 0)
        self.faces += faces - before
        self.without_face += (faces == 0) - (before == 0)
        self.counts[index] = faces
        self.redone[index] = how

    def _add_totals(self, line: Mapping[str, Any]) -> None:
        required = {key: int(line[key]) for key in ("frames", "faces", "without_face")}
        totals = {key: int(line.get(key, 0)) for key in _TOTALS} | required
        next_index = int(line["next"])
        runs = [[int(number) for number in run] for run in line.get("runs", ())]
        if any(length < 1 for _, length, _ in runs) or sum(r[1] for r in runs) > totals["frames"]:
            raise ValueError("more frames in the runs than there are")
        self.finished, self.next_index = True, next_index
        for key, value in totals.items():
            setattr(self, key, value)
        for first, length, faces in runs:
            self.counts.update(dict.fromkeys(range(first, first + length), faces))

    def totals(self) -> dict[str, Any]:
        """The line that takes the place of all others at the end."""
        line: dict[str, Any] = {"finished": True, "next": self.next_index}
        line |= {key: getattr(self, key) for key in _TOTALS}
        return line | {"runs": self._runs()} if self.counts else line

    def _runs(self) -> list[list[int]]:
        """`counts` as [first frame, number of frames, faces of each]."""
        runs: list[list[int]] = []
        for index in sorted(self.counts):
            faces = self.counts[index]
            if runs and runs[-1][0] + runs[-1][1] == index and runs[-1][2] == faces:
                runs[-1][1] += 1
            else:
                runs.append([index, 1, faces])
        return runs

    def before(self, frames: int) -> tuple[list[int], dict[str, Any]]:
        """The last `frames` frames done (fewer if there are no more), and the state before them."""
        recent = list(self.recent)
        if len(recent) <= frames:
            return [index for index, _ in recent], {}
        first = len(recent) - frames
        return [index for index, _ in recent[first:]], recent[first - 1][1]


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

    def add(self, line: dict[str, Any]) -> None:
        """Append the line of a frame whose faces are on disk (`ExtractedFrame.journal_line`)."""
        assert self._file is not None, "the journal is not open"
        # A single unbuffered write: after a kill a line is complete or cut short, never mixed up.
        self._file.write(_encode(line))
        self._file.flush()
        self.done.add(line)

    def add_again(self, index: int, faces: int, how: str) -> None:
        """Note that a frame was extracted again, how, and how many faces it has now."""
        self.add({"again": index, "faces": faces, "how": how})

    def finish(self) -> None:
        """Note that all the footage is done, and shrink the journal to its totals."""
        assert self._file is not None, "the journal is not open"
        os.fsync(self._file.fileno())
        self.done.finished = True
        self.done.redone.clear()
        atomic_write(self._path, _encode(self.done.header) + _encode(self.done.totals()))


def start_journal(folder: Path, header: dict[str, Any]) -> Journal:
    """A new journal in `folder`."""
    head = {"faceloom_extract": VERSION, **header}
    atomic_write(folder / JOURNAL_NAME, _encode(head))
    return Journal(folder, Done(head))


def read_journal(folder: Path) -> Journal | None:
    """The journal of `folder`, ready to be continued; None if there is none.

    A line that a kill cut short is removed from the file. Raises `FormatError` when the header is
    damaged or was written by a newer Faceloom.
    """
    path = folder / JOURNAL_NAME
    try:
        done, length = _read(path)
    except FileNotFoundError:
        return None
    if length < path.stat().st_size:
        with path.open("rb+") as file:
            file.truncate(length)
    return Journal(folder, done)


def read_done(folder: Path) -> Done | None:
    """What the journal of `folder` says, without changing it: another process may be writing it.

    None if there is none. Raises `FormatError` as `read_journal` does.
    """
    try:
        return _read(folder / JOURNAL_NAME)[0]
    except FileNotFoundError:
        return None


def _read(path: Path) -> tuple[Done, int]:
    """What a journal says, and the length of its complete lines in bytes.

    Reads line by line: the journal of an unfinished film may have hundreds of megabytes.
    """
    with path.open("rb") as file:
        head = file.readline()
        header = _decode(head)
        if header is None or header.get("faceloom_extract") != VERSION:
            raise FormatError(
                f"{path}: damaged, or written by another version; start over with --restart"
            )
        done, length = Done(header), len(head)
        for text in file:
            line = _decode(text)
            try:
                if line is None:
                    break
                done.add(line)
            except (KeyError, TypeError, ValueError):
                break
            length += len(text)
    return done, length


def _encode(values: dict[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _decode(text: bytes) -> dict[str, Any] | None:
    """A line's object; None when the line is cut short or damaged."""
    try:
        values: object = json.loads(text) if text.endswith(b"\n") else None
    except ValueError:
        return None
    return cast("dict[str, Any]", values) if isinstance(values, dict) else None


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Lock a faceset folder for one extraction; `InputError` if another process has locked it.

    The lock is the operating system's and ends with the process, however that ends.
    """
    with file_lock(folder / LOCK_NAME, wait=False) as held:
        if not held:
            raise InputError(f"{folder}: another process is extracting into this folder")
        yield
