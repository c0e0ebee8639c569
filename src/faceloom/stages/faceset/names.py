"""Names of faces: back to those of their source frames, and taking back what was renamed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from pydantic import field_validator

from faceloom.core import Cancel, Progress, Settings
from faceloom.core.words import counted
from faceloom.faces import Faceset, Move, Operation, move_faces, operations, undo_moves
from faceloom.faces.archives.plain_names import is_plain_name
from faceloom.workspace.faceset import (
    faceset_folder,
    held_for_moves,
    refuse_empty,
    undo_command,
)

_DIGITS = re.compile(r"(\d+)")


class NamesConfig(Settings):
    """Which faceset gets its original file names back."""

    workspace: Path = Path()
    """The workspace."""
    faceset: str = "src"
    """Whose faces: src, dst or a folder of faces."""
    prefix: str = ""
    """Put before every name, to tell apart the faces of several clips."""

    @field_validator("prefix")
    @classmethod
    def _plain(cls, prefix: str) -> str:
        if prefix and not is_plain_name(f"{prefix}0.jpg"):
            raise ValueError("it must be usable in a file name")
        return prefix


@dataclass(frozen=True)
class NamesResult:
    """What was renamed."""

    folder: Path
    renamed: int
    right: int
    """Faces that had the name already."""
    unknown: int
    """Faces that do not know their source file's name, or one that is no file name here."""
    undo: str
    """The command that takes it back."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "folder": str(self.folder),
            "renamed": self.renamed,
            "right": self.right,
            "unknown": self.unknown,
            "undo": self.undo,
        }

    def lines(self) -> list[str]:
        """For people."""
        text = f"{self.folder}: {counted(self.renamed, 'face')} renamed after source files"
        if self.right:
            text += f", {self.right} were already"
        if self.unknown:
            text += f"; not known for {self.unknown}"
        return [text, *([f"`{self.undo}` takes it back"] if self.renamed else [])]


def run(config: NamesConfig, *, progress: Progress, cancel: Cancel) -> NamesResult:
    """Rename every face to `<prefix><source stem>_<number>` (pipeline.md 5.3).

    The faces of a frame are numbered from 0 in the order of their present names, in which 10 comes
    after 9. One operation, which `undo` takes back.
    """
    folder = faceset_folder(config.workspace, config.faceset)
    with held_for_moves(folder):
        faces = Faceset(folder, progress=progress, cancel=cancel)
        refuse_empty(folder, len(faces), len(faces.skipped))
        found = [(path, record.source_stem) for path, record in faces]
        moves, unknown = original_names(found, prefix=config.prefix)
    label = "rename after source files"
    moved = move_faces(folder, moves, label=label, progress=progress, cancel=cancel)
    for wanted, given in moved.renamed:
        progress.note(f"{wanted.name}: taken by another file; the face is {given.name}")
    right = len(found) - len(unknown) - moved.moved - len(moved.missing) - len(moved.failed)
    undo = undo_command(config.workspace, config.faceset)
    return NamesResult(folder, moved.moved, right, len(unknown), undo)


def original_names(
    faces: Iterable[tuple[Path, str]], *, prefix: str = ""
) -> tuple[list[Move], list[Path]]:
    """(moves to the original names, faces that have none) of (file, source stem)."""
    ordered = sorted(faces, key=lambda face: natural_key(face[0].name))
    numbers: Counter[str] = Counter()
    moves: list[Move] = []
    unknown: list[Path] = []
    for path, stem in ordered:
        name = f"{prefix}{stem}_{numbers[stem.casefold()]}{path.suffix}"
        if not stem or not is_plain_name(name):
            unknown.append(path)
            continue
        numbers[stem.casefold()] += 1
        moves.append(Move(path, path.with_name(name)))
    return moves, unknown


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts names as people count: `face_2` before `face_10`."""
    parts = _DIGITS.split(PurePath(name).stem)
    numbers = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
    return [*numbers, (2, 0, name)]


# --- undo


class UndoConfig(Settings):
    """In which faceset the last operation is taken back."""

    workspace: Path = Path()
    """The workspace."""
    faceset: str = "src"
    """Whose faces: src, dst or a folder of faces."""


@dataclass(frozen=True)
class UndoResult:
    """What was taken back, and what still can be."""

    folder: Path
    undone: str
    """The operation's label; empty when nothing was undone."""
    left: list[Operation]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        left = [{"label": o.label, "time": _time(o), "faces": o.count} for o in self.left]
        return {"folder": str(self.folder), "undone": self.undone or None, "operations": left}

    def lines(self) -> list[str]:
        """For people, the newest first."""
        lines = [f"{self.folder}: undone: {self.undone}"] if self.undone else []
        if not self.left:
            return [*lines, "nothing more to undo" if lines else "nothing to undo"]
        lines.append("can be undone, the newest first:")
        return lines + [
            f"  {_time(o)}  {counted(o.count, 'face'):>13}  {o.label}" for o in reversed(self.left)
        ]


def _time(operation: Operation) -> str:
    try:
        return datetime.fromtimestamp(operation.time).isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):
        return "unknown time"


def undo(config: UndoConfig, *, progress: Progress, cancel: Cancel) -> UndoResult:
    """Take the last operation that moved or renamed faces back."""
    cancel.check()
    folder = faceset_folder(config.workspace, config.faceset)
    label = undo_moves(folder, progress=progress)
    return UndoResult(folder, label or "an operation without a name", operations(folder))


def list_operations(config: UndoConfig) -> UndoResult:
    """What can be taken back."""
    folder = faceset_folder(config.workspace, config.faceset)
    return UndoResult(folder, "", operations(folder))
