"""A whole training session: segments with fixed settings, one after the other.

A segment ends at its target, where a recipe changes something, or with a collapse. Between segments
the model is saved and rebuilt from its saved state with the next settings, so recipes, rollbacks
and resumed trainings all work the same way.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import torch

from faceloom.checkpoints.events import EventKind, EventLog
from faceloom.checkpoints.folder import ModelFolder
from faceloom.checkpoints.history import LossHistory
from faceloom.checkpoints.progress import RecipeProgress, Risk
from faceloom.checkpoints.snapshots import snapshot
from faceloom.checkpoints.state import (
    ModelState,
    load_history,
    load_means,
    load_model,
    read_state,
    saved_settings,
    sweep,
    update_state,
)
from faceloom.core import Cancel, ModelError, Progress
from faceloom.models import ModelSettings, Precision, TrainableModel, build_model
from faceloom.models.stepping import forget_compiled
from faceloom.settings.training import Schedule
from faceloom.training.distributed.parallel import (
    World,
    broadcast_model,
    broadcast_object,
    reduce_gradients,
)
from faceloom.training.ema import Ema
from faceloom.training.guard import Guard, roll_back
from faceloom.training.material.base import Material
from faceloom.training.recipes import RecipeRun, StageRun
from faceloom.training.resets import reset_networks
from faceloom.training.trainer import Ending, Outcome, Trainer

if TYPE_CHECKING:
    from faceloom.training.previews.tensorboard import Board

_SECONDS_PER_HOUR: Final = 3600.0
# A collapse this many iterations after the previous one is a new problem, not the same again.
_CALM: Final = 1000


@dataclass(frozen=True)
class SessionSpec:
    """What a session is to do."""

    class_name: str
    settings_for: Callable[[ModelState | None, Mapping[str, Any]], ModelSettings]
    """The settings for a saved state (None for a new model) in a stage of a recipe with these
    settings. The user's own changes take precedence over the stage's."""
    until: int | None
    """Iteration to stop at; 0: never; None: the target in the settings."""
    seed: int
    """Random seed of a new model."""
    device: torch.device
    precision: Precision
    compiled: bool = False
    schedule: Schedule = field(default_factory=Schedule)
    recipe: RecipeRun | None = None
    """The recipe to follow."""
    leave_recipe: bool = False
    """Forget the recipe that the model is following."""
    forgive: bool = False
    """Forget what was lowered after collapses, because the user has chosen new values."""
    board: Board | None = None


def device_name(device: torch.device) -> str:
    """`cpu`, `mps` or the name of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def device_words(device: torch.device) -> str:
    """The same in a sentence."""
    return {"cpu": "the CPU", "mps": "the Apple GPU"}.get(device.type) or device_name(device)


