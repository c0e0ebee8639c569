"""Facesets in one file of either kind: DFL's pack or a zip file."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faceloom.core import FormatError, InputError
from faceloom.faces.archives.pack import open_pack, read_packed
from faceloom.faces.archives.plain_names import shown
from faceloom.faces.archives.zipped import open_zip
from faceloom.faces.files.face_file import FACE_SUFFIXES, MAX_FILE_BYTES


@dataclass(frozen=True)
class Archive:
    """An open pack or zip file of faces."""

    path: Path
    names: tuple[str, ...]
    """`name` or `person/name` of the files that may be faces: plain, unique names."""
    ignored: tuple[str, ...]
    """Other files in it."""
    read: Callable[[str], bytes]
    """A file's content by its name."""


@contextmanager
def open_archive(path: Path) -> Generator[Archive]:
    """Open a pack or zip file, recognised by its first bytes.

    Raises `InputError` if it cannot be read, `FormatError` if it is damaged or hostile; reading
    from it raises the same.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if zipped:
        with open_zip(path) as faces:
            yield Archive(path, faces.names, faces.ignored, faces.read)
        return
    names = open_pack(path).names
    usable = tuple(name for name in names if Path(name).suffix.lower() in FACE_SUFFIXES)
    seen: set[str] = set()
    for name in usable:
        if name.casefold() in seen:
            raise FormatError(f"{path}: two faces are named {shown(name)}, ignoring case")
        seen.add(name.casefold())
    ignored = tuple(shown(name) for name in names if Path(name).suffix.lower() not in FACE_SUFFIXES)
    yield Archive(path, usable, ignored, lambda name: read_packed(path, name, most=MAX_FILE_BYTES))
