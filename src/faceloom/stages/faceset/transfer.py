"""Facesets from other programs, and for them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from faceloom.core import Cancel, FaceloomError, InputError, Progress
from faceloom.core.paths import sweep_temporary
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.faces import Faceset
from faceloom.faces.archives.archive import open_archive
from faceloom.faces.archives.pack_writer import PackFace, verify_pack, write_pack
from faceloom.faces.archives.zipped import write_zip
from faceloom.faces.files.dfl_form import dfl_form
from faceloom.faces.files.face_file import decode_picture, read_bytes, record_from_bytes
from faceloom.faces.files.png import is_png
from faceloom.faces.moves.moves import lock_faces
from faceloom.stages.faceset.config import FacesetExportConfig, FacesetImportConfig
from faceloom.stages.faceset.files import (
    faces_of,
    free_path,
    make_folder,
    new_faceset_folder,
    people_of,
    put_face,
    some,
)
from faceloom.workspace import faceset_folder

# Bytes of UTF-8 that leave room for a number and for a temporary file's prefix.
_LONGEST_STEM = 200
# Archives that we do not write; a folder with such a name is hardly intended.
_FOREIGN_ARCHIVES = frozenset(
    {".7z", ".ace", ".bz2", ".gz", ".lz4", ".lzma", ".rar", ".tar"}
    | {".tbz2", ".tgz", ".txz", ".xz", ".z", ".zipx", ".zst"}
)


@dataclass(frozen=True)
class TransferResult(Result):
    """What was imported or exported."""

    output: Path
    faces: int
    """Faces that are there now, of those in the source."""
    written: int
    """Those of them that did not exist before."""
    encoded: int = 0
    """Faces that had to be re-encoded."""
    renamed: list[tuple[str, str]] = field(default_factory=list)
    """(old, new) names of faces whose name was in use."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """What could not be copied, and why."""

    def lines(self) -> list[str]:
        lines = [f"{self.output}: {counted(self.faces, 'face')}, {self.written} of them new"]
        if self.encoded:
            lines.append(f"{self.encoded} had to be re-encoded as JPEG")
        lines += some([f"{old} renamed to {new}" for old, new in self.renamed])
        return lines + some([f"skipped: {name}: {reason}" for name, reason in self.skipped])


@dataclass
class _Counts:
    faces: int = 0
    written: int = 0
    encoded: int = 0
    renamed: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


# --- import


@dataclass(frozen=True)
class _Source:
    names: Sequence[str]
    """`name` or `person/name`."""
    read: Callable[[str], bytes]
    skipped: Sequence[tuple[str, str]]


def run_import(
    config: FacesetImportConfig, *, progress: Progress, cancel: Cancel
) -> TransferResult:
    """Copy the faces of another faceset into one of ours; each is read and decoded first.

    Files are copied unchanged except for the suffix, which becomes .jpg or .png according to their
    content; a person's name is put in front of their faces' names. A face that exists already is
    not copied again, one whose name is in use gets another: nothing is overwritten. Damaged files
    and files that are not faces are skipped and listed. Raises `InputError` if no face is left.
    """
    folder = new_faceset_folder(config.workspace, config.faceset)
    source = config.source.expanduser()
    if source.exists() and source.resolve() == folder.resolve():
        raise InputError(
            f"{source}: is the faceset itself; `faceloom faceset unpack` unpacks its pack"
        )
    with _open_source(source) as opened:
        counts = _Counts(skipped=list(opened.skipped))
        make_folder(folder)
        with lock_faces(folder):
            _copy_all(opened, source, folder, counts, progress, cancel)
    if not counts.faces:
        reason = f": {counts.skipped[0][0]}: {counts.skipped[0][1]}" if counts.skipped else ""
        raise InputError(f"{source}: no usable faces{reason}")
    return TransferResult(folder, **vars(counts))


def _copy_all(
    opened: _Source,
    source: Path,
    folder: Path,
    counts: _Counts,
    progress: Progress,
    cancel: Cancel,
) -> None:
    sweep_temporary(folder)
    progress.start("import", len(opened.names), "faces")
    for name in opened.names:
        cancel.check()
        try:
            data = _checked(opened.read(name))
        except FaceloomError as error:
            counts.skipped.append((name, str(error).removeprefix(f"{source / name}: ")))
        else:
            _put(folder, name, data, counts)
        progress.advance()
    progress.finish()


@contextmanager
def _open_source(source: Path) -> Generator[_Source]:
    if source.is_dir():
        faceset = Faceset(source, use_index=False)
        people, none = people_of(source)
        by_name = {face.packed: face.path for face in [*people, *faces_of(faceset)]}
        skipped = [(path.name, reason) for path, reason in [*faceset.skipped, *none]]
        yield _Source(sorted(by_name), lambda name: read_bytes(by_name[name]), skipped)
        return
    with open_archive(source) as archive:
        ignored = [(name, "faces must be JPEG or PNG files") for name in archive.ignored]
        yield _Source(archive.names, archive.read, ignored)


def _checked(data: bytes) -> bytes:
    """`data`, if it is the file of a usable face; `FaceloomError` otherwise."""
    record_from_bytes(data)
    decode_picture(data)
    return data


def _put(folder: Path, name: str, data: bytes, counts: _Counts) -> None:
    suffix = ".png" if is_png(data) else ".jpg"
    stem = Path(name.replace("/", "_")).stem
    while len(stem.encode("utf-8", "surrogateescape")) > _LONGEST_STEM:
        stem = stem[:-1]
    plain = Path(f"{stem}{suffix}")
    path = free_path(folder / plain, data)
    if path.name != plain.name:
        counts.renamed.append((name, path.name))
    counts.written += put_face(path, data)
    counts.faces += 1


# --- export


def run_export(
    config: FacesetExportConfig, *, progress: Progress, cancel: Cancel
) -> TransferResult:
    """Write a faceset that DFL and MVE can open: a folder, a pack or a zip file.

    Pixels are re-encoded only if those programs could not read the file. Raises `InputError` if
    there are no faces, or a file to be written exists with other content.
    """
    folder = faceset_folder(config.workspace, config.faceset)
    target = config.output.expanduser()
    if target.exists() and target.resolve() == folder.resolve():
        raise InputError(f"{target}: is the faceset itself; choose another output")
    kind = target.suffix.lower()
    if kind in _FOREIGN_ARCHIVES and not target.is_dir():
        raise InputError(f"{target}: {kind} files cannot be written; use .zip, .pak or a folder")
    if kind in (".pak", ".zip") and target.exists():
        raise InputError(f"{target}: exists already; choose another name")
    faceset = Faceset(folder)
    counts = _Counts(skipped=[(path.name, reason) for path, reason in faceset.skipped])

    def convert(path: Path) -> bytes:
        own, quality = not config.dfl_only, config.jpeg_quality
        return dfl_form(read_bytes(path), own=own, jpeg_quality=quality)[0]

    faces = _convertible(faces_of(faceset), config, counts, progress, cancel)
    if not faces:
        raise InputError(f"{folder}: no faces to export")
    if kind == ".pak":
        write_pack(target, faces, read=convert, progress=progress, cancel=cancel)
        verify_pack(target, faces, read=convert, progress=progress, cancel=cancel)
        counts.written = len(faces)
    elif kind == ".zip":
        write_zip(target, faces, read=convert, progress=progress, cancel=cancel)
        counts.written = len(faces)
    else:
        counts.written = _write_folder(target, faces, convert, progress, cancel)
    counts.faces = len(faces)
    return TransferResult(target, **vars(counts))


def _convertible(
    faces: Sequence[PackFace],
    config: FacesetExportConfig,
    counts: _Counts,
    progress: Progress,
    cancel: Cancel,
) -> list[PackFace]:
    """The faces that can be converted to DFL's form, with distinct names that end in .jpg."""
    taken: set[str] = set()
    usable: list[PackFace] = []
    progress.start("check", len(faces), "faces")
    for face in faces:
        cancel.check()
        progress.advance()
        try:
            _, encoded = dfl_form(
                read_bytes(face.path), own=not config.dfl_only, jpeg_quality=config.jpeg_quality
            )
        except FaceloomError as error:
            counts.skipped.append((face.packed, str(error).removeprefix(f"{face.path}: ")))
            continue
        counts.encoded += encoded
        name = _free_name(face, taken)
        if Path(name).stem != Path(face.name).stem:
            counts.renamed.append((face.packed, name))
        taken.add(f"{face.person or ''}/{name}".casefold())
        usable.append(PackFace(face.path, name, face.person))
    progress.finish()
    return usable


def _free_name(face: PackFace, taken: set[str]) -> str:
    stem, number = Path(face.name).stem, 1
    name = f"{stem}.jpg"
    while f"{face.person or ''}/{name}".casefold() in taken:
        number += 1
        name = f"{stem}-{number}.jpg"
    return name


def _write_folder(
    target: Path,
    faces: Sequence[PackFace],
    convert: Callable[[Path], bytes],
    progress: Progress,
    cancel: Cancel,
) -> int:
    """Write the faces into a folder, each person's into a sub-folder; how many are new."""
    make_folder(target)
    sweep_temporary(target)
    progress.start("export", len(faces), "faces")
    written = 0
    for face in faces:
        cancel.check()
        path = target / face.packed
        path.parent.mkdir(exist_ok=True)
        written += put_face(path, convert(face.path))
        progress.advance()
    progress.finish()
    return written
