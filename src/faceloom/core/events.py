"""Progress and cancellation of long work.

Code below `cli/` never prints. It takes a `Progress` and a `Cancel`, reports finished items, and
calls `cancel.check()` between items.
"""

from __future__ import annotations

import threading
from typing import Protocol

from faceloom.core.errors import CancelledError


class Progress(Protocol):
    """Receives the progress of a stage. Implementations must be thread-safe."""

    def start(self, stage: str, total: int | None, unit: str, done: int = 0) -> None:
        """A stage begins: `total` items of `unit` (None: unknown), of which `done` are finished."""
        ...

    def advance(self, items: int = 1) -> None:
        """`items` more are finished."""
        ...

    def metric(self, **values: float | str) -> None:
        """Named values to show next to the bar (loss, faces, …); the newest value counts."""
        ...

    def note(self, message: str) -> None:
        """A line to keep on the screen: a warning, a skipped file, a result."""
        ...

    def finish(self) -> None:
        """The stage is over."""
        ...


class NullProgress:
    """A `Progress` that collects notes and shows nothing."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, stage: str, total: int | None, unit: str, done: int = 0) -> None:
        pass

    def advance(self, items: int = 1) -> None:
        pass

    def metric(self, **values: float | str) -> None:
        pass

    def note(self, message: str) -> None:
        self.notes.append(message)

    def finish(self) -> None:
        pass


class Cancel:
    """A flag that any thread can set; long work checks it between items."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise `CancelledError` if cancelled."""
        if self._event.is_set():
            raise CancelledError("cancelled; finished work is kept, run the same command to resume")
