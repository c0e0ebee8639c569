"""Which faceset a tool works on: a side of the workspace, or any folder of faces."""

from __future__ import annotations

import os
import shlex
from contextlib import ExitStack
from pathlib import Path

from faceloom.core import InputError
from faceloom.core.vocabulary import SIDES
from faceloom.core.words import counted
from faceloom.faces.archives.pack import folder_pack
from faceloom.faces.moves.moves import hold_faces
from faceloom.workspace.layout import Workspace


def faceset_folder(workspace: Path, faceset: str) -> Path:
    """The folder of `src` or `dst` in `workspace`, or the folder that `faceset` names.

    Raises `InputError` when there is no such workspace or folder.
    """
    folder = Path(faceset).expanduser()
    for side in SIDES:
        if faceset == side:
            folder = Workspace.open(workspace).aligned(side)
    if not folder.is_dir():
        hint = f"; `faceloom extract {faceset}` makes it" if faceset in SIDES else ""
        raise InputError(f"{folder}: no faceset there{hint}")
    return folder


def beside(folder: Path, ending: str) -> Path:
    """The folder `<folder>_<ending>` beside a faceset, as DFL names them (`aligned_trash`).

    Named as the faceset was; beside the folder itself where that is a link or has no name (`.`).
    """
    resolved = folder.resolve()
    as_named = folder.name != "" and folder.parent.resolve() / folder.name == resolved
    return (folder if as_named else resolved).with_name(f"{resolved.name}_{ending}")


def held_for_moves(folder: Path, *, wanted: bool = True) -> ExitStack:
    """Hold a faceset from before a tool looks at its faces until it moves them.

    So no other tool gives their names to other faces meanwhile. To be closed just before
    `move_faces`, which holds the folder itself. Without `wanted`, for a tool that only looks, it
    holds nothing. Raises `InputError` for a packed faceset and as `hold_faces`, before any time
    is spent.
    """
    hold = ExitStack()
    if wanted:
        pack = folder_pack(folder)
        if pack is not None:
            raise InputError(f"{folder}: packed ({pack.name}); `faceloom faceset unpack` it first")
        hold.enter_context(hold_faces(folder))
    return hold


def refuse_empty(folder: Path, faces: int, strangers: int = 0) -> None:
    """`InputError` for a folder without faces, such as one of frames; `strangers`: its pictures."""
    if not faces:
        none = "that is none" if strangers == 1 else "that are none"
        pictures = f", only {counted(strangers, 'picture')} {none}" if strangers else ""
        raise InputError(f"{folder}: holds no faces{pictures}")


def undo_command(workspace: Path, faceset: str) -> str:
    """What to type to take an operation on `faceset` back, from the same folder, in this shell."""
    words = ["faceloom", "faceset", "undo", faceset]
    if faceset in SIDES and workspace != Path():
        words += ["-w", str(workspace)]
    if os.name == "nt":
        return " ".join(f'"{word}"' if " " in word else word for word in words)
    return shlex.join(words)
