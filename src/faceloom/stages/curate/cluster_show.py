"""What shows groups and duplicates before anything is moved: sheets of faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, FaceloomError, InputError
from faceloom.core.words import counted
from faceloom.curate import FaceTable
from faceloom.curate.sheet import contact_sheet
from faceloom.faces import read_face
from faceloom.media import write_image
from faceloom.stages.curate.cluster_groups import Group

_SHOWN: Final = 10
_CELL_PX: Final = 128
_MOST_GROUPS: Final = 100
_BACK: Final = 24
"""What a sheet has where there is no picture."""
_MOST_PAIRS: Final = 200
_PAIRS_A_ROW: Final = 5


def write_groups_sheet(
    path: Path, table: FaceTable, groups: Sequence[Group], *, title: str, cancel: Cancel
) -> None:
    """Write a row for each of up to 100 groups, ten faces from its most typical to its farthest;
    groups of one face share rows.

    Raises `InputError` when there are no faces, `MediaError` when it cannot be written, and
    `CancelledError`.
    """
    if not groups:
        raise InputError(f"{table.folder}: no faces to show")
    images: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    for group in groups[:_MOST_GROUPS]:
        if len(group.rows) > 1:
            while len(images) % _SHOWN:
                images.append(np.full((1, 1, 3), _BACK, np.uint8))
                captions.append("")
        places = np.unique(np.linspace(0, len(group.rows) - 1, _SHOWN).round().astype(np.intp))
        for place in places:
            cancel.check()
            images.append(face_picture(table, int(group.rows[place])))
            captions.append(_caption(group, int(place)))
    sheet = contact_sheet(images, captions, columns=_SHOWN, cell_px=_CELL_PX, title=title)
    write_image(path, sheet)


def _caption(group: Group, place: int) -> str:
    if place == 0:
        number = "" if group.number is None else f"{group.number} "
        name = group.name or ("unsure" if group.number is None else "")
        return f"{number}{name}\n{counted(len(group.rows), 'face')}"
    return "" if group.number is None else f"{group.distances[place]:.2f}"


def write_pairs_sheet(
    path: Path,
    table: FaceTable,
    pairs: Sequence[tuple[int, int]],
    *,
    title: str,
    cancel: Cancel,
) -> None:
    """Write up to 200 of the pairs (kept, dropped), spread evenly over all, beside each other.

    Raises `InputError` when there are none, `MediaError` when it cannot be written, and
    `CancelledError`.
    """
    if not pairs:
        raise InputError(f"{path}: there are no duplicates to show")
    places = np.unique(np.linspace(0, len(pairs) - 1, _MOST_PAIRS).round().astype(np.intp))
    images: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    for place in places:
        cancel.check()
        for row, what in zip(pairs[place], ("kept", "dropped"), strict=True):
            images.append(face_picture(table, row))
            captions.append(f"{what}\n{table.paths[row].name}")
    sheet = contact_sheet(images, captions, columns=2 * _PAIRS_A_ROW, cell_px=_CELL_PX, title=title)
    write_image(path, sheet)


def face_picture(table: FaceTable, row: int) -> NDArray[np.uint8]:
    """The face, h w 3 RGB; plain red where it cannot be read any more."""
    try:
        return read_face(table.paths[row])[0]
    except FaceloomError:
        return np.full((_CELL_PX, _CELL_PX, 3), (120, 0, 0), np.uint8)
