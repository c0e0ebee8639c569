"""Reading `faceset.pak`: a whole faceset in one file, as DFL packs it (pipeline.md 2.7).

Header (version, length of the table), a pickled table of the faces, their offsets, and then the
original files one after another. Only the names of the table count: each picture carries its own
metadata, and face types had other numbers at other times. No picture is read before it is wanted.
"""

from __future__ import annotations

import functools
import mmap
import os
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import FormatError, InputError
from faceloom.faces.archives.plain_names import is_plain_name, shown
from faceloom.pickles import FACE_GLOBALS, Builder, refused, stream

PACK_NAMES: Final = ("faceset.pak", "samples.pak")
"""What a pack in a faceset's folder is called; the second until 2019-12."""
PACK_SUFFIX: Final = ".pak"
SAMPLE_TYPE: Final = ("samplelib.Sample", "SampleType")
FACE_TYPE: Final = ("facelib.FaceType", "FaceType")
MAX_PACKED: Final = 1_000_000
MAX_TABLE_BYTES: Final = 2 << 30
_HEADER = struct.Struct("<QQ")
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Pack:
    """An open pack: what is in it and where. Holds no file open; safe in any thread."""

    path: Path
    names: tuple[str, ...]
    """(n) `name`, or `person/name`, in the pack's order."""
    offsets: NDArray[np.int64]
    """(n + 1) where each file begins in the pack, and where the last one ends."""
    stamp: tuple[int, int]
    """Size and time of change, in ns, of the pack when it was opened."""
    inode: int
    """Of the pack when it was opened."""
    rows: Mapping[str, int]
    """Name → row."""

    def __len__(self) -> int:
        return len(self.names)

    def size(self, row: int) -> int:
        """Bytes of a file."""
        return int(self.offsets[row + 1] - self.offsets[row])

    def read(self, row: int, limit: int | None = None) -> bytes:
        """A file's bytes, or its first `limit`; `FormatError` when the pack has changed."""
        wanted = self.size(row) if limit is None else min(limit, self.size(row))
        try:
            with self.path.open("rb") as handle:
                if not self._is_of(os.fstat(handle.fileno())):
                    raise FormatError(f"{self.path}: was changed while it was read")
                handle.seek(int(self.offsets[row]))
                data = handle.read(wanted)
        except OSError as error:
            raise _unreadable(self.path, error) from None
        if len(data) != wanted:
            raise FormatError(f"{self.path}: ends too early; it was changed while it was read")
        return data

    def is_current(self) -> bool:
        """Whether the file is still the one that was opened."""
        try:
            return self._is_of(self.path.stat())
        except OSError:
            return False

    def _is_of(self, stat: os.stat_result) -> bool:
        return (stat.st_size, stat.st_mtime_ns, stat.st_ino) == (*self.stamp, self.inode)


def person_and_name(packed: str) -> tuple[str | None, str]:
    """(person or None, file name) of a name in a pack."""
    person, _, name = packed.rpartition("/")
    return person or None, name


def folder_pack(folder: Path) -> Path | None:
    """The pack of a faceset's folder, if there is one."""
    return next((folder / name for name in PACK_NAMES if (folder / name).is_file()), None)


def pack_of(path: Path) -> tuple[Path, str] | None:
    """(pack, name in it) for a path that leads into a pack, as `aligned/faceset.pak/0.jpg`."""
    if PACK_SUFFIX not in str(path).lower():  # most paths, and asked for every face
        return None
    for parent, depth in zip(path.parents, (1, 2), strict=False):
        if parent.suffix.lower() == PACK_SUFFIX and parent.is_file():
            return parent, PurePosixPath(*path.parts[-depth:]).as_posix()
    return None


def read_packed(pack: Path, name: str, *, limit: int | None = None, most: int) -> bytes:
    """A packed file's bytes, or its first `limit`.

    Raises `InputError` when the pack has no such file, `FormatError` when it is damaged or the
    whole file is wanted and has more than `most` bytes.
    """
    opened, row = _find(pack, name, limit, most)
    try:
        return opened.read(row, limit)
    except FormatError:
        if opened.is_current():
            raise
    # Another pack has taken its place since, in which the face lies elsewhere.
    opened, row = _find(pack, name, limit, most)
    return opened.read(row, limit)


def _find(pack: Path, name: str, limit: int | None, most: int) -> tuple[Pack, int]:
    opened = open_pack(pack)
    row = opened.rows.get(name)
    if row is None:
        raise InputError(f"{pack}: has no face {shown(name)}")
    if limit is None and opened.size(row) > most:
        raise FormatError(f"{pack}: {shown(name)} is larger than {most >> 20} MiB")
    return opened, row


