"""A faceset as a plain zip file of uncompressed faces, which any program opens.

Foreign zip files are checked before anything is unpacked: number and size of their members (as
declared and as read), compression ratio, and where their names lead.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from faceloom.core import Cancel, FormatError, InputError, NullProgress, Progress, atomic_path
from faceloom.faces.archives.pack_writer import PackFace, Read, check_names
from faceloom.faces.archives.plain_names import is_plain_name, shown
from faceloom.faces.files.face_file import FACE_SUFFIXES, MAX_FILE_BYTES, read_bytes

MAX_MEMBERS: Final = 300_000
_MAX_DIRECTORY_BYTES = 64 << 20
# Pictures hardly compress; an uncompressed black one does, by a factor of about 60.
_MAX_RATIO = 100
# Members up to this size may have any ratio: they do no harm.
_SMALL = 64 << 10
_LEAST_TOTAL = 1 << 30
_MAX_TOTAL_RATIO = 20
_END = struct.Struct("<4s4H2LH")
_LOCATOR_BYTES = 20
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY_BYTES = 46
_ENTRY_LENGTHS = struct.Struct("<3H")  # of name, extra field and comment, from byte 28 on
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    UnicodeError,
    ValueError,
)
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class ZipFaces:
    """An open zip file of faces."""

    path: Path
    names: tuple[str, ...]
    """Faces in it, sorted: `name`, or `person/name` if they are in several folders."""
    ignored: tuple[str, ...]
    """Names of members that cannot be faces."""
    _file: zipfile.ZipFile
    _members: Mapping[str, zipfile.ZipInfo]

    def read(self, name: str) -> bytes:
        """A face's file; `FormatError` if it is damaged or does not match its declaration."""
        member = self._members[name]
        try:
            with self._file.open(member) as file:
                data = file.read(member.file_size + 1)
        except _BROKEN as error:
            raise FormatError(f"{self.path}: {shown(name)} is damaged: {_reason(error)}") from None
        except OSError as error:
            raise _unreadable(self.path, error) from None
        if len(data) != member.file_size:
            raise FormatError(f"{self.path}: {shown(name)} does not have its declared size")
        return data


