"""Let a producer run ahead of its consumer in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class _End:
    """Marks the end of the items, with the error of the producer if there was one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterable[T], depth: int = 4) -> Generator[T]:
    """Yield `items`, up to `depth` of them produced ahead in a background thread.

    An error of the producer is raised in place of its item. Closing the generator (or leaving its
    loop) stops the producer and closes it.
    """
    ready: queue.Queue[T | _End] = queue.Queue(maxsize=max(depth, 1))
    stopped = threading.Event()

    def offer(item: T | _End) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        source = iter(items)
        error: BaseException | None = None
        try:
            for item in source:
                if not offer(item):
                    break
        except BaseException as raised:
            error = raised
        finally:
            _close(source)
        offer(_End(error))

    producer = threading.Thread(target=produce, name="faceloom-prefetch", daemon=True)
    producer.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        producer.join(timeout=5.0)


def _close(source: Iterator[T]) -> None:
    close = getattr(source, "close", None)
    if callable(close):
        close()
