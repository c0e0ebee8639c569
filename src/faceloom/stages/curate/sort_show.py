"""What shows a sort without renaming anything: a contact sheet of its ends, and a table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import FaceloomError, InputError, atomic_write
from faceloom.curate import FaceTable
from faceloom.curate.orders.order import Sorted
from faceloom.curate.sheet import contact_sheet
from faceloom.faces import read_face
from faceloom.media import write_image

SHOWN: Final = 20
_COLUMNS: Final = 10
_CELL_PX: Final = 128


def write_sheet(path: Path, table: FaceTable, done: Sorted, *, title: str) -> None:
    """Write the first and the last 20 faces, and 20 of the dropped ones, as one picture.

    Raises `InputError` when the table has no faces, `MediaError` when it cannot be written.
    """
    write_image(path, sort_sheet(table, done, title=title))


def sort_sheet(table: FaceTable, done: Sorted, *, title: str) -> NDArray[np.uint8]:
    """The same as a picture, h w 3 RGB."""
    kept, trash = done.ordering.kept, done.ordering.trash
    if not len(table):
        raise InputError(f"{table.folder}: no faces to show")
    head, tail = kept[:SHOWN], kept[SHOWN:][-SHOWN:]
    evenly = np.linspace(0, len(trash) - 1, min(SHOWN, len(trash))).round().astype(np.intp)
    some = trash[evenly]
    parts = [(f"{title}: the first of {len(kept)}", head, range(len(head)))]
    parts.append(("the last", tail, range(len(kept) - len(tail), len(kept))))
    parts.append((f"of the {len(trash)} dropped", some, range(len(some))))
    sheets = [
        contact_sheet(
            [_picture(table, int(row)) for row in rows],
            [
                f"{place}: {done.ordering.values[row]}\n{table.paths[row].stem}"
                for place, row in zip(places, rows, strict=True)
            ],
            columns=_COLUMNS,
            cell_px=_CELL_PX,
            title=name,
        )
        for name, rows, places in parts
        if len(rows)
    ]
    return _stacked(sheets)


def _stacked(sheets: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Below each other, the narrow ones filled up with their background."""
    pictures = list(sheets)
    width = max(picture.shape[1] for picture in pictures)
    filled = [
        np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), mode="edge")
        for picture in pictures
    ]
    return np.concatenate(filled)


def _picture(table: FaceTable, row: int) -> NDArray[np.uint8]:
    """The face; plain red where it cannot be read any more."""
    try:
        return read_face(table.paths[row])[0]
    except FaceloomError:
        return np.full((_CELL_PX, _CELL_PX, 3), (120, 0, 0), np.uint8)


def write_list(path: Path, table: FaceTable, done: Sorted) -> None:
    """Write a line a face: position (empty when dropped), file, value and group, tabs between."""
    groups = [name for name, faces in done.groups for _ in range(faces)]
    lines = ["position\tfile\tvalue\tgroup"]
    for place, row in enumerate(done.ordering.kept):
        lines.append(f"{place}\t{_cells(table, done, int(row))}\t{groups[place]}")
    lines += [f"\t{_cells(table, done, int(row))}\tdropped" for row in done.ordering.trash]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, "\n".join(lines) + "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def _cells(table: FaceTable, done: Sorted, row: int) -> str:
    texts = (table.paths[row].name, done.ordering.values[row])
    return "\t".join(text.replace("\t", " ").replace("\n", " ") for text in texts)
