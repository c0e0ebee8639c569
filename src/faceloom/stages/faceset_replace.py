"""Pictures of a faceset made anew, in place of the old ones, which are kept.

New files gather in a folder beside the faceset. When all are there, they change places with the
old ones in one step that can be undone. Until then the faceset is as it was: a stop or a kill
loses nothing, and the same command goes on with what is there.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from faceloom.core import Cancel, FaceloomError, InputError, Progress, atomic_write
from faceloom.core.paths import list_images, sweep_temporary
from faceloom.faces.moves import Move, move_faces
from faceloom.stages.faceset_folder import beside

JOB_NAME: Final = ".faceloom-job.json"
ORIGINALS: Final = "original"
"""Ending of the folder that old pictures are moved to."""

Make = Callable[[Path], bytes | None]
"""From a face's file to its new content; None leaves the face as it is. Must be thread-safe."""


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
    made: list[str]
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
) -> Replaced:
    """Replace the faces `paths` of `folder` by what `make` makes of them.

    `ending` names the folder where new pictures gather (`enhanced`: `aligned_enhanced`), and
    `settings` are what a run that goes on must have in common with the one before. Raises
    `InputError` for new pictures of other settings there, `CancelledError` on `cancel`.
    """
    faces = list(paths)
    if any(path.parent != folder for path in faces):
        raise InputError(f"{folder}: packed; `faceloom faceset unpack` first")
    staging = beside(folder, ending)
    counts = _gather(faces, staging, make, settings, label, workers, progress, cancel)
    originals = beside(folder, ORIGINALS)
    if counts.made:
        moves = [
            move
            for name in counts.made
            for move in (
                Move(folder / name, originals / name),
                Move(staging / name, folder / name),
            )
        ]
        move_faces(folder, moves, label=label, progress=progress)
    _close_job(staging)
    return Replaced(
        len(counts.made), counts.unchanged, counts.failed, originals if counts.made else None
    )


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

    Goes on, and raises, as `replace_faces`.
    """
    faces = list(paths)
    counts = _gather(faces, target, make, settings, label, workers, progress, cancel)
    return Replaced(len(counts.made), counts.unchanged, counts.failed, None)


def _gather(
    faces: list[Path],
    staging: Path,
    make: Make,
    settings: dict[str, Any],
    label: str,
    workers: int,
    progress: Progress,
    cancel: Cancel,
) -> _Counts:
    """Make what is not in `staging` yet."""
    _open_job(staging, settings)
    counts = _Counts([])
    progress.start(label, len(faces), "faces")
    for path, made in _made(faces, staging, make, workers, cancel):
        if isinstance(made, FaceloomError):
            counts.failed += 1
            progress.note(str(made))
        elif made:
            counts.made.append(path.name)
        else:
            counts.unchanged += 1
        progress.advance()
    cancel.check()
    progress.finish()
    return counts


def _made(
    faces: list[Path], staging: Path, make: Make, workers: int, cancel: Cancel
) -> Iterator[tuple[Path, bool | FaceloomError]]:
    """Each face with whether it has a new picture in `staging`, or why it has none, in order."""

    def one(path: Path) -> bool | FaceloomError:
        target = staging / path.name
        try:
            if _is_newer(target, path):
                return True
            data = make(path)
            if data is not None:
                atomic_write(target, data, durable=False)
        except FaceloomError as error:
            return error
        return data is not None

    waiting: deque[tuple[Path, Future[bool | FaceloomError]]] = deque()
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


def _is_newer(target: Path, source: Path) -> bool:
    try:
        return target.stat().st_mtime_ns >= source.stat().st_mtime_ns
    except FileNotFoundError:
        return False


def _open_job(staging: Path, settings: dict[str, Any]) -> None:
    """Make the folder, or check that what is in it was made with the same settings."""
    text = json.dumps(settings, sort_keys=True)
    staging.mkdir(parents=True, exist_ok=True)
    sweep_temporary(staging)
    note = staging / JOB_NAME
    if list_images(staging):
        before = note.read_text("utf-8", "replace") if note.is_file() else None
        if before != text:
            raise InputError(
                f"{staging}: holds pictures of other settings or of another program; move them "
                "away, or give the settings that they were made with"
            )
    atomic_write(note, text)


def _close_job(staging: Path) -> None:
    """Remove the folder where it is empty now."""
    if not list_images(staging):
        (staging / JOB_NAME).unlink(missing_ok=True)
    if not any(staging.iterdir()):
        staging.rmdir()
