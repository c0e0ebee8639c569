"""What the stages of curation share: pictures for contact sheets, and reports of moved faces."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import FaceloomError, InputError, atomic_write
from faceloom.curate import FaceTable
from faceloom.faces import Moved, read_face

CELL_PX: Final = 128
# Files that a result names one by one.
MOST_NAMED: Final = 5


def face_picture(table: FaceTable, row: int) -> NDArray[np.uint8]:
    """The face, h w 3 RGB; plain red when its file can no longer be read."""
    try:
        return read_face(table.paths[row])[0]
    except FaceloomError:
        return np.full((CELL_PX, CELL_PX, 3), (120, 0, 0), np.uint8)


def spread(count: int, most: int) -> NDArray[np.intp]:
    """At most `most` of `count` places, evenly from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def move_problems(moved: Moved) -> tuple[str, ...]:
    """What did not go as planned when faces were moved, a line each."""
    return (
        *(f"{path}: was deleted before it could be moved" for path in moved.missing),
        *(f"{path}: {reason}" for path, reason in moved.failed),
        *(f"{wanted.name} already existed: moved to {given}" for wanted, given in moved.renamed),
    )


def write_file(path: Path, data: str | bytes) -> None:
    """Write a file and the folders above it; `InputError` when that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
