"""A short delay between finding and writing, in which a face is seen before and after.

Frames are held until as many behind them are known as smoothing and the filling of gaps look
ahead. What comes out for a frame depends on the frames `Span.total` before and behind it and on
nothing else, so a run that goes on finds that many frames again and is in step with one that was
never stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from faceloom.detect import FaceFinder, FoundFace
from faceloom.detect.manual import MANUAL
from faceloom.detect.points import bounds, overlap
from faceloom.detect.tracking.gaps import fill_gap
from faceloom.detect.tracking.smooth import smooth_points
from faceloom.detect.types import Points
from faceloom.media import FootageInfo, Frame
from faceloom.stages.extract.pipeline import BusyTimes, Found

_GAP_S, _REACH_S = Fraction(2, 5), Fraction(1, 5)
_MOST_GAP, _MOST_REACH = 24, 8
_HELD_BYTES = 384 << 20
_APART = 0.3
"""Most seconds between two sightings that smoothing takes for neighbours."""
_TAKEN = 0.35
"""Overlap from which a place is another face's."""


@dataclass(frozen=True, slots=True)
class Span:
    """How many frames are looked ahead, and back."""

    gap: int
    """Frames from a sighting to the next between which a face is looked for."""
    reach: int
    """Frames on either side that smooth a frame's points."""

    @property
    def total(self) -> int:
        """Frames that a frame waits for; as many before it count as well."""
        return self.gap + self.reach


