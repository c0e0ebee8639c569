"""The order in which samples are drawn: a function of the seed and of how many were drawn before.

Only that count is stored, so a resumed training continues exactly where it stopped.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import InputError

Indices = NDArray[np.int64]

YAW_LIMIT_RAD: Final = 1.2
YAW_BINS: Final = 127
"""128 grid points over ±1.2 rad, as in DeepFaceLab, make 127 bins."""


class Order(Protocol):
    """Which sample comes at which position of an endless sequence."""

    def take(self, position: int, count: int) -> Indices:
        """The samples at `position` … `position + count - 1` of the sequence: (count,) int64."""
        ...


class ShuffledOrder:
    """A new permutation of all samples in each epoch: each comes once before any comes again."""

    def __init__(self, length: int, seed: int) -> None:
        if length < 1:
            raise InputError("no samples to draw from")
        self._length = length
        self._seed = seed
        self._epoch = -1
        self._permutation: Indices = np.empty(0, np.int64)

    def take(self, position: int, count: int) -> Indices:
        return np.array([self._at(position + i) for i in range(count)], np.int64)

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, self._length)
        if epoch != self._epoch:
            self._permutation = _permutation(self._length, self._seed, epoch)
            self._epoch = epoch
        return int(self._permutation[place])


class UniformYawOrder:
    """Every bin of head yaw equally often, and within a bin each sample once before any again.

    There are 127 bins of equal width over ±1.2 rad, as in DeepFaceLab; the outer two are
    open-ended, empty ones are left out.
    """

    def __init__(self, yaw_rad: ArrayLike, seed: int) -> None:
        bins = yaw_bins(yaw_rad)
        if bins.size < 1:
            raise InputError("no samples to draw from")
        self._seed = seed
        self._bins = [np.flatnonzero(bins == b).astype(np.int64) for b in np.unique(bins)]
        self._rounds = ShuffledOrder(len(self._bins), seed)
        self._members = [
            ShuffledOrder(len(members), seed + 1 + number)
            for number, members in enumerate(self._bins)
        ]

    def take(self, position: int, count: int) -> Indices:
        return np.array([self._at(position + i) for i in range(count)], np.int64)

    def _at(self, position: int) -> int:
        chosen = int(self._rounds.take(position, 1)[0])
        visit = position // len(self._bins)
        place = int(self._members[chosen].take(visit, 1)[0])
        return int(self._bins[chosen][place])


def yaw_bins(yaw_rad: ArrayLike) -> Indices:
    """The yaw bin 0 … 126 of each yaw in radians: (n,) int64."""
    yaw = -np.asarray(yaw_rad, np.float64)
    width = 2 * YAW_LIMIT_RAD / YAW_BINS
    raw = np.floor((yaw + YAW_LIMIT_RAD) / width)
    return np.clip(raw, 0, YAW_BINS - 1).astype(np.int64)


def _permutation(length: int, seed: int, epoch: int) -> Indices:
    random = np.random.Generator(np.random.PCG64([abs(seed), epoch]))
    return random.permutation(length).astype(np.int64)
