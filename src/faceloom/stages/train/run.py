"""The train stage: a model learns the facesets of a workspace."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from faceloom.checkpoints import (
    ModelFolder,
    ModelState,
    PrecisionChoice,
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
from faceloom.models import MODELS, ModelSettings, build_model
from faceloom.stages.train.material import MaterialConfig, Materials
from faceloom.training import (
    Course,
    Outcome,
    Plan,
    Schedule,
    Session,
    World,
    changed_settings,
    device_name,
    first_settings,
    foreign_settings,
    load_course,
    processes,
    world_from_environment,
)
from faceloom.training.distributed.parallel import broadcast_object, own_device
from faceloom.training.previews.tensorboard import Board, open_board
from faceloom.workspace import Workspace

DEFAULT_NAME = "main"
DEFAULT_CLASS = "SAEHD"


def _batch(value: Any) -> Any:
    if isinstance(value, str) and value != "auto" and not value.strip().isdecimal():
        raise ValueError("a number of faces, or auto")
    return value


class TrainConfig(Schedule, MaterialConfig):
    """What to train, for how long, and where."""

    workspace: Path = Path()
    """The workspace, whose two facesets are learned."""
    model: str | None = None
    """Class of the model: SAEHD, AMP, Quick96 or XSeg; unset: the recipe's, else that of the model
    that is there, SAEHD for a first one."""
    name: str | None = None
    """Name of the model; unset: the only one of its class, or `main` for the first."""
    iterations: int | None = Field(default=None, ge=0)
    """Go on until this iteration; 0 is endless, unset leaves it to the model's `target_iter`."""
    recipe: str | None = None
    """Follow this recipe, by name or as a .toml file; unset goes on with the one that the model is
    in, `none` leaves it."""
    recipe_scale: float = Field(default=1.0, gt=0, le=1000)
    """Multiply the recipe's iterations, windows and hours: 0.01 for a hundredth of the time."""
    batch: Annotated[Literal["auto"] | int | None, BeforeValidator(_batch)] = None
    """Faces of each side a step, as `batch_size`; `auto` takes the largest that fits."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the model, such as resolution, archi, batch_size; those of another class's
    models are left out."""
    changes: tuple[str, ...] = ()
    """The same as `key=value` texts, which win over `settings` and over a recipe."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, cuda:1 … or mps."""
    precision: PrecisionChoice = "auto"
    """fp32, bf16 (about twice as fast where the hardware has it), or auto: bf16 where it does."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the training step; auto does on an NVIDIA or AMD GPU, where it pays."""
    threads: int = Field(default=0, ge=0)
    """CPU threads; 0 is one for each core."""
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    """Where a new model's randomness comes from; a resumed one keeps its own."""
    tensorboard: bool = False
    """Write losses and previews for TensorBoard, into `tensorboard` in the model's folder."""


@dataclass(frozen=True)
class TrainResult:
    """What a training session left."""

    model: Path
    """The model's folder."""
    first_iteration: int
    """Iterations done before this session; 0 where it has ended the pretraining."""
    iteration: int
    """Iterations done now."""
    losses: dict[str, float]
    """Means of the last 100 iterations, by name."""
    seconds: float
    """How long this session took."""
    cancelled: bool
    """Whether it was stopped before its target."""
    device: str
    precision: str
    preview: Path

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        values = asdict(self)
        return {**values, "model": str(self.model), "preview": str(self.preview)}

    def lines(self) -> list[str]:
        """For people."""
        done = self.iteration - self.first_iteration
        if not done:
            return [f"{self.model}: nothing to do, it has {self.iteration} iterations"]
        rate = done / self.seconds if self.seconds else 0.0
        # After a collapse it may have gone back to before where it began.
        told = f"{done} in {self.seconds:.0f} s, {rate:.2f} a second, " if done > 0 else ""
        losses = ", ".join(f"{name} {value:.4f}" for name, value in self.losses.items())
        return [
            f"{self.model}: iteration {self.iteration} ({told}{self.precision} on {self.device})",
            f"loss {losses}; preview: {self.preview}",
        ]


