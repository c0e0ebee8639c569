"""The conveyor of extraction: decode → detect → landmarks and tracks → align, encode, write.

Between finding and writing stand the window (`extract_window`) and the names of the tracks
(`extract_tracks`), which only hand frames on.

Decoding and detecting run in a thread each, a few frames ahead; landmarks need the frame before
and run in the caller's thread, in order; writing runs in a pool. Every queue is bounded.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol, TypeVar

import cv2

from faceloom.core import FormatError
from faceloom.detect import Detection, FaceFinder, FoundFace, SceneCuts, Tracker
from faceloom.media import Frame, prefetch
from faceloom.stages.extract.faces import FaceWriter

T = TypeVar("T")
_AHEAD = 4


class BusyTimes:
    """Seconds that each step was at work, and CPU seconds of its threads, summed over threads.

    CPU seconds leave out threads that libraries start themselves (FFmpeg's).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, tuple[float, float]] = {}

    @contextlib.contextmanager
    def measure(self, step: str) -> Generator[None]:
        """Add the time spent inside to `step`."""
        start, cpu_start = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            spent, cpu = time.perf_counter() - start, time.thread_time() - cpu_start
            with self._lock:
                before = self._seconds.get(step, (0.0, 0.0))
                self._seconds[step] = before[0] + spent, before[1] + cpu

    def iterate(self, step: str, items: Iterable[T]) -> Generator[T]:
        """Yield `items`, adding the time that each took to come to `step`."""
        iterator = iter(items)
        try:
            while True:
                with self.measure(step):
                    item = next(iterator, None)
                if item is None:
                    return
                yield item
        finally:
            close = getattr(iterator, "close", None)
            if callable(close):
                close()

    def seconds(self) -> dict[str, float]:
        """Step to seconds at work."""
        with self._lock:
            return {step: spent for step, (spent, _) in self._seconds.items()}

    def cpu_seconds(self) -> dict[str, float]:
        """Step to CPU seconds."""
        with self._lock:
            return {step: cpu for step, (_, cpu) in self._seconds.items()}


@dataclass(frozen=True)
class Detected:
    """A frame with the detector's finds."""

    frame: Frame
    detections: list[Detection]
    cut: bool
    thumbnail: str | None
    """State of the scene-cut test behind this frame."""


@dataclass(frozen=True)
class Found:
    """A frame with its faces, and the state to go on from behind it."""

    frame: Frame
    faces: list[FoundFace]
    state: dict[str, Any]


class Writable(Protocol):
    """A frame with the faces that are to be written."""

    @property
    def frame(self) -> Frame: ...
    @property
    def faces(self) -> list[FoundFace]: ...


W = TypeVar("W", bound=Writable)


def found_frames(
    frames: Iterable[Frame],
    finder: FaceFinder,
    *,
    pixel_aspect: float,
    tracking: bool,
    state: dict[str, Any],
    times: BusyTimes,
) -> Generator[Found]:
    """Faces of every frame, in order. `state` is that of the last `Found` before, or empty.

    With `tracking` the frames are taken for a clip: faces are followed and numbered within a
    shot. Raises `FormatError` when `state` is none of ours.
    """
    try:
        tracker = Tracker.restore(state["tracker"]) if state else Tracker()
        cuts = SceneCuts(state["thumbnail"] if state else None)
    except (KeyError, TypeError, ValueError):
        raise FormatError("the extraction's journal is damaged; --restart extracts anew") from None

    seen = _detected(frames, finder, cuts if tracking else None, pixel_aspect, times)
    detected = prefetch(seen, depth=_AHEAD)
    with contextlib.closing(detected):
        for item in detected:
            with times.measure("landmarks"):
                if item.cut:
                    tracker.cut()
                faces = finder.find(
                    item.frame.image,
                    tracker.seeds(),
                    pixel_aspect=pixel_aspect,
                    detections=item.detections,
                    frame_name=item.frame.name,
                    frame_index=item.frame.index,
                )
                if tracking:
                    faces = tracker.update(item.frame.time, faces)
            after = {"tracker": tracker.state(), "thumbnail": item.thumbnail} if tracking else {}
            yield Found(item.frame, faces, after)


def _detected(
    frames: Iterable[Frame],
    finder: FaceFinder,
    cuts: SceneCuts | None,
    pixel_aspect: float,
    times: BusyTimes,
) -> Generator[Detected]:
    """Frames with the detector's finds, and with `cuts` where shots begin."""
    decoded = prefetch(times.iterate("decode", frames), depth=_AHEAD)
    with contextlib.closing(decoded):
        for frame in decoded:
            with times.measure("detect"):
                found = finder.detect(
                    frame.image,
                    pixel_aspect=pixel_aspect,
                    frame_name=frame.name,
                    frame_index=frame.index,
                )
                cut = cuts.update(frame.image) if cuts is not None else False
            yield Detected(frame, found, cut, cuts.state() if cuts is not None else None)


def written_frames(
    items: Iterable[W], writer: FaceWriter, *, workers: int, times: BusyTimes
) -> Generator[tuple[W, int]]:
    """Write the faces of every frame with `workers` threads; yield the frames in order, with the
    number of faces written.

    When the caller stops early (or an error comes), frames handed out are still finished.
    """

    def write(item: W) -> tuple[W, int]:
        with times.measure("write"):
            return item, writer.write(item.frame, item.faces)

    waiting: deque[Future[tuple[W, int]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="faceloom-write") as pool:
        for item in items:
            waiting.append(pool.submit(write, item))
            while waiting and (waiting[0].done() or len(waiting) > 2 * workers):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextlib.contextmanager
def opencv_threads(count: int) -> Generator[None]:
    """OpenCV's own threads off while the pipeline has its own: they would only get in the way."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def unique_stems(
    frames: Iterable[Frame], seen: set[str], skipped: Callable[[Frame], None]
) -> Generator[Frame]:
    """Frames whose stem did not come before; faces are named by it, as in DFL (pipeline.md 1.2).

    `seen` holds the stems of frames already done and grows.
    """
    for frame in frames:
        stem = PurePath(frame.name).stem
        if stem in seen:
            skipped(frame)
            continue
        seen.add(stem)
        yield frame
