"""Saving the metadata of faces, and restoring it after the pictures were edited elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePath

from faceloom.core import Cancel, FaceloomError, FormatError, InputError, Progress
from faceloom.core.paths import list_images
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.faces import Faceset
from faceloom.faces.archives.pack import pack_of
from faceloom.faces.files.face_file import FACE_SUFFIXES, read_blocks, record_from_blocks
from faceloom.faces.metadata import (
    DFL_NAME,
    OWN_NAME,
    SavedFace,
    read_saved,
    restore_face,
    saved_face,
    write_meta_dat,
    write_saved,
)
from faceloom.faces.moves.moves import lock_faces, renamed_since
from faceloom.stages.faceset.config import FacesetMetadataRestoreConfig, FacesetMetadataSaveConfig
from faceloom.stages.faceset.files import some
from faceloom.workspace import faceset_folder


@dataclass(frozen=True)
class FacesetMetadataSaveResult(Result):
    """What was saved."""

    faces: int
    files: list[Path]
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    """Pictures that are not faces, and why."""

    def lines(self) -> list[str]:
        files = " and ".join(file.name for file in self.files)
        lines = [f"saved the metadata of {counted(self.faces, 'face')} in {files}"]
        return lines + some([f"skipped: {path}: {reason}" for path, reason in self.skipped])


@dataclass(frozen=True)
class FacesetMetadataRestoreResult(Result):
    """What was restored."""

    restored: int
    unchanged: int
    """Faces that still had their metadata."""
    missing: list[Path]
    """Pictures without saved metadata."""
    failed: list[tuple[Path, str]]
    """Pictures whose metadata could not be restored, and why."""
    gone: int
    """Saved faces whose picture no longer exists."""

    def lines(self) -> list[str]:
        restored = counted(self.restored, "face")
        lines = [f"{restored} restored, {self.unchanged} still had their metadata"]
        if self.gone:
            lines.append(f"{counted(self.gone, 'saved face')} no longer in the folder")
        lines += some([f"no saved metadata for {path}" for path in self.missing])
        return lines + some([f"not restored: {path}: {reason}" for path, reason in self.failed])


# --- save


def run_save(
    config: FacesetMetadataSaveConfig, *, progress: Progress, cancel: Cancel
) -> FacesetMetadataSaveResult:
    """Save the metadata of a faceset's loose faces in its folder, replacing an earlier save.

    Entries of pictures that have lost their metadata since are kept. Raises `InputError` if there
    are no loose faces, `FormatError` if the earlier save is damaged.
    """
    folder = faceset_folder(config.workspace, config.faceset)
    faceset = Faceset(folder)
    paths = _loose(faceset.paths)
    skipped = list(faceset.skipped)
    if not paths:
        raise InputError(f"{folder}: no loose faces; `faceloom faceset unpack` a packed faceset")
    files: list[Path] = []
    kinds = ("faceloom", "dfl") if config.format == "both" else (config.format,)
    progress.start("save", len(paths) * len(kinds), "faces")
    for kind in kinds:
        file = folder / (OWN_NAME if kind == "faceloom" else DFL_NAME)
        write = write_saved if kind == "faceloom" else write_meta_dat
        bare = {path.name for path, _ in skipped if path.is_file()}
        lost = _kept(file, bare) if bare and file.is_file() else ()
        write(file, chain(_saved(paths, progress, cancel), lost))
        files.append(file)
    progress.finish()
    return FacesetMetadataSaveResult(len(paths), files, skipped)


def _loose(paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if pack_of(path) is None]


def _saved(
    paths: Sequence[Path], progress: Progress, cancel: Cancel
) -> Iterator[tuple[str, SavedFace]]:
    for path in paths:
        cancel.check()
        yield path.name, saved_face(path)
        progress.advance()


def _kept(file: Path, names: Collection[str]) -> Iterator[tuple[str, SavedFace]]:
    """The entries of these pictures in an earlier save."""
    for name, saved in read_saved(file):
        if name in names:
            yield name, saved


# --- restore


def run_restore(
    config: FacesetMetadataRestoreConfig, *, progress: Progress, cancel: Cancel
) -> FacesetMetadataRestoreResult:
    """Put saved metadata back into the pictures of a faceset's folder.

    Pictures are matched by name, or by stem if an editor stored another format. Each file is
    replaced whole or not at all; the same call resumes a run that was stopped. The save is kept.
    Raises `InputError` if nothing was saved, or while another tool changes the faces.
    """
    folder = faceset_folder(config.workspace, config.faceset)
    file = config.file or _file_in(folder)
    with lock_faces(folder):
        return _restore_all(folder, file, config.keep_size, progress, cancel)


def _restore_all(
    folder: Path, file: Path, keep_size: bool, progress: Progress, cancel: Cancel
) -> FacesetMetadataRestoreResult:
    pictures = list_images(folder)
    by_name = {path.name: path for path in pictures}
    by_stem = _by_stem(pictures, {name for name, _ in read_saved(file)})
    waiting = set(pictures)
    renamed = renamed_since(folder, file.stat().st_mtime)
    counts = {"restored": 0, "unchanged": 0, "gone": 0}
    failed: list[tuple[Path, str]] = []
    progress.start("restore", len(pictures), "faces")
    for name, saved in read_saved(file):
        cancel.check()
        path = by_name.get(name) or by_stem.get(PurePath(name).stem)
        if path is None or path not in waiting:
            counts["gone"] += 1
            continue
        waiting.discard(path)
        try:
            changed = _restore(path, saved, keep_size=keep_size, renamed=path.name in renamed)
            counts["restored" if changed else "unchanged"] += 1
        except FaceloomError as error:
            failed.append((path, str(error).removeprefix(f"{path}: ")))
        progress.advance()
    progress.finish()
    return FacesetMetadataRestoreResult(missing=sorted(waiting), failed=failed, **counts)


def _file_in(folder: Path) -> Path:
    for name in (OWN_NAME, DFL_NAME):
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"{folder}: no saved metadata ({OWN_NAME} or {DFL_NAME}); run `faceloom faceset metadata "
        "save` before you edit pictures"
    )


def _by_stem(pictures: Sequence[Path], saved: Collection[str]) -> Mapping[str, Path]:
    """Stem → picture, for stems that only one picture without an entry has."""
    found: dict[str, Path] = {}
    several: set[str] = set()
    for path in pictures:
        if path.name in saved:
            continue
        if path.stem in found:
            several.add(path.stem)
        found[path.stem] = path
    return {stem: path for stem, path in found.items() if stem not in several}


def _restore(path: Path, saved: SavedFace, *, keep_size: bool, renamed: bool) -> bool:
    """Whether the file changed. `FormatError` for a face other than the one that was saved."""
    if path.suffix.lower() not in FACE_SUFFIXES:
        raise FormatError("faces must be JPEG or PNG files; save it as one of them")
    there = _source(*read_blocks(path))
    if there is None and renamed:
        raise FormatError(
            "faces were renamed after the metadata was saved; run `faceloom faceset undo` first"
        )
    if there is not None and _source(saved.dfl, saved.own) not in (None, there):
        raise FormatError("it is not the face that was saved under this name")
    return restore_face(path, saved, keep_size=keep_size)


def _source(dfl: bytes | None, own: bytes | None) -> tuple[str, tuple[int, ...]] | None:
    """A face's frame and its place in it; None without readable metadata."""
    try:
        record = record_from_blocks(dfl, own)
    except FormatError:
        return None
    return record.source_filename, tuple(int(side) for side in record.source_rect)
