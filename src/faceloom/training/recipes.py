"""Training as a schedule of stages, read from TOML files.

A recipe names a class of models, settings for a new one, and stages; each stage changes settings
and ends after a number of iterations, after some hours, or when the loss stands still. The recipes
that come with Faceloom lie in `faceloom/recipes`; any other file of the same form will do.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field, model_validator

from faceloom.checkpoints.progress import RecipeProgress
from faceloom.core import InputError, Settings
from faceloom.core.config import validate
from faceloom.models import MODELS
from faceloom.training.guard import Flat

_SHORTEST_WINDOW: Final = 500
"""Iterations over which a mean of losses says more than chance; fewer only where a recipe asks."""


class Stage(Settings):
    """A part of a training with settings of its own."""

    name: str = Field(min_length=1, pattern=r"^[\w .+-]+$")
    """What it is called in the log, and its snapshot."""
    about: str = ""
    """What it is for."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the model that it changes; they stay changed afterwards."""
    iterations: int | None = Field(default=None, ge=1)
    """It ends after this many iterations."""
    hours: float | None = Field(default=None, gt=0)
    """It ends after this many hours of training."""
    flat: Flat | None = None
    """It ends when the loss stands still."""
    at_least: int = Field(default=0, ge=0)
    """But not before this many iterations."""
    pause: bool = False
    """Training stops before it, since something is to be done by hand first; `about` says what."""
    reset: tuple[str, ...] = ()
    """Networks that start afresh when it begins."""
    reset_every: int | None = Field(default=None, ge=1)
    """And again each time after this many of its iterations …"""
    reset_networks: tuple[str, ...] = ()
    """… these networks."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.reset_every is None) != (not self.reset_networks):
            raise ValueError("reset_every and reset_networks belong together")
        if "pretrain" in self.settings:
            raise ValueError(
                f"stage {self.name!r} sets pretrain, whose end begins a training anew: it belongs"
                " to the recipe's own settings, or to the command"
            )
        return self


class Recipe(Settings):
    """A schedule of stages."""

    about: str
    """What it is for, and how long it takes."""
    model: str
    """Class of the model."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings for a new model."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """What happens one after the other."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model not in MODELS:
            raise ValueError(f"there is no model class {self.model!r}; known: {', '.join(MODELS)}")
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError("two stages have the same name")
        for stage in self.stages[:-1]:
            if stage.iterations is None and stage.hours is None and stage.flat is None:
                raise ValueError(f"stage {stage.name!r} never ends, and is not the last")
        return self


@dataclass(frozen=True)
class Leg:
    """A stretch of training with fixed settings, up to the next thing that a recipe asks for."""

    stage: Stage
    until: int | None
    """Iteration at which it ends, at the latest."""
    ends_stage: bool
    """Whether reaching `until` ends the stage; else networks are reset there."""


@dataclass(frozen=True)
class Course:
    """A recipe at a scale, as a model goes through it."""

    name: str
    recipe: Recipe
    digest: str
    scale: float = 1.0

    def start(self, iteration: int, trained_s: float) -> RecipeProgress:
        """The progress of a model that begins this recipe now."""
        return RecipeProgress(
            recipe=self.name,
            digest=self.digest,
            scale=self.scale,
            began=iteration,
            began_s=trained_s,
        )

    def belongs(self, progress: RecipeProgress) -> bool:
        """Whether a saved progress is one through this recipe."""
        return progress.digest == self.digest and progress.scale == self.scale

    def leg(self, progress: RecipeProgress) -> Leg | None:
        """What to train next; None when the recipe is done."""
        if progress.stage >= len(self.recipe.stages):
            return None
        stage = self._scaled(self.recipe.stages[progress.stage])
        end = None if stage.iterations is None else progress.began + stage.iterations
        if stage.reset_every is not None:
            reset = progress.began + stage.reset_every * (progress.resets + 1)
            if end is None or reset < end:
                return Leg(stage, reset, ends_stage=False)
        return Leg(stage, end, ends_stage=True)

    def next_stage(
        self, progress: RecipeProgress, iteration: int, trained_s: float
    ) -> RecipeProgress:
        """Progress at the beginning of the stage after the present one."""
        return progress.model_copy(
            update={
                "stage": progress.stage + 1,
                "began": iteration,
                "began_s": trained_s,
                "resets": 0,
                "paused": False,
                "begun": False,
            }
        )

    def _scaled(self, stage: Stage) -> Stage:
        flat = stage.flat
        update = {
            "iterations": _times(stage.iterations, self.scale),
            "reset_every": _times(stage.reset_every, self.scale),
            "at_least": round(stage.at_least * self.scale),
            "hours": stage.hours and stage.hours * self.scale,
            "flat": flat
            and flat.model_copy(update={"window": _scaled_window(flat.window, self.scale)}),
        }
        return stage.model_copy(update=update)


def _scaled_window(window: int, scale: float) -> int:
    """A window at a scale, but not so short that the noise of its losses decides."""
    return max(round(window * scale), min(window, _SHORTEST_WINDOW))


def _times(count: int | None, scale: float) -> int | None:
    return None if count is None else max(1, round(count * scale))


def recipe_names() -> list[str]:
    """Names of the recipes that come with Faceloom."""
    folder = files("faceloom") / "recipes"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if _is_recipe(entry.name))


def load_course(name: str, *, scale: float = 1.0) -> Course:
    """The recipe of that name, or in the file of that path; `InputError` where it does not fit."""
    if not 0 < scale <= 1000:
        raise InputError(f"recipe scale {scale:g}: it must be above 0, 1000 at most")
    path = Path(name)
    if path.suffix == ".toml":
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a recipe that can be read ({error})") from None
    elif name in recipe_names():
        text = (files("faceloom") / "recipes" / f"{name}.toml").read_text("utf-8")
    else:
        known = ", ".join(recipe_names())
        raise InputError(f"there is no recipe {name!r}; known: {known}, or the path of a .toml")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}: not TOML: {error}") from None
    recipe = validate(Recipe, values, where=f"recipe {name}")
    return Course(name, recipe, hashlib.sha256(text.encode()).hexdigest()[:16], scale)


def _is_recipe(name: str) -> bool:
    return name.endswith(".toml")
