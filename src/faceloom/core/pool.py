"""Threaded work: results in the order of the items, with a bounded number in progress."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from faceloom.core.events import Cancel

T = TypeVar("T")
R = TypeVar("R")


def worker_count(workers: int = 0, *, most: int = 64) -> int:
    """`workers` itself, or for 0 one thread per core; never more than `most`."""
    return min(workers or os.cpu_count() or 1, most)


def ordered_map(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int,
    ahead: int | None = None,
    cost: Callable[[T], int] | None = None,
    budget: int = 0,
    cancel: Cancel | None = None,
) -> Generator[R]:
    """Yield `function(item)` for each item, in order, computed by `workers` threads.

    Items are read in the caller's thread, at most `ahead` of them (default: 2 per worker) before
    the result that is yielded next, and no more while the `cost` of those in progress (such as
    their bytes) exceeds `budget`. Once `cancel` is set no more items are read; results in progress
    are still yielded. An exception in `function` is raised in place of its item's result. If the
    caller stops early, queued work is dropped and running work is waited for.
    """
    window = 2 * workers if ahead is None else ahead
    waiting: deque[tuple[Future[R], int]] = deque()
    spent = 0
    pool = ThreadPoolExecutor(workers, thread_name_prefix="faceloom")
    try:
        for item in items:
            if cancel is not None and cancel.is_set:
                break
            price = 0 if cost is None else cost(item)
            waiting.append((pool.submit(function, item), price))
            spent += price
            while waiting and (waiting[0][0].done() or len(waiting) > window or spent > budget):
                future, price = waiting.popleft()
                spent -= price
                yield future.result()
        for future, _ in waiting:
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def one_opencv_thread() -> Generator[None]:
    """Turn OpenCV's own threads off while our pool uses the cores."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
