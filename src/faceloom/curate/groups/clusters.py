"""Group faces by person, without knowing how many people there are or comparing all pairs.

Vectors of one person nearly always have a cosine above 0.7 with their mean, while the means of two
people reach 0.31 at most (37 people, SFace). So groups grow by their means: small tight groups
first, then groups with similar means are joined, the most similar first. Faces with unreliable
vectors (blurred, tiny, hidden) are left out of this, because they resemble each other whoever they
show and would connect two people; they are assigned to a group afterwards, by track or similarity.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, InputError, NullProgress, Progress
from faceloom.curate.groups.linkage import (
    BLOCK_FLOATS,
    blocks,
    group_sums,
    merge_nearest,
    unit_rows,
)
from faceloom.settings.curate import SAME_GROUP

Vectors = NDArray[np.float32]
Rows = NDArray[np.intp]

_TIGHT: Final = 0.65
_SAME_TRACK: Final = 0.35
_ATTACH: Final = 0.32
_MARGIN: Final = 0.08
_TRACK_SHARE: Final = 0.1
_DOUBTFUL_BLANK: Final = 0.20
_HOPELESS_BLANK: Final = 0.30
_DOUBTFUL_PX: Final = 24.0
_HOPELESS_PX: Final = 12.0
_BLURRED: Final = 0.02


@dataclass(frozen=True, eq=False)
class Clusters:
    """n faces in groups, the largest first."""

    labels: NDArray[np.intp]
    """n: the group, from 0; -1 for faces that could not be assigned."""
    distances: NDArray[np.float32]
    """n: 1 - cosine with the group's mean, 0 to 2; NaN without a group."""
    centres: Vectors
    """k x d: the groups' means, unit length."""

    @property
    def counts(self) -> NDArray[np.intp]:
        """k: faces per group."""
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self.centres))

    def outliers_first(self) -> Rows:
        """All rows, those least likely to show the main person first.

        Faces without a group, then groups from the smallest to the largest, each from its least to
        its most typical face.
        """
        distances = np.nan_to_num(self.distances, nan=3.0)
        return np.lexsort((np.arange(len(self.labels)), -distances, -self._from_smallest()))

    def _from_smallest(self) -> NDArray[np.intp]:
        return np.where(self.labels < 0, len(self.centres), self.labels)


def face_trust(
    *,
    blankness: NDArray[np.floating],
    face_px: NDArray[np.floating],
    sharpness: NDArray[np.floating],
) -> NDArray[np.intp]:
    """How reliable the vectors of n faces are, as `cluster_faces` expects it: 2, 1 or 0.

    `blankness` is that of `faceloom.identify`, `face_px` the side in the frame of the square that
    SFace sees, `sharpness` the measure of that name; NaN does not count against a face. SFace makes
    no mistakes on faces shrunk to 24 pixels, 2 in 100 at 16 pixels, and nearly half at 12.
    """
    doubtful = (blankness > _DOUBTFUL_BLANK) | (face_px < _DOUBTFUL_PX) | (sharpness < _BLURRED)
    hopeless = (blankness > _HOPELESS_BLANK) | (face_px < _HOPELESS_PX)
    return np.where(hopeless, 0, np.where(doubtful, 1, 2)).astype(np.intp)


