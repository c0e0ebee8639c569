"""What packing, unpacking, importing and exporting share: faces as files of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from faceloom.core import InputError
from faceloom.core.paths import IMAGE_SUFFIXES
from faceloom.core.vocabulary import SIDES
from faceloom.faces import Faceset
from faceloom.faces.archives.pack import pack_of, person_and_name
from faceloom.faces.archives.pack_writer import PackFace
from faceloom.faces.files.face_file import read_bytes, write_bytes
from faceloom.workspace.layout import Workspace

MOST_TOLD: Final = 10
"""Lines of one kind that are shown to people; `--json` has all."""


def some(lines: Sequence[str]) -> list[str]:
    """The first of many lines of one kind, and how many more there are."""
    more = len(lines) - MOST_TOLD
    return [*lines[:MOST_TOLD], *([f"… and {more} more like that"] if more > 0 else [])]


def new_faceset_folder(workspace: Path, faceset: str) -> Path:
    """As `faceset_folder`, for a faceset that is to come into being."""
    for side in SIDES:
        if faceset == side:
            return Workspace.open(workspace).aligned(side)
    return Path(faceset).expanduser()


def faces_of(faceset: Faceset) -> list[PackFace]:
    """The faces of a faceset, loose and packed, with the names that an archive has for them."""
    faces: list[PackFace] = []
    for path in faceset.paths:
        packed = pack_of(path)
        person, name = (None, path.name) if packed is None else person_and_name(packed[1])
        faces.append(PackFace(path, name, person))
    return faces


def people_of(folder: Path) -> tuple[list[PackFace], list[tuple[Path, str]]]:
    """The faces in the folders of a faceset of several people, and pictures that are none.

    Each folder directly in it is a person, as DFL has it (pipeline.md 2.7).
    """
    faces: list[PackFace] = []
    skipped: list[tuple[Path, str]] = []
    for person in person_folders(folder):
        found = Faceset(person, use_index=False)
        faces += [PackFace(path, path.name, person.name) for path in found.paths]
        skipped += found.skipped
    return faces, skipped


def make_folder(folder: Path) -> None:
    """Make a folder where there is none; `InputError` where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror or error}") from None


def person_folders(folder: Path) -> list[Path]:
    """The folders in a faceset that have pictures in them, in the order of their names."""
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.is_dir()
        and not entry.is_symlink()
        and not entry.name.startswith(".")
        and any(file.suffix.lower() in IMAGE_SUFFIXES for file in entry.iterdir())
    )


def is_same_file(path: Path, data: bytes) -> bool:
    """Whether a file is there with exactly this content."""
    return path.is_file() and path.stat().st_size == len(data) and read_bytes(path) == data


def put_face(path: Path, data: bytes) -> bool:
    """Write a face's file where none is; False when the same is there already.

    `InputError` when something else is there: nothing is overwritten.
    """
    if path.exists() or path.is_symlink():
        if path.is_symlink() or not is_same_file(path, data):
            raise InputError(f"{path}: is there already, and is another file; nothing is replaced")
        return False
    write_bytes(path, data, durable=False)
    return True


def free_path(path: Path, taken: Iterable[str], data: bytes | None = None) -> Path:
    """`path`, or with -2, -3 … behind its stem, so that no file and none of `taken` is there.

    `taken` are names in lower case. With `data`, a file of that content is as good as none.
    """
    names = taken if isinstance(taken, (set, frozenset, dict)) else set(taken)
    candidate, number = path, 1
    while candidate.name.casefold() in names or (
        (candidate.exists() or candidate.is_symlink())
        and (data is None or candidate.is_symlink() or not is_same_file(candidate, data))
    ):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate
