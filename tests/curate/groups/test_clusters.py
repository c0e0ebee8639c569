"""Groups by person, against plain loops, known persons and an independent adjusted Rand index."""

from __future__ import annotations

import tracemalloc
from itertools import combinations

import numpy as np
import pytest

from faceloom.core import Cancel, CancelledError, InputError
from faceloom.curate.groups import cluster_faces
from faceloom.curate.groups.linkage import merge_nearest, unit_rows


def _persons(counts: list[int], spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors about centres of random persons, shuffled, and whose each is."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(counts)), counts)
    centres = unit_rows(rng.normal(size=(len(counts), 128)))
    noise = unit_rows(rng.normal(size=(len(truth), 128)))
    order = rng.permutation(len(truth))
    return unit_rows(centres[truth] + spread * noise)[order], truth[order]


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two labellings part the rows alike: no pair is judged differently."""
    return bool(((a[:, None] == a[None]) == (b[:, None] == b[None])).all())


@pytest.mark.parametrize("spread", [0.3, 0.8, 1.2])
def test_known_persons_are_found(spread: float) -> None:
    """At a spread of 1.2 two faces of one person have a cosine of 0.41 only."""
    vectors, truth = _persons([300, 120, 60, 20, 5, 1, 1], spread)
    found = cluster_faces(vectors)
    assert _same(found.labels, truth)
    assert found.counts.tolist() == [300, 120, 60, 20, 5, 1, 1]
    again = cluster_faces(vectors)
    assert (again.labels == found.labels).all() and (again.centres == found.centres).all()
    order = np.random.default_rng(5).permutation(len(vectors))
    assert _same(cluster_faces(vectors[order]).labels, truth[order])


def test_distances_are_those_to_the_groups_mean() -> None:
    vectors, truth = _persons([40, 30], 0.7)
    found = cluster_faces(vectors)
    for row, label in enumerate(found.labels):
        mean = vectors[truth == truth[row]].mean(axis=0, dtype=np.float64)
        cosine = vectors[row] @ mean / np.linalg.norm(mean)
        assert found.distances[row] == pytest.approx(1 - cosine, abs=1e-5)
        assert label == truth[row]


def _plain_merge(sums: np.ndarray, threshold: float) -> np.ndarray:
    """One pair at a time, the nearest first, all pairs compared anew."""
    groups = [[row] for row in range(len(sums))]
    while len(groups) > 1:
        means = [unit_rows(sums[rows].sum(axis=0, keepdims=True))[0] for rows in groups]
        best = max(combinations(range(len(groups)), 2), key=lambda p: means[p[0]] @ means[p[1]])
        if means[best[0]] @ means[best[1]] < threshold:
            break
        groups[best[0]] += groups.pop(best[1])
    labels = np.zeros(len(sums), dtype=int)
    for label, rows in enumerate(groups):
        labels[rows] = label
    return labels


def test_merging_pairs_in_rounds_is_merging_them_one_by_one() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        vectors, _ = _persons([7, 6, 5, 4, 1], 1.4, seed)
        sums = vectors.astype(np.float64) * rng.integers(1, 30, (len(vectors), 1))
        assert _same(merge_nearest(sums, 0.45, Cancel()), _plain_merge(sums, 0.45))


def test_equal_vectors_do_not_turn_in_circles() -> None:
    vectors, _ = _persons([1, 1], 0.1)
    many = np.repeat(vectors, [7, 5], axis=0).astype(np.float64)
    assert merge_nearest(many, 0.5, Cancel()).tolist() == [0] * 7 + [1] * 5
    assert cluster_faces(np.repeat(vectors, 3000, axis=0)).counts.tolist() == [3000, 3000]


def _with_blurred(trust: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two persons, and faces of each that lie nearer to the blurred ones of the other."""
    vectors, truth = _persons([60, 40], 0.4)
    rng = np.random.default_rng(1)
    blur = unit_rows(rng.normal(size=(1, 128)))
    share = np.linspace(0.45, 0.9, 20)[:, None]
    rows = np.concatenate([np.flatnonzero(truth == 0)[:20], np.flatnonzero(truth == 1)[:20]])
    blurred = unit_rows(
        (1 - np.tile(share, (2, 1))) * vectors[rows] + np.tile(share, (2, 1)) * blur
    )
    flags = np.concatenate([np.full(100, 2), np.full(40, 0 if trust else 2)])
    tracks = np.concatenate([truth, truth[rows]])
    return np.concatenate([vectors, blurred]), np.concatenate([truth, truth[rows]]), flags, tracks


def test_blurred_faces_bridge_nobody() -> None:
    vectors, truth, flags, tracks = _with_blurred(True)
    found = cluster_faces(vectors, trust=flags)
    assert len(found.counts) == 2
    sure = found.labels >= 0
    assert _same(found.labels[sure], truth[sure])
    assert sure[:100].all() and 0 < sure[100:].sum() < 40
    tracked = cluster_faces(vectors, trust=flags, tracks=tracks)
    assert _same(tracked.labels, truth)
    _, _, naive, _ = _with_blurred(False)
    alone = cluster_faces(vectors, trust=naive)
    assert len(alone.counts) > 2, "the faces are not hard: the test tests nothing"


def test_doubtful_faces_found_groups_of_their_own_last() -> None:
    vectors, truth = _persons([50, 20], 0.5)
    trust = np.where(truth == 0, 2, 1)
    trust[np.flatnonzero(truth == 0)[:10]] = 1
    assert _same(cluster_faces(vectors, trust=trust).labels, truth)
    nobody = cluster_faces(vectors, trust=np.zeros(70, dtype=int))
    assert (nobody.labels == -1).all() and len(nobody.counts) == 0
    assert np.isnan(nobody.distances).all()


def test_a_track_holds_together_what_is_far_apart() -> None:
    """A head that turns: neighbours are near, its ends are not; a strange face in it stays out."""
    a, b, stranger = np.eye(128, dtype=np.float32)[:3]
    ends = unit_rows(np.stack([a + 0.45 * b, a + 0.4 * b, b + 0.2 * a, b + 0.15 * a, stranger]))
    apart = cluster_faces(ends)
    assert len(apart.counts) == (3 if ends[0] @ ends[2] < 0.4 else 2)
    together = cluster_faces(ends, tracks=np.zeros(5, dtype=int))
    assert together.labels.tolist() == [0, 0, 0, 0, 1]


def test_outliers_come_first() -> None:
    vectors, truth = _persons([30, 4], 0.5)
    vectors[3] = np.nan
    found = cluster_faces(vectors)
    order = found.outliers_first()
    assert sorted(order.tolist()) == list(range(34))
    assert order[0] == 3
    small = int((truth == 1).sum() - (truth[3] == 1))
    assert (truth[order[1 : 1 + small]] == 1).all()
    tail = found.distances[order[1 + small :]]
    assert (np.diff(tail) <= 0).all()


def test_memory_does_not_grow_with_the_square() -> None:
    """20 000 faces of 4000 persons: a table of pairs would take 1.6 GB, of groups 64 MB."""
    vectors, truth = _persons([5] * 4000, 0.4, 3)
    tracemalloc.start()
    found = cluster_faces(vectors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.counts) == 4000
    first = {int(t): int(label) for t, label in zip(truth, found.labels, strict=True)}
    assert all(first[int(t)] == label for t, label in zip(truth, found.labels, strict=True))
    assert peak < 250 << 20


def test_wrong_input_and_cancel() -> None:
    vectors, _ = _persons([3], 0.1)
    for wrong in ({"trust": np.ones(2)}, {"tracks": np.ones(4)}, {"threshold": 1.5}):
        with pytest.raises(InputError):
            cluster_faces(vectors, **wrong)
    with pytest.raises(InputError):
        cluster_faces(vectors[0])
    empty = cluster_faces(np.zeros((0, 128)))
    assert len(empty.labels) == 0 and len(empty.counts) == 0 and len(empty.outliers_first()) == 0
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        cluster_faces(vectors, cancel=cancel)
