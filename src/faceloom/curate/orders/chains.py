"""Greedy chains: from the first face on, always to the nearest one that is left.

A chain puts similar faces next to each other, which sorting by a single number cannot.
DeepFaceLab's `hist` and `absdiff`, and `face` and `vggface` of its first version, are such chains.
The distances are in `faceloom.curate.orders.distances`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, NullProgress, Progress

Rows = NDArray[np.intp]
Floats = NDArray[np.float64]

# Most faces of one chain. More are cut into slices in the order of their names, which are chained
# one by one and put one after the other. DFL uses larger slices when there are more than 12.
SLICE: Final = 20_000
_BLOCK = 512
_LEVELS = 65_534
_GONE = np.uint16(65_535)
# Steps between checks for a cancel.
_LOOK_EVERY = 256


class Metric(Protocol):
    """Distances between n faces."""

    def __len__(self) -> int: ...

    def take(self, rows: Rows) -> Metric:
        """The same of some rows."""
        ...

    def distances(self, row: int) -> Floats:
        """From one face to all, n. Equal faces have exactly equal distances."""
        ...


@runtime_checkable
class BlockMetric(Metric, Protocol):
    """A metric that computes many rough distances at once, as a product of matrices."""

    error: float
    """Largest difference between a rough and the exact distance."""
    ceiling: float
    """Upper bound of all distances."""

    def rough(self, rows: slice) -> NDArray[np.float32]:
        """From some faces to all, `len(rows) n`."""
        ...

    def some(self, row: int, others: Rows) -> Floats:
        """From one face to some, equal to those from `distances`."""
        ...


def greedy_chain(
    metric: Metric,
    *,
    farthest: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> tuple[Rows, Floats]:
    """Order n faces so that each is followed by the nearest (or `farthest`) that is left.

    Starts from row 0; of equally near ones the lowest row comes first. Returns the rows, and the
    distance of each to the one before it (NaN for the first). More than `SLICE` faces are chained
    slice by slice; the distance between slices is returned like any other.

    Takes O(n²) time, and for a `BlockMetric` up to 2 n² bytes, otherwise O(n) memory. The result
    does not depend on block sizes or rounding: near ties are decided by exact distances.
    """
    progress, cancel = progress or NullProgress(), cancel or Cancel()
    progress.start("chain", len(metric), "faces")
    pieces: list[Rows] = []
    steps: list[Floats] = []
    for start in range(0, len(metric), SLICE):
        rows = np.arange(start, min(start + SLICE, len(metric)))
        whole = len(rows) == len(metric)
        part = metric if whole else metric.take(rows)
        if isinstance(part, BlockMetric) and not farthest:
            order, step = _by_matrix(part, progress.advance, cancel)
        else:
            order, step = _step_by_step(part, farthest, progress.advance, cancel)
        if pieces:
            seam = metric.take(np.array([pieces[-1][-1], rows[order[0]]]))
            step[0] = seam.distances(0)[1]
        pieces.append(rows[order])
        steps.append(step)
    progress.finish()
    if not pieces:
        return np.empty(0, np.intp), np.empty(0)
    return np.concatenate(pieces), np.concatenate(steps)


def _by_matrix(
    metric: BlockMetric, advance: Callable[[int], None], cancel: Cancel
) -> tuple[Rows, Floats]:
    """Chain by rough distances as 16-bit numbers; those near the smallest are compared exactly."""
    n = len(metric)
    scale = _LEVELS / metric.ceiling
    matrix = np.empty((n, n), np.uint16)
    for start in range(0, n, _BLOCK):
        cancel.check()
        rough = metric.rough(slice(start, min(start + _BLOCK, n)))
        np.clip(rough * np.float32(scale), 0, _LEVELS, out=rough)
        matrix[start : start + len(rough)] = rough
    margin = int(2 * metric.error * scale) + 2
    gone = np.zeros(n, np.uint16)
    left = np.empty(n, np.uint16)
    order, steps = np.zeros(n, np.intp), np.full(n, np.nan)
    gone[0] = _GONE
    for place in range(1, n):
        if place % _LOOK_EVERY == 0:
            cancel.check()
            advance(_LOOK_EVERY)
        here = int(order[place - 1])
        np.maximum(matrix[here], gone, out=left)
        limit = min(int(left.min()) + margin, _LEVELS)
        near = np.flatnonzero(left <= limit)
        exact = metric.some(here, near)
        best = int(exact.argmin())
        order[place], steps[place] = near[best], exact[best]
        gone[near[best]] = _GONE
    advance(n % _LOOK_EVERY)
    return order, steps


def _step_by_step(
    metric: Metric, farthest: bool, advance: Callable[[int], None], cancel: Cancel
) -> tuple[Rows, Floats]:
    """Chain by distances from the current face to those left, which are compacted at times."""
    n = len(metric)
    order, steps = np.zeros(n, np.intp), np.full(n, np.nan)
    rows, left = np.arange(n), np.ones(n, bool)
    here = 0
    sign = -1.0 if farthest else 1.0
    for place in range(1, n):
        if place % _LOOK_EVERY == 0:
            cancel.check()
            advance(_LOOK_EVERY)
        distances = metric.distances(here)
        left[here] = False
        there = int(np.where(left, sign * distances, np.inf).argmin())
        order[place], steps[place] = rows[there], distances[there]
        if np.count_nonzero(left) < 0.875 * len(left):
            keep = np.flatnonzero(left)
            metric, rows, left = metric.take(keep), rows[keep], left[keep]
            there = int(np.searchsorted(keep, there))
        here = there
    advance(n % _LOOK_EVERY)
    return order, steps


def cut_chain(steps: Floats, *, at_least: float, factor: float = 4.0) -> NDArray[np.intp]:
    """Cut a chain at its large steps: the group, 0 1 2 …, of each face along the chain.

    A step is large when it exceeds `at_least` and `factor` times the median of the steps around it
    (25 to each side), so that calm and lively footage are both cut where the picture changes.
    """
    n = len(steps)
    if n == 0:
        return np.empty(0, np.intp)
    padded = np.full(n + 50, np.nan)
    padded[25:-25] = steps
    windows = np.lib.stride_tricks.sliding_window_view(padded, 51)
    usual = np.zeros(n)
    known = np.isfinite(windows).any(1)
    usual[known] = np.nanmedian(windows[known], axis=1)
    large = (steps > at_least) & (steps > factor * usual)
    return cast("NDArray[np.intp]", np.cumsum(large))