def open_pack(path: Path) -> Pack:
    """The table of a pack, from memory where it was read before and has not changed.

    Raises `InputError` when it cannot be read, `FormatError` in one line when it is damaged or
    hostile: nothing in it is run, and nothing larger than the file's own size is believed.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    return _opened(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@functools.lru_cache(maxsize=4)
def _opened(path: Path, size: int, mtime_ns: int, inode: int) -> Pack:
    """The pack of that size, time and inode: what it is asked for is what it is kept under."""
    try:
        with path.open("rb") as handle:
            stat = os.fstat(handle.fileno())
            if (stat.st_size, stat.st_mtime_ns, stat.st_ino) != (size, mtime_ns, inode):
                raise FormatError("changed while it was opened")
            names, offsets = _read_table(handle, size)
    except OSError as error:
        raise _unreadable(path, error) from None
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    rows = {name: row for row, name in enumerate(names)}
    return Pack(path, names, offsets, (size, mtime_ns), inode, rows)


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read: {error.strerror or error}")


# --- the table


def _read_table(handle: BinaryIO, size: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    head = handle.read(_HEADER.size)
    if len(head) < _HEADER.size:
        raise FormatError("damaged pack: it ends in its header")
    version, length = _HEADER.unpack(head)
    if version != _VERSION:
        raise FormatError(f"no faceset.pak, or one of another version than {_VERSION}")
    start = _HEADER.size
    if not 0 < length <= min(size - start, MAX_TABLE_BYTES):
        raise FormatError(f"damaged pack: a table of {length} bytes in a file of {size}")
    names = tuple(_names(handle, start, length))
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise FormatError(f"damaged pack: it holds {shown(twice)} twice")
    return names, _offsets(handle, start + length, len(names), size)


def _names(handle: BinaryIO, start: int, length: int) -> Iterator[str]:
    """The files' names. Maps the file as far as the table goes: none of it is copied."""
    wanted = ("filename", "person_name")
    with mmap.mmap(handle.fileno(), start + length, access=mmap.ACCESS_READ) as table:
        for count, face in enumerate(stream(table, start=start, allow=_GLOBALS, only=wanted)):
            if count >= MAX_PACKED:
                raise FormatError(f"a pack of more than {MAX_PACKED} faces")
            yield _name(face)


def _name(face: Any) -> str:
    if not isinstance(face, dict):
        raise FormatError("damaged pack: its table holds something that is no face")
    name, person = face.get("filename"), face.get("person_name")
    if not is_plain_name(name):
        raise FormatError(f"damaged or hostile pack: {shown(name)} is no plain file name")
    if person is None:
        return name
    if not is_plain_name(person):
        raise FormatError(f"damaged or hostile pack: {shown(person)} is no plain folder name")
    return f"{person}/{name}"


def _offsets(handle: BinaryIO, start: int, count: int, size: int) -> NDArray[np.int64]:
    """Where the files begin and the last one ends, in the pack.

    The last entry is the position in the pack where DFL wrote it, and relative to the first file,
    as the others are, where somebody mended that: either way nothing follows the last file.
    """
    data = start + 8 * (count + 1)
    handle.seek(start)
    raw = handle.read(8 * (count + 1)) if data <= size else b""
    if len(raw) != 8 * (count + 1):
        raise FormatError("damaged pack: it ends in its offsets")
    table = np.frombuffer(raw, "<u8")
    if count and (table[:-1] > size - data).any():
        raise FormatError("damaged pack: a face lies beyond its end")
    offsets = np.empty(count + 1, np.int64)
    offsets[:-1] = table[:-1].astype(np.int64) + data
    offsets[-1] = size
    if count and (offsets[0] != data or (np.diff(offsets) < 0).any()):
        raise FormatError("damaged pack: its faces do not follow one another")
    if int(table[-1]) not in (size, size - data):
        raise FormatError(f"damaged pack: {size} bytes, which is not what it should have")
    return offsets


def _number(arguments: tuple[Any, ...]) -> int:
    """An enumeration's value: its names and numbers changed over time, and nothing here asks."""
    if len(arguments) != 1 or type(arguments[0]) is not int:
        raise refused("an enumeration of something other than numbers")
    return arguments[0]


_GLOBALS: Final[Mapping[tuple[str, str], Builder]] = {
    **FACE_GLOBALS,
    SAMPLE_TYPE: _number,
    FACE_TYPE: _number,
}
