"""Orders of drawing: epochs, independence, resume, evenness over yaw."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from faceloom.core import InputError
from faceloom.samples import ShuffledOrder, UniformYawOrder, yaw_bins


def test_each_sample_once_an_epoch() -> None:
    taken = ShuffledOrder(17, seed=3).take(0, 17 * 5).reshape(5, 17)
    for epoch in taken:
        assert sorted(epoch) == list(range(17))
    assert not np.array_equal(taken[0], taken[1])


def test_position_is_all_there_is_to_resume() -> None:
    whole = ShuffledOrder(10, seed=1).take(0, 47)
    parts = [ShuffledOrder(10, seed=1).take(start, 3) for start in range(0, 45, 3)]
    assert np.array_equal(np.concatenate(parts), whole[:45])
    assert not np.array_equal(ShuffledOrder(10, seed=2).take(0, 47), whole)


def test_empty_sets_are_refused() -> None:
    with pytest.raises(InputError):
        ShuffledOrder(0, seed=1)
    with pytest.raises(InputError):
        UniformYawOrder([], seed=1)


def test_yaw_bins_are_those_of_the_reference() -> None:
    grid = np.linspace(-1.2, 1.2, 128)
    middles = (grid[:-1] + grid[1:]) / 2
    assert yaw_bins(-middles).tolist() == list(range(127))
    assert yaw_bins([1.5, -1.5, -1.2]).tolist() == [0, 126, 126]


def test_uniform_yaw_shows_rare_angles_as_often() -> None:
    yaw = np.concatenate([np.full(95, 0.01), np.full(4, 0.5), np.full(1, -0.9)])
    order = UniformYawOrder(yaw, seed=5)
    taken = order.take(0, 3 * 95)
    groups = Counter(0 if i < 95 else 1 if i < 99 else 2 for i in taken.tolist())
    assert groups == {0: 95, 1: 95, 2: 95}
    assert set(taken.tolist()) == set(range(100)), "within its bin every sample comes"
    again = np.concatenate([order.take(p, 5) for p in range(0, 285, 5)])
    assert np.array_equal(again, taken)
