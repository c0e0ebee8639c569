"""The train stage: a model learns the facesets of a workspace."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import humanize
import numpy as np
import torch

from faceloom.checkpoints import (
    ModelFolder,
    ModelState,
    choose_device,
    choose_precision,
    computing,
    list_models,
    locked,
    model_folder,
    read_state,
    split_name,
)
from faceloom.checkpoints.device import choose_compiled
from faceloom.checkpoints.progress import RecipeProgress
from faceloom.core import Cancel, InputError, NullProgress, Progress, UsageError
from faceloom.core.pool import worker_count
from faceloom.core.result import Result
from faceloom.core.vocabulary import SIDES
from faceloom.faces import Faceset
from faceloom.models import MODELS, ModelSettings, Precision, build_model
from faceloom.settings.training import Schedule
from faceloom.stages.train.config import ModelChoice, TrainConfig
from faceloom.stages.train.material import Materials
from faceloom.training import (
    Outcome,
    RecipeRun,
    Session,
    SessionSpec,
    World,
    changed_settings,
    device_name,
    first_settings,
    foreign_settings,
    load_recipe,
    processes,
    world_from_environment,
)
from faceloom.training.distributed.parallel import broadcast_object, own_device
from faceloom.training.previews.tensorboard import Board, open_board
from faceloom.training.session import device_words
from faceloom.workspace import Workspace

DEFAULT_NAME = "main"
DEFAULT_CLASS = "SAEHD"


@dataclass(frozen=True)
class TrainResult(Result):
    """The outcome of a training session."""

    model: Path
    """The model's folder."""
    first_iteration: int
    """Iterations done before this session; 0 if it ended the pretraining."""
    iteration: int
    """Iterations done now."""
    losses: dict[str, float]
    """Means of the last 100 iterations, by name."""
    seconds: float
    """Duration of this session."""
    cancelled: bool
    """Whether it was stopped before its target."""
    device: str
    precision: str
    preview: Path
    next_command: str
    """What to run next."""

    def lines(self) -> list[str]:
        """For people."""
        done, after = self.iteration - self.first_iteration, f"next: {self.next_command}"
        if not done:
            return [f"{self.model}: nothing to do, already at iteration {self.iteration}", after]
        rate = done / self.seconds if self.seconds else 0.0
        # After a rollback it may have ended before where it started.
        speed = f"{done} in {self.seconds:.0f} s, {rate:.2f} per second, " if done > 0 else ""
        losses = ", ".join(f"{name} {value:.4f}" for name, value in self.losses.items())
        return [
            f"{self.model}: iteration {self.iteration} ({speed}{self.precision} on {self.device})",
            f"loss: {losses}; preview: {self.preview}",
            after,
        ]


def run(config: TrainConfig, *, progress: Progress, cancel: Cancel) -> TrainResult:
    """Train a new model, or continue a saved one, until its target or `cancel`.

    A cancelled session is saved like a finished one. Under `torchrun` each process trains its own
    batch in each step, and the first one saves and reports. Raises `InputError` for missing
    facesets or invalid settings, `ModelError` for a model that is damaged, in use by another
    process, or keeps collapsing.
    """
    world = world_from_environment()
    if not world.first:
        progress = NullProgress()
    workspace = Workspace.open(config.workspace)
    device = own_device(choose_device(config.device), world)
    precision = choose_precision(config.precision, device)
    class_name, folder, recipe = _chosen(workspace.model, config)
    with (
        locked(folder, wanted=world.first),
        computing(device=device, precision=precision, threads=config.threads),
        processes(world, device),
    ):
        began = time.monotonic()
        # Processes on several machines need not see the same files.
        mine = class_name, recipe, _state(folder)
        class_name, recipe, first = broadcast_object(mine, world)
        materials = Materials(
            workspace, config, device, worker_count(config.threads), progress, cancel
        )
        settings = _SettingsFor(config, class_name, folder, recipe)
        if world.first:
            settings.find_batch(first, device, precision)
        settings.share(world)
        settings.check(recipe, first)
        spec = SessionSpec(
            class_name=class_name,
            settings_for=settings,
            until=config.iterations,
            seed=config.seed,
            device=device,
            precision=precision,
            compiled=choose_compiled(config.compile, device),
            schedule=Schedule(**config.model_dump(include=set(Schedule.model_fields))),
            recipe=recipe,
            leave_recipe=config.recipe == "none",
            forgive=any(key in settings.asked for key in ("learning_rate", "clipgrad")),
            board=_board(config, folder, first) if world.first else None,
        )
        for note in _announcement(spec, folder, first, materials.folders(settings(first, {}))):
            progress.note(note)
        if foreign := foreign_settings(class_name, config.settings):
            progress.note(f"ignored, not settings of {class_name}: {', '.join(foreign)}")
        _note_changed_recipe(config, first, progress)
        session = Session(folder, spec, materials, progress, cancel, world)
        outcome = session.run()
        return _result(session, first, outcome, began)


