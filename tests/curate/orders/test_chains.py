"""Greedy chains against a plain search by OpenCV's and NumPy's own distances, and their ties."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from faceloom.core import Cancel, CancelledError
from faceloom.curate.orders import chains
from faceloom.curate.orders.chains import cut_chain, greedy_chain
from faceloom.curate.orders.distances import (
    AbsoluteMetric,
    EuclideanMetric,
    HistogramMetric,
    PictureMetric,
    histogram_unlikeness,
    sum_to_later,
)
from made_tables import histograms


def plain_chain(n: int, distance: Callable[[int, int], float], farthest: bool = False) -> list[int]:
    """The chain as a user would make it by hand."""
    order, left = [0], list(range(1, n))
    while left:
        apart = [distance(order[-1], other) for other in left]
        order.append(left.pop(apart.index((max if farthest else min)(apart))))
    return order


def bhattacharyya(a: np.ndarray, b: np.ndarray) -> float:
    return sum(
        cv2.compareHist(x, y, cv2.HISTCMP_BHATTACHARYYA)
        for x, y in zip(a.reshape(-1, 256), b.reshape(-1, 256), strict=True)
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def test_the_histogram_chain_is_that_of_opencv(rng):
    hist = histograms(rng, 150, 3)
    order, steps = greedy_chain(HistogramMetric(hist, 3))
    assert order.tolist() == plain_chain(150, lambda a, b: bhattacharyya(hist[a], hist[b]))
    told = [bhattacharyya(hist[a], hist[b]) for a, b in itertools.pairwise(order)]
    np.testing.assert_allclose(steps[1:], told, atol=1e-4)
    assert np.isnan(steps[0])


def test_near_ties_are_settled_exactly_and_true_ties_by_name(rng):
    """Distances far below what 16 bits can tell apart, and faces that are there three times."""
    base = np.zeros(30)
    vectors = base + rng.permutation(60)[:, None] * 1e-4 * np.eye(30)[0] + 10 * np.eye(30)[1]
    vectors = np.concatenate([vectors, vectors[::2], vectors[::3]]).astype(np.float32)
    order, _ = greedy_chain(EuclideanMetric(vectors))
    values = vectors[:, 0].astype(np.float64)
    assert order.tolist() == plain_chain(len(vectors), lambda a, b: abs(values[a] - values[b]))


@pytest.mark.parametrize("farthest", [False, True])
def test_the_picture_chain_sums_absolute_differences(rng, farthest):
    pictures = rng.integers(0, 256, (120, 16, 16, 3)).astype(np.uint8)
    pictures[40] = pictures[7]
    whole = pictures.astype(int)
    order, _ = greedy_chain(PictureMetric(pictures, workers=2), farthest=farthest)
    assert order.tolist() == plain_chain(
        120, lambda a, b: int(np.abs(whole[a] - whole[b]).sum()), farthest
    )


def test_pictures_in_threads_give_the_same(rng):
    pictures = rng.integers(0, 256, (700, 8, 8, 3)).astype(np.uint8)
    expected = np.abs(pictures.astype(int) - pictures[11].astype(int)).sum((1, 2, 3))
    for workers in (1, 3):
        assert (PictureMetric(pictures, workers=workers).distances(11) == expected).all()


def test_vectors_chain_by_either_norm(rng):
    vectors = rng.normal(0, 1, (90, 12)).astype(np.float32)
    straight = plain_chain(90, lambda a, b: float(np.linalg.norm(vectors[a] - vectors[b])))
    block = plain_chain(90, lambda a, b: float(np.abs(vectors[a] - vectors[b]).sum()))
    assert greedy_chain(EuclideanMetric(vectors))[0].tolist() == straight
    assert greedy_chain(AbsoluteMetric(vectors))[0].tolist() == block


def test_more_faces_than_a_slice_are_chained_slice_by_slice(rng, monkeypatch):
    monkeypatch.setattr(chains, "SLICE", 40)
    vectors = rng.normal(0, 1, (100, 3))
    order, steps = greedy_chain(EuclideanMetric(vectors))
    for start in (0, 40, 80):
        part = vectors[start : start + 40]
        expected = plain_chain(
            len(part), lambda a, b, part=part: float(np.linalg.norm(part[a] - part[b]))
        )
        assert (order[start : start + 40] - start).tolist() == expected
    assert steps[40] == pytest.approx(np.linalg.norm(vectors[order[39]] - vectors[40]), abs=1e-5)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_faces(n):
    order, steps = greedy_chain(EuclideanMetric(np.ones((n, 4))))
    assert order.tolist() == list(range(n))
    assert len(steps) == n


def test_a_chain_can_be_cancelled(rng):
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        greedy_chain(EuclideanMetric(rng.normal(0, 1, (2000, 3))), cancel=cancel)


def test_empty_histograms_are_as_far_as_can_be_as_in_opencv(rng):
    hist = histograms(rng, 4, 1)
    hist[2] = 0
    hist[3] = np.nan
    distances = HistogramMetric(hist, 1).distances(0)
    expected = bhattacharyya(hist[0], hist[2])
    assert expected == 1
    np.testing.assert_allclose(distances[2:], [1, 1])
    assert distances[0] == 0


def test_sums_of_distances(rng):
    hist = histograms(rng, 40, 1)
    hist[31] = hist[5]
    every = np.array([[bhattacharyya(a, b) for b in hist] for a in hist])
    found = histogram_unlikeness(hist, block=16)
    np.testing.assert_allclose(found, every.sum(1), atol=1e-4)
    assert found[31] == found[5]
    metric = AbsoluteMetric(hist)
    apart = np.abs(hist[:, None] - hist[None]).sum(2)
    np.testing.assert_allclose(sum_to_later(metric), np.triu(apart).sum(1), rtol=1e-5)


def test_a_chain_is_cut_where_a_step_stands_out():
    calm = np.concatenate([[np.nan], np.full(30, 0.01), [0.5], np.full(30, 0.01)])
    assert cut_chain(calm, at_least=0.2).tolist() == [0] * 31 + [1] * 31
    lively = np.concatenate([[np.nan], np.full(60, 0.3)])
    assert cut_chain(lively, at_least=0.2).max() == 0
    assert cut_chain(calm, at_least=0.6).max() == 0
    assert cut_chain(np.array([np.nan]), at_least=0.2).tolist() == [0]
    assert len(cut_chain(np.empty(0), at_least=0.2)) == 0
