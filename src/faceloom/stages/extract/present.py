"""The faces of a faceset by the frame that they are from, those that were moved aside with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from glob import escape
from pathlib import Path
from typing import Final

from faceloom.core import InputError
from faceloom.detect.points import bounds, overlap
from faceloom.detect.types import Rect
from faceloom.faces import FaceRecord, Faceset
from faceloom.faces.archives.pack import folder_pack
from faceloom.faces.folders import COPIES

_TAKEN: Final = 0.35
"""Overlap from which two faces of a frame are one."""


class Present:
    """Faces by the stem of their frame: in the faceset, or moved to a folder beside it.

    Raises `InputError` for a packed faceset.
    """

    def __init__(self, folder: Path) -> None:
        if folder_pack(folder) is not None:
            raise InputError(f"{folder}: packed; `faceloom faceset unpack` it first")
        self._here: dict[str, list[tuple[Path, FaceRecord]]] = {}
        for path, record in Faceset(folder):
            self._here.setdefault(record.source_stem, []).append((path, record))
        self._aside: dict[str, list[FaceRecord]] = {}
        for other in _moved_to(folder):
            for _, record in Faceset(other, use_index=False):
                self._learn_aside(record)

    def _learn_aside(self, record: FaceRecord) -> None:
        stem = record.source_stem
        known = [*self.here(stem), *self.aside(stem)]
        if not is_among(bounds(record.source_landmarks), known):
            self._aside.setdefault(stem, []).append(record)

    def here(self, stem: str) -> list[FaceRecord]:
        """Faces of a frame in the faceset."""
        return [record for _, record in self._here.get(stem, ())]

    def aside(self, stem: str) -> list[FaceRecord]:
        """Faces of a frame that lie beside the faceset only."""
        return list(self._aside.get(stem, ()))

    def count(self, stem: str) -> int:
        """Faces of a frame that are not missing."""
        return len(self._here.get(stem, ())) + len(self._aside.get(stem, ()))

    def records(self) -> Iterator[FaceRecord]:
        """All of them."""
        for faces in self._here.values():
            yield from (record for _, record in faces)
        for records in self._aside.values():
            yield from records

    def forget(self, stem: str) -> list[Path]:
        """Take a frame for one without faces; the files that it has in the faceset."""
        self._aside.pop(stem, None)
        return [path for path, _ in self._here.pop(stem, ())]


def is_among(box: Rect, records: Iterable[FaceRecord]) -> bool:
    """Whether the face whose landmarks have these bounds is one of `records`."""
    return any(overlap(box, bounds(record.source_landmarks)) >= _TAKEN for record in records)


def _moved_to(folder: Path) -> list[Path]:
    """Folders beside a faceset into which its faces were moved, and folders in these."""
    resolved = folder.resolve()
    found: list[Path] = []
    for other in sorted(resolved.parent.glob(f"{escape(resolved.name)}_*")):
        ending = other.name.removeprefix(f"{resolved.name}_")
        if other.is_dir() and ending.rstrip("0123456789") not in COPIES:
            found += [other, *sorted(path for path in other.iterdir() if path.is_dir())]
    return found
