"""Writing `faceset.pak` so that DFL 2.0 opens it, byte by byte as pipeline.md 2.7 has it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from faceloom.core import (
    Cancel,
    FormatError,
    InputError,
    NullProgress,
    Progress,
    atomic_path,
)
from faceloom.faces.archives.pack import FACE_TYPE, MAX_PACKED, SAMPLE_TYPE, open_pack
from faceloom.faces.archives.plain_names import is_plain_name, shown
from faceloom.faces.files.face_file import encoded_size, read_bytes, record_from_bytes
from faceloom.faces.record import FaceRecord, record_to_dfl
from faceloom.geometry import FaceType
from faceloom.pickles import Called, dump_list

Read = Callable[[Path], bytes]
"""From a face's file to what goes into the archive."""

_HEADER = struct.Struct("<QQ")
_FACE_NUMBERS: Final[dict[FaceType, int]] = {
    "half_face": 0,
    "midfull_face": 1,
    "full_face": 2,
    "full_face_no_align": 3,
    "whole_face": 4,
    "head": 10,
    "head_no_align": 20,
    "mark_only": 100,
}
"""DFL 2.0's since 2020-04 (pipeline.md 2.6)."""
_SAMPLE_FACE = 1


@dataclass(frozen=True)
class PackFace:
    """A face to pack."""

    path: Path
    """Its file, loose or in another pack."""
    name: str
    """What it is called in the pack."""
    person: str | None = None
    """Whose it is, in a faceset of several people."""

    @property
    def packed(self) -> str:
        """The name by which a pack finds it."""
        return self.name if self.person is None else f"{self.person}/{self.name}"


def write_pack(
    path: Path,
    faces: Sequence[PackFace],
    *,
    read: Read = read_bytes,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> int:
    """Pack `faces`, in their order, into `path`, whole or not at all; returns the pack's bytes.

    What `read` makes of their files goes in, twice the same; by default the files as they are.
    Holds one face in memory at a time. Raises `InputError` for names
    that are not plain or come twice, `FormatError` naming the first file that is no face.
    """
    progress, cancel = progress or NullProgress(), cancel or Cancel()
    check_names(path, faces, MAX_PACKED)
    progress.start("pack", 2 * len(faces), "files")
    with atomic_path(path) as temporary, temporary.open("wb+") as file:
        sizes: list[int] = []
        file.write(_HEADER.pack(1, 0))
        dump_list(_table(faces, sizes, read, progress, cancel), file)
        length = file.tell() - _HEADER.size
        data = file.tell() + 8 * (len(faces) + 1)
        starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype("<u8")
        # DFL writes the last entry as a position in the pack, and reads it so.
        starts[-1] += data
        file.write(starts.tobytes())
        for face, size in zip(faces, sizes, strict=True):
            cancel.check()
            content = read(face.path)
            if len(content) != size:
                raise InputError(f"{face.path}: was changed while it was packed; pack again")
            file.write(content)
            progress.advance()
        total = file.tell()
        file.seek(0)
        file.write(_HEADER.pack(1, length))
    progress.finish()
    return total


def verify_pack(
    path: Path,
    faces: Sequence[PackFace],
    *,
    read: Read = read_bytes,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Compare a pack with the files it was made of, byte by byte; `FormatError` at a difference."""
    progress, cancel = progress or NullProgress(), cancel or Cancel()
    pack = open_pack(path)
    if pack.names != tuple(face.packed for face in faces):
        raise FormatError(f"{path}: does not hold what was packed")
    progress.start("compare", len(faces), "faces")
    for row, face in enumerate(faces):
        cancel.check()
        if pack.read(row) != read(face.path):
            raise FormatError(f"{path}: {shown(face.packed)} is not as in {face.path}")
        progress.advance()
    progress.finish()


def check_names(path: Path, faces: Sequence[PackFace], most: int) -> None:
    """`InputError` for more than `most` faces, and for names that not every system can unpack:
    that are not plain, or come twice, be it by capitals alone."""
    if len(faces) > most:
        raise InputError(f"{path}: {len(faces)} faces, more than {most} in one file")
    seen: set[str] = set()
    for face in faces:
        for part in (face.name, face.person):
            if part is not None and not is_plain_name(part):
                raise InputError(f"{path}: {shown(part)} cannot be a name in it; rename it")
        if face.packed.casefold() in seen:
            raise InputError(
                f"{path}: two faces are called {shown(face.packed)}, but for capitals; rename one"
            )
        seen.add(face.packed.casefold())


def _table(
    faces: Sequence[PackFace], sizes: list[int], read: Read, progress: Progress, cancel: Cancel
) -> Iterator[dict[str, Any]]:
    """The pack's table, face by face; the files' sizes go to `sizes`."""
    for face in faces:
        cancel.check()
        data = read(face.path)
        try:
            sizes.append(len(data))
            yield _entry(face, record_from_bytes(data), encoded_size(data))
        except FormatError as error:
            raise FormatError(f"{face.path}: {error}") from None
        progress.advance()


def _entry(face: PackFace, record: FaceRecord, size: tuple[int, int]) -> dict[str, Any]:
    """A face as DFL's table has it: what its trainer wants to know without opening pictures."""
    dfl = record_to_dfl(record)
    return {
        "sample_type": Called(*SAMPLE_TYPE, _SAMPLE_FACE),
        "filename": face.name,
        "face_type": Called(*FACE_TYPE, _FACE_NUMBERS[record.face_type]),
        "shape": (*size, 3),
        "landmarks": dfl["landmarks"],
        "seg_ie_polys": dfl.get("seg_ie_polys", {"polys": []}),
        "xseg_mask": None,
        "xseg_mask_compressed": dfl.get("xseg_mask"),
        "eyebrows_expand_mod": record.eyebrows_expand_mod,
        "source_filename": record.source_filename,
        "person_name": face.person,
    }
