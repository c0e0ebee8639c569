"""The journal of renames: one file per operation, in `.faceloom-moves` within the faceset.

`N.todo.jsonl` has the steps of an operation in progress, `N.done.jsonl` what a finished one moved,
`N.undo.jsonl` the steps of one that is being undone. All are written whole before the first rename;
when a step cannot go as planned, its new target is appended before it is done. Paths in a journal
are checked when it is read, because facesets are shared together with their journals.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Generator, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any, Final, Literal, NamedTuple

from faceloom.core import FormatError, InputError, atomic_write
from faceloom.core.paths import IMAGE_SUFFIXES

JOURNAL_FOLDER: Final = ".faceloom-moves"
VERSION: Final = 1
KEPT_OPERATIONS: Final = 20
_LAST_NUMBER: Final = 99_999_999
_NAME = re.compile(r"(\d{6,8})\.(todo|done|undo)\.jsonl")
_MAX_BYTES = 128 << 20

State = Literal["todo", "done", "undo"]


class Step(NamedTuple):
    """One rename, and what identifies the file: its inode, or else size and time stamp."""

    source: str
    target: str
    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Header:
    """The first line of an operation's file."""

    id: str
    """Unique for every operation and its undo."""
    label: str
    time: float
    """When, in seconds since 1970."""
    count: int
    """Faces moved."""
    made: tuple[str, ...] = ()
    """Folders that the operation created."""


def entries(root: Path) -> list[tuple[int, State, Path]]:
    """The journal's files by number."""
    found: list[tuple[int, State, Path]] = []
    if (root / JOURNAL_FOLDER).is_symlink():
        return found  # not ours; it may lead anywhere
    with contextlib.suppress(OSError):
        for path in (root / JOURNAL_FOLDER).iterdir():
            match = _NAME.fullmatch(path.name)
            if match is not None:
                state: Any = match[2]
                found.append((int(match[1]), state, path))
    return sorted(found)


def next_number(root: Path) -> int:
    """A number for the next operation; `InputError` if foreign files have used them up."""
    number = max((entry[0] for entry in entries(root)), default=0) + 1
    if number > _LAST_NUMBER:
        raise InputError(
            f"{root / JOURNAL_FOLDER}: no numbers left; move this folder away (earlier moves can "
            "then not be undone)"
        )
    return number


def entry_path(root: Path, number: int, state: State) -> Path:
    return root / JOURNAL_FOLDER / f"{number:06d}.{state}.jsonl"


def write_steps(path: Path, header: Header, steps: Sequence[Step]) -> None:
    """Write the file of a planned operation; it is on disk when this returns."""
    _write(path, header, steps)


def write_done(path: Path, header: Header, moved: Sequence[tuple[str, str]]) -> None:
    """Write the file of a finished operation: old and new path of each face."""
    _write(path, header, moved)


def _write(path: Path, header: Header, rows: Iterable[Sequence[Any]]) -> None:
    head = {"faceloom_moves": VERSION, **asdict(header)}
    lines = [json.dumps(head), *(json.dumps(row, separators=(",", ":")) for row in rows), ""]
    atomic_write(path, "\n".join(lines))
    sync_folder(path.parent)


def note_target(path: Path, step: int, target: str) -> None:
    """Append the new target of `step`; it is on disk when this returns."""
    with path.open("a", encoding="ascii") as file:
        # On a line of its own, even if a kill cut the one before.
        file.write("\n" + json.dumps({"step": step, "target": target}) + "\n")
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries to disk, if the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# --- reading


def read_header(path: Path) -> Header:
    """The header of an operation's file; `FormatError` if it is damaged."""
    with _damage(path), path.open("rb") as file:
        return _header(file.readline(1 << 20))
    raise AssertionError


def read_steps(path: Path, root: Path) -> tuple[Header, list[Step], dict[int, str]]:
    """An operation in progress: header, steps, and step → the target it got instead.

    Raises `FormatError` if the file is damaged or leads out of the faceset and its folders.
    """
    with _damage(path):
        lines = _lines(path)
        steps: list[Step] = []
        elsewhere: dict[int, str] = {}
        for line in lines[1:]:
            # An appended target may have been cut by a kill.
            row = _parsed_or_none(line) if line.startswith(b"{") or not line else _parsed(line)
            if isinstance(row, dict):
                elsewhere[int(row["step"])] = checked(str(row["target"]), root.name)
            elif row is not None:
                source, target, inode, size, mtime_ns = row
                paths = (checked(source, root.name), checked(target, root.name))
                steps.append(Step(*paths, int(inode), int(size), int(mtime_ns)))
        return _header(lines[0]), steps, elsewhere
    raise AssertionError


def read_done(path: Path, root: Path) -> tuple[Header, list[tuple[str, str]]]:
    """A finished operation: header, and (old, new) path of each face; raises as `read_steps`."""
    with _damage(path):
        lines = _lines(path)
        pairs: list[tuple[str, str]] = []
        for line in lines[1:]:
            source, target = _parsed(line)
            pairs.append((checked(source, root.name), checked(target, root.name)))
        return _header(lines[0]), pairs
    raise AssertionError


def checked(path: str, folder_name: str) -> str:
    """`path` if it is a picture in the faceset or a folder next to it; else `FormatError`."""
    parts = path.split("/")
    if parts[0] == ".." and len(parts) > 2 and parts[1].startswith(f"{folder_name}_"):
        parts = parts[1:]
    plain = all(map(_is_one_part, parts))
    name = parts[-1]
    if not plain or name.startswith(".") or os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES:  # noqa: PTH122
        raise FormatError(f"{path!r:.80} is not a picture of the faceset")
    return path


def _is_one_part(part: str) -> bool:
    """Whether it is a plain name, without a path, on this system."""
    if part in ("", ".", "..") or set(part) & set("\\\0") or PurePath(part).name != part:
        return False
    try:
        os.fsencode(part)
    except UnicodeEncodeError:
        return False
    return True


@contextlib.contextmanager
def _damage(path: Path) -> Generator[None]:
    try:
        yield
    except FormatError as error:
        raise FormatError(f"{path}: damaged: {error}") from None
    except (OSError, ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError):
        raise FormatError(f"{path}: damaged, or written by another version") from None


def _lines(path: Path) -> list[bytes]:
    if path.stat().st_size > _MAX_BYTES:
        raise FormatError("it is larger than any journal")
    return path.read_bytes().splitlines()


def _header(line: bytes) -> Header:
    values = _parsed(line)
    if not isinstance(values, dict) or values.pop("faceloom_moves", None) != VERSION:
        raise FormatError("not a journal of this version")
    return Header(
        id=str(values["id"])[:64],
        label="".join(c if c.isprintable() else " " for c in str(values["label"])[:200]),
        time=float(values["time"]),
        count=int(values["count"]),
        made=tuple(str(folder) for folder in values["made"]),
    )


def _parsed(line: bytes) -> Any:
    return json.loads(line)


def _parsed_or_none(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
