"""Writing one picture per face, in threads: masks, landmarks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, FaceloomError, InputError, Progress, atomic_write
from faceloom.core.pool import one_opencv_thread, ordered_map, worker_count
from faceloom.faces import FaceRecord

Outcome = Literal["written", "there", "without", "failed"]
"""there: existed, and is newer than its face; without: the face has no such picture."""


@dataclass(frozen=True)
class Task:
    """A face, and where its picture goes."""

    path: Path
    record: FaceRecord
    target: Path


Make = Callable[[Task], NDArray[np.uint8] | None]
"""The picture of a face, h w 3 RGB or h w uint8, or None if it has none."""


def write_pictures(
    tasks: Iterable[Task],
    make: Make,
    *,
    quality: int,
    again: bool,
    threads: int,
    progress: Progress,
    cancel: Cancel,
) -> Counter[Outcome]:
    """Write `make`'s picture for each task; a face that fails is noted and stops nothing.

    A picture that exists and is not older than its face is kept, unless `again`, so the same call
    resumes a run that was stopped. `quality` is that of JPEGs. Raises `CancelledError`.
    """

    def work(task: Task) -> Outcome:
        if not again and _is_current(task):
            return "there"
        try:
            picture = make(task)
            if picture is None:
                return "without"
            _write(task.target, picture, quality)
        except FaceloomError as error:
            progress.note(f"{task.path}: {str(error).removeprefix(f'{task.path}: ')}")
            return "failed"
        return "written"

    outcomes = Counter[Outcome]()
    with one_opencv_thread():
        for outcome in ordered_map(work, tasks, workers=worker_count(threads), cancel=cancel):
            outcomes[outcome] += 1
            progress.advance()
    cancel.check()
    return outcomes


def _is_current(task: Task) -> bool:
    try:
        return task.target.stat().st_mtime_ns >= task.path.stat().st_mtime_ns
    except OSError:
        return False


def _write(path: Path, picture: NDArray[np.uint8], quality: int) -> None:
    bgr = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    encoding = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    data = cv2.imencode(path.suffix, bgr, encoding)[1].tobytes()
    try:
        atomic_write(path, data, durable=False)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def targets(faces: Iterable[tuple[Path, FaceRecord]], folder: Path, suffix: str) -> Iterator[Task]:
    """A task for each face, whose target in `folder` has the face's stem and `suffix`.

    Faces with the same stem (`a.jpg`, `a.png`, or packed faces of two people) get distinct names.
    """
    taken: set[str] = set()
    for path, record in faces:
        name, number = path.stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{path.stem}~{number}"
        taken.add(name.casefold())
        yield Task(path, record, folder / f"{name}{suffix}")
