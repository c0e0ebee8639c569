"""Detecting a training that has gone wrong or stopped improving, and rolling back to a good state.

A collapse in this field is a loss that rises suddenly and stays high: the pictures turn into one
flat colour, and further training does not repair them. It is detected by comparing medians, which a
few hard batches do not move, and only with losses of the same settings, because each setting
changes what the loss means.

A state may be saved in the moment between a model going wrong and its losses showing it. So an
older state is kept, as hard links, until a newer one is proven by the losses that follow it.
"""

# torch's list arithmetic only has underscored names.
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from faceloom.checkpoints.folder import ModelFolder
from faceloom.checkpoints.snapshots import copied_state, install_state, link_file
from faceloom.checkpoints.state import ModelState, read_state
from faceloom.core import ModelError
from faceloom.models import TrainableModel
from faceloom.settings.training import Plateau

PROOF: Final = 100
"""Iterations after which a saved state counts as good if their losses were normal."""
_PROVEN, _CANDIDATE = "proven", "candidate"
_RECENT: Final = 100
_REFERENCE: Final = 500
_EARLY: Final = 20
_SUSPICION: Final = 1.5


@dataclass(frozen=True)
class Guard:
    """Watches the losses since iteration `first`, when the current settings began."""

    first: int = 0
    factor: float = 2.0
    """A collapse: the median of the last 100 losses is more than this many times the median of the
    500 before; 0: never."""
    usual: tuple[float, ...] = ()
    """The losses before an earlier collapse, if known: the reference until there are 500 new
    ones."""

    def broken(self, rows: NDArray[np.float32]) -> int | None:
        """Index of the first row with a NaN or infinity, or None."""
        bad = ~np.isfinite(rows).all(1)
        return int(bad.argmax()) if bad.any() else None

    def collapsed(self, losses: NDArray[np.float32]) -> bool:
        """Whether the losses have risen and stayed high."""
        return self.factor > 0 and self._ratio(losses, _RECENT) > self.factor

    def suspicious(self, losses: NDArray[np.float32]) -> bool:
        """Whether the very last losses are too high to save the state they belong to."""
        return self.factor > 0 and self._ratio(losses, _EARLY) > _SUSPICION

    def level(self, losses: NDArray[np.float32]) -> tuple[float, ...]:
        """The usual losses, without the last 100; empty if there are too few to know."""
        known = losses[self.first :]
        if len(known) < _RECENT + _REFERENCE:
            return self.usual
        return tuple(float(x) for x in np.median(known[-_REFERENCE - _RECENT : -_RECENT], axis=0))

    def _ratio(self, losses: NDArray[np.float32], recent: int) -> float:
        """The largest ratio, over the columns, of recent to earlier losses; 0 if too few."""
        known = losses[self.first :]
        if len(known) >= _RECENT + _REFERENCE:
            before = np.median(known[-_REFERENCE - recent : -recent], axis=0)
        elif self.usual and len(known) >= recent:
            before = np.asarray(self.usual)
        else:
            return 0.0
        now = np.median(known[-recent:], axis=0)
        return float(np.max(now / np.maximum(before, 1e-12)))


def is_flat(losses: NDArray[np.float32], first: int, plateau: Plateau) -> bool:
    """Whether no column has improved from one window to the next, both after `first`."""
    known, window = losses[first:], plateau.window
    if len(known) < 2 * window:
        return False
    before = np.nanmean(known[-2 * window : -window], axis=0, dtype=np.float64)
    now = np.nanmean(known[-window:], axis=0, dtype=np.float64)
    return bool((now > before * (1 - plateau.improvement)).all())


@torch.no_grad()
def is_sound(model: TrainableModel) -> bool:
    """Whether every weight is finite. The host waits for the device once.

    A NaN gradient spoils the weights one step before any loss shows it.
    """
    tensors = [
        value
        for network in model.networks().values()
        for value in network.state_dict().values()
        if value.is_floating_point()
    ]
    norms = torch.stack([norm.float() for norm in torch._foreach_norm(tensors)])
    return bool(torch.isfinite(norms).all())


class ProvenStates:
    """Keeps the last proven state, and the candidate to follow it."""

    def __init__(self, folder: ModelFolder) -> None:
        self._folder = folder
        self._candidate: int | None = None

    def saved(self, iteration: int) -> None:
        """The state of `iteration` was saved, and the losses up to it are normal."""
        if self._candidate is not None and iteration - self._candidate < PROOF:
            return
        if self._candidate is not None:
            _replace(self._folder.path / _CANDIDATE, self._folder.path / _PROVEN)
        unfinished = copied_state(self._folder, self._folder.path)
        _replace(unfinished, self._folder.path / _CANDIDATE)
        self._candidate = iteration


def roll_back(folder: ModelFolder, *, collapsed_at: int, sudden: bool, again: bool) -> ModelState:
    """Make the latest state that is certainly good the saved one, and return it.

    After a NaN (`sudden`) that is the saved state, whose weights were checked. After a rise of the
    loss it is too, unless there were fewer than `PROOF` iterations between the save and the
    collapse at `collapsed_at`, or rolling back to it did not help (`again`): then it is the newest
    older one, a backup if necessary. The caller must hold `locked(folder)`.
    """
    state = read_state(folder)
    latest = collapsed_at - PROOF
    if (sudden or state.iteration <= latest) and not again:
        return state
    older = [
        (kept, source)
        for kept, source in _kept_states(folder)
        if kept.iteration < state.iteration
        and kept.iteration <= latest
        and kept.settings == state.settings
    ]
    if not older:
        return state
    kept, source = max(older, key=lambda entry: entry[0].iteration)

    def link(unfinished: Path) -> None:
        for name in kept.files:
            link_file(source / kept.folder / name, unfinished / name)

    return install_state(folder, kept, link, history_from=source / folder.history_file.name)


def _kept_states(folder: ModelFolder) -> Iterator[tuple[ModelState, Path]]:
    """Every complete state that is kept, and where."""
    places = [folder.path / _CANDIDATE, folder.path / _PROVEN]
    if folder.backups.is_dir():
        places += [entry for entry in folder.backups.iterdir() if not entry.name.startswith(".")]
    for place in places:
        try:
            yield read_state(ModelFolder(place)), place
        except ModelError:
            continue


def _replace(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    source.rename(target)
