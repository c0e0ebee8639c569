"""What happened to a model: one JSON line an event, appended to and never rewritten."""

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
    """When, in UTC."""
    iteration: int
    """Iterations done then."""
    kind: EventKind
    """What happened."""
    message: str
    """The same for people, in one line."""
    details: dict[str, Any] = Field(default_factory=dict)
    """Figures and names that belong to it."""


class EventLog:
    """Writes a model's log; a full disk never stops what is being logged."""

    def __init__(self, path: Path, tell: Callable[[str], None] | None = None) -> None:
        self._path = path
        self._tell = tell

    def write(self, kind: EventKind, iteration: int, message: str, **details: Any) -> Event:
        """Append an event, and tell it to whoever listens."""
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
            if self._tell:
                self._tell(f"{self._path}: {error.strerror}; not logged")
        if self._tell:
            self._tell(f"iteration {iteration}: {message}")
        return event


def read_events(path: Path) -> list[Event]:
    """Every event of a log, oldest first; lines that a kill cut short are left out."""
    events: list[Event] = []
    if not path.exists():
        return events
    for line in path.read_bytes().splitlines():
        try:
            events.append(Event.model_validate_json(line))
        except ValidationError:
            continue
    return events
