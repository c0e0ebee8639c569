"""What happens beside the training steps, and when."""

from __future__ import annotations

import math
import sys
import time
from typing import Final

import torch
from pydantic import Field

from faceloom.core import Settings
from faceloom.training.guard import Flat
from faceloom.training.previews.live import HISTORY_GROWTH

_FETCH_EVERY_S: Final = 0.5
_FETCH_AT_MOST: Final = 200
"""Losses stay on the device between fetches, since each fetch makes the host wait for it."""
_MEMORY_EVERY_S: Final = 5.0


class Schedule(Settings):
    """What happens beside the training steps, and when."""

    save_every_s: float = Field(default=300.0, gt=0)
    """Seconds between saves. The model is also saved after its first iteration, at the target and
    on Ctrl-C."""
    preview_every_s: float = Field(default=60.0, ge=0)
    """Seconds between previews."""
    preview_every: int = Field(default=0, ge=0)
    """Iterations between previews; 0 leaves it to `preview_every_s`."""
    preview_history: bool = True
    """Keep previews, spaced ever wider, for a timelapse."""
    backup_every_h: float = Field(default=1.0, ge=0)
    """Hours of training between backups; 0 is never."""
    backups: int = Field(default=24, ge=1)
    """How many backups are kept; the oldest go first."""
    collapse_factor: float = Field(default=2.0, ge=0)
    """Go back to the last good state when the loss jumps to this many times what it was and stays
    there; 0 never. A loss or weight that is no number counts as a collapse always."""
    max_rollbacks: int = Field(default=5, ge=0)
    """How often in a row training may go back to a good state before it gives up."""
    plateau: Flat = Flat(window=20000, improvement=0.01)
    """When to tell that the loss stands still."""


class Clock:
    """When the next fetch, save, preview and backup are due."""

    def __init__(self, schedule: Schedule, iteration: int, kept: int) -> None:
        now = time.monotonic()
        self._schedule = schedule
        self._fetched = self._previewed_at = now
        self._save_at = now + schedule.save_every_s
        self._first = iteration == 0
        self._first_preview = True
        self._kept = kept
        self._backups: float | None = None
        self._memory_at = 0.0
        self._memory: dict[str, str] = {}

    def fetch_due(self, pending: int) -> bool:
        waited = time.monotonic() - self._fetched
        return waited >= _FETCH_EVERY_S or pending >= _FETCH_AT_MOST

    def fetched(self) -> float:
        """Mark a fetch; return the seconds since the one before."""
        now = time.monotonic()
        elapsed, self._fetched = now - self._fetched, now
        return elapsed

    def save_due(self, iteration: int) -> bool:
        if self._first and iteration == 1:
            return True
        return time.monotonic() >= self._save_at

    def saved(self) -> None:
        self._first = False
        self._save_at = time.monotonic() + self._schedule.save_every_s

    def save_later(self, seconds: float) -> float:
        """Try again after so many seconds, or the interval between saves if that is shorter;
        returns which."""
        self._first = False
        wait = min(seconds, self._schedule.save_every_s)
        self._save_at = time.monotonic() + wait
        return wait

    def preview_due(self, iteration: int) -> bool:
        if self._first_preview:
            return True
        if self._schedule.preview_every:
            return iteration % self._schedule.preview_every == 0
        return time.monotonic() - self._previewed_at >= self._schedule.preview_every_s

    def previewed(self) -> None:
        self._first_preview = False
        self._previewed_at = time.monotonic()

    def keep_preview(self, iteration: int, *, last: bool) -> bool:
        if not last and iteration < self._kept * HISTORY_GROWTH:
            return False
        self._kept = iteration
        return True

    def backup_due(self, trained_s: float) -> bool:
        """Whether a whole number of backup intervals has passed since the last look."""
        if not self._schedule.backup_every_h:
            return False
        done = math.floor(trained_s / (3600 * self._schedule.backup_every_h))
        due = self._backups is not None and done > self._backups
        self._backups = done
        return due

    def memory(self, device: torch.device) -> dict[str, str]:
        """`memory`: what the training holds at most, on its device; looked up now and then."""
        now = time.monotonic()
        if now - self._memory_at >= _MEMORY_EVERY_S:
            self._memory_at = now
            used = _memory_in_use(device)
            self._memory = {} if used is None else {"memory": f"{used / 2**30:.1f} GiB"}
        return self._memory


def _memory_in_use(device: torch.device) -> float | None:
    """Most bytes in use so far: of the GPU, or of this process; None where nobody tells."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    if device.type == "mps":
        return float(torch.mps.driver_allocated_memory())
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)
