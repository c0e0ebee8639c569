"""Watching the losses: broken, collapsed, or standing still.

A collapse in this field is a loss that jumps and stays: the pictures turn into one flat colour, and
no further training mends them. It is judged by medians, which a few hard batches do not move, and
only against losses of the same settings, since each setting changes what the loss means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from faceloom.core import Settings
from faceloom.models import TrainableModel

_RECENT: Final = 100
_REFERENCE: Final = 500
_EARLY: Final = 20
_SUSPICION: Final = 1.5


class Flat(Settings):
    """When a loss counts as standing still."""

    window: int = Field(default=5000, ge=10)
    """Iterations that are compared with as many before them."""
    improvement: float = Field(default=0.01, ge=0, lt=1)
    """The loss must have fallen by this part of itself, in one column at least."""


@dataclass(frozen=True)
class Guard:
    """Judges the losses since `first`, the iteration at which the present settings began."""

    first: int = 0
    factor: float = 2.0
    """Collapsed: the median of the last 100 losses is this many times that of the 500 before; 0
    never."""
    usual: tuple[float, ...] = ()
    """What the losses were before a collapse, where that is known: the measure until there are
    500."""

    def broken(self, rows: NDArray[np.float32]) -> int | None:
        """Index of the first row that is not a number, or None."""
        bad = ~np.isfinite(rows).all(1)
        return int(bad.argmax()) if bad.any() else None

    def collapsed(self, losses: NDArray[np.float32]) -> bool:
        """Whether the losses have jumped and stayed."""
        return self.factor > 0 and self._ratio(losses, _RECENT) > self.factor

    def suspicious(self, losses: NDArray[np.float32]) -> bool:
        """Whether the very last losses are too high to save the state they belong to."""
        return self.factor > 0 and self._ratio(losses, _EARLY) > _SUSPICION

    def level(self, losses: NDArray[np.float32]) -> tuple[float, ...]:
        """What the losses were before the last 100; empty if there are too few to tell."""
        known = losses[self.first :]
        if len(known) < _RECENT + _REFERENCE:
            return self.usual
        return tuple(float(x) for x in np.median(known[-_REFERENCE - _RECENT : -_RECENT], axis=0))

    def _ratio(self, losses: NDArray[np.float32], recent: int) -> float:
        """The largest ratio among the columns, of recent losses to those before; 0 if too few."""
        known = losses[self.first :]
        if len(known) >= _RECENT + _REFERENCE:
            before = np.median(known[-_REFERENCE - recent : -recent], axis=0)
        elif self.usual and len(known) >= recent:
            before = np.asarray(self.usual)
        else:
            return 0.0
        now = np.median(known[-recent:], axis=0)
        return float(np.max(now / np.maximum(before, 1e-12)))


def standing_still(losses: NDArray[np.float32], first: int, flat: Flat) -> bool:
    """Whether no column has improved from one window to the next, looking from `first` on."""
    known = losses[first:]
    if len(known) < 2 * flat.window:
        return False
    before = np.nanmean(known[-2 * flat.window : -flat.window], axis=0, dtype=np.float64)
    now = np.nanmean(known[-flat.window :], axis=0, dtype=np.float64)
    return bool((now > before * (1 - flat.improvement)).all())


# torch's list arithmetic has underscored names, and no others.
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false
@torch.no_grad()
def sound(model: TrainableModel) -> bool:
    """Whether every weight is a number. The host waits for the device once.

    A gradient that is not a number spoils the weights one step before any loss shows it.
    """
    tensors = [
        value
        for network in model.networks().values()
        for value in network.state_dict().values()
        if value.is_floating_point()
    ]
    norms = torch.stack([norm.float() for norm in torch._foreach_norm(tensors)])
    return bool(torch.isfinite(norms).all())