def write_zip(
    path: Path,
    faces: Sequence[PackFace],
    *,
    read: Read = read_bytes,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> int:
    """Store `faces` in a zip file, in their order, whole or not at all; returns its size.

    The same faces give the same bytes: no dates are stored. Raises `InputError` for names that are
    not plain, or not unique when case is ignored.
    """
    progress, cancel = progress or NullProgress(), cancel or Cancel()
    check_names(path, faces, MAX_MEMBERS)
    progress.start("zip", len(faces), "files")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for face in faces:
            cancel.check()
            member = zipfile.ZipInfo(face.packed, _EPOCH)
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(member, read(face.path))
            progress.advance()
    progress.finish()
    return path.stat().st_size


@contextmanager
def open_zip(path: Path) -> Generator[ZipFaces]:
    """Open a zip file of faces, made by anyone.

    Raises `InputError` if it cannot be read, `FormatError` if it is not a zip file, damaged or
    hostile: too many or too large members, too high a compression ratio, encryption, links, names
    that lead elsewhere or are not unique.
    """
    try:
        _check_directory(path)
        archive = zipfile.ZipFile(path)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    except _BROKEN as error:
        raise FormatError(f"{path}: damaged zip file: {_reason(error)}") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    with archive:
        yield _faces(path, archive)


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read: {error.strerror or error}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__


# --- content


def _check_directory(path: Path) -> None:
    """`FormatError` if the list of members is too long to be read into memory."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - (1 << 16) - _END.size - _LOCATOR_BYTES - _END64.size)
        file.seek(start)
        tail = file.read()
        end, length = _directory_end(tail)
        first = start + end - length
        if length > _MAX_DIRECTORY_BYTES:
            raise FormatError(f"its list of members has {length} bytes; no faceset needs that")
        if first < 0:
            raise FormatError("damaged zip file: its list of members is longer than the file")
        file.seek(first)
        directory = file.read(length)
    position, count = 0, 0
    while position + _ENTRY_BYTES <= len(directory):
        position += _ENTRY_BYTES + sum(_ENTRY_LENGTHS.unpack_from(directory, position + 28))
        count += 1
        if count > MAX_MEMBERS:
            raise FormatError(f"more than {MAX_MEMBERS} members")


def _directory_end(tail: bytes) -> tuple[int, int]:
    """Where in `tail` the list of members ends, and its length, found as Python's reader does."""
    at = len(tail) - _END.size
    if at < 0 or tail[at : at + 4] != b"PK\5\6" or tail[-2:] != b"\0\0":
        at = tail.rfind(b"PK\5\6")
    if at < 0 or at + _END.size > len(tail):
        raise FormatError("not a zip file, or a truncated one")
    length = _END.unpack_from(tail, at)[5]
    large = at - _LOCATOR_BYTES - _END64.size
    if large >= 0 and tail[at - _LOCATOR_BYTES :].startswith(b"PK\6\7"):
        fields = _END64.unpack_from(tail, large)
        if fields[0] == b"PK\6\6":
            return large, fields[8]
    return at, length


def _faces(path: Path, archive: zipfile.ZipFile) -> ZipFaces:
    try:
        members = [member for member in archive.infolist() if not member.is_dir()]
        _check_sizes(members, path.stat().st_size)
        faces: dict[tuple[str, ...], zipfile.ZipInfo] = {}
        ignored: list[str] = []
        for member in members:
            parts = _parts(member)
            if _may_be_face(parts):
                faces[parts] = member
            else:
                ignored.append(shown(member.filename))
        named = _named(faces)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    return ZipFaces(path, tuple(sorted(named)), tuple(ignored), archive, named)


def _check_sizes(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    """`FormatError` for members that expand too far, or share their content with others."""
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        name = shown(member.filename)
        if member.header_offset < end:
            raise FormatError(f"hostile zip file: {name} overlaps another member")
        end = member.header_offset + member.compress_size
        if end > size:
            raise FormatError(f"damaged zip file: {name} extends beyond its end")
        if member.file_size > MAX_FILE_BYTES:
            raise FormatError(f"{name} is larger than {MAX_FILE_BYTES >> 20} MiB")
        if member.file_size > max(_SMALL, _MAX_RATIO * member.compress_size):
            raise FormatError(f"hostile zip file: {name} expands to far more than its size")
        if member.flag_bits & 1:
            raise FormatError(f"{name} is encrypted; unpack the zip file yourself")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FormatError(f"{name} uses an unusual compression method; unpack it yourself")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise FormatError(f"hostile zip file: {name} is a link or device")
    total = sum(member.file_size for member in members)
    if total > max(_LEAST_TOTAL, _MAX_TOTAL_RATIO * size):
        raise FormatError(f"hostile zip file: it expands from {size} to {total} bytes")


def _parts(member: zipfile.ZipInfo) -> tuple[str, ...]:
    """Folders and name of a member; `FormatError` for a path that leads elsewhere."""
    raw = member.orig_filename
    parts = tuple(raw.split("/"))
    if "\0" in raw or "\\" in raw or not all(parts) or {".", ".."} & set(parts):
        raise FormatError(f"hostile zip file: the name {shown(raw)} leads out of its folder")
    return parts


def _may_be_face(parts: tuple[str, ...]) -> bool:
    """False for other files in zip files: notes, thumbnails, files of macOS."""
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return False
    if PurePosixPath(parts[-1]).suffix.lower() not in FACE_SUFFIXES:
        return False
    bad = next((part for part in parts if not is_plain_name(part)), None)
    if bad is not None:
        raise FormatError(f"{shown(bad)} cannot be the name of a file or folder here")
    return True


def _named(faces: Mapping[tuple[str, ...], zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Faces by name, or by person and name if they are in more than one folder."""
    several = len({parts[:-1] for parts in faces}) > 1
    named: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for parts, member in faces.items():
        name = "/".join(parts[-2:]) if several else parts[-1]
        if name.casefold() in seen:
            raise FormatError(f"two members are named {shown(name)}")
        seen.add(name.casefold())
        named[name] = member
    return named
