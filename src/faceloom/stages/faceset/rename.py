"""Faces named after their source frames again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from faceloom.core import Cancel, Progress
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.faces import Faceset, Move, move_faces
from faceloom.faces.archives.plain_names import is_plain_name
from faceloom.stages.faceset.config import FacesetRenameConfig
from faceloom.workspace import faceset_folder, lock_for_moves, refuse_empty, undo_command

_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class FacesetRenameResult(Result):
    """How many faces were renamed."""

    folder: Path
    renamed: int
    right: int
    """Faces that had the right name already."""
    unknown: int
    """Faces whose source file is unknown, or has a name that is not valid here."""
    undo: str
    """The command that reverts it."""

    def lines(self) -> list[str]:
        text = f"{self.folder}: renamed {counted(self.renamed, 'face')} after their source files"
        if self.right:
            text += f", {self.right} had the right name already"
        if self.unknown:
            text += f"; the source file of {self.unknown} is unknown"
        return [text, *([f"`{self.undo}` reverts it"] if self.renamed else [])]


def run(config: FacesetRenameConfig, *, progress: Progress, cancel: Cancel) -> FacesetRenameResult:
    """Rename every face to `<prefix><source stem>_<number>`.

    The faces of a frame are numbered from 0 in the order of their current names, where 10 comes
    after 9. This is one operation, which `undo` reverts.
    """
    folder = faceset_folder(config.workspace, config.faceset)
    with lock_for_moves(folder):
        faces = Faceset(folder, progress=progress, cancel=cancel)
        refuse_empty(folder, len(faces), len(faces.skipped))
        found = [(path, record.source_stem) for path, record in faces]
        moves, unknown = _original_names(found, prefix=config.prefix)
    label = "rename after source files"
    moved = move_faces(folder, moves, label=label, progress=progress, cancel=cancel)
    for wanted, given in moved.renamed:
        progress.note(f"{wanted.name}: used by another file; the face is now {given.name}")
    right = len(found) - len(unknown) - moved.moved - len(moved.missing) - len(moved.failed)
    undo = undo_command(config.workspace, config.faceset)
    return FacesetRenameResult(folder, moved.moved, right, len(unknown), undo)


def _original_names(
    faces: Iterable[tuple[Path, str]], *, prefix: str
) -> tuple[list[Move], list[Path]]:
    """(moves to the original names, faces that have none) for (file, source stem)."""
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
    """A sort key under which `face_2` comes before `face_10`."""
    parts = _DIGITS.split(PurePath(name).stem)
    numbers = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
    return [*numbers, (2, 0, name)]