def run(config: TrainConfig, *, progress: Progress, cancel: Cancel) -> TrainResult:
    """Train a new model, or go on with a saved one, until its target or `cancel`.

    A cancelled session is saved like a finished one. Under `torchrun` every process trains a batch
    of its own in each step, and the first one saves and shows. Raises `InputError` for missing
    facesets or settings that do not fit, `ModelError` for a damaged model, one in use by another
    process, or a training that collapses again and again.
    """
    world = world_from_environment()
    if not world.first:
        progress = NullProgress()
    workspace = Workspace.open(config.workspace)
    device = own_device(choose_device(config.device), world)
    precision = choose_precision(config.precision, device)
    class_name, folder, course = _chosen(workspace.model, config)
    with (
        locked(folder, wanted=world.first),
        computing(device=device, precision=precision, threads=config.threads),
        processes(world, device),
    ):
        began = time.monotonic()
        # Processes on several machines need not see the same files.
        mine = class_name, course, _state(folder)
        class_name, course, first = broadcast_object(mine, world)
        if foreign := foreign_settings(class_name, config.settings):
            progress.note(f"not settings of {class_name}, left out: {', '.join(foreign)}")
        _note_changed_recipe(config, first, progress)
        materials = Materials(
            workspace, config, device, config.threads or os.cpu_count() or 1, progress, cancel
        )
        settings = _SettingsFor(config, class_name, folder, course)
        if world.first:
            settings.find_batch(first, device, precision)
        settings.share(world)
        settings.check(course, first)
        plan = Plan(
            class_name=class_name,
            settings_for=settings,
            until=config.iterations,
            seed=config.seed,
            device=device,
            precision=precision,
            compiled=choose_compiled(config.compile, device),
            schedule=Schedule(**config.model_dump(include=set(Schedule.model_fields))),
            course=course,
            leave_recipe=config.recipe == "none",
            forgive=any(key in settings.asked for key in ("learning_rate", "clipgrad")),
            board=_board(config, folder, first) if world.first else None,
        )
        session = Session(folder, plan, materials, progress, cancel, world)
        outcome = session.run()
        return _result(session, first, outcome, began)


def chosen_folder(models: Path, config: TrainConfig) -> ModelFolder:
    """The folder of the model that `config` means; it need not exist.

    Raises `InputError` when no name is given and several models of the class are there.
    """
    return _chosen(models, config)[1]


def settings_of(config: TrainConfig) -> tuple[str, ModelSettings]:
    """Class and settings of the model that `config` would train, whether it exists yet or not.

    Of a recipe those of the model's present stage or, before the start, its own count.
    """
    class_name, folder, course = _chosen(Workspace.open(config.workspace).model, config)
    return class_name, _SettingsFor(config, class_name, folder, course)(_state(folder), {})


def course_of(config: TrainConfig) -> Course | None:
    """The recipe that `config` would follow, as far as it is not done."""
    folder, course = _chosen(Workspace.open(config.workspace).model, config)[1:]
    state = _state(folder)
    if course is None or state is None or state.recipe is None:
        return course
    done = course.belongs(state.recipe) and course.leg(state.recipe) is None
    return None if done else course


def _chosen(models: Path, config: TrainConfig) -> tuple[str, ModelFolder, Course | None]:
    """Class, folder and recipe."""
    course = None
    if config.recipe not in (None, "none"):
        course = load_course(str(config.recipe), scale=config.recipe_scale)
    found = course.recipe.model if course else _class_there(models, config.name)
    class_name = config.model or found
    if class_name not in MODELS:
        MODELS[class_name]
    if course is not None and course.recipe.model != class_name:
        raise InputError(f"recipe {course.name} is for {course.recipe.model}, not {class_name}")
    folder = _folder(models, config.name, class_name)
    state = _state(folder)
    if config.recipe is None and state is not None and state.recipe is not None:
        saved = _course_of(state.recipe)
        if saved.belongs(state.recipe) and saved.leg(state.recipe) is not None:
            course = saved
    return class_name, folder, course


def _course_of(progress: RecipeProgress) -> Course:
    """The recipe that a model is in."""
    try:
        return load_course(progress.recipe, scale=progress.scale)
    except InputError as error:
        raise InputError(f"{error}; --recipe none leaves it") from None


def _class_there(models: Path, name: str | None) -> str:
    """The class of the model that is meant by its name, or by nothing when there is no other."""
    there = [parts for folder in list_models(models) if (parts := split_name(folder.path))]
    if name is None:
        # Masks are learned beside a swap, and not instead of it.
        kinds = {kind for _, kind in there if kind != "XSeg"}
        return kinds.pop() if len(kinds) == 1 else DEFAULT_CLASS
    kinds = {kind for known, kind in there if known == name}
    if len(kinds) > 1 and DEFAULT_CLASS not in kinds:
        words = " or ".join(f"`faceloom train {kind}`" for kind in sorted(kinds))
        raise InputError(f"{models}: several models are called {name!r}; {words}?")
    return kinds.pop() if len(kinds) == 1 else DEFAULT_CLASS


