"""Pictures of a faceset made anew, in place of the old ones, which are kept.

New files gather in a folder beside the faceset. When all are there, they change places with the
old ones in one step that can be undone. Until then the faceset is as it was: a stop or a kill
loses nothing, and the same command goes on with what is there. Meanwhile the faceset is held
against tools that rename its faces.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from faceloom.core import Cancel, FaceloomError, InputError, MediaError, Progress
from faceloom.faces.archives.pack import pack_of
from faceloom.faces.files.face_file import read_bytes
from faceloom.faces.moves.moves import Move, move_faces
from faceloom.stages.faceset.staging import Staging, content_key
from faceloom.workspace.faceset import beside

ORIGINALS: Final = "original"
"""Ending of the folder that old pictures are moved to."""

Make = Callable[[Path], bytes | None]
"""From a face's file to its new content; None leaves the face as it is. Must be thread-safe."""


_Stamp = tuple[int, int, int]
"""Inode, size and time of a file."""


@dataclass(frozen=True)
class Replaced:
    """What became of the faces."""

    replaced: int
    unchanged: int
    """Faces that needed no new picture."""
    failed: int
    """Faces that could not be made anew; each was noted."""
    originals: Path | None
    """Where the old pictures are; None when none was replaced."""


@dataclass
class _Counts:
    made: dict[Path, _Stamp]
    """Faces with a new picture, and what their files were when it was made."""
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

    `ending` names the folder where new pictures gather (`enhanced`: `aligned_enhanced`), and
    `settings` are what a run that goes on must have in common with the one before; pictures of
    other settings there are set aside. `hold` is the caller's hold of the folder (`hold_faces`),
    from before it looked at the faces; it is given up for the exchange. Raises `CancelledError`
    on `cancel`.
    """
    faces = list(paths)
    if any(path.parent != folder for path in faces):
        raise InputError(f"{folder}: packed; `faceloom faceset unpack` first")
    staging = Staging(beside(folder, ending), settings, set_aside=True, progress=progress)
    counts = _gather(faces, staging, make, label, workers, progress, cancel)
    originals = beside(folder, ORIGINALS)
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
    """Write what `make` makes of the faces `paths` into the folder `target`; they stay.

    Goes on as `replace_faces`. Raises `InputError` for pictures of other settings in `target`,
    `CancelledError` on `cancel`.
    """
    faces = list(paths)
    staging = Staging(target, settings, set_aside=False, progress=progress)
    counts = _gather(faces, staging, make, label, workers, progress, cancel)
    return Replaced(len(counts.made), counts.unchanged, counts.failed, None)


def _gather(
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
    # Those count as done from the start: at their pace the rest would seem to take no time.
    progress.start(label, len(faces), "faces", done=len(counts.made))
    for path, made in _made(todo, staging, make, workers, cancel):
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


def _made(
    faces: list[Path], staging: Staging, make: Make, workers: int, cancel: Cancel
) -> Iterator[tuple[Path, _Stamp | FaceloomError | None]]:
    """Each face, in order, with what its file was when its new picture was made, or why there is
    none; None for a face that needs none."""

    def one(path: Path) -> _Stamp | FaceloomError | None:
        try:
            stamp, source = _stamp(path), content_key(read_bytes(path))
            data = make(path)
            if data is None:
                return None
            staging.add(_new_name(path), source, data)
        except FaceloomError as error:
            return error
        return stamp

    waiting: deque[tuple[Path, Future[_Stamp | FaceloomError | None]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="faceloom-faces") as pool:
        for path in faces:
            if cancel.is_set:
                break
            waiting.append((path, pool.submit(one, path)))
            while waiting and (waiting[0][1].done() or len(waiting) > 2 * workers):
                first, future = waiting.popleft()
                yield first, future.result()
        for path, future in waiting:
            yield path, future.result()


def _unchanged_since(counts: _Counts, progress: Progress) -> list[Path]:
    """The faces whose files are still those that the new pictures were made of."""
    same: list[Path] = []
    for path, stamp in counts.made.items():
        try:
            there = _stamp(path) == stamp
        except MediaError:
            there = False
        if there:
            same.append(path)
        else:
            counts.failed += 1
            progress.note(f"{path}: changed, moved or deleted meanwhile; left alone")
    return same


def _new_name(path: Path) -> str:
    """What the new picture of a face is called: as the face, behind its person in a pack."""
    packed = pack_of(path)
    return path.name if packed is None else packed[1].replace("/", "_")


def _stamp(path: Path) -> _Stamp:
    packed = pack_of(path)
    try:
        stat = (path if packed is None else packed[0]).stat()
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror or error}") from None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
