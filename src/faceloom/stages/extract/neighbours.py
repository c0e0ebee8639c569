"""The track of a face in a frame that was extracted again: that of the faces around it in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from faceloom.detect import FoundFace
from faceloom.detect.points import bounds
from faceloom.detect.types import Points
from faceloom.faces import FaceRecord
from faceloom.media import Frame

_NEAR_S = 0.5
_REACH, _MOST_GROWTH = 0.6, 1.7
"""How far a face may have gone, in sizes of it, and how much grown: as in `Tracker`."""
_FRAMES = 16


@dataclass(frozen=True, slots=True)
class _Seen:
    track: int
    time_s: float
    centre: tuple[float, float]
    size_px: float


class Neighbours:
    """Faces of the faceset by frame; gives new ones the numbers of those that they continue."""

    def __init__(self, records: Iterable[FaceRecord]) -> None:
        self._frames: dict[int, list[_Seen]] = {}
        self._next = 0
        self.learn(records)

    def learn(self, records: Iterable[FaceRecord]) -> None:
        """Faces that are in the faceset now."""
        for record in records:
            own = record.own
            if own is None or own.track is None or own.frame_index is None or own.time is None:
                continue
            seen = _seen(own.track, float(own.time), record.source_landmarks)
            self._frames.setdefault(own.frame_index, []).append(seen)
            self._next = max(self._next, own.track + 1)

    def number(
        self, frame: Frame, faces: Sequence[FoundFace], records: Iterable[FaceRecord]
    ) -> list[FoundFace]:
        """`faces` with track numbers; none that a face of the frame has already, `records` being
        those that are there. A face that nothing around continues begins a track."""
        taken = {record.own.track for record in records if record.own is not None}
        pairs: list[tuple[float, float, int, int]] = []
        for number, face in enumerate(faces):
            here = _seen(-1, float(frame.time), face.landmarks)
            for seen in self._around(frame):
                far = _distance(seen, here)
                if far is not None:
                    pairs.append((abs(seen.time_s - here.time_s), far, number, seen.track))
        tracks: dict[int, int] = {}
        for _, _, number, track in sorted(pairs):
            if number not in tracks and track not in taken:
                tracks[number] = track
                taken.add(track)
        numbered: list[FoundFace] = []
        for number, face in enumerate(faces):
            if number not in tracks:
                tracks[number] = self._next
                self._next += 1
            numbered.append(replace(face, track=tracks[number]))
        return numbered

    def _around(self, frame: Frame) -> list[_Seen]:
        near = range(frame.index - _FRAMES, frame.index + _FRAMES + 1)
        return [
            seen
            for index in near
            if index != frame.index
            for seen in self._frames.get(index, ())
            if abs(seen.time_s - float(frame.time)) <= _NEAR_S
        ]


def _seen(track: int, time_s: float, landmarks: Points) -> _Seen:
    left, top, right, bottom = bounds(landmarks)
    size = max(right - left, bottom - top)
    return _Seen(track, time_s, ((left + right) / 2, (top + bottom) / 2), size)


def _distance(before: _Seen, after: _Seen) -> float | None:
    """How far a face went, in its sizes; None when it cannot be the same one."""
    growth = after.size_px / max(before.size_px, 1e-6)
    if not 1 / _MOST_GROWTH < growth < _MOST_GROWTH:
        return None
    moved = float(np.hypot(*np.subtract(after.centre, before.centre)))
    size = max(before.size_px, after.size_px)
    return moved / size if moved < _REACH * size else None
