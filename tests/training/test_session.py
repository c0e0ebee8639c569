"""Whole trainings: recipes, faults on the way, pretraining, and what the log says of them."""

from __future__ import annotations

import errno
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faceloom.checkpoints import (
    ModelFolder,
    ModelState,
    load_history,
    load_model,
    read_events,
    read_state,
    update_state,
)
from faceloom.core import Cancel, ModelError, NullProgress
from faceloom.models import ModelSettings
from faceloom.samples import SampleStore
from faceloom.settings.training import Schedule
from faceloom.training import (
    PairMaterial,
    RecipeRun,
    Session,
    SessionSpec,
    changed_settings,
    first_settings,
    guard,
)
from faceloom.training import trainer as trainer_module
from faceloom.training.guard import Guard
from faceloom.training.recipes import Recipe, RecipeStage
from faceloom.training.trainer import Clock

Stores = tuple[SampleStore, SampleStore]
CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "resolution": 64,
    "archi": "liae-ud",
    "ae_dims": 32,
    "e_dims": 16,
    "d_dims": 16,
    "batch_size": 1,
}


def session(
    path: Path,
    stores: Stores,
    until: int | None,
    *,
    recipe: RecipeRun | None = None,
    progress: NullProgress | None = None,
    forgive: bool = False,
    schedule: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Session:
    folder = ModelFolder(path)

    def settings_for(state: ModelState | None, stage: Mapping[str, Any]) -> ModelSettings:
        if state is None:
            return first_settings("SAEHD", {**SMALL, **stage, **changes})
        return changed_settings(state, {**stage, **changes}, where=folder.state_file)

    spec = SessionSpec(
        class_name="SAEHD",
        settings_for=settings_for,
        until=until,
        seed=4,
        device=CPU,
        precision="fp32",
        schedule=Schedule(preview_every=10**6, **(schedule or {})),
        recipe=recipe,
        forgive=forgive,
    )
    material = PairMaterial(*stores)
    return Session(folder, spec, lambda _: material, progress or NullProgress(), Cancel())


def kinds(path: Path) -> list[str]:
    return [event.kind for event in read_events(ModelFolder(path).events_file)]


def losses(path: Path) -> np.ndarray:
    folder = ModelFolder(path)
    return load_history(folder, read_state(folder)).values


def spoiling(iterations: set[int]) -> Callable[..., Any]:
    """A training step whose gradient is NaN at each of `iterations`, once."""
    step = PairMaterial.stepper

    def stepper(self: PairMaterial, model: Any, seed: int, world: Any) -> Any:
        plain = step(self, model, seed, world)

        def spoilt(iteration: int) -> dict[str, torch.Tensor]:
            if iteration not in iterations:
                return plain(iteration)
            iterations.remove(iteration)
            weight = next(model.networks()["encoder"].parameters())
            handle = weight.register_hook(lambda grad: grad * float("nan"))
            try:
                return plain(iteration)
            finally:
                handle.remove()

        return spoilt

    return stepper


def test_a_gradient_that_is_no_number_costs_a_roll_back(
    tmp_path: Path, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = NullProgress()
    monkeypatch.setattr(PairMaterial, "stepper", spoiling({3, 5}))
    first = session(tmp_path, stores, 7, progress=notes, schedule={"save_every_s": 1e-6})
    assert first.run() == "reached"
    state = read_state(ModelFolder(tmp_path))
    assert state.iteration == 7
    assert (state.risk.lr_factor, state.risk.clipgrad, state.risk.rollbacks) == (0.25, True, 2)
    assert state.settings["learning_rate"] == 5e-5, "the user's setting stays what it was"
    assert kinds(tmp_path).count("rollback") == kinds(tmp_path).count("collapse") == 2
    assert any("back to iteration" in note and "×0.5" in note for note in notes.notes)
    assert np.isfinite(losses(tmp_path)).all()
    model, _ = load_model(ModelFolder(tmp_path), device=CPU)
    assert all(p.isfinite().all() for n in model.networks().values() for p in n.parameters())
    session(tmp_path, stores, 8, forgive=True).run()
    assert read_state(ModelFolder(tmp_path)).risk.lr_factor == 1


def test_a_model_that_breaks_always_is_given_up_and_kept(
    tmp_path: Path, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    session(tmp_path, stores, 2).run()
    plain = PairMaterial.stepper

    def stepper(self: PairMaterial, model: Any, seed: int, world: Any) -> Any:
        step = plain(self, model, seed, world)
        return lambda n: {key: value * float("inf") for key, value in step(n).items()}

    monkeypatch.setattr(PairMaterial, "stepper", stepper)
    with pytest.raises(ModelError, match=r"collapsed 3 times in a row.*Iteration 2 is safely"):
        session(tmp_path, stores, 9, schedule={"max_rollbacks": 2}).run()
    assert read_state(ModelFolder(tmp_path)).iteration == 2
    with pytest.raises(ModelError, match="before the first save"):
        session(tmp_path / "new", stores, 9).run()


def test_a_full_disk_stops_no_training(
    tmp_path: Path, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saves that fail are tried again; in the end all is saved as if nothing had been."""
    save, tries = trainer_module.save_state, 0

    def full(*args: Any, **kwargs: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries in (2, 3):
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(*args, **kwargs)

    session(tmp_path / "calm", stores, 6).run()
    monkeypatch.setattr(trainer_module, "save_state", full)
    session(tmp_path / "full", stores, 6, schedule={"save_every_s": 1e-6}).run()
    assert kinds(tmp_path / "full").count("save_failed") == 2
    assert np.array_equal(losses(tmp_path / "calm"), losses(tmp_path / "full"))
    monkeypatch.setattr(
        trainer_module, "save_state", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with pytest.raises(OSError, match="full"):
        session(tmp_path / "full", stores, 8).run()
    assert read_state(ModelFolder(tmp_path / "full")).iteration == 6


def test_a_state_saved_while_it_went_wrong_is_not_the_one_to_go_back_to(
    tmp_path: Path, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights go bad at iteration 6 and are saved at 7, before any loss has shown it."""
    monkeypatch.setattr(guard, "PROOF", 3)
    plain, spoilt = PairMaterial.stepper, False

    def stepper(self: PairMaterial, model: Any, seed: int, world: Any) -> Any:
        step = plain(self, model, seed, world)

        def once(iteration: int) -> dict[str, torch.Tensor]:
            nonlocal spoilt
            losses = step(iteration)
            if iteration == 5 and not spoilt:
                spoilt = True
                with torch.no_grad():
                    model.networks()["decoder"].out_conv.bias.fill_(-50.0)
            return losses

        return once

    saves = {1, 3, 4, 7}
    monkeypatch.setattr(PairMaterial, "stepper", stepper)
    monkeypatch.setattr(Clock, "save_due", lambda _, iteration: iteration in saves)
    monkeypatch.setattr(
        Guard, "collapsed", lambda _, losses: len(losses) > 8 and losses[-1].max() > 5
    )
    monkeypatch.setattr(Clock, "fetch_due", lambda *_: True)
    assert session(tmp_path, stores, 12).run() == "reached"
    back = [e for e in read_events(ModelFolder(tmp_path).events_file) if e.kind == "rollback"]
    assert [event.iteration for event in back] == [4]
    assert losses(tmp_path)[-3:].max() < 5


STAGES = (
    RecipeStage(name="warp", iterations=4, reset_every=2, reset_networks=("inter_AB",)),
    RecipeStage(name="own dst", pause=True, about="put it there", iterations=2),
    RecipeStage(name="gan", settings={"random_warp": False, "gan_power": 0.1}, iterations=2),
)


def recipe_of(*stages: RecipeStage) -> RecipeRun:
    recipe = Recipe(about="a recipe of a test", model="SAEHD", stages=stages)
    return RecipeRun("test", recipe, digest="d")


def test_a_recipe_from_end_to_end(tmp_path: Path, stores: Stores) -> None:
    first = session(tmp_path, stores, None, recipe=recipe_of(*STAGES))
    assert first.run() == "reached"
    state = read_state(ModelFolder(tmp_path))
    assert (state.iteration, state.recipe and state.recipe.paused) == (4, True)
    assert session(tmp_path, stores, None, recipe=recipe_of(*STAGES)).run() == "reached"
    state = read_state(ModelFolder(tmp_path))
    assert state.iteration == 8
    assert state.settings["gan_power"] == 0.1
    assert state.recipe is not None and state.recipe.stage == len(STAGES), "done, and known to be"
    assert "GAN.safetensors" in state.files and "GAN_opt.safetensors" in state.files
    assert kinds(tmp_path) == [
        *("stage", "started", "reset", "stage", "stage"),  # warp begins … ends; paused
        *("resumed", "stage", "stage"),  # own dst begins and ends
        *("stage", "fresh", "settings", "stage", "finished"),
    ]
    names = sorted(entry.name for entry in (tmp_path / "snapshots").iterdir())
    assert names[1:] == ["stage-1-warp", "stage-2-own-dst", "stage-3-gan"]
    assert names[0].endswith("before reset of inter_AB")


def test_no_pause_before_there_is_a_model(tmp_path: Path, stores: Stores) -> None:
    session(tmp_path, stores, 1, recipe=recipe_of(STAGES[1])).run()
    assert read_state(ModelFolder(tmp_path)).iteration == 1


def test_one_model_at_a_time_is_in_memory(
    tmp_path: Path, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, alive = PairMaterial.stepper, list[Any]()

    def stepper(self: PairMaterial, model: Any, seed: int, world: Any) -> Any:
        assert [made() for made in alive] == [None] * len(alive)
        alive.append(weakref.ref(model))
        return plain(self, model, seed, world)

    monkeypatch.setattr(PairMaterial, "stepper", stepper)
    session(tmp_path, stores, None, recipe=recipe_of(STAGES[0], STAGES[2])).run()
    assert len(alive) == 3


def test_an_interrupted_recipe_is_the_same_as_one_in_one_go(tmp_path: Path, stores: Stores) -> None:
    stages = (STAGES[0], STAGES[2])
    session(tmp_path / "a", stores, None, recipe=recipe_of(*stages)).run()
    for until in (1, 2, 3, 5, None):
        session(tmp_path / "b", stores, until, recipe=recipe_of(*stages)).run()
    assert np.array_equal(losses(tmp_path / "a"), losses(tmp_path / "b"))
    assert read_state(ModelFolder(tmp_path / "b")).iteration == 6


def test_a_stage_ends_when_its_loss_stands_still(tmp_path: Path, stores: Stores) -> None:
    flat = {"window": 10, "improvement": 0.9}
    stage = RecipeStage(name="short", flat=flat, at_least=22)  # type: ignore[arg-type]
    session(tmp_path, stores, 60, recipe=recipe_of(stage), optimizer="rmsprop").run()
    state = read_state(ModelFolder(tmp_path))
    assert 22 <= state.iteration < 60
    messages = [e.message for e in read_events(ModelFolder(tmp_path).events_file)]
    assert any("loss is flat" in message for message in messages)


def test_pretraining_ends_with_a_fresh_start(tmp_path: Path, stores: Stores) -> None:
    session(tmp_path, stores, 3, pretrain=True).run()
    trained, before = load_model(ModelFolder(tmp_path), device=CPU, training=True)
    assert before.settings["pretrain"] is True
    session(tmp_path, stores, 2, pretrain=False).run()
    state = read_state(ModelFolder(tmp_path))
    assert (state.iteration, state.settings["pretrain"]) == (2, False)
    assert losses(tmp_path).shape == (2, 2)
    assert "pretrained" in kinds(tmp_path)
    now, _ = load_model(ModelFolder(tmp_path), device=CPU)
    change = {
        name: max(
            float((a - b).detach().abs().max())
            for a, b in zip(
                trained.networks()[name].parameters(),
                now.networks()[name].parameters(),
                strict=True,
            )
        )
        for name in trained.networks()
    }
    assert min(change["inter_AB"], change["inter_B"]) > 0.05, "reset"
    assert max(change["encoder"], change["decoder"]) < 0.01, "two small steps away"


def test_running_means_are_kept_and_merged_with(tmp_path: Path, stores: Stores) -> None:
    session(tmp_path, stores, 3, ema_decay=0.5, learning_rate=1e-3).run()
    folder = ModelFolder(tmp_path)
    last, _ = load_model(folder, device=CPU)
    mean, state = load_model(folder, device=CPU, weights="auto")
    assert "ema.safetensors" in state.files
    a, b = (m.networks()["decoder"].out_conv.weight for m in (last, mean))
    assert not torch.equal(a, b)
    session(tmp_path, stores, 5, ema_decay=0.5, learning_rate=1e-3).run()
    session(tmp_path / "whole", stores, 5, ema_decay=0.5, learning_rate=1e-3).run()
    resumed, _ = load_model(folder, device=CPU, weights="mean")
    whole, _ = load_model(ModelFolder(tmp_path / "whole"), device=CPU, weights="mean")
    for name, network in resumed.networks().items():
        for one, other in zip(
            network.parameters(), whole.networks()[name].parameters(), strict=True
        ):
            assert torch.equal(one, other)


def test_state_fields_are_changed_without_touching_weights(tmp_path: Path, stores: Stores) -> None:
    session(tmp_path, stores, 1).run()
    folder = ModelFolder(tmp_path)
    before = read_state(folder)
    update_state(folder, trained_s=77.0)
    after = read_state(folder)
    assert (after.trained_s, after.folder, after.files) == (77.0, before.folder, before.files)
