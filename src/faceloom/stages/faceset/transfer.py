"""The import and export stages: facesets from elsewhere, and for other programs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from faceloom.core import Cancel, FaceloomError, InputError, Progress, Settings
from faceloom.core.paths import sweep_temporary
from faceloom.core.words import counted
from faceloom.faces import Faceset
from faceloom.faces.archives.archive import open_archive
from faceloom.faces.archives.pack_writer import PackFace, verify_pack, write_pack
from faceloom.faces.archives.zipped import write_zip
from faceloom.faces.files.dfl_form import dfl_form
from faceloom.faces.files.face_file import decode_picture, read_bytes, record_from_bytes
from faceloom.faces.files.png import is_png
from faceloom.faces.moves.moves import hold_faces
from faceloom.stages.faceset.files import (
    faces_of,
    free_path,
    make_folder,
    new_faceset_folder,
    people_of,
    put_face,
    some,
)
from faceloom.workspace.faceset import faceset_folder

_LONGEST_STEM = 200
"""Bytes of UTF-8: with a number behind and a temporary file's prefix before, a name still fits."""

_FOREIGN_ARCHIVES = frozenset(
    [
        ".7z",
        ".ace",
        ".bz2",
        ".gz",
        ".lz4",
        ".lzma",
        ".rar",
        ".tar",
        ".tbz2",
        ".tgz",
        ".txz",
        ".xz",
        ".z",
        ".zipx",
        ".zst",
    ]
)
"""Endings of archives that are not written here; a folder is hardly meant by such a name."""


class ImportFacesConfig(Settings):
    """Which faceset to take over."""

    workspace: Path = Path()
    """The workspace."""
    faceset: str
    """Where to: src, dst or a folder, which is made when it is missing."""
    source: Path
    """Where from: a folder of faces, a faceset.pak or a zip file."""


class ExportFacesConfig(Settings):
    """Which faceset to write for other programs, and in which form."""

    workspace: Path = Path()
    """The workspace."""
    faceset: str
    """src, dst or a folder of faces."""
    target: Path
    """What to write: a file that ends in .pak or .zip, or a folder."""
    dfl_only: bool = False
    """Leave Faceloom's own block out: time stamps, tracks, scores and embeddings stay here."""
    jpeg_quality: int = Field(default=100, ge=1, le=100)
    """Of pictures that must be encoded anew: PNG files, and JPEG files that DFL cannot parse."""


@dataclass(frozen=True)
class TransferResult:
    """What was taken over, or written."""

    target: Path
    faces: int
    """Faces that are there now."""
    written: int
    """Those of them that were not there before."""
    encoded: int = 0
    """Faces whose pictures had to be encoded anew."""
    renamed: list[tuple[str, str]] = field(default_factory=list)
    """Faces whose name was taken: what they were and are called."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """What could not be taken over, and why."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        lines = [f"{self.target}: {counted(self.faces, 'face')}, {self.written} of them new"]
        if self.encoded:
            lines.append(f"{self.encoded} had to be encoded anew as JPEG")
        lines += some([f"{old} is now called {new}" for old, new in self.renamed])
        return lines + some([f"left out: {name}: {reason}" for name, reason in self.skipped])


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


def run_import(config: ImportFacesConfig, *, progress: Progress, cancel: Cancel) -> TransferResult:
    """Copy the faces of a foreign faceset into one of ours, each after it was read and decoded.

    Their files stay as they are, but for the suffix, which becomes .jpg or .png by their content;
    a person's faces get the person before their name. A face that is there already is not copied
    again, one whose name is taken gets another: nothing is overwritten. What is no face, or
    damaged, is left out and named. Raises `InputError` when nothing is left.
    """
    folder = new_faceset_folder(config.workspace, config.faceset)
    source = config.source.expanduser()
    if source.exists() and source.resolve() == folder.resolve():
        raise InputError(f"{source}: is the faceset itself; unpack makes its pack loose")
    with _open_source(source) as opened:
        counts = _Counts(skipped=list(opened.skipped))
        make_folder(folder)
        with hold_faces(folder):
            _take_over(opened, source, folder, counts, progress, cancel)
    if not counts.faces:
        reason = f": {counts.skipped[0][0]}: {counts.skipped[0][1]}" if counts.skipped else ""
        raise InputError(f"{source}: no faces that can be taken over{reason}")
    return TransferResult(folder, **vars(counts))


def _take_over(
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
        ignored = [(name, "faces are JPEG or PNG files") for name in archive.ignored]
        yield _Source(archive.names, archive.read, ignored)


def _checked(data: bytes) -> bytes:
    """The file of a face that can be used; raises `FaceloomError` for any other."""
    record_from_bytes(data)
    decode_picture(data)
    return data


def _put(folder: Path, name: str, data: bytes, counts: _Counts) -> None:
    suffix = ".png" if is_png(data) else ".jpg"
    stem = Path(name.replace("/", "_")).stem
    while len(stem.encode("utf-8", "surrogateescape")) > _LONGEST_STEM:
        stem = stem[:-1]
    plain = Path(f"{stem}{suffix}")
    path = free_path(folder / plain, frozenset(), data)
    if path.name != plain.name:
        counts.renamed.append((name, path.name))
    counts.written += put_face(path, data)
    counts.faces += 1


# --- export


def run_export(config: ExportFacesConfig, *, progress: Progress, cancel: Cancel) -> TransferResult:
    """Write a faceset as DFL, MVE and their relatives open it: a folder, a pack or a zip file.

    Pixels are encoded anew only where those programs could not read the file. Raises `InputError`
    when there are no faces, or a file to be written is there with other content.
    """
    folder = faceset_folder(config.workspace, config.faceset)
    target = config.target.expanduser()
    if target.exists() and target.resolve() == folder.resolve():
        raise InputError(f"{target}: is the faceset itself; choose another place")
    kind = target.suffix.lower()
    if kind in _FOREIGN_ARCHIVES and not target.is_dir():
        raise InputError(
            f"{target}: {kind} files cannot be written; name a .zip, a .pak or a folder"
        )
    if kind in (".pak", ".zip") and target.exists():
        raise InputError(f"{target}: is there already; choose another name")
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
    config: ExportFacesConfig,
    counts: _Counts,
    progress: Progress,
    cancel: Cancel,
) -> list[PackFace]:
    """The faces that can be brought into DFL's form, under names of their own that end in .jpg."""
    taken: set[str] = set()
    usable: list[PackFace] = []
    progress.start("check", len(faces), "faces")
    for face in faces:
        cancel.check()
        progress.advance()
        try:
            _, anew = dfl_form(
                read_bytes(face.path), own=not config.dfl_only, jpeg_quality=config.jpeg_quality
            )
        except FaceloomError as error:
            counts.skipped.append((face.packed, str(error).removeprefix(f"{face.path}: ")))
            continue
        counts.encoded += anew
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
    """Write the faces into a folder, persons into folders of theirs; how many were not there."""
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