def _announcement(
    spec: SessionSpec, folder: ModelFolder, state: ModelState | None, faces: tuple[Path, Path]
) -> list[str]:
    """What the session will do, and roughly how long that takes if the model's speed is known."""
    settings = spec.settings_for(state, {})
    done = state.iteration if state else 0
    target = settings.target_iter if spec.until is None else spec.until
    if target and done >= target:
        return []
    counts = [f"{len(Faceset(one)) if one.is_dir() else 0}" for one in faces]
    listed = " and ".join(f"{count} {side}" for count, side in zip(counts, SIDES, strict=True))
    start = f"from iteration {done} " if done else ""
    end = f"until iteration {target}" if target else "until you press Ctrl-C"
    if spec.recipe is not None:
        end = f"with recipe {spec.recipe.name}{f' {end}' if target else ''}"
    notes = [
        f"{folder.path.name}: {spec.class_name}, {settings.resolution} px {settings.face_type},"
        f" batch size {settings.batch_size}, {spec.precision} on {device_words(spec.device)};"
        f" {listed} faces; {start}{end}; saved every {spec.schedule.save_every_s / 60:.3g} min"
    ]
    if state is not None and target and done and state.trained_s:
        left = humanize.naturaldelta((target - done) * state.trained_s / done)
        notes.append(f"about {left} left at the model's average speed so far")
    return notes


def chosen_folder(models: Path, config: ModelChoice) -> ModelFolder:
    """The folder of the model that `config` means; it need not exist.

    Raises `InputError` if no name is given and there are several models of the class.
    """
    return _chosen(models, config)[1]


def settings_of(config: ModelChoice) -> tuple[str, ModelSettings]:
    """Class and settings of the model that `config` would train, whether it exists yet or not.

    With a recipe, those of the model's current stage or, for a new model, the recipe's own.
    """
    class_name, folder, recipe = _chosen(Workspace.open(config.workspace).model, config)
    return class_name, _SettingsFor(config, class_name, folder, recipe)(_state(folder), {})


def unfinished_recipe(config: ModelChoice) -> RecipeRun | None:
    """The recipe that `config` would follow, unless the model has finished it."""
    folder, recipe = _chosen(Workspace.open(config.workspace).model, config)[1:]
    state = _state(folder)
    if recipe is None or state is None or state.recipe is None:
        return recipe
    done = recipe.belongs(state.recipe) and recipe.stage_run(state.recipe) is None
    return None if done else recipe


def _chosen(models: Path, config: ModelChoice) -> tuple[str, ModelFolder, RecipeRun | None]:
    """Class, folder and recipe."""
    recipe = None
    if config.recipe not in (None, "none"):
        recipe = load_recipe(str(config.recipe), scale=config.recipe_scale)
    class_name = config.model or (recipe.recipe.model if recipe else None)
    class_name = class_name or _existing_class(models, config.name)
    if recipe is not None and recipe.recipe.model != class_name:
        raise InputError(f"recipe {recipe.name} is for {recipe.recipe.model}, not {class_name}")
    folder = _folder(models, config.name, class_name)
    state = _state(folder)
    if config.recipe is None and state is not None and state.recipe is not None:
        saved = _saved_recipe(state.recipe)
        if saved.belongs(state.recipe) and saved.stage_run(state.recipe) is not None:
            recipe = saved
    return class_name, folder, recipe


def _saved_recipe(progress: RecipeProgress) -> RecipeRun:
    """The recipe that a model is following."""
    try:
        return load_recipe(progress.recipe, scale=progress.scale)
    except InputError as error:
        raise InputError(f"{error}; leave the recipe with --recipe none") from None


def _existing_class(models: Path, name: str | None) -> str:
    """The class of the only model, or of the only one called `name`; else the default."""
    existing = [parts for folder in list_models(models) if (parts := split_name(folder.path))]
    if name is None:
        # A mask model supports a swap and does not replace it.
        kinds = {kind for _, kind in existing if kind != "XSeg"}
        return kinds.pop() if len(kinds) == 1 else DEFAULT_CLASS
    kinds = {kind for known, kind in existing if known == name}
    if len(kinds) > 1 and DEFAULT_CLASS not in kinds:
        words = " or ".join(f"`faceloom train {kind}`" for kind in sorted(kinds))
        raise InputError(f"{models}: several models are called {name!r}; use {words}")
    return kinds.pop() if len(kinds) == 1 else DEFAULT_CLASS


def _folder(models: Path, name: str | None, class_name: str) -> ModelFolder:
    if name is not None:
        return model_folder(models, name, class_name)
    found = list_models(models, class_name)
    if len(found) > 1:
        names = ", ".join(sorted((split_name(f.path) or ("", ""))[0] for f in found))
        raise InputError(f"{models}: several {class_name} models; choose one with --name: {names}")
    return found[0] if found else model_folder(models, DEFAULT_NAME, class_name)


def _state(folder: ModelFolder) -> ModelState | None:
    return read_state(folder) if folder.exists else None


