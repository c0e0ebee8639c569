"""The training loop: exact resume, saves, Ctrl-C, collapse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faceloom.checkpoints import LossHistory, ModelFolder, load_history, load_model, read_state
from faceloom.core import Cancel, NullProgress
from faceloom.models import FaceModel, SaehdSettings, build_model
from faceloom.samples import SampleStore
from faceloom.settings.training import Schedule
from faceloom.training import PairMaterial, PairSource, Trainer, World
from faceloom.training.guard import Guard
from faceloom.training.trainer import Clock

Stores = tuple[SampleStore, SampleStore]
CPU = torch.device("cpu")
SEED = 11
SMALL = {"resolution": 64, "archi": "df-ud", "ae_dims": 32, "e_dims": 16, "d_dims": 16}


def new_model(**changes: Any) -> FaceModel:
    settings = SaehdSettings(batch_size=1, **{**SMALL, **changes})
    return build_model("SAEHD", settings, device=CPU, seed=SEED)


def make_trainer(
    folder: Path,
    stores: Stores,
    model: FaceModel,
    history: LossHistory | None = None,
    **schedule: Any,
) -> Trainer:
    material = PairMaterial(*stores)
    return Trainer(
        folder=ModelFolder(folder),
        model=model,
        step=material.stepper(model, SEED, World()),
        preview=material.previewer(model),
        history=history or LossHistory(),
        seed=SEED,
        schedule=Schedule(**schedule),
    )


def resume(folder: Path, stores: Stores, **schedule: Any) -> Trainer:
    model, state = load_model(ModelFolder(folder), device=CPU, training=True)
    history = load_history(ModelFolder(folder), state)
    return make_trainer(folder, stores, model, history, **schedule)


def go(trainer: Trainer, until: int | None, cancel: Cancel | None = None) -> np.ndarray:
    trainer.run(until, progress=NullProgress(), cancel=cancel or Cancel())
    return trainer.history.values.copy()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"archi": "liae-ud", "lr_dropout": "y", "uniform_yaw": True, "eyes_mouth_prio": True},
        {"optimizer": "rmsprop", "random_warp": False, "archi": "liae-d", "clipgrad": True},
    ],
)
def test_resumed_losses_are_those_of_an_uninterrupted_run(
    tmp_path: Path, stores: Stores, changes: dict[str, Any]
) -> None:
    whole = go(make_trainer(tmp_path / "a", stores, new_model(**changes)), 7)
    go(make_trainer(tmp_path / "b", stores, new_model(**changes)), 3)
    go(resume(tmp_path / "b", stores), 4)
    parts = go(resume(tmp_path / "b", stores), 7)
    assert whole.shape == (7, 2)
    assert np.array_equal(whole, parts)
    assert len(np.unique(whole)) == 14


def test_losses_fall(tmp_path: Path, stores: Stores) -> None:
    model = new_model(learning_rate=1e-3, random_warp=False, optimizer="rmsprop")
    losses = go(make_trainer(tmp_path, stores, model), 30)
    assert losses[-10:].mean() < 0.75 * losses[:5].mean()


def test_resume_before_a_repeated_batch(tmp_path: Path, stores: Stores) -> None:
    """Quick96's schedule: iteration 3 (from 0) trains the batch of iteration 2 again, which was
    drawn in the session before."""

    def repeating(trainer: Trainer) -> Trainer:
        model: Any = trainer.model
        batches = PairSource(*stores, replace(model.sample_needs, unwarped_every=3), SEED)
        trainer.step = lambda i: model.train_step(*batches.take(i), iteration=i)
        return trainer

    whole = go(repeating(make_trainer(tmp_path / "a", stores, new_model())), 5)
    go(repeating(make_trainer(tmp_path / "b", stores, new_model())), 3)
    assert np.array_equal(go(repeating(resume(tmp_path / "b", stores)), 5), whole)


def test_ctrl_c_saves_and_stops(tmp_path: Path, stores: Stores) -> None:
    cancel = Cancel()
    trainer = make_trainer(tmp_path, stores, new_model())
    step = trainer.step

    def cancel_after_three(iteration: int) -> dict[str, torch.Tensor]:
        if iteration == 2:
            cancel.set()
        return step(iteration)

    trainer.step = cancel_after_three
    go(trainer, None, cancel)
    state = read_state(ModelFolder(tmp_path))
    assert state.iteration == 3
    assert state.trained_s > 0
    assert go(resume(tmp_path, stores), 4).shape == (4, 2)


def test_saves_after_the_first_iteration_and_by_time(tmp_path: Path, stores: Stores) -> None:
    saved: list[int] = []
    trainer = make_trainer(tmp_path, stores, new_model(), save_every_s=1e-6)
    step = trainer.step

    def look(iteration: int) -> dict[str, torch.Tensor]:
        if trainer.folder.exists:
            saved.append(read_state(trainer.folder).iteration)
        return step(iteration)

    trainer.step = look
    go(trainer, 4)
    assert saved == [1, 2, 3]
    first_only = make_trainer(tmp_path / "b", stores, new_model())
    first_only.train_step()
    go(first_only, 2)
    assert read_state(first_only.folder).iteration == 2


def test_a_collapse_keeps_the_last_good_state(tmp_path: Path, stores: Stores) -> None:
    go(make_trainer(tmp_path, stores, new_model()), 2)
    trainer = resume(tmp_path, stores)
    with torch.no_grad():
        next(iter(trainer.model.networks()["encoder"].parameters())).fill_(float("nan"))
    outcome = trainer.run(6, progress=NullProgress(), cancel=Cancel())
    assert (outcome, trainer.trouble) == ("collapsed", "the loss of iteration 3 is NaN or infinite")
    assert read_state(trainer.folder).iteration == 2
    assert go(resume(tmp_path, stores), 3).shape == (3, 2)


def test_a_collapse_that_ctrl_c_brings_to_light_is_not_saved(
    tmp_path: Path, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(make_trainer(tmp_path, stores, new_model()), 2)
    trainer, cancel = resume(tmp_path, stores), Cancel()
    step = trainer.step

    def last(iteration: int) -> dict[str, torch.Tensor]:
        cancel.set()
        return step(iteration)

    trainer.step = last
    monkeypatch.setattr(Guard, "collapsed", lambda *_: True)
    monkeypatch.setattr(Clock, "fetch_due", lambda *_: False)
    monkeypatch.setattr(Clock, "preview_due", lambda *_: False)
    assert trainer.run(6, progress=NullProgress(), cancel=cancel) == "collapsed"
    assert read_state(trainer.folder).iteration == 2


def test_a_spoilt_weight_is_not_saved_though_its_loss_was_fine(
    tmp_path: Path, stores: Stores
) -> None:
    """A gradient that is no number spoils the weights after the loss was computed."""
    go(make_trainer(tmp_path, stores, new_model()), 2)
    trainer = resume(tmp_path, stores)
    step = trainer.step

    def spoil(iteration: int) -> dict[str, torch.Tensor]:
        losses = step(iteration)
        with torch.no_grad():
            next(iter(trainer.model.networks()["inter"].parameters())).view(-1)[7] = float("inf")
        return losses

    trainer.step = spoil
    outcome = trainer.run(3, progress=NullProgress(), cancel=Cancel())
    assert (outcome, trainer.trouble) == ("collapsed", "a weight is NaN or infinite")
    assert read_state(trainer.folder).iteration == 2


def test_batches_are_the_same_in_any_session(stores: Stores) -> None:
    needs = new_model().sample_needs
    one, two = PairSource(*stores, needs, 5), PairSource(*stores, needs, 5)
    for iteration in range(3):
        one.take(iteration)
    a, b = one.take(3), two.take(3)
    assert torch.equal(a[0].warped, b[0].warped)
    assert torch.equal(a[1].target, b[1].target)
    other = PairSource(*stores, needs, 6).take(3)
    assert not torch.equal(a[0].warped, other[0].warped)
    again = [one.take(i)[0].target for i in (0, 1)]
    assert not torch.equal(again[0], again[1])


def test_quick96_repeats_the_batch_unwarped(stores: Stores) -> None:
    from faceloom.models import Quick96Settings

    needs = build_model("Quick96", Quick96Settings(batch_size=1), device=CPU).sample_needs
    source = PairSource(*stores, needs, 5)
    before, repeated, after = (source.take(i)[0] for i in (2, 3, 4))
    assert torch.equal(before.target, repeated.target)
    assert torch.equal(repeated.warped, repeated.target)
    assert not torch.equal(before.warped, before.target)
    assert not torch.equal(after.target, repeated.target)


def test_previews_do_not_touch_the_training(tmp_path: Path, stores: Stores) -> None:
    often = go(make_trainer(tmp_path / "a", stores, new_model(), preview_every=1), 4)
    never = go(make_trainer(tmp_path / "b", stores, new_model(), preview_every=1000), 4)
    assert np.array_equal(often, never)
    previews = tmp_path / "a" / "previews"
    assert sorted(p.name for p in (previews / "plain").iterdir()) == [
        f"{i:08d}.jpg" for i in (1, 2, 3, 4)
    ]
    assert (previews / "last_masked.jpg").is_file()
    assert "last.jpg" in (previews / "index.html").read_text()


def test_backups_by_training_time(tmp_path: Path, stores: Stores) -> None:
    trainer = make_trainer(tmp_path, stores, new_model(), save_every_s=1e-6, backup_every_h=1e-6)
    go(trainer, 4)
    kept = sorted((tmp_path / "backups").iterdir())
    assert kept
    model, state = load_model(ModelFolder(kept[0]), device=CPU, training=True)
    assert state.iteration == int(kept[0].name)
    assert len(load_history(ModelFolder(kept[0]), state)) == state.iteration
    assert model.settings == new_model().settings
