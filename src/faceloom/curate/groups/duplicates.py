"""Near-duplicates: faces that add nothing to a better one.

Two faces are duplicates when picture (perceptual hash), identity vector, head pose and expression
are all similar, so a different expression or light is never a duplicate. The best face is kept, and
only faces similar to it are dropped: a head that turns slowly keeps faces at every step, where
chains of neighbours would collapse into a single face.
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
    """How far apart two duplicates may be in each measure."""

    hash_bits: int
    """Of the 64 bits of the perceptual hash."""
    identity: float
    """1 - cosine of the identity vectors."""
    turn_deg: float
    """Of yaw and of pitch, each."""
    expression: float
    """Euclidean distance of the 52 blendshapes."""
    roll_deg: float = 180.0
    """Aligned faces are upright, so roll hardly matters."""


# By strength. At 0 the angles must be equal, as in copies of a picture but in no two frames of a
# clip; its other limits allow for JPEG at quality 30, half the size and another face type. 1 to 5
# were set by looking at pairs of real faces near each limit: at 1 and 2 no difference is visible,
# at 3 it has to be looked for, at 4 mouth or eyes have moved a little, at 5 pose and expression are
# of the same kind. Every strength includes those below it.
STRENGTHS: Final = (
    Limits(4, 0.12, 0.1, 0.60, roll_deg=0.1),
    Limits(4, 0.06, 1.5, 0.20),
    Limits(7, 0.10, 2.5, 0.30),
    Limits(11, 0.15, 4.0, 0.42),
    Limits(16, 0.20, 6.0, 0.55),
    Limits(22, 0.28, 8.0, 0.75),
)
_SURE_BITS: Final = 2
_EPS: Final = 1e-6


@dataclass(frozen=True, eq=False)
class FaceTraits:
    """What n faces are compared by. NaN means not measured; such faces are duplicates only if their
    hashes differ in at most 2 bits."""

    phash: NDArray[np.uint8]
    """n x 8; all zero: unknown, and never a duplicate."""
    embedding: Floats
    """n x 128, unit length."""
    angles_deg: Floats
    """n x 3: pitch, yaw, roll."""
    blendshapes: Floats
    """n x 52."""


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Which of n faces are kept."""

    kept_for: Rows
    """n: the face that is kept instead of this one, or the face itself."""

    @property
    def dropped(self) -> Rows:
        """The rows that are not kept, in order."""
        return np.flatnonzero(self.kept_for != np.arange(len(self.kept_for)))


def keep_order(*, face_px: Floats, sharpness: Floats, occlusion: Floats, score: Floats) -> Rows:
    """Return rows from the best face to the worst: sharp, large, not hidden, a confident detection.

    Each n: `face_px` is the size in the frame, `sharpness`, `occlusion` and `score` are 0 to 1.
    Twice the pixels count as much as twice the sharpness, or as a quarter less of the face hidden.
    Unknown values count as the median.
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

    `order` (n rows, best first; by default the order of the rows) decides which of two is kept.
    Faces of different `groups` (n) are never compared. A face is compared only with those kept in
    its cell of yaw and pitch and around it, so there is no table of all pairs.

    Raises `InputError` for an unknown strength or shapes that do not match, and `CancelledError`.
    """
    if not 0 <= strength < len(STRENGTHS):
        raise InputError(f"strength must be 0 to 5, not {strength}")
    n = len(traits.phash)
    rows = np.arange(n) if order is None else order
    groups = np.zeros(n, dtype=np.intp) if groups is None else groups
    shapes = [len(a) for a in (traits.embedding, traits.angles_deg, traits.blendshapes, rows)]
    if any(length != n for length in (*shapes, len(groups))):
        raise InputError("find_duplicates needs one value per face in every measure")
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
    """Compares a face with others, the cheapest measure first."""

    def __init__(self, traits: FaceTraits, strength: int) -> None:
        self._hash = np.ascontiguousarray(traits.phash, np.uint8).view(np.uint64).reshape(-1)
        self._vectors = np.ascontiguousarray(traits.embedding, np.float32)
        self._angles = np.ascontiguousarray(traits.angles_deg, np.float64)
        self._shapes = np.ascontiguousarray(traits.blendshapes, np.float32)
        self._limits = (STRENGTHS[0], STRENGTHS[strength])
        self._bits = max(limits.hash_bits for limits in self._limits)

    def nearest(self, row: int, others: Rows) -> int | None:
        """The most similar of `others`; None when none is within the limits."""
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
    """The kept faces by group, in cells of yaw and pitch as wide as the limit."""

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
        """The kept faces that may be similar to this one; all of them if its pose is unknown."""
        group = self._group[row]
        if not self._known[row]:
            return _rows(self._all.get(group))
        pitch, yaw = self._cell[row]
        near = _rows(self._kept.get((group, pitch, yaw)))
        unknown = self._unknown.get(group)
        return near if unknown is None else np.concatenate([near, _rows(unknown)])

    def add(self, row: int) -> None:
        """Keep a face: it will be found from its cell and the eight around it."""
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
    """An array of row numbers that grows."""

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
