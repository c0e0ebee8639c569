"""Files of a faceset, as packing, unpacking, importing and exporting handle them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from faceloom.core import InputError
from faceloom.core.paths import IMAGE_SUFFIXES
from faceloom.core.vocabulary import SIDES
from faceloom.faces import Faceset
from faceloom.faces.archives.pack import pack_of, person_and_name
from faceloom.faces.archives.pack_writer import PackFace
from faceloom.faces.files.face_file import read_bytes, write_bytes
from faceloom.workspace import Workspace

# Lines of one kind that are shown to people; `--json` has all.
_MOST_LINES: Final = 10


def some(lines: Sequence[str]) -> list[str]:
    """The first of many similar lines, and how many more there are."""
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"… and {more} more"] if more > 0 else [])]


def new_faceset_folder(workspace: Path, faceset: str) -> Path:
    """As `faceset_folder`, for a faceset that may not exist yet."""
    for side in SIDES:
        if faceset == side:
            return Workspace.open(workspace).aligned(side)
    return Path(faceset).expanduser()


def faces_of(faceset: Faceset) -> list[PackFace]:
    """The faces of a faceset, loose and packed, with their names in an archive."""
    faces: list[PackFace] = []
    for path in faceset.paths:
        packed = pack_of(path)
        person, name = (None, path.name) if packed is None else person_and_name(packed[1])
        faces.append(PackFace(path, name, person))
    return faces


def people_of(folder: Path) -> tuple[list[PackFace], list[tuple[Path, str]]]:
    """The faces in a faceset's sub-folders, and pictures there that are not faces.

    Each folder directly in the faceset is a person, as in DFL.
    """
    faces: list[PackFace] = []
    skipped: list[tuple[Path, str]] = []
    for person in person_folders(folder):
        found = Faceset(person, use_index=False)
        faces += [PackFace(path, path.name, person.name) for path in found.paths]
        skipped += found.skipped
    return faces, skipped


def make_folder(folder: Path) -> None:
    """Create a folder if it is missing; `InputError` if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created: {error.strerror or error}") from None


def person_folders(folder: Path) -> list[Path]:
    """The folders in a faceset that contain pictures, in the order of their names."""
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.is_dir()
        and not entry.is_symlink()
        and not entry.name.startswith(".")
        and any(file.suffix.lower() in IMAGE_SUFFIXES for file in entry.iterdir())
    )


def is_same_file(path: Path, data: bytes) -> bool:
    """Whether a file exists with exactly this content."""
    return path.is_file() and path.stat().st_size == len(data) and read_bytes(path) == data


def put_face(path: Path, data: bytes) -> bool:
    """Write a face's file; False if it exists already with the same content.

    `InputError` if something else is there: nothing is overwritten.
    """
    if path.exists() or path.is_symlink():
        if path.is_symlink() or not is_same_file(path, data):
            raise InputError(f"{path}: exists already with other content; nothing was overwritten")
        return False
    write_bytes(path, data, durable=False)
    return True


def free_path(path: Path, data: bytes) -> Path:
    """`path`, or with -2, -3 … after its stem a name that is free or has this content already."""
    candidate, number = path, 1
    while (candidate.exists() or candidate.is_symlink()) and (
        candidate.is_symlink() or not is_same_file(candidate, data)
    ):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate
