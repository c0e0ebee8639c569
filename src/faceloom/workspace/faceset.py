"""The faceset a tool works on: a side of the workspace, or any folder of faces."""

from __future__ import annotations

import os
import shlex
from contextlib import ExitStack
from pathlib import Path

from faceloom.core import InputError
from faceloom.core.vocabulary import SIDES
from faceloom.core.words import counted
from faceloom.faces.archives.pack import folder_pack
from faceloom.faces.moves.moves import lock_faces
from faceloom.workspace.layout import Workspace


def faceset_folder(workspace: Path, faceset: str) -> Path:
    """The faceset of `src` or `dst` in `workspace`, or the folder that `faceset` names.

    Raises `InputError` if there is no such workspace or folder.
    """
    folder = Path(faceset).expanduser()
    for side in SIDES:
        if faceset == side:
            folder = Workspace.open(workspace).aligned(side)
    if not folder.is_dir():
        hint = f"; `faceloom extract {faceset}` creates it" if faceset in SIDES else ""
        raise InputError(f"{folder}: no faceset there{hint}")
    return folder


def sibling(folder: Path, ending: str) -> Path:
    """The folder `<folder>_<ending>` next to a faceset, as DFL names them (`aligned_trash`).

    The path starts as `folder` does, unless that is a link or has no name (`.`).
    """
    resolved = folder.resolve()
    as_named = folder.name != "" and folder.parent.resolve() / folder.name == resolved
    return (folder if as_named else resolved).with_name(f"{resolved.name}_{ending}")


def lock_for_moves(folder: Path, *, wanted: bool = True) -> ExitStack:
    """Lock a faceset from before a tool reads its faces until it moves them.

    Otherwise another tool could give their names to other faces in between. Close the stack just
    before `move_faces`, which takes the lock itself. Without `wanted`, for a tool that only reads,
    nothing is locked. Raises `InputError` for a packed faceset and as `lock_faces`.
    """
    hold = ExitStack()
    if wanted:
        pack = folder_pack(folder)
        if pack is not None:
            raise InputError(f"{folder}: packed ({pack.name}); `faceloom faceset unpack` it first")
        hold.enter_context(lock_faces(folder))
    return hold


def refuse_empty(folder: Path, faces: int, strangers: int = 0) -> None:
    """`InputError` for a folder without faces; `strangers` counts its pictures without metadata."""
    if not faces:
        pictures = f": {counted(strangers, 'picture')} without face metadata" if strangers else ""
        raise InputError(f"no faces in {folder}{pictures}")


def undo_command(workspace: Path, faceset: str) -> str:
    """The command that undoes an operation on `faceset`, quoted for the shell."""
    words = ["faceloom", "faceset", "undo", faceset]
    if faceset in SIDES and workspace != Path():
        words += ["-w", str(workspace)]
    if os.name == "nt":
        return " ".join(f'"{word}"' if " " in word else word for word in words)
    return shlex.join(words)
