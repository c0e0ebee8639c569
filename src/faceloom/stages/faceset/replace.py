"""New pictures for the faces of a faceset; the old ones are kept.

New files are written to a staging folder next to the faceset. When all are there, they are swapped
with the old ones in one step that can be undone. Until then the faceset is unchanged: stopping
loses nothing, and the same command resumes. Meanwhile the faceset is locked against tools that
rename its faces.

Whether a staged picture belongs to a face is decided by the content of the face's file, not by its
name: between two runs the faceset may have been sorted, and `00000.jpg` may be another face.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from faceloom.core import (
    Cancel,
    FaceloomError,
    InputError,
    MediaError,
    Progress,
    atomic_write,
    list_images,
)
from faceloom.core.paths import sweep_temporary
from faceloom.core.pool import one_opencv_thread, ordered_map
from faceloom.core.words import counted
from faceloom.faces.archives.pack import pack_of
from faceloom.faces.files.face_file import read_bytes, write_bytes
from faceloom.faces.moves.moves import Move, move_faces
from faceloom.stages.faceset.files import make_folder
from faceloom.workspace import sibling

ORIGINALS: Final = "original"
"""Ending of the folder that the old pictures move to."""
JOB_NAME: Final = ".faceloom-job.json"
MADE_NAME: Final = ".faceloom-made.jsonl"

Make = Callable[[Path], bytes | None]
"""From a face's file to its new content; None leaves the face unchanged. Must be thread-safe."""

_Stamp = tuple[int, int, int]
"""Inode, size and time of a file."""


@dataclass(frozen=True)
class Replaced:
    """What happened to the faces."""

    replaced: int
    unchanged: int
    """Faces that needed no new picture."""
    failed: int
    """Faces that failed; each was noted."""
    originals: Path | None
    """Where the old pictures are; None if none was replaced."""


@dataclass
class _Counts:
    made: dict[Path, _Stamp]
    """Faces with a new picture, and the stamp of the file that it was made from."""
    unchanged: int = 0
    failed: int = 0


def replace_faces(
    folder: Path,
    paths: Iterable[Path],
    make: Make,
    *,
    ending: str,
    settings: dict[str, Any],
    label: str,
    workers: int,
    progress: Progress,
    cancel: Cancel,
    hold: ExitStack,
) -> Replaced:
    """Replace the faces `paths` of `folder` by what `make` makes of them.

    `ending` names the staging folder (`enhanced`: `aligned_enhanced`). A run resumes one with the
    same `settings`; staged pictures of other settings are set aside. `hold` is the caller's lock
    on the folder (`lock_faces`), taken before it read the faces; it is released for the swap.
    Raises `CancelledError` on `cancel`.
    """
    faces = list(paths)
    if any(path.parent != folder for path in faces):
        raise InputError(f"{folder}: packed; `faceloom faceset unpack` it first")
    staging = Staging(sibling(folder, ending), settings, set_aside=True, progress=progress)
    counts = _stage(faces, staging, make, label, workers, progress, cancel)
    originals = sibling(folder, ORIGINALS)
    hold.close()
    made = _unchanged_since(counts, progress)
    if made:
        moves = [
            move
            for path in made
            for move in (
                Move(path, originals / path.name),
                Move(staging.folder / path.name, path),
            )
        ]
        move_faces(folder, moves, label=label, progress=progress)
    staging.close()
    return Replaced(len(made), counts.unchanged, counts.failed, originals if made else None)


def gather_faces(
    paths: Iterable[Path],
    make: Make,
    *,
    target: Path,
    settings: dict[str, Any],
    label: str,
    workers: int,
    progress: Progress,
    cancel: Cancel,
) -> Replaced:
    """Write what `make` makes of the faces `paths` into the folder `target`; the faces stay.

    Resumes like `replace_faces`. Raises `InputError` for pictures of other settings in `target`,
    `CancelledError` on `cancel`.
    """
    staging = Staging(target, settings, set_aside=False, progress=progress)
    counts = _stage(list(paths), staging, make, label, workers, progress, cancel)
    return Replaced(len(counts.made), counts.unchanged, counts.failed, None)


def _stage(
    faces: list[Path],
    staging: Staging,
    make: Make,
    label: str,
    workers: int,
    progress: Progress,
    cancel: Cancel,
) -> _Counts:
    """Make what is not in `staging` yet."""
    counts = _Counts(_made_before(faces, staging, cancel))
    todo = [path for path in faces if path not in counts.made]
    if todo:
        made = f", {len(counts.made)} are ready from an earlier run" if counts.made else ""
        progress.note(f"{label}: {counted(len(todo), 'face')} to process{made}")
    # Those count as done from the start: at their pace the rest would seem to take no time.
    progress.start(label, len(faces), "faces", done=len(counts.made))

    def one(path: Path) -> tuple[Path, _Stamp | FaceloomError | None]:
        try:
            stamp, source = _stamp(path), content_key(read_bytes(path))
            data = make(path)
            if data is None:
                return path, None
            staging.add(_new_name(path), source, data)
        except FaceloomError as error:
            return path, error
        return path, stamp

    with one_opencv_thread():
        for path, made in ordered_map(one, todo, workers=workers, cancel=cancel):
            if isinstance(made, FaceloomError):
                counts.failed += 1
                progress.note(str(made))
            elif made is not None:
                counts.made[path] = made
            else:
                counts.unchanged += 1
            progress.advance()
    cancel.check()
    progress.finish()
    return counts