@dataclass
class Session:
    """Trains the model in `folder` until its spec is done."""

    folder: ModelFolder
    spec: SessionSpec
    material: Callable[[ModelSettings], Material]
    """Loads the samples for a model with these settings."""
    progress: Progress
    cancel: Cancel
    world: World = field(default_factory=World)
    losses: LossHistory = field(default_factory=LossHistory)
    """Losses of all iterations, once `run` has returned."""
    _recipe_progress: RecipeProgress | None = None
    _risk: Risk = field(default_factory=Risk)
    _failures: int = 0
    _usual: tuple[float, ...] = ()
    _sudden: bool = True
    _collapsed_at: int = -_CALM

    def run(self) -> Outcome:
        """Train; return "cancelled", or "reached" at the target, the recipe's end or a pause.

        Raises `ModelError` if training keeps collapsing, `InputError` for settings or networks in a
        recipe that the model does not have, `OSError` if the last state cannot be saved.
        """
        state = self._open()
        while True:
            stage_run = self._stage_run(state)
            if self.spec.recipe is not None and stage_run is None:
                self._log("finished", state, "recipe finished")
                return "reached"
            if self._must_pause(state, stage_run):
                return "reached"
            state = self._begin_stage(state, stage_run)
            outcome, target = self._segment(state, stage_run)
            gc.collect()  # a model in a reference cycle would stay in memory with the next one
            if self.spec.compiled:
                forget_compiled()
            state = self._read()
            if outcome == "collapsed":
                state = self._roll_back(state)
            elif outcome == "cancelled" or stage_run is None or _met(state, target):
                return "cancelled" if outcome == "cancelled" else "reached"
            else:
                state = self._advance(state, stage_run, outcome)

    def _open(self) -> ModelState | None:
        """The saved state, ready to continue; None for a new model."""
        state = self._read()
        if state is None:
            self._recipe_progress = self.spec.recipe.start(0, 0.0) if self.spec.recipe else None
            return None
        if self.world.first:
            sweep(self.folder, keep=state.folder)
        self._log("resumed", state, f"continuing on {device_words(self.spec.device)}")
        state = self._leave_pretraining(state)
        self._risk = Risk(rollbacks=state.risk.rollbacks) if self.spec.forgive else state.risk
        recipe, before = self.spec.recipe, state.recipe
        self._recipe_progress = None if self.spec.leave_recipe else before
        if recipe is not None and not (before and recipe.belongs(before)):
            self._recipe_progress = recipe.start(state.iteration, state.trained_s)
            if before:
                self._log("stage", state, f"recipe {recipe.name} replaces {before.recipe}")
        return state

    def _leave_pretraining(self, state: ModelState) -> ModelState:
        """Start the training of the pair if pretraining has been switched off."""
        settings = self.spec.settings_for(state, {})
        if not state.settings.get("pretrain") or settings.pretrain:
            return state
        if self.world.first:
            resets = build_model(
                state.class_name, saved_settings(state, where=self.folder.state_file)
            ).pretrain_resets
            snapshot(self.folder, f"pretrained-{state.iteration}", replace=True)
            if resets:
                reset_networks(self.folder, resets)
            update_state(
                self.folder, iteration=0, settings=settings.model_dump(mode="json"), recipe=None
            )
            reset = f", {', '.join(resets)} reset" if resets else ""
            self._log("pretrained", state, f"pretraining ended: back to iteration 0{reset}")
        return self._read() or state

    def _stage_run(self, state: ModelState | None) -> StageRun | None:
        recipe, progress = self.spec.recipe, self._recipe_progress
        if recipe is None or progress is None:
            return None
        return recipe.stage_run(progress)

    def _must_pause(self, state: ModelState | None, stage_run: StageRun | None) -> bool:
        """Whether to stop before a stage for which the user has something to do; once per stage.

        Not before there is a model, because that is what records the pause.
        """
        if state is None or stage_run is None or self._recipe_progress is None:
            return False
        if not stage_run.stage.pause or self._recipe_progress.paused:
            return False
        self._recipe_progress = self._recipe_progress.model_copy(update={"paused": True})
        self._update(recipe=self._recipe_progress)
        self._log(
            "stage", state, f"paused before stage {stage_run.stage.name!r}: {stage_run.stage.about}"
        )
        return True

    def _begin_stage(
        self, state: ModelState | None, stage_run: StageRun | None
    ) -> ModelState | None:
        """Reset the networks that a stage wants reset, once, and log its start."""
        if stage_run is None or self._recipe_progress is None or self._recipe_progress.begun:
            return state
        if state is not None and stage_run.stage.reset:
            state = self._reset(state, stage_run.stage.reset)
        self._recipe_progress = self._recipe_progress.model_copy(update={"begun": True})
        self._log(
            "stage", state, f"stage {stage_run.stage.name!r} starts", **stage_run.stage.settings
        )
        return state

    def _segment(
        self, state: ModelState | None, stage_run: StageRun | None
    ) -> tuple[Outcome, int | None]:
        """Train with fixed settings; return the outcome and the session's target iteration."""
        settings = self.spec.settings_for(state, stage_run.stage.settings if stage_run else {})
        wanted = settings.target_iter if self.spec.until is None else self.spec.until
        target = wanted or None
        until = min(
            (u for u in (target, stage_run.until if stage_run else None) if u), default=None
        )
        material = self.material(settings)
        model, state, history = self._model(state, settings)
        self._note_changes(state, settings, material)
        trainer = self._trainer(model, state, history, settings, material, stage_run)
        first = trainer.iteration
        self.losses, self._usual = history, ()
        if until is not None and first >= until:
            return "reached", target
        title = f"train {self.folder.path.name}" + (
            f" · {stage_run.stage.name}" if stage_run else ""
        )
        self.progress.start(title, until, "iterations", done=first)
        outcome = trainer.run(until, progress=self.progress, cancel=self.cancel)
        self.progress.finish()
        if outcome == "collapsed":
            at = trainer.iteration
            self._count_collapse(at)
            self._usual = trainer.guard.level(history.values)
            self._sudden = trainer.sudden
            self._log("collapse", at, trainer.trouble)
        elif outcome == "cancelled":
            self._log("cancelled", trainer.iteration, "stopped by the user and saved")
        return outcome, target

    def _model(
        self, state: ModelState | None, settings: ModelSettings
    ) -> tuple[TrainableModel, ModelState | None, LossHistory]:
        """The model to train, with its history: the first process's in every process."""
        spec = self.spec
        lowered = settings.model_copy(
            update={
                "learning_rate": settings.learning_rate * self._risk.lr_factor,
                "clipgrad": settings.clipgrad or self._risk.clipgrad,
            }
        )
        if state is None or not self.world.first:
            model = build_model(
                spec.class_name,
                lowered,
                device=spec.device,
                seed=spec.seed if state is None else state.seed,
                precision=spec.precision,
                compiled=spec.compiled,
            )
            history = LossHistory(columns=len(model.loss_names))
        else:
            model, state = load_model(
                self.folder,
                device=spec.device,
                precision=spec.precision,
                settings=lowered,
                training=True,
                compiled=spec.compiled,
                on_fresh=lambda name: self._log("fresh", state, f"{name} starts with new weights"),
            )
            history = load_history(self.folder, state)
        if self.world.size > 1:
            values = broadcast_object(history.values.copy(), self.world)
            history = LossHistory(values, columns=len(model.loss_names))
            broadcast_model(model, self.world)
            reduce_gradients(model.optimizers(), self.world)
        return model, state, history

    def _trainer(
        self,
        model: TrainableModel,
        state: ModelState | None,
        history: LossHistory,
        settings: ModelSettings,
        material: Material,
        stage_run: StageRun | None,
    ) -> Trainer:
        spec, first = self.spec, self.world.first
        seed = spec.seed if state is None else state.seed
        ema = Ema(model, settings.ema_decay) if settings.ema_decay and first else None
        if ema is not None and state is not None:
            ema.load(load_means(self.folder, state))
        return Trainer(
            folder=self.folder,
            model=model,
            step=material.stepper(model, seed, self.world),
            preview=material.previewer(model),
            history=history,
            seed=seed,
            schedule=spec.schedule,
            trained_s=state.trained_s if state else 0.0,
            facesets=material.facesets,
            ema=ema,
            guard=Guard(len(history), spec.schedule.collapse_factor, self._usual),
            ending=self._ending(stage_run),
            world=self.world,
            record={
                "settings": settings.model_dump(mode="json"),
                "device": device_name(spec.device),
                "precision": spec.precision,
                "ranks": self.world.size,
                "risk": self._risk,
                "recipe": self._recipe_progress,
            },
            board=spec.board,
        )

    def _ending(self, stage_run: StageRun | None) -> Ending:
        if stage_run is None or self._recipe_progress is None:
            return Ending()
        hours = stage_run.stage.hours
        return Ending(
            flat=stage_run.stage.flat,
            since=self._recipe_progress.began,
            not_before=self._recipe_progress.began + stage_run.stage.at_least,
            trained_s=None
            if hours is None
            else self._recipe_progress.began_s + hours * _SECONDS_PER_HOUR,
        )

    def _advance(
        self, state: ModelState | None, stage_run: StageRun, outcome: Outcome
    ) -> ModelState | None:
        """Continue the recipe: with a reset inside the stage, or with the next stage."""
        assert (
            state is not None and self._recipe_progress is not None and self.spec.recipe is not None
        )
        if outcome == "reached" and not stage_run.ends_stage:
            state = self._reset(state, stage_run.stage.reset_networks)
            self._recipe_progress = self._recipe_progress.model_copy(
                update={"resets": self._recipe_progress.resets + 1}
            )
            return state
        why = {"flat": "the loss is flat", "time": "its hours are over"}.get(outcome, "done")
        if self.world.first:
            place = f"stage-{self._recipe_progress.stage + 1}-{stage_run.stage.name}"
            snapshot(self.folder, _plain(place), replace=True)
        means = ", ".join(f"{value:.4f}" for value in self.losses.recent(500))
        self._log("stage", state, f"stage {stage_run.stage.name!r} ends ({why}); losses {means}")
        self._recipe_progress = self.spec.recipe.next_stage(
            self._recipe_progress, state.iteration, state.trained_s
        )
        self._update(recipe=self._recipe_progress)  # nothing else saves it after the last stage
        return self._read() or state

    def _roll_back(self, state: ModelState | None) -> ModelState:
        """Lower the risk and go back to the saved state, or an older one if that did not help."""
        if state is None:
            raise ModelError(
                f"{self.folder.path}: training collapsed before the first save; start again with a"
                " lower learning_rate or clipgrad=true"
            )
        if self._failures > self.spec.schedule.max_rollbacks:
            raise ModelError(
                f"{self.folder.path}: training collapsed {self._failures} times in a row, last at"
                f" iteration {self._collapsed_at}. Iteration {state.iteration} is safely saved;"
                " continue from it, or from a backup, with a lower learning_rate"
            )
        if self.world.first:
            roll_back(
                self.folder,
                collapsed_at=self._collapsed_at,
                sudden=self._sudden,
                again=self._failures > 1,
            )
        self._risk = self._risk.lowered()
        self._update(risk=self._risk)
        state = self._read() or state
        self._log(
            "rollback",
            state,
            f"rolled back to iteration {state.iteration}; continuing with learning_rate"
            f" ×{self._risk.lr_factor:g} and clipped gradients until you set learning_rate",
            lr_factor=self._risk.lr_factor,
        )
        return state

    def _count_collapse(self, at: int) -> None:
        calm = at > self._collapsed_at + _CALM
        self._failures = 1 if calm else self._failures + 1
        self._collapsed_at = at

    def _reset(self, state: ModelState, names: tuple[str, ...]) -> ModelState:
        if self.world.first:
            reset_networks(self.folder, names)
        self.progress.note(f"iteration {state.iteration}: reset {', '.join(names)}")
        return self._read() or state

    def _read(self) -> ModelState | None:
        """The saved state, as the first process reads it."""
        state = None
        if self.world.first and self.folder.exists:
            state = read_state(self.folder)
        return broadcast_object(state, self.world)

    def _update(self, **fields: Any) -> None:
        if self.world.first and self.folder.exists:
            update_state(self.folder, **fields)

    def _note_changes(
        self, state: ModelState | None, settings: ModelSettings, material: Material
    ) -> None:
        """Log what is new in this segment."""
        if state is None:
            self._log(
                "started",
                None,
                f"new {self.spec.class_name} model on {device_words(self.spec.device)}",
                **settings.model_dump(mode="json"),
            )
            return
        changed = {
            key: value
            for key, value in settings.model_dump(mode="json").items()
            if state.settings.get(key, value) != value
        }
        if changed:
            listed = ", ".join(f"{key}={value}" for key, value in changed.items())
            self._log("settings", state, f"changed settings: {listed}", **changed)
        for side, now in material.facesets.items():
            before = state.facesets.get(side)
            if before is not None and before != now:
                counts = f"{before.split()[0]} faces before, {now.split()[0]} now"
                self._log("settings", state, f"the {side} faceset has changed: {counts}")

    def _log(
        self, kind: EventKind, at: ModelState | int | None, message: str, **details: Any
    ) -> None:
        if not self.world.first:
            return
        self.folder.path.mkdir(parents=True, exist_ok=True)
        iteration = at if isinstance(at, int) else at.iteration if at else 0
        log = EventLog(self.folder.events_file, self.progress.note)
        log.write(kind, iteration, message, **details)


def _met(state: ModelState | None, target: int | None) -> bool:
    return target is not None and state is not None and state.iteration >= target


def _plain(name: str) -> str:
    """A stage's name as a snapshot's."""
    return "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in name)
