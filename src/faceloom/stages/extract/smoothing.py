"""A short delay between tracking and writing, so that a face is seen before and after each frame.

Frames wait until smoothing and gap filling know as many later frames as they look ahead. The faces
of a frame then depend on the `Span.total` frames before and after it and on nothing else, so a run
that resumes starts that many frames earlier and is in step with one that was never stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from faceloom.detect import FaceFinder, FoundFace
from faceloom.detect.manual import MANUAL
from faceloom.detect.points import area, bounds, overlap
from faceloom.detect.tracking.gaps import fill_gap
from faceloom.detect.tracking.smooth import smooth_points
from faceloom.detect.types import Points
from faceloom.media import FootageInfo, Frame
from faceloom.stages.extract.extraction import BusyTimes
from faceloom.stages.extract.frame import ExtractedFrame

_GAP_S, _REACH_S = Fraction(2, 5), Fraction(1, 5)
_MOST_GAP, _MOST_REACH = 24, 8
_MOST_BYTES = 384 << 20
# Most seconds between two sightings that smoothing takes for neighbours.
_APART = 0.3
# Overlap above which a place belongs to another face.
_TAKEN = 0.35


@dataclass(frozen=True, slots=True)
class Span:
    """How many frames the window reaches ahead, and back."""

    gap: int
    """Most frames between two sightings for the gap between them to be filled."""
    reach: int
    """Frames on either side that smooth a frame's landmarks."""

    @property
    def total(self) -> int:
        """Frames that a frame waits for; as many before it count as well."""
        return self.gap + self.reach


def span_of(info: FootageInfo, *, tracking: bool, smooth: float) -> Span:
    """About 0.4 and 0.2 s of the footage, fewer frames if they are large; none for pictures."""
    if not tracking:
        return Span(0, 0)
    height, width = info.size
    most = max(4, _MOST_BYTES // max(1, height * width * 3))
    fps = float(info.fps)
    gap = int(np.clip(round(float(_GAP_S) * fps), 2, min(_MOST_GAP, most * 2 // 3)))
    reach = int(np.clip(round(float(_REACH_S) * fps), 3, min(_MOST_REACH, most - gap)))
    return Span(gap, reach if smooth > 0 else 0)


class Window:
    """The frames around the one that is finished next. `strength` is that of the smoothing."""

    def __init__(
        self, finder: FaceFinder, span: Span, strength: float, pixel_aspect: float
    ) -> None:
        self._finder, self._span, self._strength = finder, span, strength
        self._aspect = pixel_aspect
        # From pixels of the stored frame to pixels of the displayed one.
        self._stretch = np.array([pixel_aspect, 1.0], dtype=np.float32)
        self._items: deque[ExtractedFrame] = deque()
        # Places in `_items` of the next frame to finish, and of the first one whose gaps are open.
        self._next = 0
        self._filled = 0

    @property
    def ahead(self) -> list[ExtractedFrame]:
        """The frames after the one finished last that are known already."""
        return list(self._items)[self._next :]

    def finish_frames(
        self, items: Iterable[ExtractedFrame], times: BusyTimes
    ) -> Generator[ExtractedFrame]:
        """Yield the frames in order with their `faces`, each as soon as `span.total` frames after
        it are known, or the end is reached."""
        for item in items:
            item.faces = list(item.found)
            self._items.append(item)
            if len(self._items) - self._next > self._span.total:
                with times.measure("smooth"):
                    finished = self._finish()
                yield finished
        while self._next < len(self._items):
            with times.measure("smooth"):
                finished = self._finish()
            yield finished

    def _finish(self) -> ExtractedFrame:
        at, span = self._next, self._span
        while self._filled <= min(at + span.reach, len(self._items) - 1):
            if span.gap:
                self._fill(self._filled)
            self._filled += 1
        item = self._items[at]
        # The frames after this one still need its landmarks as they were found, but not its image.
        self._items[at] = replace(item, frame=_without_image(item.frame))
        item.filled = len(item.faces) - len(item.found)
        item.faces = [self._smooth(face, at) for face in item.faces]
        item.faces.sort(key=lambda face: -area(face.rect))
        self._next += 1
        if self._next > span.total:
            self._items.popleft()
            self._next -= 1
            self._filled -= 1
        return item

    def _fill(self, at: int) -> None:
        """Look for faces that were seen a moment before and are seen again a moment later."""
        item = self._items[at]
        here = {face.track for face in item.found}
        low, high = max(0, at - self._span.gap), min(len(self._items), at + self._span.gap + 1)
        before = self._sightings(range(at - 1, low - 1, -1), here)
        if not before:
            return
        after = self._sightings(range(at + 1, high), here)
        for track in sorted(before.keys() & after.keys()):
            face = self._between(track, before[track], after[track], at)
            if face is not None and not _is_taken(face, item.faces):
                item.faces.append(face)

    def _sightings(self, places: range, here: set[int | None]) -> dict[int, int]:
        """Track that is not `here` → the first of `places` where it was found."""
        seen: dict[int, int] = {}
        for place in places:
            for face in self._items[place].found:
                if face.track is not None and face.track not in here:
                    seen.setdefault(face.track, place)
        return seen

    def _between(self, track: int, first: int, last: int, at: int) -> FoundFace | None:
        start, end = (self._items[place].frame.time for place in (first, last))
        frame = self._items[at].frame
        if last - first > self._span.gap or not start < frame.time < end <= start + _GAP_S:
            return None
        before, after = (
            next(face for face in self._items[place].found if face.track == track)
            for place in (first, last)
        )
        return fill_gap(
            self._finder,
            frame.image,
            before,
            after,
            float((frame.time - start) / (end - start)),
            pixel_aspect=self._aspect,
            frame_name=frame.name,
            frame_index=frame.index,
        )

    def _smooth(self, face: FoundFace, at: int) -> FoundFace:
        """The face with its landmarks smoothed by those of its track in the frames around it."""
        if not self._span.reach or face.track is None or face.detector == MANUAL:
            return face  # landmarks that a person placed stay where they are
        times: list[float] = []
        points: list[Points] = []
        here = self._items[at].frame.time
        middle = 0
        last = min(at + self._span.reach, len(self._items) - 1)
        for place in range(max(0, at - self._span.reach), last + 1):
            if place == at:
                middle = len(points)
            item = self._items[place]
            seen = next((f for f in item.faces if f.track == face.track), None)
            if seen is None or abs(item.frame.time - here) > _APART:
                continue
            times.append(float(item.frame.time - here))
            points.append(seen.landmarks * self._stretch)
        smoothed = smooth_points(times, points, middle, strength=self._strength)
        return replace(face, landmarks=smoothed / self._stretch)


def _is_taken(face: FoundFace, faces: Sequence[FoundFace]) -> bool:
    box = bounds(face.landmarks)
    return any(overlap(box, bounds(other.landmarks)) > _TAKEN for other in faces)


def _without_image(frame: Frame) -> Frame:
    return replace(frame, image=np.empty((0, 0, 3), dtype=np.uint8), alpha=None)