def _made_before(faces: list[Path], staging: Staging, cancel: Cancel) -> dict[Path, _Stamp]:
    """The faces whose new pictures an earlier run has left in `staging`."""
    found: dict[Path, _Stamp] = {}
    for path in faces:
        name = _new_name(path)
        if staging.knows(name):
            cancel.check()
            with suppress(FaceloomError):
                stamp, source = _stamp(path), content_key(read_bytes(path))
                if staging.has(name, source):
                    found[path] = stamp
    return found


def _unchanged_since(counts: _Counts, progress: Progress) -> list[Path]:
    """The faces whose files are still those that the new pictures were made from."""
    same: list[Path] = []
    for path, stamp in counts.made.items():
        try:
            unchanged = _stamp(path) == stamp
        except MediaError:
            unchanged = False
        if unchanged:
            same.append(path)
        else:
            counts.failed += 1
            progress.note(f"{path}: changed, moved or deleted during the run; left alone")
    return same


def _new_name(path: Path) -> str:
    """The name of a face's new picture: the face's own, after its person's in a pack."""
    packed = pack_of(path)
    return path.name if packed is None else packed[1].replace("/", "_")


def _stamp(path: Path) -> _Stamp:
    packed = pack_of(path)
    try:
        stat = (path if packed is None else packed[0]).stat()
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror or error}") from None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


# --- the staging folder


class Staging:
    """New pictures, each under the name of its face, and a record of what they were made from.

    With `set_aside`, pictures that were made with other settings, or that an undo has put there,
    move to another folder (`aligned_resized~2`), with a note. Otherwise they raise `InputError`.
    Thread-safe.
    """

    def __init__(
        self, folder: Path, settings: dict[str, Any], *, set_aside: bool, progress: Progress
    ) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        text = json.dumps(settings, sort_keys=True)
        if folder.is_dir() and list_images(folder) and _job_of(folder) != text:
            if not set_aside:
                raise InputError(
                    f"{folder}: contains pictures made with other settings or by another program; "
                    "move them away, or repeat the settings they were made with"
                )
            other = _free_beside(folder)
            folder.rename(other)
            progress.note(f"{folder.name} contained other pictures; they are now in {other}")
        make_folder(folder)
        sweep_temporary(folder)
        if _job_of(folder) != text:
            (folder / MADE_NAME).unlink(missing_ok=True)
            atomic_write(folder / JOB_NAME, text)
        self._made, self._written = _read_made(folder / MADE_NAME)

    def knows(self, name: str) -> bool:
        """Whether a new picture of that name was made, for whichever face."""
        return name in self._made

    def has(self, name: str, source: str) -> bool:
        """Whether the new picture of the face `name` exists and was made from the file `source`."""
        if self._made.get(name) != source or not (self.folder / name).is_file():
            return False
        return self._key_of(self.folder / name) in self._written.get(name, ())

    def add(self, name: str, source: str, data: bytes) -> None:
        """Store the new picture of the face `name`, whose file was `source` (`content_key`).

        Raises `InputError` if another picture is there that was not made here but put or renamed
        by someone.
        """
        target = self.folder / name
        if target.exists() and self._key_of(target) not in self._written.get(name, ()):
            raise InputError(f"{target}: exists already and was not made by this command; kept")
        # The record first: a picture without one would be somebody else's.
        made = content_key(data)
        line = json.dumps({"face": name, "source": source, "made": made})
        with self._lock, (self.folder / MADE_NAME).open("a", encoding="utf-8") as stream:
            stream.write(f"\n{line}\n")  # on a line of its own, even after one that a kill cut
            self._made[name] = source
            self._written.setdefault(name, set()).add(made)
        write_bytes(target, data, durable=False)

    def _key_of(self, path: Path) -> str | None:
        try:
            return content_key(read_bytes(path))
        except FaceloomError:
            return None

    def close(self) -> None:
        """Delete the record, and the folder, once it has no picture any more."""
        if not list_images(self.folder):
            (self.folder / JOB_NAME).unlink(missing_ok=True)
            (self.folder / MADE_NAME).unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def content_key(data: bytes) -> str:
    """A digest that identifies a file's content."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _job_of(folder: Path) -> str | None:
    note = folder / JOB_NAME
    return note.read_text("utf-8", "replace") if note.is_file() else None


def _free_beside(folder: Path) -> Path:
    number = 2
    while (other := folder.with_name(f"{folder.name}~{number}")).exists():
        number += 1
    return other


def _read_made(path: Path) -> tuple[dict[str, str], dict[str, set[str]]]:
    """For each face the key of its last source, and the keys of all that was made for it."""
    made: dict[str, str] = {}
    written: dict[str, set[str]] = {}
    if not path.is_file():
        return made, written
    for line in path.read_bytes().splitlines():
        try:
            values: object = json.loads(line)
        except ValueError:
            continue  # cut by a kill
        if isinstance(values, dict):
            entry = cast("dict[str, object]", values)
            made[str(entry.get("face"))] = str(entry.get("source"))
            written.setdefault(str(entry.get("face")), set()).add(str(entry.get("made")))
    return made, written
