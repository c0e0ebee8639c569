"""Writing one picture a face, on all cores: masks, landmarks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, FaceloomError, InputError, Progress, atomic_write
from faceloom.faces import FaceRecord

_AHEAD = 4
"""Faces waiting for each thread."""


@dataclass
class Written:
    """What became of the faces."""

    written: int = 0
    there: int = 0
    """Pictures that were there already, newer than their face."""
    nothing: int = 0
    """Faces that have nothing to write."""
    failed: list[tuple[Path, str]] = field(default_factory=lambda: list[tuple[Path, str]]())


@dataclass(frozen=True)
class Task:
    """A face, and where its picture goes."""

    path: Path
    record: FaceRecord
    target: Path


Make = Callable[[Task], NDArray[np.uint8] | None]
"""The picture of a face, h w 3 RGB or h w uint8, or None when it has none."""


def write_pictures(
    tasks: Iterable[Task],
    count: int,
    make: Make,
    *,
    quality: int,
    again: bool,
    progress: Progress,
    cancel: Cancel,
) -> Written:
    """Write `make`'s picture of each of `count` tasks; a face that fails stops nothing.

    A picture that is there and not older than its face stays, unless `again`: so a run that was
    stopped goes on. `quality` is the JPEG's. Raises `CancelledError`.
    """
    written = Written()
    threads = os.cpu_count() or 1

    def work(task: Task) -> str | None:
        if not again and _is_current(task):
            return "there"
        try:
            picture = make(task)
            if picture is None:
                return "nothing"
            _write(task.target, picture, quality)
        except FaceloomError as error:
            return f"failed: {str(error).removeprefix(f'{task.path}: ')}"
        return None

    with ThreadPoolExecutor(threads) as pool:
        for task, said in _in_order(pool, work, tasks, threads * _AHEAD, cancel):
            if said is None:
                written.written += 1
            elif said == "there":
                written.there += 1
            elif said == "nothing":
                written.nothing += 1
            else:
                written.failed.append((task.path, said.removeprefix("failed: ")))
                progress.note(f"{task.path}: {said.removeprefix('failed: ')}")
            progress.advance()
    return written


def _in_order(
    pool: ThreadPoolExecutor,
    work: Callable[[Task], str | None],
    tasks: Iterable[Task],
    ahead: int,
    cancel: Cancel,
) -> Iterator[tuple[Task, str | None]]:
    """Results in the order of the tasks, with no more than `ahead` of them in memory."""
    remaining = iter(tasks)
    waiting: list[tuple[Task, Future[str | None]]] = [
        (task, pool.submit(work, task)) for task in islice(remaining, ahead)
    ]
    while waiting:
        cancel.check()
        task, future = waiting.pop(0)
        yield task, future.result()
        waiting += [(task, pool.submit(work, task)) for task in islice(remaining, 1)]


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
    """Tasks with a target in `folder` for each face: its stem and `suffix`.

    Two faces of one stem (`a.jpg`, `a.png`, or packed ones of two people) get distinct names.
    """
    taken: set[str] = set()
    for path, record in faces:
        name, number = path.stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{path.stem}~{number}"
        taken.add(name.casefold())
        yield Task(path, record, folder / f"{name}{suffix}")
