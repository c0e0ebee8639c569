"""The training loop: steps, losses, saves, previews, and what ends a stretch of training."""

from __future__ import annotations

import contextlib
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
from faceloom.training.distributed.parallel import World, broadcast_object, mean_losses
from faceloom.training.ema import Ema
from faceloom.training.guard import Flat, Guard, sound, standing_still
from faceloom.training.previews.live import last_kept, write_curve, write_page, write_preview
from faceloom.training.previews.preview import Preview
from faceloom.training.rollback import Proofs
from faceloom.training.schedule import Clock, Schedule

if TYPE_CHECKING:
    from faceloom.training.previews.tensorboard import Board

Outcome = Literal["reached", "cancelled", "flat", "time", "collapsed"]
"""Why a stretch of training ended: its last iteration, the user, a loss that stands still, its
hours, or a loss or weight that is no longer a number or has jumped."""

_CONTROL_EVERY: Final = 8
"""Iterations between the moments at which several processes agree on whether to go on."""
_SAVE_AGAIN_S: Final = 60.0
_BROKEN_WEIGHT: Final = "a weight is not a number"


@dataclass(frozen=True)
class Ending:
    """What may end a stretch of training before its last iteration."""

    flat: Flat | None = None
    """A loss that stands still …"""
    since: int = 0
    """… looking at the iterations after this one …"""
    not_before: int = 0
    """… at this iteration or later."""
    trained_s: float | None = None
    """So many seconds of training, all sessions together."""


@dataclass
class Trainer:
    """A model in training. `history` holds the losses of all iterations that are fetched."""

    folder: ModelFolder
    model: TrainableModel
    step: Callable[[int], dict[str, Tensor]]
    """One training step, of the iteration counted from 0."""
    preview: Callable[[NDArray[np.float32], int], Preview]
    """A preview from all losses and the number of iterations done."""
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
    """Further fields of the saved state: device, precision, risk, recipe …"""
    board: Board | None = None
    trouble: str = ""
    """What was wrong, when the outcome is "collapsed"."""
    sudden: bool = True
    """Whether that was a number that is none, and not a loss that has jumped."""
    _pending: list[Tensor] = field(default_factory=lambda: list[Tensor]())
    _saved: int = -1
    _noted: int = 0
    _proofs: Proofs = field(init=False)

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return len(self.history) + len(self._pending)

    def run(self, until: int | None, *, progress: Progress, cancel: Cancel) -> Outcome:
        """Train until `until` iterations are done or something ends it, then save.

        After a collapse nothing is saved: the saved state stays as it was. Saves that fail for want
        of space are tried again; only the last one raises its `OSError`.
        """
        log = EventLog(self.folder.events_file, progress.note)
        self._saved = self.iteration if self.folder.exists else -1
        self._noted = self.iteration
        self._proofs = Proofs(self.folder)
        # Not beyond this one: after pretraining, or a way back, there are pictures of later ones.
        kept = min(last_kept(self.folder.previews), self.iteration)
        clock = Clock(self.schedule, self.iteration, kept)
        if self.world.first:
            write_page(self.folder.previews)
        outcome = self._loop(until, clock, log, progress, cancel)
        if outcome != "collapsed" and self.iteration != self._saved and self.world.first:
            if sound(self.model):
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
        """Fetch, save and preview when they are due; what this says about going on."""
        if self.world.size > 1 and self.iteration % _CONTROL_EVERY:
            return None  # fetching is something that all processes do together
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
        """Bring losses from the device and report them; whether they tell of a collapse."""
        count = len(self._pending)
        if not count:
            return False
        rows = mean_losses(torch.stack(self._pending).float(), self.world).cpu().numpy()
        self._pending.clear()
        broken = self.guard.broken(rows)
        if broken is not None:
            at = len(self.history) + broken + 1
            self.trouble = f"the loss of iteration {at} is not a number"
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
            self.trouble = "the loss has jumped to more than twice what it was, and stays there"
            return True
        return False

    def _ended(self, log: EventLog) -> Outcome | None:
        """Whether the losses or the clock end this stretch; notes a loss that stands still."""
        losses, ending = self.history.values, self.ending
        if ending.trained_s is not None and self.trained_s >= ending.trained_s:
            return "time"
        if ending.flat is not None:
            still = self.iteration >= ending.not_before
            if still and standing_still(losses, ending.since, ending.flat):
                return "flat"
        note = self.schedule.plateau
        if note.window and self.iteration >= self._noted + note.window:
            self._noted = self.iteration
            if standing_still(losses, self.guard.first, note):
                log.write(
                    "plateau",
                    self.iteration,
                    f"the loss has not fallen by {note.improvement:.1%} in the last"
                    f" {note.window} iterations",
                )
        return None

    def _save_if_sound(self, clock: Clock, log: EventLog) -> bool:
        """Save, unless the model has just broken; False when a weight is not a number."""
        if not sound(self.model):
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
                f"could not be saved ({error.strerror or error}); training goes on, the state of "
                f"iteration {max(self._saved, 0)} is safe, next try in {again:.0f} s",
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
            self._proofs.saved(self.iteration)
        if clock.backup_due(self.trained_s):
            backup(self.folder, keep=self.schedule.backups)
            log.write("backup", self.iteration, "backup kept")
        write_curve(self.folder.loss_curve, self.history.values, self.model.loss_names)
        clock.saved()

    def _preview(self, clock: Clock, *, last: bool = False) -> None:
        with contextlib.nullcontext() if self.ema is None else self.ema.swapped_in():
            preview = self.preview(self.history.values, self.iteration)
        keep = self.schedule.preview_history and clock.keep_preview(self.iteration, last=last)
        with contextlib.suppress(OSError):  # a full disk must not end a training for a picture
            write_preview(self.folder.previews, preview, iteration=self.iteration, history=keep)
        if self.board:
            self.board.images(self.iteration, preview)
        clock.previewed()

    def _agreed(self, outcome: Outcome | None) -> Outcome | None:
        """What every process does: what the first one found, every few iterations."""
        if self.world.size == 1:
            return outcome
        if self.iteration % _CONTROL_EVERY:
            return None
        return broadcast_object(outcome, self.world)
