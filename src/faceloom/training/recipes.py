"""Training as a schedule of stages, read from TOML files.

A recipe names a model class, settings for a new model, and stages. Each stage changes settings and
ends after a number of iterations, after some hours, or when the loss is flat. The built-in recipes
are in `faceloom/recipes`; users can write their own in the same format.
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
from faceloom.settings.training import Plateau

# Iterations over which a mean of losses is more than noise; a recipe may ask for fewer.
_SHORTEST_WINDOW: Final = 500


class RecipeStage(Settings):
    """A part of a training with its own settings."""

    name: str = Field(min_length=1, pattern=r"^[\w .+-]+$")
    """Its name in the log, and of its snapshot."""
    about: str = ""
    """What it is for."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Model settings that it changes; they stay changed afterwards."""
    iterations: int | None = Field(default=None, ge=1)
    """It ends after this many iterations."""
    hours: float | None = Field(default=None, gt=0)
    """It ends after this many hours of training."""
    flat: Plateau | None = None
    """It ends when the loss is flat."""
    at_least: int = Field(default=0, ge=0)
    """It does not end for a flat loss before this many iterations."""
    pause: bool = False
    """Training stops before it, because the user has something to do first; `about` says what."""
    reset: tuple[str, ...] = ()
    """Networks that get new weights when it begins."""
    reset_every: int | None = Field(default=None, ge=1)
    """Give `reset_networks` new weights each time this many of its iterations are done."""
    reset_networks: tuple[str, ...] = ()
    """The networks that `reset_every` resets."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.reset_every is None) != (not self.reset_networks):
            raise ValueError("reset_every and reset_networks need each other")
        if "pretrain" in self.settings:
            raise ValueError(
                f"stage {self.name!r} sets pretrain, but ending pretraining restarts the training:"
                " set it in the recipe's own settings or with the command"
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
    stages: tuple[RecipeStage, ...] = Field(min_length=1)
    """The stages, in order."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model not in MODELS:
            raise ValueError(f"unknown model class {self.model!r}; known: {', '.join(MODELS)}")
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError("two stages have the same name")
        for stage in self.stages[:-1]:
            if stage.iterations is None and stage.hours is None and stage.flat is None:
                raise ValueError(f"stage {stage.name!r} never ends, but is not the last")
        return self


@dataclass(frozen=True)
class StageRun:
    """What to train next: a stage, or the part of it up to its next reset."""

    stage: RecipeStage
    until: int | None
    """Iteration at which it ends at the latest."""
    ends_stage: bool
    """Whether reaching `until` ends the stage; otherwise networks are reset there."""


@dataclass(frozen=True)
class RecipeRun:
    """A recipe at a scale, as a model follows it."""

    name: str
    recipe: Recipe
    digest: str
    scale: float = 1.0

    def start(self, iteration: int, trained_s: float) -> RecipeProgress:
        """The progress of a model that starts this recipe now."""
        return RecipeProgress(
            recipe=self.name,
            digest=self.digest,
            scale=self.scale,
            began=iteration,
            began_s=trained_s,
        )

    def belongs(self, progress: RecipeProgress) -> bool:
        """Whether a saved progress belongs to this recipe at this scale."""
        return progress.digest == self.digest and progress.scale == self.scale

    def stage_run(self, progress: RecipeProgress) -> StageRun | None:
        """What to train next; None when the recipe is done."""
        if progress.stage >= len(self.recipe.stages):
            return None
        stage = self._scaled(self.recipe.stages[progress.stage])
        end = None if stage.iterations is None else progress.began + stage.iterations
        if stage.reset_every is not None:
            reset = progress.began + stage.reset_every * (progress.resets + 1)
            if end is None or reset < end:
                return StageRun(stage, reset, ends_stage=False)
        return StageRun(stage, end, ends_stage=True)

    def next_stage(
        self, progress: RecipeProgress, iteration: int, trained_s: float
    ) -> RecipeProgress:
        """The progress of a model that starts the next stage now."""
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

    def _scaled(self, stage: RecipeStage) -> RecipeStage:
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
    """A window at a scale, but long enough not to measure noise."""
    return max(round(window * scale), min(window, _SHORTEST_WINDOW))


def _times(count: int | None, scale: float) -> int | None:
    return None if count is None else max(1, round(count * scale))


def recipe_names() -> list[str]:
    """Names of the built-in recipes."""
    folder = files("faceloom") / "recipes"
    return sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".toml"))


def load_recipe(name: str, *, scale: float = 1.0) -> RecipeRun:
    """The built-in recipe called `name`, or the one in the .toml file of that path.

    Raises `InputError` for an unknown name, an unreadable file or an invalid recipe.
    """
    if not 0 < scale <= 1000:
        raise InputError(f"recipe scale {scale:g}: must be above 0 and at most 1000")
    path = Path(name)
    if path.suffix == ".toml":
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot read this recipe ({error})") from None
    elif name in recipe_names():
        text = (files("faceloom") / "recipes" / f"{name}.toml").read_text("utf-8")
    else:
        known = ", ".join(recipe_names())
        raise InputError(f"unknown recipe {name!r}; known: {known}, or the path of a .toml file")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}: not valid TOML: {error}") from None
    recipe = validate(Recipe, values, where=f"recipe {name}")
    return RecipeRun(name, recipe, hashlib.sha256(text.encode()).hexdigest()[:16], scale)
