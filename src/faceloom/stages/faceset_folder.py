"""Which faceset a tool works on: a side of the workspace, or any folder of faces."""

from __future__ import annotations

from pathlib import Path

from faceloom.core import InputError
from faceloom.stages.workspace import SIDES, Workspace


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
    """The folder `<folder>_<ending>` beside a faceset, as DFL names them (`aligned_trash`)."""
    resolved = folder.resolve()
    return resolved.with_name(f"{resolved.name}_{ending}")
