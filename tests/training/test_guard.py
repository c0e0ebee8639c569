"""Losses that break, jump or stand still, on curves whose nature is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from faceloom.checkpoints.progress import Risk
from faceloom.models import SaehdSettings, build_model
from faceloom.settings.training import Plateau
from faceloom.training.ema import Ema
from faceloom.training.guard import Guard, is_flat, is_sound


def curve(count: int, level: float = 1.0, *, noise: float = 0.2, seed: int = 0) -> np.ndarray:
    """Two columns of noisy losses that fall from 4·level to `level`."""
    random = np.random.default_rng(seed)
    fall = level * (1 + 3 * np.exp(-np.arange(count) / 200))
    rows = fall[:, None] * random.lognormal(0, noise, (count, 2))
    return rows.astype(np.float32)


def test_a_broken_row_is_found() -> None:
    rows = curve(10)
    assert Guard().broken(rows) is None
    rows[6, 1] = np.inf
    rows[8, 0] = np.nan
    assert Guard().broken(rows) == 6


def test_an_ordinary_training_is_no_collapse() -> None:
    """Falling, noisy and with single outliers: never a false alarm, at any length."""
    losses = curve(3000)
    losses[::97] *= 8
    guard = Guard()
    assert not any(guard.collapsed(losses[:n]) for n in range(0, 3000, 25))


@pytest.mark.parametrize("column", [0, 1])
def test_a_jump_that_stays_is_a_collapse(column: int) -> None:
    losses = np.concatenate([curve(1500), curve(200)])
    losses[1500:, column] = 3.5
    guard = Guard()
    assert not guard.collapsed(losses[:1520]), "twenty bad batches may be chance"
    assert guard.suspicious(losses[:1520]), "but are no moment to save"
    assert guard.collapsed(losses[:1600])
    assert not Guard(factor=0).collapsed(losses[:1600])


def test_other_settings_are_another_loss() -> None:
    """What came before the present settings is no measure: a reset inter starts high again."""
    losses = np.concatenate([curve(1500), curve(1500, 3.0)])
    assert not Guard(first=1500).collapsed(losses)
    assert Guard(first=0).collapsed(losses[:1650])


def test_after_a_roll_back_the_measure_is_what_was_usual() -> None:
    """A state that was already broken when it was saved shows within a hundred iterations."""
    before = curve(1500)
    usual = Guard().level(np.concatenate([before, np.full((100, 2), 9.0, np.float32)]))
    assert usual == pytest.approx(np.median(before[-500:], axis=0))
    broken = np.concatenate([before, np.full((100, 2), 3.0, np.float32)])
    assert not Guard(first=1500).collapsed(broken)
    assert Guard(first=1500, usual=usual).collapsed(broken)
    fine = np.concatenate([before, curve(100, 1.0)[::-1]])
    assert not Guard(first=1500, usual=usual).collapsed(fine[:1580])


def test_is_flat() -> None:
    flat = Plateau(window=400, improvement=0.01)
    random = np.random.default_rng(1)
    fallen = np.concatenate([np.linspace(4, 1, 1500), np.full(800, 1.0)])
    losses = (fallen[:, None] * random.normal(1, 0.01, (2300, 2))).astype(np.float32)
    assert not is_flat(losses[:1500], 0, flat)
    assert is_flat(losses, 0, flat)
    assert not is_flat(losses, 1600, flat), "too few iterations of this stage"
    losses[-400:, 1] *= 0.9
    assert not is_flat(losses, 0, flat), "one side still learns"


def test_risk_is_lowered_step_by_step() -> None:
    risk = Risk().lowered().lowered()
    assert (risk.lr_factor, risk.clipgrad, risk.rollbacks) == (0.25, True, 2)


def small_model() -> object:
    settings = SaehdSettings(resolution=64, archi="df-ud", ae_dims=32, e_dims=16, d_dims=16)
    return build_model("SAEHD", settings, seed=3)


def test_sound_sees_every_weight() -> None:
    model = small_model()
    assert is_sound(model)  # type: ignore[arg-type]
    bias = model.networks()["decoder_dst"].out_convm.bias  # type: ignore[attr-defined]
    with torch.no_grad():
        bias.fill_(float("nan"))
    assert not is_sound(model)  # type: ignore[arg-type]


def test_ema_is_the_weighted_mean_and_swaps_without_a_trace() -> None:
    model = small_model()
    weight = model.networks()["inter"].dense1.weight  # type: ignore[attr-defined]
    ema = Ema(model, 0.9)  # type: ignore[arg-type]
    expected = weight.detach().double().clone()
    for iteration in range(1, 40):
        with torch.no_grad():
            weight.add_(0.01 * iteration)
        ema.update(iteration)
        decay = min(0.9, (1 + iteration) / (10 + iteration))
        expected = decay * expected + (1 - decay) * weight.detach().double()
    mean = ema.tensors()["inter.dense1.weight"]
    assert torch.allclose(mean.double(), expected, atol=1e-5)
    before, kept = weight.detach().clone(), mean.clone()
    with ema.swapped_in():
        assert torch.equal(weight, kept)
    assert torch.equal(weight, before)
    assert torch.equal(ema.tensors()["inter.dense1.weight"], kept)
