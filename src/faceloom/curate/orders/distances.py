"""Distances between faces, for chains and for finding the faces least like the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import Cancel
from faceloom.core.pool import worker_count
from faceloom.curate.orders.chains import Floats, Metric, Rows

# Thumbnails compared at once: as many as stay in a core's cache.
_TILE: Final = 150
_ROUND: Final = 9
# Decimals of a sum of distances: what is below is rounding, which must not separate equal faces.


class HistogramMetric:
    """Sum of the channels' Bhattacharyya distances √(1 - Σ √(p q)), as OpenCV's.

    histograms: n x (channels · bins), non-negative; each channel is normalised to sum 1. An empty
    histogram, or NaN, has distance 1 from everything.
    """

    error = 4e-3
    """A rounding error of 1e-6 in Σ √(p q) grows to 1e-3 a channel where two are nearly equal."""

    def __init__(self, histograms: ArrayLike, channels: int) -> None:
        roots = np.array(histograms, np.float32).reshape(len(np.asarray(histograms)), channels, -1)
        np.nan_to_num(roots, copy=False, nan=0, posinf=0, neginf=0)
        sums = roots.sum(2, dtype=np.float64, keepdims=True)
        roots /= np.where(sums > 0, sums, 1)
        self._roots = np.sqrt(roots)
        self._empty = np.where(sums > 0, 0.0, 0.5)[..., 0]
        self.ceiling = float(channels)

    def __len__(self) -> int:
        return len(self._roots)

    def take(self, rows: Rows) -> HistogramMetric:
        """The same of some rows."""
        part = object.__new__(HistogramMetric)
        part._roots, part._empty = self._roots[rows], self._empty[rows]
        part.ceiling = self.ceiling
        return part

    def rough(self, rows: slice) -> NDArray[np.float32]:
        """From some faces to all, with products in 32 bits."""
        total = np.zeros((rows.stop - rows.start, len(self)), np.float32)
        for channel in range(self._roots.shape[1]):
            alike = self._roots[rows, channel] @ self._roots[:, channel].T
            np.subtract(1, alike, out=alike)
            np.maximum(alike, 0, out=alike)
            total += np.sqrt(alike, out=alike)
        return total

    def some(self, row: int, others: Rows) -> Floats:
        """From one face to some, as √(½ Σ (√p - √q)²): the same, and 0 for equal histograms."""
        apart = self._roots[others].astype(np.float64) - self._roots[row]
        halves = np.einsum("ncb,ncb->nc", apart, apart) / 2
        return np.sqrt(halves + self._empty[others] + self._empty[row]).sum(1)

    def distances(self, row: int) -> Floats:
        """From one face to all."""
        return self.some(row, np.arange(len(self)))


class EuclideanMetric:
    """Euclidean distance of vectors, n x d; NaN counts as 0."""

    def __init__(self, vectors: ArrayLike) -> None:
        self._values = _flat(vectors)
        self._set_up()

    def _set_up(self) -> None:
        self._squares = np.einsum("nd,nd->n", self._values, self._values, dtype=np.float64)
        largest = float(np.sqrt(self._squares.max())) if len(self._values) else 0.0
        self.ceiling = max(2 * largest, 1e-12)
        self.error = 3e-3 * largest

    def __len__(self) -> int:
        return len(self._values)

    def take(self, rows: Rows) -> EuclideanMetric:
        """The same of some rows."""
        part = object.__new__(EuclideanMetric)
        part._values = self._values[rows]
        part._set_up()
        return part

    def rough(self, rows: slice) -> NDArray[np.float32]:
        """From some faces to all, with products in 32 bits."""
        squares = self._squares.astype(np.float32)
        found = self._values[rows] @ self._values.T
        found *= -2
        found += squares
        found += squares[rows, None]
        np.maximum(found, 0, out=found)
        return np.sqrt(found, out=found)

    def some(self, row: int, others: Rows) -> Floats:
        """From one face to some."""
        apart = self._values[others].astype(np.float64) - self._values[row]
        return np.sqrt(np.einsum("nd,nd->n", apart, apart))

    def distances(self, row: int) -> Floats:
        """From one face to all."""
        return self.some(row, np.arange(len(self)))


def _flat(vectors: ArrayLike) -> NDArray[np.float32]:
    """n x d, with 0 for NaN."""
    values = np.nan_to_num(np.array(vectors, np.float32))
    return values.reshape(len(values), -1 if values.size else 0)


class AbsoluteMetric:
    """Sum of absolute differences of vectors, n x d; NaN counts as 0."""

    def __init__(self, vectors: ArrayLike) -> None:
        self._values = _flat(vectors)

    def __len__(self) -> int:
        return len(self._values)

    def take(self, rows: Rows) -> AbsoluteMetric:
        """The same of some rows."""
        return AbsoluteMetric(self._values[rows])

    def distances(self, row: int) -> Floats:
        """From one face to all."""
        return np.abs(self._values - self._values[row]).sum(1, dtype=np.float64)


class PictureMetric:
    """Sum of absolute differences of pictures of one size, n x … uint8.

    Computed as Σa + Σb - 2 Σ min(a, b), which is exact in whole numbers and three times as fast.
    """

    def __init__(self, pictures: NDArray[np.uint8], *, workers: int = 0) -> None:
        flat = np.ascontiguousarray(pictures, np.uint8)
        self._pictures = flat.reshape(len(flat), -1)
        self._sums = self._pictures.sum(1, dtype=np.int64)
        self._workers = worker_count(workers)
        self._pool = ThreadPoolExecutor(self._workers) if self._workers > 1 else None

    def __len__(self) -> int:
        return len(self._pictures)

    def take(self, rows: Rows) -> PictureMetric:
        """The same of some rows."""
        part = object.__new__(PictureMetric)
        part._pictures, part._sums = self._pictures[rows], self._sums[rows]
        part._workers, part._pool = self._workers, self._pool
        return part

    def distances(self, row: int) -> Floats:
        """From one picture to all."""
        n = len(self)
        common = np.empty(n, np.int64)
        share = -(-n // self._workers)
        parts = [(start, min(start + share, n)) for start in range(0, n, share)]
        if self._pool is None or n < 4 * _TILE:
            self._common(row, 0, n, common)
        else:
            jobs = [self._pool.submit(self._common, row, *part, common) for part in parts]
            for job in jobs:
                job.result()
        return (self._sums + self._sums[row] - 2 * common).astype(np.float64)

    def _common(self, row: int, start: int, stop: int, out: NDArray[np.int64]) -> None:
        """Σ min(a, b) of one picture with those from `start` to `stop`."""
        here = self._pictures[row]
        smaller = np.empty((min(_TILE, stop - start), len(here)), np.uint8)
        for first in range(start, stop, _TILE):
            last = min(first + _TILE, stop)
            tile = smaller[: last - first]
            np.minimum(self._pictures[first:last], here, out=tile)
            out[first:last] = cv2.reduce(tile, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0]


def sum_to_later(metric: Metric, cancel: Cancel | None = None) -> Floats:
    """Each face's sum of distances to those after it, n: DFL 1.0's `face-dissim`."""
    sums = np.zeros(len(metric))
    for row in range(len(metric)):
        if cancel is not None and row % 256 == 0:
            cancel.check()
        sums[row] = metric.distances(row)[row + 1 :].sum()
    return np.round(sums, _ROUND)


def histogram_unlikeness(
    histograms: ArrayLike, cancel: Cancel | None = None, *, block: int = 512
) -> Floats:
    """Each one-channel histogram's sum of Bhattacharyya distances to all others, n.

    Computed by products of matrices in 64 bits, which keeps equal pictures equal.
    """
    roots = np.nan_to_num(np.array(histograms, np.float64).reshape(len(np.asarray(histograms)), -1))
    sums = roots.sum(1, keepdims=True)
    roots = np.sqrt(roots / np.where(sums > 0, sums, 1))
    n = len(roots)
    found = np.zeros(n)
    for start in range(0, n, block):
        if cancel is not None:
            cancel.check()
        alike = roots[start : start + block] @ roots.T
        # Anything closer differs only by rounding; each face is equal to itself.
        alike[alike > 1 - 1e-13] = 1
        here = np.arange(len(alike))
        alike[here, start + here] = 1
        found[start : start + len(alike)] = np.sqrt(np.maximum(1 - alike, 0)).sum(1)
    return np.round(found, _ROUND)
