"""The training loop: steps, losses, saves, previews."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from faceloom.core import Cancel, ModelError, Progress, Settings
from faceloom.models import FaceModel
from faceloom.training.batches import PairSource
from faceloom.training.checkpoint import save_state
from faceloom.training.folder import ModelFolder
from faceloom.training.history import LossHistory
from faceloom.training.live import (
    HISTORY_GROWTH,
    last_kept,
    write_curve,
    write_page,
    write_preview,
)
from faceloom.training.preview import PreviewFaces, make_preview
from faceloom.training.snapshots import backup

_FETCH_EVERY_S: Final = 0.5
_FETCH_AT_MOST: Final = 200
"""Losses stay on the device between fetches, since each fetch makes the host wait for it."""


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
    backup_every_h: float = Field(default=0.0, ge=0)
    """Hours of training between backups; 0 is never."""


@dataclass
class Trainer:
    """A model in training. `history` holds the losses of all iterations that are fetched."""

    folder: ModelFolder
    model: FaceModel
    batches: PairSource
    history: LossHistory
    faces: PreviewFaces
    seed: int
    schedule: Schedule = field(default_factory=Schedule)
    trained_s: float = 0.0
    facesets: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    _pending: list[Tensor] = field(default_factory=lambda: list[Tensor]())
    _saved: int = -1

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return len(self.history) + len(self._pending)

    def run(self, until: int | None, *, progress: Progress, cancel: Cancel) -> None:
        """Train until `until` iterations are done or `cancel` is set, then save.

        Raises `ModelError` when a loss is not a number: the saved state stays as it was.
        """
        self._saved = self.iteration if self.folder.exists else -1
        clock = _Clock(self.schedule, self.iteration, last_kept(self.folder.previews))
        write_page(self.folder.previews)
        while (until is None or self.iteration < until) and not cancel.is_set:
            self.step()
            if clock.fetch_due(len(self._pending)):
                self._fetch(progress, clock)
            if clock.save_due(self.iteration):
                self._fetch(progress, clock)
                self._save(clock)
            if clock.preview_due(self.iteration):
                self._fetch(progress, clock)
                self._preview(clock)
        self._fetch(progress, clock)
        if self.iteration != self._saved:
            self._preview(clock, last=True)
            self._save(clock)

    def step(self) -> None:
        """One training step; its losses stay on the device."""
        number = self.iteration
        src, dst = self.batches.take(number)
        losses = self.model.train_step(src, dst, iteration=number)
        self._pending.append(torch.stack([losses["src"], losses["dst"]]))

    def _fetch(self, progress: Progress, clock: _Clock) -> None:
        """Bring losses from the device and report them."""
        count = len(self._pending)
        if not count:
            return
        rows = torch.stack(self._pending).float().cpu().numpy()
        broken = ~np.isfinite(rows).all(1)
        if broken.any():
            at = len(self.history) + int(broken.argmax()) + 1
            raise ModelError(
                f"{self.folder.path}: training collapsed at iteration {at}: the loss is not a "
                f"number. The model saved at iteration {max(self._saved, 0)} is untouched; go on "
                "from it with a lower learning_rate or clipgrad=true"
            )
        self.history.extend(rows)
        self._pending.clear()
        self.trained_s += clock.fetched()
        src, dst = (float(value) for value in self.history.values[-100:].mean(0))
        progress.advance(count)
        progress.metric(src=src, dst=dst)

    def _save(self, clock: _Clock) -> None:
        save_state(
            self.folder,
            self.model,
            self.history,
            seed=self.seed,
            trained_s=self.trained_s,
            facesets=self.facesets,
        )
        self._saved = self.iteration
        if clock.backup_due(self.trained_s):
            backup(self.folder)
        write_curve(self.folder.loss_curve, self.history.values)
        clock.saved()

    def _preview(self, clock: _Clock, *, last: bool = False) -> None:
        preview = make_preview(
            self.model, self.faces, self.history.values, iteration=self.iteration
        )
        keep = self.schedule.preview_history and clock.keep_preview(self.iteration, last=last)
        write_preview(self.folder.previews, preview, iteration=self.iteration, history=keep)
        clock.previewed()


class _Clock:
    """When the next fetch, save, preview and backup are due."""

    def __init__(self, schedule: Schedule, iteration: int, kept: int) -> None:
        now = time.monotonic()
        self._schedule = schedule
        self._fetched = self._saved_at = self._previewed_at = now
        self._first = iteration == 0
        self._first_preview = True
        self._kept = kept
        self._backups: float | None = None

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
        return time.monotonic() - self._saved_at >= self._schedule.save_every_s

    def saved(self) -> None:
        self._first = False
        self._saved_at = time.monotonic()

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