def cluster_faces(
    embeddings: NDArray[np.floating],
    *,
    trust: NDArray[np.integer] | None = None,
    tracks: NDArray[np.integer] | None = None,
    threshold: float = SAME_GROUP,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Clusters:
    """Group n unit vectors, n x d, by person. The same input gives the same groups.

    `trust` (n) is 2 for faces that form groups, 1 for those that form a group only if they fit
    none of these, 0 for those that never do; by default all are 2. `tracks` (n, -1 unknown) numbers
    faces that were followed through a clip: within a track less similarity is required, and an
    unreliable face goes with its track. Rows that are NaN get no group. Memory grows with n, not
    with its square.

    Raises `InputError` for shapes that do not fit and `CancelledError`.
    """
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    n = len(vectors)
    tracks = np.full(n, -1) if tracks is None else np.asarray(tracks)
    trust = np.full(n, 2) if trust is None else np.asarray(trust)
    if vectors.ndim != 2 or tracks.shape != (n,) or trust.shape != (n,):
        raise InputError("cluster_faces needs n x d vectors, n tracks and n values of trust")
    if not -1 < threshold < 1:
        raise InputError(f"threshold must be between -1 and 1, not {threshold}")
    progress, cancel = progress or NullProgress(), cancel or Cancel()
    known = np.isfinite(vectors).all(axis=1)
    progress.start("group faces", n, "faces")
    labels = np.full(n, -1, dtype=np.intp)
    centres = np.zeros((0, vectors.shape[1]), np.float32)
    done = 0
    for level in (2, 1):
        rows = np.flatnonzero(known & (trust >= level) & (labels < 0))
        grown = _grow(vectors[rows], tracks[rows], threshold, cancel)
        labels[rows] = grown + len(centres)
        centres = np.concatenate([centres, unit_rows(group_sums(vectors[rows], grown)[0])])
        rest = np.flatnonzero(known & (labels < 0))
        labels[rest] = _attach(vectors[rest], tracks[rest], labels, tracks, centres)
        progress.advance(int((labels >= 0).sum()) - done)
        done = int((labels >= 0).sum())
    progress.advance(n - done)
    progress.finish()
    return _ordered(vectors, labels, centres)


def _grow(vectors: Vectors, tracks: NDArray[np.integer], threshold: float, cancel: Cancel) -> Rows:
    """Group the vectors, from tight groups to whole people: n, numbered without gaps."""
    small = _join_tracks(vectors, _tight_groups(vectors, cancel), tracks)
    return merge_nearest(group_sums(vectors, small)[0], threshold, cancel)[small]


def _tight_groups(vectors: Vectors, cancel: Cancel) -> Rows:
    """Assign each vector to the nearest leader, or make it a new one when none is near: n."""
    n, d = vectors.shape
    leaders = np.empty((64, d), np.float32)
    count, labels = 0, np.zeros(n, dtype=np.intp)
    start = 0
    while start < n:
        cancel.check()
        block = vectors[start : start + max(1, min(1024, BLOCK_FLOATS // (count + 1)))]
        own = np.full(len(block), -1, dtype=np.intp)
        if count:
            near = block @ leaders[:count].T
            best = near.argmax(axis=1)
            fits = near[np.arange(len(block)), best] >= _TIGHT
            own[fits] = best[fits]
        for row in _new_leaders(block, own, count):
            if count == len(leaders):
                leaders = np.concatenate([leaders, np.empty_like(leaders)])
            leaders[count] = block[row]
            count += 1
        labels[start : start + len(block)] = own
        start += len(block)
    return labels


def _new_leaders(block: Vectors, own: Rows, count: int) -> list[int]:
    """Make leaders from the block's rows that have none, in their order; fills `own`."""
    chosen: list[int] = []
    while (left := np.flatnonzero(own < 0)).size:
        first = int(left[0])
        own[left[block[left] @ block[first] >= _TIGHT]] = count + len(chosen)
        own[first] = count + len(chosen)
        chosen.append(first)
    return chosen


def _join_tracks(vectors: Vectors, small: Rows, tracks: NDArray[np.integer]) -> Rows:
    """Join small groups that share a track, if their means are somewhat similar."""
    if len(small) == 0 or not (tracks >= 0).any():
        return small
    means = unit_rows(group_sums(vectors, small)[0])
    parent = np.arange(len(means))
    order = np.argsort(tracks, kind="stable")
    order = order[tracks[order] >= 0]
    ends = np.flatnonzero(np.diff(tracks[order])) + 1
    for rows in np.split(order, ends):
        groups = np.unique(small[rows])
        main = groups[np.argmax(np.bincount(small[rows], minlength=len(means))[groups])]
        for group in groups[means[groups] @ means[main] >= _SAME_TRACK]:
            _link(parent, int(group), int(main))
    roots = np.array([_root(parent, group) for group in range(len(parent))], dtype=np.intp)
    return np.unique(roots[small], return_inverse=True)[1].astype(np.intp)


def _root(parent: Rows, item: int) -> int:
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = int(parent[item])
    return item


def _link(parent: Rows, a: int, b: int) -> None:
    low, high = sorted((_root(parent, a), _root(parent, b)))
    parent[high] = low


def _attach(
    rest: Vectors,
    own_tracks: NDArray[np.integer],
    labels: Rows,
    tracks: NDArray[np.integer],
    centres: Vectors,
) -> Rows:
    """A group for each face with an unreliable vector: its track's, or one that is clearly nearer
    than the others; -1 when there is neither."""
    found = np.full(len(rest), -1, dtype=np.intp)
    if len(rest) == 0 or len(centres) == 0:
        return found
    for part in blocks(len(rest), len(centres)):
        near = rest[part] @ centres.T
        best = near.argmax(axis=1)
        value = near[np.arange(len(near)), best]
        second = np.partition(near, -2, axis=1)[:, -2] if len(centres) > 1 else value - 1
        fits = (value >= _ATTACH) & (value - second >= _MARGIN)
        found[part][fits] = best[fits]
    for track, groups in _groups_of_tracks(labels, tracks).items():
        rows = np.flatnonzero(own_tracks == track)
        if len(rows):
            found[rows] = groups[(rest[rows] @ centres[groups].T).argmax(axis=1)]
    return found


def _groups_of_tracks(labels: Rows, tracks: NDArray[np.integer]) -> dict[int, Rows]:
    """Track → the groups that have a considerable share of its faces."""
    rows = np.flatnonzero((tracks >= 0) & (labels >= 0))
    pairs = np.stack([tracks[rows], labels[rows]], axis=1)
    pairs, counts = np.unique(pairs, axis=0, return_counts=True)
    groups: dict[int, Rows] = {}
    edges = [*np.flatnonzero(np.diff(pairs[:, 0], prepend=-1)).tolist(), len(pairs)]
    for start, end in pairwise(edges):
        often = counts[start:end] >= _TRACK_SHARE * counts[start:end].sum()
        groups[int(pairs[start, 0])] = pairs[start:end, 1][often].astype(np.intp)
    return groups


def _ordered(vectors: Vectors, labels: Rows, centres: Vectors) -> Clusters:
    """Number the groups by size, those of equal size by their first face; measure distances."""
    count = len(centres)
    counts = np.bincount(labels[labels >= 0], minlength=count)
    first = np.full(count, len(labels))
    rows = np.flatnonzero(labels >= 0)
    np.minimum.at(first, labels[rows], rows)
    order = np.lexsort((first, -counts))
    rank = np.empty(count, dtype=np.intp)
    rank[order] = np.arange(count)
    labels, centres = labels.copy(), centres[order]
    labels[rows] = rank[labels[rows]]
    distances = np.full(len(labels), np.nan, dtype=np.float32)
    distances[rows] = 1 - np.einsum("nd,nd->n", vectors[rows], centres[labels[rows]])
    return Clusters(labels, distances, centres)
