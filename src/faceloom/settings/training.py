"""When a training session saves, previews, backs up and reacts to its losses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from faceloom.core.config import Option, Settings

PrecisionChoice = Literal["auto", "fp32", "bf16"]
CompileChoice = Literal["auto", "on", "off"]


class Plateau(Settings):
    """When a loss counts as flat."""

    window: int = Field(default=5000, ge=10)
    """Iterations compared with the same number before them."""
    improvement: float = Field(default=0.01, ge=0, lt=1)
    """The smallest relative drop, in at least one loss, that counts as progress."""


class Schedule(Settings):
    """What happens between training steps, and when."""

    save_every_s: float = Field(default=300.0, gt=0)
    """Seconds between saves. The model is also saved after its first iteration, at the target and
    on Ctrl-C."""
    preview_every_s: float = Field(default=60.0, ge=0)
    """Seconds between previews."""
    preview_every: Annotated[int, Option(hidden=True)] = Field(default=0, ge=0)
    """Iterations between previews; 0: use `preview_every_s`."""
    preview_history: bool = True
    """Keep previews, at growing intervals, for a timelapse."""
    backup_every_h: float = Field(default=1.0, ge=0)
    """Hours of training between backups; 0: no backups."""
    backups: Annotated[int, Option(hidden=True)] = Field(default=24, ge=1)
    """How many backups to keep; the oldest are deleted first."""
    collapse_factor: Annotated[float, Option(hidden=True)] = Field(default=2.0, ge=0)
    """Roll back to the last good state when the loss rises to this many times its usual value and
    stays there; 0: never. NaN in a loss or a weight always counts as a collapse."""
    max_rollbacks: Annotated[int, Option(hidden=True)] = Field(default=5, ge=0)
    """How many times in a row training may roll back before it gives up."""
    plateau: Annotated[Plateau, Option(hidden=True)] = Plateau(window=20000, improvement=0.01)
    """When to report that the loss is flat."""
