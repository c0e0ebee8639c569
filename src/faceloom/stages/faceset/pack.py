"""The pack and unpack stages: a faceset in one file, and back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faceloom.core import Cancel, InputError, Progress
from faceloom.core.paths import sweep_temporary
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.faces import INDEX_NAME, Faceset
from faceloom.faces.archives.archive import Archive, open_archive
from faceloom.faces.archives.pack import (
    PACK_NAMES,
    Pack,
    folder_pack,
    open_pack,
    pack_of,
    person_and_name,
)
from faceloom.faces.archives.pack_writer import PackFace, verify_pack, write_pack
from faceloom.faces.archives.zipped import open_zip, write_zip
from faceloom.faces.files.face_file import read_bytes
from faceloom.faces.moves.journal import sync_folder
from faceloom.faces.moves.moves import lock_faces
from faceloom.stages.faceset.config import FacesetPackConfig, FacesetUnpackConfig
from faceloom.stages.faceset.files import (
    faces_of,
    is_same_file,
    make_folder,
    new_faceset_folder,
    people_of,
    person_folders,
    put_face,
    some,
)
from faceloom.workspace import faceset_folder

# The new pack's name until it has been compared with the files; overwritten after a kill.
_NEW_PACK = ".faceset-new.pak"


@dataclass(frozen=True)
class FacesetPackResult(Result):
    """What was packed."""

    output: Path
    faces: int
    bytes: int
    removed: int = 0
    """Loose files that were deleted because the pack contains them."""
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    """Pictures that are not faces, and why."""

    def lines(self) -> list[str]:
        lines = [f"{self.output}: {counted(self.faces, 'face')}, {self.bytes / 1e6:.1f} MB"]
        if self.removed:
            lines.append(f"{counted(self.removed, 'loose file')} deleted; the pack contains them")
        return lines + some([f"skipped: {path}: {reason}" for path, reason in self.skipped])


@dataclass(frozen=True)
class FacesetUnpackResult(Result):
    """What was unpacked."""

    folder: Path
    faces: int
    """Faces that are files now."""
    written: int
    """Those of them that did not exist before."""
    removed: Path | None
    """The pack that was deleted because all of it is unpacked."""
    ignored: list[str] = field(default_factory=list)
    """Other files in the archive."""

    def lines(self) -> list[str]:
        lines = [f"{self.folder}: {counted(self.faces, 'face')}, {self.written} of them new"]
        if self.removed is not None:
            lines.append(f"{self.removed.name} deleted: all of it is unpacked")
        return lines + some([f"skipped: {name}" for name in self.ignored])


# --- pack


def run_pack(config: FacesetPackConfig, *, progress: Progress, cancel: Cancel) -> FacesetPackResult:
    """Pack a faceset; its loose files stay unless `remove` is set.

    Faces of an existing pack go into the new one unless they are also loose, so packing again adds
    what is new, and an interrupted run loses nothing. Raises `InputError` if there is nothing to
    pack, or while another tool changes the faces.
    """
    folder = faceset_folder(config.workspace, config.faceset)
    if config.format == "zip":
        if config.remove:
            raise InputError(
                "--remove needs --format pak: a zip file does not replace the loose files"
            )
        return _pack(config, folder, progress, cancel)
    with lock_faces(folder):
        sweep_temporary(folder)
        return _pack(config, folder, progress, cancel)


def _pack(
    config: FacesetPackConfig, folder: Path, progress: Progress, cancel: Cancel
) -> FacesetPackResult:
    faceset = Faceset(folder)
    faces, skipped = faces_of(faceset), list(faceset.skipped)
    _refuse_damaged(folder, skipped)
    if config.persons:
        more, none = people_of(folder)
        there = {face.packed for face in more}
        faces = [face for face in faces if face.packed not in there] + more
        skipped += none
    else:
        _note_folders(folder, progress)
    if not faces:
        raise InputError(f"{folder}: no faces to pack")
    stamps = _stamps(faces) if config.remove else {}
    output, size = _write(folder, faces, config.format, progress, cancel)
    removed = _remove(faces, stamps, progress, cancel) if config.remove else 0
    if config.format == "pak" and not removed:
        progress.note("the loose files are still there and take precedence; --remove deletes them")
    return FacesetPackResult(output, len(faces), size, removed, skipped)


def _refuse_damaged(folder: Path, skipped: Sequence[tuple[Path, str]]) -> None:
    """A damaged pack must not be replaced by one without its faces."""
    for path, reason in skipped:
        if path == folder_pack(folder):
            raise InputError(f"{path}: cannot be read and would be lost: {reason}; move it away")


def _note_folders(folder: Path, progress: Progress) -> None:
    people = person_folders(folder)
    if people:
        progress.note(
            f"{counted(len(people), 'folder')} with pictures ({people[0].name} …) not packed; "
            "--persons packs each as a person"
        )


def _write(
    folder: Path, faces: list[PackFace], kind: str, progress: Progress, cancel: Cancel
) -> tuple[Path, int]:
    if kind == "zip":
        resolved = folder.resolve()
        output = resolved.with_name(f"{resolved.name}.zip")
        if output.exists():
            raise InputError(f"{output}: exists already; move or rename it")
        size = write_zip(output, faces, progress=progress, cancel=cancel)
        _verify_zip(output, faces, cancel)
        return output, size
    output, new = folder / PACK_NAMES[0], folder / _NEW_PACK
    size = write_pack(new, faces, progress=progress, cancel=cancel)
    # Before it replaces an older pack, from which some of the faces may come.
    verify_pack(new, faces, progress=progress, cancel=cancel)
    new.replace(output)
    sync_folder(folder)
    return output, size


def _verify_zip(output: Path, faces: Sequence[PackFace], cancel: Cancel) -> None:
    with open_zip(output) as found:
        one = len({face.person for face in faces}) == 1
        for face in faces:
            cancel.check()
            if found.read(face.name if one else face.packed) != read_bytes(face.path):
                raise InputError(f"{output}: {face.packed} differs from {face.path}; pack it again")


def _stamps(faces: Sequence[PackFace]) -> dict[Path, tuple[int, ...]]:
    """What identifies the loose files, before they are read."""
    return {face.path: _stamp(face.path) for face in faces if pack_of(face.path) is None}


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _remove(
    faces: Sequence[PackFace],
    stamps: Mapping[Path, tuple[int, ...]],
    progress: Progress,
    cancel: Cancel,
) -> int:
    """Delete the loose files that were packed, and the folders of persons that are empty then.

    A file that was changed since it was read stays: the pack does not contain its new content.
    """
    loose = [face for face in faces if face.path in stamps]
    progress.start("remove", len(loose), "files")
    removed = 0
    for face in loose:
        cancel.check()
        progress.advance()
        if not face.path.exists():
            continue
        if _stamp(face.path) != stamps[face.path]:
            progress.note(f"{face.path}: changed while it was packed; the loose file stays")
            continue
        try:
            face.path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{face.path}: cannot be deleted: {error.strerror}") from None
        removed += 1
    for folder in {face.path.parent for face in loose if face.person is not None}:
        if {entry.name for entry in folder.iterdir()} <= {INDEX_NAME}:
            (folder / INDEX_NAME).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                folder.rmdir()
    progress.finish()
    return removed


# --- unpack


def run_unpack(
    config: FacesetUnpackConfig, *, progress: Progress, cancel: Cancel
) -> FacesetUnpackResult:
    """Write the faces of a pack or zip file as files into the faceset's folder.

    Nothing is overwritten: a file with the same name and other content is an `InputError` before
    anything is written. The folder's own pack is deleted at the end, when every face has been
    compared, unless `keep` is set. The same call resumes a run that was stopped.
    """
    folder = new_faceset_folder(config.workspace, config.faceset)
    own = folder_pack(folder)
    path = config.archive or own
    if path is None:
        raise InputError(f"{folder}: no {PACK_NAMES[0]} there; give another file with --archive")
    pack = open_pack(path) if path == own else None
    with open_archive(path) as archive:
        make_folder(folder)
        with lock_faces(folder):
            written = _unpack(archive, folder, progress, cancel)
            removed = None
            if pack is not None and not config.keep and not archive.ignored:
                removed = _remove_pack(pack, progress)
        ignored = list(archive.ignored)
        return FacesetUnpackResult(folder, len(archive.names), written, removed, ignored)


def _remove_pack(pack: Pack, progress: Progress) -> Path | None:
    """Delete an unpacked pack, if it is still the file that was unpacked."""
    if hasattr(os, "sync"):
        os.sync()  # the loose files must be on the disk before their pack is deleted
    if not pack.is_current():
        progress.note(f"{pack.path}: changed while it was unpacked; it stays")
        return None
    pack.path.unlink()
    return pack.path


def _unpack(archive: Archive, folder: Path, progress: Progress, cancel: Cancel) -> int:
    targets = [_target(folder, name) for name in archive.names]
    for name, target in zip(archive.names, targets, strict=True):
        cancel.check()
        if (target.exists() or target.is_symlink()) and not is_same_file(
            target, archive.read(name)
        ):
            raise InputError(
                f"{target}: exists already and differs from the packed face; nothing was unpacked. "
                "Move it away, or pack again to keep the loose file"
            )
    sweep_temporary(folder)
    progress.start("unpack", len(targets), "faces")
    written = 0
    for name, target in zip(archive.names, targets, strict=True):
        cancel.check()
        data = archive.read(name)
        target.parent.mkdir(exist_ok=True)
        written += put_face(target, data)
        if not is_same_file(target, data):
            raise InputError(f"{target}: the written file differs from {archive.path}")
        progress.advance()
    progress.finish()
    return written


def _target(folder: Path, name: str) -> Path:
    """Where a packed face goes; `InputError` if a link would lead elsewhere."""
    person, file = person_and_name(name)
    parent = folder if person is None else folder / person
    if parent.is_symlink() and person is not None:
        raise InputError(f"{parent}: is a symbolic link; nothing is unpacked through links")
    return parent / file
