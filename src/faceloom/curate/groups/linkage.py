"""Join the most similar groups of unit vectors by their means, without a table of all pairs.

SciPy's linkage needs the distances of all pairs: 3 GB for 20,000 groups, against 0.2 GB here.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel

# Products computed at a time: 32 MiB.
BLOCK_FLOATS: Final = 1 << 23


def blocks(rows: int, columns: int) -> list[slice]:
    """Slices of rows whose products with `columns` others fit into `BLOCK_FLOATS`."""
    step = max(1, min(1024, BLOCK_FLOATS // max(columns, 1)))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def group_sums(
    vectors: NDArray[np.float32], labels: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The sum of each group's vectors, k x d, and their number, k.

    Every group from 0 to the largest number must have a vector.
    """
    count = int(labels.max()) + 1 if len(labels) else 0
    counts = np.bincount(labels, minlength=count).astype(np.intp)
    if count == 0:
        return np.zeros((0, vectors.shape[1])), counts
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.add.reduceat(vectors[order].astype(np.float64), starts, axis=0), counts


def unit_rows(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """The rows, n x d, scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(lengths, 1e-12)).astype(np.float32)


def merge_nearest(sums: NDArray[np.float64], threshold: float, cancel: Cancel) -> NDArray[np.intp]:
    """Join groups, each given by the sum of its vectors (m x d), while the means of any two have a
    cosine of at least `threshold`; return the new number of each: m, from 0 without gaps.

    Every round joins all pairs that are each other's nearest. For most of them that is what joining
    one pair at a time would do, in far fewer rounds (Murtagh, "A survey of recent advances in
    hierarchical clustering algorithms", 1983). Raises `CancelledError`.
    """
    groups = _Groups(sums, cancel)
    while len(pairs := groups.mutual(threshold)):
        groups.join(pairs)
    return np.unique(groups.root, return_inverse=True)[1].astype(np.intp)


class _Groups:
    """Groups and the nearest other group of each; joined groups are no longer alive."""

    def __init__(self, sums: NDArray[np.float64], cancel: Cancel) -> None:
        self._cancel = cancel
        self._sums = sums.copy()
        self._means = unit_rows(sums)
        self.root = np.arange(len(sums))
        self._alive = np.arange(len(sums))
        self._best = np.zeros(len(sums), dtype=np.intp)
        self._value = np.full(len(sums), -2, dtype=np.float32)
        self._update(self._alive, self._alive)

    def mutual(self, threshold: float) -> NDArray[np.intp]:
        """Pairs (p x 2, the lower first) that are each other's nearest and similar enough."""
        alive = self._alive
        near = alive[self._value[alive] >= threshold]
        if len(near) == 0:
            return np.zeros((0, 2), dtype=np.intp)
        best = self._best[near]
        pairs = np.stack([near, best], axis=1)[(self._best[best] == near) & (near < best)]
        if len(pairs) == 0:
            # With equal products that round differently, nearest groups can form a cycle.
            top = int(near[np.argmax(self._value[near])])
            pairs = np.sort([[top, int(self._best[top])]], axis=1)
        return pairs

    def join(self, pairs: NDArray[np.intp]) -> None:
        """Join each pair into its first group, and update the nearest groups."""
        kept, gone = pairs[:, 0], pairs[:, 1]
        self._sums[kept] += self._sums[gone]
        self._means[kept] = unit_rows(self._sums[kept])
        into = np.arange(len(self.root))
        into[gone] = kept
        self.root = into[self.root]
        dead = np.zeros(len(self.root), dtype=bool)
        dead[gone] = True
        self._alive = self._alive[~dead[self._alive]]
        changed = dead.copy()
        changed[kept] = True
        stale = changed[self._alive] | changed[self._best[self._alive]]
        self._update(self._alive[~stale], kept)
        self._value[self._alive[stale]] = -2
        self._update(self._alive[stale], self._alive)

    def _update(self, rows: NDArray[np.intp], among: NDArray[np.intp]) -> None:
        """Update the nearest group of `rows` where one of `among` is nearer."""
        means = self._means[among]
        for part in blocks(len(rows), len(among)) if len(among) else []:
            self._cancel.check()
            own = rows[part]
            near = self._means[own] @ means.T
            place = np.minimum(np.searchsorted(among, own), len(among) - 1)
            itself = among[place] == own
            near[np.flatnonzero(itself), place[itself]] = -2
            best = near.argmax(axis=1)
            value = near[np.arange(len(own)), best]
            better = value > self._value[own]
            self._value[own[better]] = value[better]
            self._best[own[better]] = among[best[better]]
