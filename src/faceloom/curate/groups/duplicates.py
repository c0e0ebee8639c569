"""Near-duplicates: which faces say nothing that a better one does not say already.

Two faces are near when their picture (perceptual hash), their identity vector, the turn of the
head and the expression all are, so that another expression or light is never a duplicate. The best
face is kept; what is near to it is dropped, and nothing else: of a head that turns slowly, faces
remain at every step, where chains of neighbours would have collapsed it into one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, InputError, NullProgress, Progress

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Limits:
    """How far apart two faces may be in each measure and still be near."""

    hash_bits: int
    """Of the 64 bits of the perceptual hash."""
    identity: float
    """1 - cosine of the identity vectors."""
    turn_deg: float
    """Of yaw and of pitch."""
    expression: float
    """Euclidean distance of the 52 blendshapes."""
    roll_deg: float = 180.0
    """A face is upright in its picture, so how the head leans hardly matters."""


STRENGTHS: Final = (
    Limits(4, 0.12, 0.1, 0.60, roll_deg=0.1),
    Limits(4, 0.06, 1.5, 0.20),
    Limits(7, 0.10, 2.5, 0.30),
    Limits(11, 0.15, 4.0, 0.42),
    Limits(16, 0.20, 6.0, 0.55),
    Limits(22, 0.28, 8.0, 0.75),
)
"""By strength. At 0 the angles must be the same, which they are in no two frames of a clip but in
every copy of a picture; its other limits are what JPEG at quality 30, half the size and another
face type change. 1 to 5 were set by looking at pairs of real faces near each limit: at 1 and 2 no
difference is seen, at 3 one looks for it, at 4 a mouth or the eyes have moved a little, at 5 pose
and expression are of the same kind. Every strength includes those below it."""
_SURE_BITS: Final = 2
_EPS: Final = 1e-6


@dataclass(frozen=True, eq=False)
class FaceTraits:
    """What n faces are compared by. A value that was not measured is NaN; such faces are near
    only where the hashes agree but for 2 bits."""

    phash: NDArray[np.uint8]
    """n x 8; all zero: unknown, and near to nothing."""
    embedding: Floats
    """n x 128, unit length."""
    angles_deg: Floats
    """n x 3: pitch, yaw, roll."""
    blendshapes: Floats
    """n x 52."""


@dataclass(frozen=True, eq=False)
class Duplicates:
    """What came out for n faces."""

    kept_for: Rows
    """n: the face that is kept in place of this one; itself where it is kept."""

    @property
    def dropped(self) -> Rows:
        """The rows that are not kept, in order."""
        return np.flatnonzero(self.kept_for != np.arange(len(self.kept_for)))


def keep_order(*, face_px: Floats, sharpness: Floats, occlusion: Floats, score: Floats) -> Rows:
    """Rows from the best face to the worst: sharp, large, not hidden, surely found.

    Each n; `face_px` the size in the frame, `sharpness`, `occlusion` and `score` 0 to 1. Twice the
    pixels weigh as much as twice the sharpness, and as a quarter of the face being hidden. What is
    unknown counts as the middle of what is known.
    """
    value = np.log2(np.maximum(_filled(face_px), 1))
    value = value + np.log2(np.maximum(_filled(sharpness), 0) + 0.01)
    value = value - 4 * _filled(occlusion) + _filled(score)
    return np.argsort(-value, kind="stable")


def _filled(values: Floats) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    return np.where(np.isfinite(numbers), numbers, float(np.median(known)) if len(known) else 0.0)


def find_duplicates(
    traits: FaceTraits,
    strength: int,
    *,
    order: Rows | None = None,
    groups: NDArray[np.integer[Any]] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Duplicates:
    """Choose which of n faces to keep at a `strength` of 0 to 5.

    `order` (n rows, best first; the rows' own order without it) says which of two is kept.
    Faces of different `groups` (n) are never compared. No table of pairs is made: a face meets
    those kept within its cell of yaw and pitch and around it.

    Raises `InputError` for another strength or shapes that do not fit, and `CancelledError`.
    """
    if not 0 <= strength < len(STRENGTHS):
        raise InputError(f"the strength of duplicates goes from 0 to 5, not {strength}")
    n = len(traits.phash)
    rows = np.arange(n) if order is None else order
    groups = np.zeros(n, dtype=np.intp) if groups is None else groups
    shapes = [len(a) for a in (traits.embedding, traits.angles_deg, traits.blendshapes, rows)]
    if any(length != n for length in (*shapes, len(groups))):
        raise InputError("duplicates: every measure needs one value for each face")
    progress, cancel = progress or NullProgress(), cancel or Cancel()
    near = _Nearness(traits, strength)
    cells = _Cells(traits.angles_deg, groups, STRENGTHS[strength].turn_deg)
    kept_for = np.arange(n)
    progress.start("find duplicates", n, "faces")
    for done, row in enumerate(rows.tolist()):
        if done % 256 == 0:
            cancel.check()
            progress.advance(min(256, n - done))
        kept = near.nearest(row, cells.around(row))
        if kept is None:
            cells.add(row)
        else:
            kept_for[row] = kept
    progress.finish()
    return Duplicates(kept_for)


class _Nearness:
    """Compares one face with others, the cheapest measure first."""

    def __init__(self, traits: FaceTraits, strength: int) -> None:
        self._hash = np.ascontiguousarray(traits.phash, np.uint8).view(np.uint64).reshape(-1)
        self._vectors = np.ascontiguousarray(traits.embedding, np.float32)
        self._angles = np.ascontiguousarray(traits.angles_deg, np.float64)
        self._shapes = np.ascontiguousarray(traits.blendshapes, np.float32)
        self._limits = (STRENGTHS[0], STRENGTHS[strength])
        self._bits = max(limits.hash_bits for limits in self._limits)

    def nearest(self, row: int, others: Rows) -> int | None:
        """The one of `others` that is near and nearest; None where none is near."""
        if self._hash[row] == 0 or len(others) == 0:
            return None
        bits = np.bitwise_count(self._hash[others] ^ self._hash[row])
        chosen = np.flatnonzero((bits <= self._bits) & (self._hash[others] != 0))
        if len(chosen) == 0:
            return None
        others, bits = others[chosen], bits[chosen]
        angles = np.abs(self._angles[others] - self._angles[row])
        apart = [
            1 - self._vectors[others] @ self._vectors[row],
            angles[:, :2].max(axis=1),
            np.linalg.norm(self._shapes[others] - self._shapes[row], axis=1),
            np.minimum(angles[:, 2], 360 - angles[:, 2]),
        ]
        best: tuple[float, int] | None = None
        for limits in self._limits:
            share = bits / limits.hash_bits
            bounds = (limits.identity, limits.turn_deg, limits.expression, limits.roll_deg)
            for distance, bound in zip(apart, bounds, strict=True):
                unknown = np.where(bits <= _SURE_BITS, 0.0, np.inf)
                part = np.where(np.isnan(distance), unknown, distance / (bound + _EPS))
                share = np.maximum(share, part)
            place = int(np.argmin(share))
            if share[place] <= 1 and (best is None or share[place] < best[0]):
                best = float(share[place]), int(others[place])
        return None if best is None else best[1]


class _Cells:
    """The kept faces, by group and by cells of yaw and pitch as wide as the limit."""

    def __init__(
        self, angles_deg: Floats, groups: NDArray[np.integer[Any]], width_deg: float
    ) -> None:
        turns = np.asarray(angles_deg, dtype=np.float64)[:, :2]
        known: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(turns), axis=1)
        self._known: list[bool] = known.tolist()
        cells = np.floor(np.nan_to_num(turns, posinf=0, neginf=0) / (width_deg + _EPS))
        self._cell: list[tuple[int, int]] = cells.astype(np.int64).tolist()
        self._group: list[int] = groups.tolist()
        self._kept: dict[tuple[int, int, int], _Growing] = {}
        self._all: dict[int, _Growing] = {}
        self._unknown: dict[int, _Growing] = {}

    def around(self, row: int) -> Rows:
        """The kept faces that may be near to this one. One whose turn is unknown meets all."""
        group = self._group[row]
        if not self._known[row]:
            return _rows(self._all.get(group))
        pitch, yaw = self._cell[row]
        near = _rows(self._kept.get((group, pitch, yaw)))
        unknown = self._unknown.get(group)
        return near if unknown is None else np.concatenate([near, _rows(unknown)])

    def add(self, row: int) -> None:
        """Keep a face: it is found from its cell and the eight around it."""
        group = self._group[row]
        self._all.setdefault(group, _Growing()).append(row)
        if not self._known[row]:
            self._unknown.setdefault(group, _Growing()).append(row)
            return
        pitch, yaw = self._cell[row]
        for down in (pitch - 1, pitch, pitch + 1):
            for right in (yaw - 1, yaw, yaw + 1):
                self._kept.setdefault((group, down, right), _Growing()).append(row)


class _Growing:
    """Row numbers that are added one by one and read as an array."""

    def __init__(self) -> None:
        self._rows = np.empty(4, dtype=np.intp)
        self._count = 0

    def append(self, row: int) -> None:
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._count] = row
        self._count += 1

    def rows(self) -> Rows:
        return self._rows[: self._count]


def _rows(found: _Growing | None) -> Rows:
    return np.empty(0, dtype=np.intp) if found is None else found.rows()
