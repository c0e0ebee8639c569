"""The training loop: steps, losses, saves, previews, and what ends a segment of training."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceloom.checkpoints.events import EventLog
from faceloom.checkpoints.folder import ModelFolder
from faceloom.checkpoints.history import LossHistory
from faceloom.checkpoints.snapshots import backup
from faceloom.checkpoints.state import save_state
from faceloom.core import Cancel, Progress
from faceloom.models import TrainableModel
from faceloom.settings.training import Plateau, Schedule
from faceloom.training.distributed.parallel import World, broadcast_object, mean_losses
from faceloom.training.ema import Ema
from faceloom.training.guard import Guard, ProvenStates, is_flat, is_sound
from faceloom.training.previews.files import last_kept, write_curve, write_page, write_preview
from faceloom.training.previews.preview import Preview

if TYPE_CHECKING:
    from faceloom.training.previews.tensorboard import Board

Outcome = Literal["reached", "cancelled", "flat", "time", "collapsed"]
"""Why a segment ended: its last iteration, the user, a flat loss, its hours, or a collapse (a NaN
in a loss or weight, or a loss that has risen and stays high)."""

# Iterations between the points at which several processes agree on whether to continue.
_CONTROL_EVERY: Final = 8
_SAVE_AGAIN_S: Final = 60.0
_BROKEN_WEIGHT: Final = "a weight is NaN or infinite"
_FETCH_EVERY_S: Final = 0.5
_FETCH_AT_MOST: Final = 200
_MEMORY_EVERY_S: Final = 5.0
# A preview is added to the history when this many times the iterations of the last one are done.
# Training slows down, and so does its record: a million iterations leave some hundred pictures.
_HISTORY_GROWTH: Final = 1.02


@dataclass(frozen=True)
class Ending:
    """What may end a segment before its last iteration."""

    flat: Plateau | None = None
    """A flat loss ends the segment,"""
    since: int = 0
    """measured over the iterations after this one,"""
    not_before: int = 0
    """at this iteration or later."""
    trained_s: float | None = None
    """This many seconds of training, over all sessions."""


@dataclass
class Trainer:
    """A model in training. `history` has the losses of all iterations fetched so far."""

    folder: ModelFolder
    model: TrainableModel
    step: Callable[[int], dict[str, Tensor]]
    """One training step, given its iteration, counted from 0."""
    preview: Callable[[NDArray[np.float32], int], Preview]
    """Makes a preview from all losses and the number of iterations done."""
    history: LossHistory
    seed: int
    schedule: Schedule = field(default_factory=Schedule)
    trained_s: float = 0.0
    facesets: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    ema: Ema | None = None
    guard: Guard = field(default_factory=Guard)
    ending: Ending = field(default_factory=Ending)
    world: World = field(default_factory=World)
    record: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())
    """Further fields of the saved state: device, precision, risk, recipe and so on."""
    board: Board | None = None
    trouble: str = ""
    """What was wrong if the outcome is "collapsed"."""
    sudden: bool = True
    """Whether that was a NaN rather than a loss that has risen."""
    _pending: list[Tensor] = field(default_factory=lambda: list[Tensor]())
    _saved: int = -1
    _noted: int = 0
    _proven: ProvenStates = field(init=False)

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return len(self.history) + len(self._pending)

    def run(self, until: int | None, *, progress: Progress, cancel: Cancel) -> Outcome:
        """Train until `until` iterations are done or something else ends it, then save.

        After a collapse nothing is saved, and the saved state stays as it was. Saves that fail
        because the disk is full are retried; only the last one raises its `OSError`.
        """
        log = EventLog(self.folder.events_file, progress.note)
        self._saved = self.iteration if self.folder.exists else -1
        self._noted = self.iteration
        self._proven = ProvenStates(self.folder)
        # After pretraining or a rollback the history has previews of later iterations; ignore them.
        kept = min(last_kept(self.folder.previews), self.iteration)
        clock = Clock(self.schedule, self.iteration, kept)
        if self.world.first:
            write_page(self.folder.previews)
        outcome = self._loop(until, clock, log, progress, cancel)
        if outcome != "collapsed" and self.iteration != self._saved and self.world.first:
            if is_sound(self.model):
                self._preview(clock, last=True)
                self._save(clock, log)
            else:
                self.trouble = _BROKEN_WEIGHT
                outcome = "collapsed"
        return broadcast_object(outcome, self.world)

    def train_step(self) -> None:
        """One training step; its losses stay on the device."""
        number = self.iteration
        losses = self.step(number)
        self._pending.append(torch.stack([losses[name] for name in self.model.loss_names]))
        if self.ema is not None:
            self.ema.update(number + 1)

    def _loop(
        self, until: int | None, clock: Clock, log: EventLog, progress: Progress, cancel: Cancel
    ) -> Outcome:
        outcome: Outcome | None = None
        while until is None or self.iteration < until:
            outcome = self._agreed(outcome or ("cancelled" if cancel.is_set else None))
            if outcome is not None:
                return "collapsed" if self._fetch(progress, clock) else outcome
            self.train_step()
            outcome = self._after_step(clock, log, progress) or outcome
        return "collapsed" if self._fetch(progress, clock) else "reached"

    def _after_step(self, clock: Clock, log: EventLog, progress: Progress) -> Outcome | None:
        """Fetch, save and preview when due; return an outcome if one of these ends the segment."""
        if self.world.size > 1 and self.iteration % _CONTROL_EVERY:
            return None  # all processes must fetch together
        due = clock.save_due(self.iteration), clock.preview_due(self.iteration)
        if not (any(due) or self.world.size > 1 or clock.fetch_due(len(self._pending))):
            return None
        if self._fetch(progress, clock):
            return "collapsed"
        if not self.world.first:
            return None
        if due[0] and not self._save_if_sound(clock, log):
            return "collapsed"
        if due[1]:
            self._preview(clock)
        return self._ended(log)

    def _fetch(self, progress: Progress, clock: Clock) -> bool:
        """Fetch the losses from the device and report them; return whether they show a collapse."""
        count = len(self._pending)
        if not count:
            return False
        rows = mean_losses(torch.stack(self._pending).float(), self.world).cpu().numpy()
        self._pending.clear()
        broken = self.guard.broken(rows)
        if broken is not None:
            at = len(self.history) + broken + 1
            self.trouble = f"the loss of iteration {at} is NaN or infinite"
            return True
        self.history.extend(rows)
        self.trained_s += clock.fetched()
        recent = self.history.recent(100)
        means = {name: float(x) for name, x in zip(self.model.loss_names, recent, strict=True)}
        progress.advance(count)
        progress.metric(**means, **clock.memory(self.model.device))
        if self.board:
            self.board.scalars(self.iteration, {f"loss/{k}": v for k, v in means.items()})
        if self.guard.collapsed(self.history.values):
            self.sudden = False
            self.trouble = f"the loss is more than {self.guard.factor:g} times its usual value"
            return True
        return False

    def _ended(self, log: EventLog) -> Outcome | None:
        """Whether the losses or the hours end this segment; also reports a flat loss."""
        losses, ending = self.history.values, self.ending
        if ending.trained_s is not None and self.trained_s >= ending.trained_s:
            return "time"
        if ending.flat is not None:
            still = self.iteration >= ending.not_before
            if still and is_flat(losses, ending.since, ending.flat):
                return "flat"
        note = self.schedule.plateau
        if note.window and self.iteration >= self._noted + note.window:
            self._noted = self.iteration
            if is_flat(losses, self.guard.first, note):
                log.write(
                    "plateau",
                    self.iteration,
                    f"the loss is flat: it dropped by less than {note.improvement:.1%} in the last"
                    f" {note.window} iterations",
                )
        return None

    def _save_if_sound(self, clock: Clock, log: EventLog) -> bool:
        """Save, unless the losses look suspicious; return False if a weight is NaN."""
        if not is_sound(self.model):
            self.trouble = _BROKEN_WEIGHT
            return False
        if self.guard.suspicious(self.history.values):
            clock.save_later(_SAVE_AGAIN_S)
            return True
        try:
            self._save(clock, log)
        except OSError as error:
            again = clock.save_later(_SAVE_AGAIN_S)
            log.write(
                "save_failed",
                self.iteration,
                f"saving failed ({error.strerror or error}); training continues and retries in"
                f" {again:.0f} s; iteration {max(self._saved, 0)} is safely saved",
            )
        return True

    def _save(self, clock: Clock, log: EventLog) -> None:
        save_state(
            self.folder,
            self.model,
            self.history,
            seed=self.seed,
            trained_s=self.trained_s,
            facesets=self.facesets,
            ema=None if self.ema is None else self.ema.tensors(),
            **self.record,
        )
        self._saved = self.iteration
        if not self.guard.suspicious(self.history.values):
            self._proven.saved(self.iteration)
        if clock.backup_due(self.trained_s):
            backup(self.folder, keep=self.schedule.backups)
            log.write("backup", self.iteration, "backup made")
        write_curve(self.folder.loss_curve, self.history.values, self.model.loss_names)
        clock.saved()

    def _preview(self, clock: Clock, *, last: bool = False) -> None:
        with contextlib.nullcontext() if self.ema is None else self.ema.swapped_in():
            preview = self.preview(self.history.values, self.iteration)
        keep = self.schedule.preview_history and clock.keep_preview(self.iteration, last=last)
        with contextlib.suppress(OSError):  # a full disk must not end the training
            write_preview(self.folder.previews, preview, iteration=self.iteration, history=keep)
        if self.board:
            self.board.images(self.iteration, preview)
        clock.previewed()

    def _agreed(self, outcome: Outcome | None) -> Outcome | None:
        """The outcome that the first process found, in every process, every few iterations."""
        if self.world.size == 1:
            return outcome
        if self.iteration % _CONTROL_EVERY:
            return None
        return broadcast_object(outcome, self.world)


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
        """Losses stay on the device between fetches, because the host waits for it to fetch."""
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
        """Retry after `seconds`, or after the save interval if that is shorter; return which."""
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
        if not last and iteration < self._kept * _HISTORY_GROWTH:
            return False
        self._kept = iteration
        return True

    def backup_due(self, trained_s: float) -> bool:
        """Whether another backup interval has passed since the last call."""
        if not self._schedule.backup_every_h:
            return False
        done = math.floor(trained_s / (3600 * self._schedule.backup_every_h))
        due = self._backups is not None and done > self._backups
        self._backups = done
        return due

    def memory(self, device: torch.device) -> dict[str, str]:
        """`memory`: the peak memory of the training, updated every few seconds."""
        now = time.monotonic()
        if now - self._memory_at >= _MEMORY_EVERY_S:
            self._memory_at = now
            used = _memory_in_use(device)
            self._memory = {} if used is None else {"memory": f"{used / 2**30:.1f} GiB"}
        return self._memory


def _memory_in_use(device: torch.device) -> float | None:
    """Peak bytes in use by the GPU, or by this process; None if the system does not say."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    if device.type == "mps":
        return float(torch.mps.driver_allocated_memory())
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)
