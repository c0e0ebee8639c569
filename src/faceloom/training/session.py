"""A whole training: stretches with fixed settings, one after the other.

A stretch ends at its target, where a recipe asks for something else, or with a collapse. Between
stretches the model is saved and built anew from its saved state with the next settings: so a
recipe, a roll-back and a resumed training all go the same way.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

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
from faceloom.models import ModelSettings, TrainableModel, build_model
from faceloom.models.stepping import forget_compiled
from faceloom.training.distributed.parallel import (
    World,
    broadcast_model,
    broadcast_object,
    reduce_gradients,
)
from faceloom.training.ema import Ema
from faceloom.training.guard import Guard
from faceloom.training.material.sides import Material
from faceloom.training.recipes import Leg
from faceloom.training.resets import reset_networks
from faceloom.training.rollback import go_back
from faceloom.training.session_plan import Plan, device_name, risked
from faceloom.training.trainer import Ending, Outcome, Trainer

if TYPE_CHECKING:
    pass

_SECONDS_PER_HOUR: Final = 3600.0
_CALM: Final = 1000
"""A collapse so many iterations after the one before is a new misfortune, not the same."""


@dataclass
class Session:
    """Trains one model in `folder` until its plan is done."""

    folder: ModelFolder
    plan: Plan
    material: Callable[[ModelSettings], Material]
    """The samples for a model of such settings."""
    progress: Progress
    cancel: Cancel
    world: World = field(default_factory=World)
    losses: LossHistory = field(default_factory=LossHistory)
    """Of all iterations, once `run` has returned."""
    _recipe: RecipeProgress | None = None
    _risk: Risk = field(default_factory=Risk)
    _failures: int = 0
    _usual: tuple[float, ...] = ()
    _sudden: bool = True
    _collapsed_at: int = -_CALM

    def run(self) -> Outcome:
        """Train; returns "cancelled", or "reached" at the plan's end or a stage that pauses.

        Raises `ModelError` when training collapses again and again, `InputError` for settings or
        networks that a recipe names and the model does not have, `OSError` when the last state
        cannot be saved.
        """
        state = self._open()
        while True:
            leg = self._leg(state)
            if self.plan.course is not None and leg is None:
                self._log("finished", state, "the recipe is done")
                return "reached"
            if self._must_pause(state, leg):
                return "reached"
            state = self._begin_stage(state, leg)
            outcome, target = self._stretch(state, leg)
            gc.collect()  # a model in a reference cycle would stay beside the next one
            if self.plan.compiled:
                forget_compiled()
            state = self._read()
            if outcome == "collapsed":
                state = self._roll_back(state)
            elif outcome == "cancelled" or leg is None or _met(state, target):
                return "cancelled" if outcome == "cancelled" else "reached"
            else:
                state = self._advance(state, leg, outcome)

    def _open(self) -> ModelState | None:
        """The saved state, made ready to go on; None for a new model."""
        state = self._read()
        if state is None:
            self._recipe = self.plan.course.start(0, 0.0) if self.plan.course else None
            return None
        if self.world.first:
            sweep(self.folder, keep=state.folder)
        self._log("resumed", state, f"goes on, on {device_name(self.plan.device)}")
        state = self._leave_pretraining(state)
        self._risk = Risk(rollbacks=state.risk.rollbacks) if self.plan.forgive else state.risk
        course, before = self.plan.course, state.recipe
        self._recipe = None if self.plan.leave_recipe else before
        if course is not None and not (before and course.belongs(before)):
            self._recipe = course.start(state.iteration, state.trained_s)
            if before:
                self._log("stage", state, f"recipe {course.name} in place of {before.recipe}")
        return state

    def _leave_pretraining(self, state: ModelState) -> ModelState:
        """Begin the pair's own training when pretraining has been switched off."""
        settings = self.plan.settings_for(state, {})
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
            told = f", {', '.join(resets)} afresh" if resets else ""
            self._log("pretrained", state, f"pretraining is over: iteration 0 again{told}")
        return self._read() or state

    def _leg(self, state: ModelState | None) -> Leg | None:
        course, progress = self.plan.course, self._recipe
        if course is None or progress is None:
            return None
        return course.leg(progress)

    def _must_pause(self, state: ModelState | None, leg: Leg | None) -> bool:
        """Whether to stop before a stage for which the user has something to do; once a stage.

        Not before there is a model: nothing could keep in mind that it has stopped.
        """
        if state is None or leg is None or self._recipe is None:
            return False
        if not leg.stage.pause or self._recipe.paused:
            return False
        self._recipe = self._recipe.model_copy(update={"paused": True})
        self._update(recipe=self._recipe)
        self._log("stage", state, f"paused before stage {leg.stage.name!r}: {leg.stage.about}")
        return True

    def _begin_stage(self, state: ModelState | None, leg: Leg | None) -> ModelState | None:
        """Reset the networks that a stage wants afresh, once; say that it begins."""
        if leg is None or self._recipe is None or self._recipe.begun:
            return state
        if state is not None and leg.stage.reset:
            state = self._reset(state, leg.stage.reset)
        self._recipe = self._recipe.model_copy(update={"begun": True})
        self._log("stage", state, f"stage {leg.stage.name!r} begins", **leg.stage.settings)
        return state

    def _stretch(self, state: ModelState | None, leg: Leg | None) -> tuple[Outcome, int | None]:
        """Train with fixed settings; the outcome, and the iteration at which all is done."""
        settings = self.plan.settings_for(state, leg.stage.settings if leg else {})
        wanted = settings.target_iter if self.plan.until is None else self.plan.until
        target = wanted or None
        until = min((u for u in (target, leg.until if leg else None) if u), default=None)
        material = self.material(settings)
        model, state, history = self._model(state, settings)
        self._note_changes(state, settings, material)
        trainer = self._trainer(model, state, history, settings, material, leg)
        first = trainer.iteration
        self.losses, self._usual = history, ()
        if until is not None and first >= until:
            return "reached", target
        title = f"train {self.folder.path.name}" + (f" · {leg.stage.name}" if leg else "")
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
            self._log("cancelled", trainer.iteration, "stopped by the user; saved")
        return outcome, target

    def _model(
        self, state: ModelState | None, settings: ModelSettings
    ) -> tuple[TrainableModel, ModelState | None, LossHistory]:
        """The model to train, with its history; the first process's in every process."""
        plan, lowered = self.plan, risked(settings, self._risk)
        if state is None or not self.world.first:
            model = build_model(
                plan.class_name,
                lowered,
                device=plan.device,
                seed=plan.seed if state is None else state.seed,
                precision=plan.precision,
                compiled=plan.compiled,
            )
            history = LossHistory(columns=len(model.loss_names))
        else:
            model, state = load_model(
                self.folder,
                device=plan.device,
                precision=plan.precision,
                settings=lowered,
                training=True,
                compiled=plan.compiled,
                on_fresh=lambda name: self._log("fresh", state, f"{name} starts afresh"),
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
        leg: Leg | None,
    ) -> Trainer:
        plan, first = self.plan, self.world.first
        seed = plan.seed if state is None else state.seed
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
            schedule=plan.schedule,
            trained_s=state.trained_s if state else 0.0,
            facesets=material.facesets,
            ema=ema,
            guard=Guard(len(history), plan.schedule.collapse_factor, self._usual),
            ending=self._ending(leg),
            world=self.world,
            record={
                "settings": settings.model_dump(mode="json"),
                "device": device_name(plan.device),
                "precision": plan.precision,
                "ranks": self.world.size,
                "risk": self._risk,
                "recipe": self._recipe,
            },
            board=plan.board,
        )

    def _ending(self, leg: Leg | None) -> Ending:
        if leg is None or self._recipe is None:
            return Ending()
        hours = leg.stage.hours
        return Ending(
            flat=leg.stage.flat,
            since=self._recipe.began,
            not_before=self._recipe.began + leg.stage.at_least,
            trained_s=None if hours is None else self._recipe.began_s + hours * _SECONDS_PER_HOUR,
        )

    def _advance(self, state: ModelState | None, leg: Leg, outcome: Outcome) -> ModelState | None:
        """Go on in the recipe: reset on the way, or the next stage."""
        assert state is not None and self._recipe is not None and self.plan.course is not None
        if outcome == "reached" and not leg.ends_stage:
            state = self._reset(state, leg.stage.reset_networks)
            self._recipe = self._recipe.model_copy(update={"resets": self._recipe.resets + 1})
            return state
        why = {"flat": "the loss stands still", "time": "its hours are over"}.get(outcome, "done")
        if self.world.first:
            place = f"stage-{self._recipe.stage + 1}-{leg.stage.name}"
            snapshot(self.folder, _plain(place), replace=True)
        means = ", ".join(f"{value:.4f}" for value in self.losses.recent(500))
        self._log("stage", state, f"stage {leg.stage.name!r} ends ({why}); losses {means}")
        self._recipe = self.plan.course.next_stage(self._recipe, state.iteration, state.trained_s)
        self._update(recipe=self._recipe)  # after the last stage nothing is saved any more
        return self._read() or state

    def _roll_back(self, state: ModelState | None) -> ModelState:
        """Lower the risk, and go back to the saved state, or an older one if that did not help."""
        if state is None:
            raise ModelError(
                f"{self.folder.path}: training collapsed before anything was saved; start again"
                " with a lower learning_rate or clipgrad=true"
            )
        if self._failures > self.plan.schedule.max_rollbacks:
            raise ModelError(
                f"{self.folder.path}: training collapsed {self._failures} times in a row, last at"
                f" iteration {self._collapsed_at}. The model of iteration {state.iteration} is"
                " untouched; go on from it, or a backup, with a lower learning_rate"
            )
        if self.world.first:
            go_back(
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
            f"back to iteration {state.iteration}, with learning_rate ×{self._risk.lr_factor:g}"
            " and bounded gradients from here on (a learning_rate of your own ends that)",
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
        self.progress.note(f"iteration {state.iteration}: {', '.join(names)} afresh")
        return self._read() or state

    def _read(self) -> ModelState | None:
        """The saved state, as the first process sees it."""
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
        """Log what is new in this stretch."""
        where = device_name(self.plan.device)
        if state is None:
            self._log(
                "started",
                None,
                f"a new {self.plan.class_name} on {where}",
                **settings.model_dump(mode="json"),
            )
            return
        changed = {
            key: value
            for key, value in settings.model_dump(mode="json").items()
            if state.settings.get(key, value) != value
        }
        if changed:
            told = ", ".join(f"{key}={value}" for key, value in changed.items())
            self._log("settings", state, told, **changed)
        for side, now in material.facesets.items():
            before = state.facesets.get(side)
            if before is not None and before != now:
                counts = f"{before.split()[0]} faces then, {now.split()[0]} now"
                self._log("settings", state, f"{side}'s faceset has changed: {counts}")

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
