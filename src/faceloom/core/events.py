"""Progress and cancel: how long work speaks to whoever shows it.

Code below `cli/` never prints. It takes a `Progress` and a `Cancel`, reports items as they are
done, and calls `cancel.check()` between items.
"""

from __future__ import annotations

import threading
from typing import Protocol

from faceloom.core.errors import CancelledError


class Progress(Protocol):
    """Receives what a stage does. Implementations must be safe to call from any thread."""

    def start(self, stage: str, total: int | None, unit: str, done: int = 0) -> None:
        """A stage begins: `total` items of `unit` (None when unknown), `done` already there."""
        ...

    def advance(self, items: int = 1) -> None:
        """`items` more are done."""
        ...

    def metric(self, **values: float | str) -> None:
        """Named figures to show beside the bar (loss, faces, …); the newest value counts."""
        ...

    def note(self, message: str) -> None:
        """One line worth keeping on the screen: a warning, a file left out, a result."""
        ...

    def finish(self) -> None:
        """The stage is over."""
        ...


class NullProgress:
    """A `Progress` that keeps the notes and shows nothing."""

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
    """A switch that any thread may set once; long work looks at it between items."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise `CancelledError` when the switch is set."""
        if self._event.is_set():
            raise CancelledError("cancelled; what was done so far is kept, run again to resume")
