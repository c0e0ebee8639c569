"""`ordered_map` against the built-in `map`, and its bounds."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import cv2
import pytest

from faceloom.core.events import Cancel
from faceloom.core.pool import one_opencv_thread, ordered_map


@pytest.mark.parametrize("workers", [1, 3])
def test_results_are_those_of_map_in_the_same_order(workers: int) -> None:
    delays = random.Random(1)

    def square(number: int) -> int:
        time.sleep(delays.random() / 500)
        return number * number

    assert list(ordered_map(square, range(40), workers=workers)) == [n * n for n in range(40)]


def test_no_more_items_are_read_than_the_window_holds() -> None:
    read = 0

    def items() -> Iterator[int]:
        nonlocal read
        for number in range(100):
            read += 1
            yield number

    results = ordered_map(lambda number: number, items(), workers=2, ahead=5)
    for done, _ in enumerate(results):
        assert read <= done + 7
    assert read == 100


def test_no_more_items_are_under_way_than_the_budget_allows() -> None:
    under_way = most = 0

    def items() -> Iterator[int]:
        nonlocal under_way, most
        for size in [1, 1, 1, 6, 1, 20, 1] * 5:
            under_way += size
            # Those read while it is full: at most one beyond the budget.
            most = max(most, under_way - size)
            yield size

    sizes = list[int]()
    for size in ordered_map(
        lambda size: size, items(), workers=2, ahead=50, cost=lambda size: size, budget=6
    ):
        under_way -= size
        sizes.append(size)
    assert sizes == [1, 1, 1, 6, 1, 20, 1] * 5
    assert most <= 6


def test_cancel_stops_reading_and_yields_what_is_under_way() -> None:
    cancel = Cancel()
    gate = threading.Event()

    def wait(number: int) -> int:
        gate.wait(10)
        return number

    def items() -> Iterator[int]:
        for number in range(100):
            if number == 3:
                cancel.set()
                gate.set()
            yield number

    assert list(ordered_map(wait, items(), workers=1, ahead=50, cancel=cancel)) == [0, 1, 2]


def test_an_error_is_raised_in_its_items_place() -> None:
    def fail_at_two(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    results = ordered_map(fail_at_two, range(10), workers=3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)


def test_closing_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    results = ordered_map(lambda number: number, range(1000), workers=4)
    next(results)
    results.close()
    assert threading.active_count() == before


def test_opencv_gets_its_threads_back() -> None:
    before = cv2.getNumThreads()
    with one_opencv_thread():
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before