def _folder(models: Path, name: str | None, class_name: str) -> ModelFolder:
    if name is not None:
        return model_folder(models, name, class_name)
    found = list_models(models, class_name)
    if len(found) > 1:
        names = ", ".join(sorted((split_name(f.path) or ("", ""))[0] for f in found))
        raise InputError(f"{models}: several {class_name} models; choose by --name: {names}")
    return found[0] if found else model_folder(models, DEFAULT_NAME, class_name)


def _state(folder: ModelFolder) -> ModelState | None:
    return read_state(folder) if folder.exists else None


def _note_changed_recipe(config: TrainConfig, state: ModelState | None, progress: Progress) -> None:
    if config.recipe is None and state is not None and state.recipe is not None:
        name = state.recipe.recipe
        if not _course_of(state.recipe).belongs(state.recipe):
            progress.note(
                f"recipe {name} has changed since this model began it and is not followed any"
                f" more; --recipe {name} starts it anew"
            )


class _SettingsFor:
    """The settings of a model: its own, then the file's, then a recipe's stage's, then the user's.

    Of a new model, a recipe's own settings come before all.
    """

    def __init__(
        self, config: TrainConfig, class_name: str, folder: ModelFolder, course: Course | None
    ) -> None:
        self._config = config
        self._class_name = class_name
        self._folder = folder
        self._recipe = course.recipe.settings if course else {}
        batch = () if config.batch in (None, "auto") else (f"batch_size={config.batch}",)
        self._changes = (*config.changes, *batch)

    @property
    def asked(self) -> set[str]:
        """Settings that the user gave with the command."""
        return {text.partition("=")[0].strip() for text in self._changes}

    def __call__(self, state: ModelState | None, stage: Mapping[str, Any]) -> ModelSettings:
        values = {**self._config.settings, **stage}
        if state is None:
            values = {**self._recipe, **values}
            return first_settings(self._class_name, values, self._changes)
        return changed_settings(state, values, self._changes, where=self._folder.state_file)

    def find_batch(self, state: ModelState | None, device: Any, precision: Any) -> None:
        """With `batch = "auto"`: find the largest batch that fits, and ask for it."""
        if self._config.batch != "auto":
            return
        from faceloom.training.planning.batch_size import find_batch

        size = find_batch(self._class_name, self(state, {}), device=device, precision=precision)
        self._changes = (*self._changes, f"batch_size={size}")

    def check(self, course: Course | None, state: ModelState | None) -> None:
        """Refuse before anything is touched what the session would, or a stage hours later."""
        if course is None:
            self(state, {})
            return
        stages, values, begun = course.recipe.stages, dict[str, Any](), None
        if state is not None and state.recipe is not None and course.belongs(state.recipe):
            stages = stages[state.recipe.stage :]
        for stage in stages:
            values |= stage.settings
            where = f"recipe {course.name}, stage {stage.name!r}"
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
                    f"{where}: there is no network {unknown[0]!r} to reset, but {names}"
                )

    def share(self, world: World) -> None:
        """Ask for the same in every process; all must call it."""
        self._changes = broadcast_object(self._changes, world)


def _board(config: TrainConfig, folder: ModelFolder, state: ModelState | None) -> Board | None:
    if not config.tensorboard:
        return None
    return open_board(folder, iteration=state.iteration if state else 0)


def _result(
    session: Session, first: ModelState | None, outcome: Outcome, began: float
) -> TrainResult:
    folder, plan = session.folder, session.plan
    means = session.losses.recent(100)
    names = MODELS[plan.class_name].losses
    return TrainResult(
        model=folder.path,
        first_iteration=0 if _pretraining_ended(first, folder) else first.iteration if first else 0,
        iteration=len(session.losses),
        losses={
            name: float(value)
            for name, value in zip(names, means, strict=False)
            if np.isfinite(value)
        },
        seconds=time.monotonic() - began,
        cancelled=outcome == "cancelled",
        device=device_name(plan.device),
        precision=plan.precision,
        preview=folder.previews / "last.jpg",
    )


def _pretraining_ended(first: ModelState | None, folder: ModelFolder) -> bool:
    now = _state(folder)
    if first is None or now is None:
        return False
    return bool(first.settings.get("pretrain")) and not now.settings.get("pretrain")
