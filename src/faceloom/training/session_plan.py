"""What a session is to do, and with which settings in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from faceloom.checkpoints.progress import Risk
from faceloom.checkpoints.state import ModelState
from faceloom.models import ModelSettings, Precision
from faceloom.training.recipes import Course
from faceloom.training.schedule import Schedule

if TYPE_CHECKING:
    from faceloom.training.previews.tensorboard import Board


@dataclass(frozen=True)
class Plan:
    """What a session is to do."""

    class_name: str
    settings_for: Callable[[ModelState | None, Mapping[str, Any]], ModelSettings]
    """The settings for a saved state, or a new model, and what a recipe's stage sets; the user's
    own changes win over the stage's."""
    until: int | None
    """Iteration to stop at, 0 for endless; None leaves it to the settings' target."""
    seed: int
    """Of a new model."""
    device: torch.device
    precision: Precision
    compiled: bool = False
    schedule: Schedule = field(default_factory=Schedule)
    course: Course | None = None
    """The recipe to follow."""
    leave_recipe: bool = False
    """Forget the recipe that the model is in."""
    forgive: bool = False
    """Forget what was lowered after collapses: the user has chosen anew."""
    board: Board | None = None


def risked(settings: ModelSettings, risk: Risk) -> ModelSettings:
    """The settings as they are used after collapses."""
    return settings.model_copy(
        update={
            "learning_rate": settings.learning_rate * risk.lr_factor,
            "clipgrad": settings.clipgrad or risk.clipgrad,
        }
    )


def device_name(device: torch.device) -> str:
    """`device` as people call it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
