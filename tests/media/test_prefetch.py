"""Running ahead: order, errors and stopping."""

from __future__ import annotations

import threading
import time

import pytest

from faceloom.media import prefetch


def test_keeps_order_and_runs_ahead():
    made: list[int] = []

    def produce():
        for number in range(20):
            made.append(number)
            yield number

    items = prefetch(produce(), depth=3)
    assert next(items) == 0
    deadline = time.monotonic() + 2
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 4 <= len(made) <= 6
    assert list(items) == list(range(1, 20))


def test_passes_the_error_on_in_its_place():
    def produce():
        yield 1
        raise ValueError("torn")

    items = prefetch(produce())
    assert next(items) == 1
    with pytest.raises(ValueError, match="torn"):
        next(items)


def test_leaving_early_closes_the_producer():
    closed = threading.Event()

    def produce():
        try:
            yield from range(10**9)
        finally:
            closed.set()

    items = prefetch(produce(), depth=2)
    assert next(items) == 0
    items.close()
    assert closed.wait(2)
    assert not any(t.name == "faceloom-prefetch" for t in threading.enumerate())
