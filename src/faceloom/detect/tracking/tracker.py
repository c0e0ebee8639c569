"""Following faces from picture to picture within a shot, by place and size."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.detect.types import FoundFace, Region, Seed, UInt8Image

_MAX_GAP_S = Fraction(1, 2)
_REACH = 0.6
_MAX_GROWTH = 1.7


@dataclass(frozen=True, slots=True)
class _Track:
    """A face that was seen recently."""

    number: int
    last_time: Fraction
    seed: Seed
    present: bool
    """Whether it was seen in the last picture."""


class Tracker:
    """Numbers faces through a clip: 0, 1, 2 … in the order of their first appearance.

    A face continues a track if its centre moved by less than 0.6 of its size and its size changed
    by a factor of less than 1.7 since it was last seen, at most half a second ago. The nearest
    pairs are matched first. `cut` ends all tracks. The state can be stored as JSON exactly.
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._next = 0

    def update(self, time: Fraction, faces: Sequence[FoundFace]) -> list[FoundFace]:
        """`faces` of the picture at `time` (seconds), in the same order, with track numbers."""
        # Times that stand still or run backwards (damaged files) must not end a track.
        self._tracks = [t for t in self._tracks if time - t.last_time <= _MAX_GAP_S]
        numbers = self._assign(faces)
        numbered: list[FoundFace] = []
        for index, face in enumerate(faces):
            number = numbers.get(index)
            if number is None:
                number = self._next
                self._next += 1
            numbered.append(replace(face, track=number))
        seen = {face.track for face in numbered}
        absent = [replace(t, present=False) for t in self._tracks if t.number not in seen]
        now = [_Track(f.track or 0, time, f.seed, present=True) for f in numbered]
        self._tracks = [*now, *absent]
        return numbered

    def cut(self) -> None:
        """End all tracks because a new shot begins. Numbers are not reused."""
        self._tracks = []

    def seeds(self) -> list[Seed]:
        """Seeds of the faces in the last picture, for `FaceFinder.find`."""
        return [track.seed for track in self._tracks if track.present]

    def state(self) -> dict[str, Any]:
        """Plain values from which `restore` makes the same tracker."""
        return {
            "next": self._next,
            "tracks": [
                {
                    "number": track.number,
                    "time": str(track.last_time),
                    "present": track.present,
                    "rect": list(track.seed.rect),
                    "region": _region_values(track.seed.region),
                    "unseen": track.seed.unseen,
                }
                for track in self._tracks
            ],
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Tracker:
        """The tracker that `state()` was called on. Raises `KeyError`, `TypeError` or `ValueError`
        for an invalid state."""
        tracker = cls()
        tracker._next = int(state["next"])
        for item in state["tracks"]:
            left, top, right, bottom = (float(value) for value in item["rect"])
            seed = Seed((left, top, right, bottom), Region(*item["region"]), int(item["unseen"]))
            tracker._tracks.append(
                _Track(int(item["number"]), Fraction(item["time"]), seed, bool(item["present"]))
            )
        return tracker

    def _assign(self, faces: Sequence[FoundFace]) -> dict[int, int]:
        """Index of the face → number of its track, nearest pairs first."""
        pairs: list[tuple[float, int, int]] = []
        for index, face in enumerate(faces):
            for track in self._tracks:
                distance = _distance(track.seed.region, face.region)
                if distance is not None:
                    pairs.append((distance, index, track.number))
        numbers: dict[int, int] = {}
        for _, index, number in sorted(pairs):
            if index not in numbers and number not in numbers.values():
                numbers[index] = number
        return numbers


def _distance(before: Region, after: Region) -> float | None:
    """How far a face moved, in face sizes; None if it cannot be the same one."""
    growth = after.side_px / before.side_px
    if not 1 / _MAX_GROWTH < growth < _MAX_GROWTH:
        return None
    size = max(before.side_px, after.side_px) / 1.5
    moved = float(np.hypot(after.center_x - before.center_x, after.center_y - before.center_y))
    return moved / size if moved < _REACH * size else None


def _region_values(region: Region) -> list[float]:
    return [region.center_x, region.center_y, region.side_px, region.angle_rad]


_THUMB_SIZE = (16, 9)
_CHANGED = 0.05
_ALIKE = 0.70
_SHIFT = (2, 1)


class SceneCuts:
    """Detects hard cuts by comparing thumbnails of successive pictures.

    There is a cut where the thumbnails differ by more than 5 % of full scale on average after their
    mean brightness was subtracted, and also correlate by less than 0.7 at every shift of up to an
    eighth of the picture. So flashes, changes of exposure and fast pans are not cuts. Measured on
    702 cuts between stills of different footage: 94 % are detected (the others are between nearly
    equal shots), as are 8 % of strong flashes, and no pan by up to a tenth of the width per
    picture.
    """

    def __init__(self, state: str | None = None) -> None:
        self._last: NDArray[np.uint8] | None = None
        if state:
            raw = np.frombuffer(base64.b64decode(state), np.uint8)
            self._last = raw.reshape(_THUMB_SIZE[1], _THUMB_SIZE[0])

    def update(self, image: UInt8Image) -> bool:
        """Whether a new shot begins with `image` (`h w 3` RGB); False for the first picture."""
        # Every nth pixel is enough for a thumbnail, and saves averaging a whole 4K picture.
        step = max(1, min(image.shape[0], image.shape[1]) // 120)
        sparse = np.ascontiguousarray(image[::step, ::step])
        small = cv2.resize(sparse, _THUMB_SIZE, interpolation=cv2.INTER_AREA)
        thumb = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        last, self._last = self._last, thumb
        if last is None:
            return False
        change = thumb.astype(np.float32) - last.astype(np.float32)
        if float(np.abs(change - change.mean()).mean()) / 255 <= _CHANGED:
            return False
        return _correlation(last.astype(np.float32), thumb.astype(np.float32)) < _ALIKE

    def state(self) -> str | None:
        """Text from which `SceneCuts(state)` continues."""
        return None if self._last is None else base64.b64encode(self._last.tobytes()).decode()


def _correlation(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Highest correlation of two thumbnails over shifts of a few pixels."""
    best = -1.0
    for down in range(-_SHIFT[1], _SHIFT[1] + 1):
        for right in range(-_SHIFT[0], _SHIFT[0] + 1):
            a = _overlapping(before, down, right)
            b = _overlapping(after, -down, -right)
            a, b = a - a.mean(), b - b.mean()
            scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
            best = max(best, float((a * b).sum()) / max(scale, 1e-6))
    return best


def _overlapping(thumb: NDArray[np.float32], down: int, right: int) -> NDArray[np.float32]:
    height, width = thumb.shape
    rows = slice(max(0, down), height + min(0, down))
    return thumb[rows, max(0, right) : width + min(0, right)]
