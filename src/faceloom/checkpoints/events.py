"""A model's event log: one JSON line per event, only ever appended to."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from faceloom.core import Settings

EventKind = Literal[
    "started",
    "resumed",
    "settings",
    "stage",
    "reset",
    "plateau",
    "collapse",
    "rollback",
    "save_failed",
    "snapshot",
    "backup",
    "restored",
    "imported",
    "pretrained",
    "fresh",
    "finished",
    "cancelled",
]


class Event(Settings):
    """One line of a model's log."""

    at: str
    """Time in UTC."""
    iteration: int
    """Iterations done at that time."""
    kind: EventKind
    """What happened."""
    message: str
    """A description for people, in one line."""
    details: dict[str, Any] = Field(default_factory=dict)
    """Numbers and names that belong to the event."""


class EventLog:
    """Writes a model's event log; a full disk never stops the logged operation."""

    def __init__(self, path: Path, listener: Callable[[str], None] | None = None) -> None:
        self._path = path
        self._listener = listener

    def write(self, kind: EventKind, iteration: int, message: str, **details: Any) -> Event:
        """Append an event and pass it on to the listener."""
        event = Event(
            at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            iteration=iteration,
            kind=kind,
            message=message,
            details=details,
        )
        line = json.dumps(event.model_dump(), ensure_ascii=False) + "\n"
        try:
            with self._path.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if self._listener:
                self._listener(f"{self._path}: {error.strerror}; not logged")
        if self._listener:
            self._listener(f"iteration {iteration}: {message}")
        return event


def read_events(path: Path) -> list[Event]:
    """Every event of a log, oldest first; lines that a kill cut short are skipped."""
    events: list[Event] = []
    if not path.exists():
        return events
    for line in path.read_bytes().splitlines():
        try:
            events.append(Event.model_validate_json(line))
        except ValidationError:
            continue
    return events