def span_of(info: FootageInfo, *, tracking: bool, smooth: float) -> Span:
    """Some 0.4 and 0.2 s of the footage, fewer frames where they are large; none of pictures."""
    if not tracking:
        return Span(0, 0)
    height, width = info.size
    most = max(4, _HELD_BYTES // max(1, height * width * 3))
    fps = float(info.fps)
    gap = int(np.clip(round(float(_GAP_S) * fps), 2, min(_MOST_GAP, most * 2 // 3)))
    reach = int(np.clip(round(float(_REACH_S) * fps), 3, min(_MOST_REACH, most - gap)))
    return Span(gap, reach if smooth > 0 else 0)


@dataclass(frozen=True, slots=True)
class Settled:
    """A frame of which nothing that follows changes anything any more."""

    frame: Frame
    faces: list[FoundFace]
    """Smoothed, the filled ones among them; largest first."""
    state: dict[str, Any]
    filled: int
    """How many of the faces fill a gap."""
    ahead: Sequence[Found] = ()
    """The frames behind it that are known already, with their faces as found."""


@dataclass(slots=True)
class _Held:
    found: Found
    faces: list[FoundFace] = field(default_factory=lambda: list[FoundFace]())
    """As found, and those that fill gaps."""


def settled_frames(
    found: Iterable[Found],
    finder: FaceFinder,
    span: Span,
    *,
    smooth: float,
    pixel_aspect: float,
    times: BusyTimes,
) -> Generator[Settled]:
    """Frames in order, each once `span.total` behind it are known (or the end is reached)."""
    window = _Window(finder, span, smooth, pixel_aspect)
    for item in found:
        window.add(item)
        if window.waiting > span.total:
            with times.measure("tracks"):
                settled = window.settle()
            yield settled
    while window.waiting:
        with times.measure("tracks"):
            settled = window.settle()
        yield settled


class _Window:
    """The frames around the one that is settled next."""

    def __init__(self, finder: FaceFinder, span: Span, smooth: float, aspect: float) -> None:
        self._finder, self._span, self._smooth, self._aspect = finder, span, smooth, aspect
        self._shown = np.array([aspect, 1.0], dtype=np.float32)
        """From the frame's own pixels to those as they are shown."""
        self._held: deque[_Held] = deque()
        self._next = 0
        """Place of the frame that is settled next."""
        self._filled = 0
        """Place of the first frame whose gaps are not filled yet."""

    @property
    def waiting(self) -> int:
        return len(self._held) - self._next

    def add(self, item: Found) -> None:
        self._held.append(_Held(item, list(item.faces)))

    def settle(self) -> Settled:
        at, span = self._next, self._span
        while self._filled <= min(at + span.reach, len(self._held) - 1):
            if span.gap:
                self._fill(self._filled)
            self._filled += 1
        held = self._held[at]
        faces = [self._steady(face, at) for face in held.faces]
        filled = len(faces) - len(held.found.faces)
        ahead = [later.found for later in list(self._held)[at + 1 :]]
        frame = held.found.frame
        # Of what is behind, only the points count; its picture may go.
        self._held[at] = replace(held, found=replace(held.found, frame=_without_picture(frame)))
        self._next += 1
        if self._next > span.total:
            self._held.popleft()
            self._next -= 1
            self._filled -= 1
        faces.sort(key=lambda face: -_area(face))
        return Settled(frame, faces, held.found.state, filled, ahead)

    def _fill(self, at: int) -> None:
        """Look for faces that were seen a moment before and are seen again a moment after."""
        held = self._held[at]
        here = {face.track for face in held.found.faces}
        low, high = max(0, at - self._span.gap), min(len(self._held), at + self._span.gap + 1)
        before = self._sightings(range(at - 1, low - 1, -1), here)
        if not before:
            return
        after = self._sightings(range(at + 1, high), here)
        for track in sorted(before.keys() & after.keys()):
            face = self._between(track, before[track], after[track], at)
            if face is not None and not _is_taken(face, held.faces):
                held.faces.append(face)

    def _sightings(self, places: range, here: set[int | None]) -> dict[int, int]:
        """Track that is not `here` → the first of `places` where it was found."""
        seen: dict[int, int] = {}
        for place in places:
            for face in self._held[place].found.faces:
                if face.track is not None and face.track not in here:
                    seen.setdefault(face.track, place)
        return seen

    def _between(self, track: int, first: int, last: int, at: int) -> FoundFace | None:
        start, end = (self._held[place].found.frame.time for place in (first, last))
        frame = self._held[at].found.frame
        if last - first > self._span.gap or not start < frame.time < end <= start + _GAP_S:
            return None
        return fill_gap(
            self._finder,
            frame.image,
            _face_of(track, self._held[first].found.faces),
            _face_of(track, self._held[last].found.faces),
            float((frame.time - start) / (end - start)),
            pixel_aspect=self._aspect,
            frame_name=frame.name,
            frame_index=frame.index,
        )

    def _steady(self, face: FoundFace, at: int) -> FoundFace:
        """The face with its points smoothed by those of its track around it."""
        if not self._span.reach or face.track is None or face.detector == MANUAL:
            return face  # what a person placed stays where it is
        times: list[float] = []
        points: list[Points] = []
        here = self._held[at].found.frame.time
        middle = 0
        for place in range(max(0, at - self._span.reach), at + self._span.reach + 1):
            if place == at:
                middle = len(points)
            held = self._held[place] if place < len(self._held) else None
            seen = held and next((f for f in held.faces if f.track == face.track), None)
            if held is None or seen is None or abs(held.found.frame.time - here) > _APART:
                continue
            times.append(float(held.found.frame.time - here))
            points.append(seen.landmarks * self._shown)
        steady = smooth_points(times, points, middle, strength=self._smooth)
        return replace(face, landmarks=steady / self._shown)


def _face_of(track: int, faces: Sequence[FoundFace]) -> FoundFace:
    return next(face for face in faces if face.track == track)


def _is_taken(face: FoundFace, faces: Sequence[FoundFace]) -> bool:
    box = bounds(face.landmarks)
    return any(overlap(box, bounds(other.landmarks)) > _TAKEN for other in faces)


def _without_picture(frame: Frame) -> Frame:
    return replace(frame, image=np.empty((0, 0, 3), dtype=np.uint8), alpha=None)


def _area(face: FoundFace) -> float:
    left, top, right, bottom = face.rect
    return (right - left) * (bottom - top)