def _note_changed_recipe(config: TrainConfig, state: ModelState | None, progress: Progress) -> None:
    if config.recipe is None and state is not None and state.recipe is not None:
        name = state.recipe.recipe
        if not _saved_recipe(state.recipe).belongs(state.recipe):
            progress.note(
                f"recipe {name} has changed since this model started it and is no longer followed;"
                f" start the new version with --recipe {name}"
            )


class _SettingsFor:
    """The settings of a model: its own, then the file's, the recipe stage's, and the command's.

    Later ones take precedence. For a new model, the recipe's own settings come first.
    """

    def __init__(
        self, config: ModelChoice, class_name: str, folder: ModelFolder, recipe: RecipeRun | None
    ) -> None:
        self._config = config
        self._class_name = class_name
        self._folder = folder
        self._recipe = recipe.recipe.settings if recipe else {}
        batch = () if config.batch in (None, "auto") else (f"batch_size={config.batch}",)
        self._changes = (*config.changes, *batch)

    @property
    def asked(self) -> set[str]:
        """Settings given with the command."""
        aliases = MODELS[self._class_name].settings.ALIASES
        keys = (text.partition("=")[0].strip() for text in self._changes)
        return {aliases.get(key, key) for key in keys}

    def __call__(self, state: ModelState | None, stage: Mapping[str, Any]) -> ModelSettings:
        values = {**self._config.settings, **stage}
        if state is None:
            values = {**self._recipe, **values}
            return first_settings(self._class_name, values, self._changes)
        return changed_settings(state, values, self._changes, where=self._folder.state_file)

    def find_batch(
        self, state: ModelState | None, device: torch.device, precision: Precision
    ) -> None:
        """If the batch size is `auto`, find the best one."""
        if self._config.batch != "auto":
            return
        from faceloom.training.planning.batch_size import find_batch

        size = find_batch(self._class_name, self(state, {}), device=device, precision=precision)
        self._changes = (*self._changes, f"batch_size={size}")

    def check(self, recipe: RecipeRun | None, state: ModelState | None) -> None:
        """Reject invalid settings before anything is written, also those of later stages."""
        if recipe is None:
            self(state, {})
            return
        stages, values, begun = recipe.recipe.stages, dict[str, Any](), None
        if state is not None and state.recipe is not None and recipe.belongs(state.recipe):
            stages = stages[state.recipe.stage :]
        for stage in stages:
            values |= stage.settings
            where = f"recipe {recipe.name}, stage {stage.name!r}"
            try:
                settings = self(state, values)
            except UsageError:
                raise
            except InputError as error:
                raise InputError(f"{where}: {error}") from None
            begun = begun or settings
            for key in type(settings).structural:
                if getattr(settings, key) != getattr(begun, key):
                    raise InputError(f"{where}: {key} cannot change after the first iteration")
            wanted = {*stage.reset, *stage.reset_networks}
            known = build_model(self._class_name, settings, device="meta") if wanted else None
            if known is not None and (unknown := sorted(wanted - set(known.networks()))):
                names = ", ".join(known.networks())
                raise InputError(
                    f"{where}: unknown network to reset: {unknown[0]!r}; known: {names}"
                )

    def share(self, world: World) -> None:
        """Use the first process's changes in every process; all must call this."""
        self._changes = broadcast_object(self._changes, world)


def _board(config: TrainConfig, folder: ModelFolder, state: ModelState | None) -> Board | None:
    if not config.tensorboard:
        return None
    return open_board(folder, iteration=state.iteration if state else 0)


def _result(
    session: Session, first: ModelState | None, outcome: Outcome, began: float
) -> TrainResult:
    folder, spec, now = session.folder, session.spec, _state(session.folder)
    means = session.losses.recent(100)
    names = MODELS[spec.class_name].losses
    return TrainResult(
        model=folder.path,
        first_iteration=first.iteration if first and not _pretraining_ended(first, now) else 0,
        iteration=len(session.losses),
        losses={
            name: float(value)
            for name, value in zip(names, means, strict=False)
            if np.isfinite(value)
        },
        seconds=time.monotonic() - began,
        cancelled=outcome == "cancelled",
        device=device_name(spec.device),
        precision=spec.precision,
        preview=folder.previews / "last.jpg",
        next_command=_next_command(folder, now),
    )


def _pretraining_ended(first: ModelState, now: ModelState | None) -> bool:
    if now is None:
        return False
    return bool(first.settings.get("pretrain")) and not now.settings.get("pretrain")


def _next_command(folder: ModelFolder, state: ModelState | None) -> str:
    name, class_name = split_name(folder.path) or (DEFAULT_NAME, DEFAULT_CLASS)
    if state is not None and state.settings.get("pretrain"):
        words = ["train", class_name, "--set", "pretrain=false"]
    else:
        words = ["export", "xseg"] if class_name == "XSeg" else ["merge"]
    words += [] if name == DEFAULT_NAME else ["--name", name]
    workspace = folder.path.parent.parent
    words += [] if workspace == Path() else ["-w", str(workspace)]
    return shlex.join(["faceloom", *words])
