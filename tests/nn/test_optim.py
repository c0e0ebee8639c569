"""Optimizers against golden numbers and a plain float64 restatement
(docs/internals/optimizers.md)."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch

from faceloom.nn import AdaBelief, RMSprop, optim

KINDS = [AdaBelief, RMSprop]
START = (1.0, 2.0, 3.0)
GRADIENT = (0.5, -2.0, 1e-4)

GOLDEN = {
    (AdaBelief, None): [
        (-1.7565e-4, 1.7571e-4, -1.2994e-4),
        (-4.2385e-4, 4.2391e-4, -3.2663e-4),
        (-7.2718e-4, 7.2718e-4, -5.7459e-4),
    ],
    (RMSprop, None): [
        (-1.5813e-4, 1.5807e-4, -1.5330e-4),
        (-2.7281e-4, 2.7275e-4, -2.6536e-4),
        (-3.6883e-4, 3.6883e-4, -3.5954e-4),
    ],
}
GOLDEN_CLIPPED_THIRD = {
    AdaBelief: (-1.0180e-4, -2.6321e-4, -4.7088e-4),
    RMSprop: (-1.4853e-4, -2.5797e-4, -3.5048e-4),
}


def run(kind: Any, steps: int, **options: Any) -> np.ndarray:
    """Cumulative change after each step with the golden start and gradient: `steps 3`."""
    param = torch.tensor(START, requires_grad=True)
    optimizer = kind([param], lr=5e-5, **options)
    rows = []
    for _ in range(steps):
        param.grad = torch.tensor(GRADIENT)
        optimizer.step()
        rows.append((param.detach().double() - torch.tensor(START).double()).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_golden(kind: Any) -> None:
    assert np.abs(run(kind, 3) - GOLDEN[kind, None]).max() < 3e-7


@pytest.mark.parametrize("kind", KINDS)
def test_golden_clipped(kind: Any) -> None:
    change = run(kind, 3, clip_norm=1.0)
    assert np.abs(change[:, 2] - GOLDEN_CLIPPED_THIRD[kind]).max() < 3e-7


@pytest.mark.parametrize("kind", KINDS)
def test_clipping_leaves_small_gradients_alone(kind: Any) -> None:
    assert np.array_equal(run(kind, 3, clip_norm=100.0), run(kind, 3))


def reference_step(
    kind: Any, value: np.ndarray, gradient: np.ndarray, state: dict[str, np.ndarray]
) -> np.ndarray:
    """One update in float64, written from the formulas; changes `state`."""
    if kind is AdaBelief:
        state["m"] = 0.9 * state["m"] + 0.1 * gradient
        state["s"] = 0.999 * state["s"] + 0.001 * (gradient - state["m"]) ** 2
        return value - 1e-3 * state["m"] / (np.sqrt(state["s"]) + 1e-6)
    state["a"] = 0.9 * state["a"] + 0.1 * gradient**2
    return value - 1e-3 * gradient / (np.sqrt(state["a"]) + 1e-6)


def make_params() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(7,), (4, 3, 3, 3), (40, 11), (1,), (6, 5, 3, 3)]
    params = [torch.randn(shape, generator=generator) for shape in shapes]
    params[4] = params[4].contiguous(memory_format=torch.channels_last)
    return [param.requires_grad_() for param in params]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [64, 1 << 18])
def test_blocks_and_memory_formats(kind: Any, block: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(optim, "CPU_BLOCK", block)
    params = make_params()
    values = [p.detach().double().numpy().copy() for p in params]
    states = [{k: np.zeros_like(v) for k in "msa"} for v in values]
    optimizer = kind(params, lr=1e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        for i, param in enumerate(params):
            # Row-major gradients also for the channels-last parameter, and none for the second.
            param.grad = None if i == 1 else torch.randn(param.shape, generator=generator)
            if param.grad is not None:
                gradient = param.grad.double().numpy()
                values[i] = reference_step(kind, values[i], gradient, states[i])
        optimizer.step()
    for param, value in zip(params, values, strict=True):
        assert np.abs(param.detach().numpy() - value).max() < 2e-6


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_keeps_a_share_unscaled_and_always_updates_states(kind: Any) -> None:
    def change(**options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        param = torch.zeros(200_000, requires_grad=True)
        optimizer = kind([param], lr=1e-3, **options)
        param.grad = torch.linspace(-1, 1, 200_000)
        optimizer.step()
        return param.detach(), optimizer.state[param][kind.slots[-1]]

    full, full_state = change()
    dropped, state = change(keep=0.3, seed=7)
    kept = dropped != 0
    assert kept.float().mean().item() == pytest.approx(0.3, abs=0.005)
    assert torch.allclose(dropped[kept], full[kept], rtol=1e-5, atol=0)
    assert torch.equal(state, full_state)
    neighbours = (kept[1:] & kept[:-1]).float().mean().item()
    assert neighbours == pytest.approx(0.09, abs=0.005)
    assert torch.equal(change(keep=0.3, seed=7)[0], dropped)
    assert not torch.equal(change(keep=0.3, seed=8)[0], dropped)


def test_masks_differ_from_step_to_step() -> None:
    param = torch.zeros(1000, requires_grad=True)
    optimizer = RMSprop([param], lr=1e-3, keep=0.3, masks_on_cpu=True)
    moved = []
    for _ in range(2):
        before = param.detach().clone()
        param.grad = torch.ones(1000)
        optimizer.step()
        moved.append(param.detach() != before)
    assert 0 < (moved[0] & moved[1]).sum().item() < 200


def test_cosine_returns_after_its_period() -> None:
    plain = np.diff(run(RMSprop, 502)[:, 0], prepend=0)
    scheduled = np.diff(run(RMSprop, 502, period=500)[:, 0], prepend=0)
    for step in (0, 125, 250, 499, 500):
        factor = 0.5 * (1 + math.cos(2 * math.pi * step / 500))
        assert scheduled[step] == pytest.approx(plain[step] * factor, abs=2e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_resume_is_exact(kind: Any) -> None:
    def fresh() -> tuple[list[torch.Tensor], Any]:
        params = make_params()
        return params, kind(params, lr=1e-3, keep=0.3, period=500, clip_norm=1.0, seed=3)

    def steps(params: list[torch.Tensor], optimizer: Any, first: int, count: int) -> None:
        for step in range(first, first + count):
            generator = torch.Generator().manual_seed(step)
            for param in params:
                param.grad = torch.randn(param.shape, generator=generator)
            optimizer.step()

    straight, straight_optimizer = fresh()
    steps(straight, straight_optimizer, 0, 6)
    first, first_optimizer = fresh()
    steps(first, first_optimizer, 0, 3)
    saved = copy.deepcopy(first_optimizer.state_dict())
    for state in saved["state"].values():  # as a file gives them: row-major
        for slot in kind.slots:
            state[slot] = state[slot].contiguous()
    second, second_optimizer = fresh()
    for param, value in zip(second, first, strict=True):
        param.data.copy_(value.data)
    second_optimizer.load_state_dict(saved)
    steps(second, second_optimizer, 3, 3)
    for one, other in zip(straight, second, strict=True):
        assert torch.equal(one, other)
    assert second_optimizer.param_groups[0]["step"] == 6


@pytest.mark.parametrize("kind", KINDS)
def test_offloaded_slots_change_nothing(kind: Any) -> None:
    def run(offload: bool) -> tuple[list[torch.Tensor], Any]:
        params = make_params()
        optimizer = kind(params, lr=1e-3, keep=0.3, clip_norm=1.0, seed=3, offload=offload)
        for step in range(4):
            if step == 2:  # through a saved state, row-major as a file gives it
                saved = copy.deepcopy(optimizer.state_dict())
                for state in saved["state"].values():
                    state.update({slot: state[slot].contiguous() for slot in kind.slots})
                optimizer = kind(params, lr=1e-3, keep=0.3, clip_norm=1.0, offload=offload)
                optimizer.load_state_dict(saved)
            generator = torch.Generator().manual_seed(step)
            for param in params:
                param.grad = torch.randn(param.shape, generator=generator)
            optimizer.step()
        return params, optimizer.state_dict()

    (plain, plain_state), (other, other_state) = run(False), run(True)
    assert all(torch.equal(one, two) for one, two in zip(plain, other, strict=True))
    assert plain_state["param_groups"] == other_state["param_groups"]
    for index, state in plain_state["state"].items():
        for slot in kind.slots:
            assert torch.equal(state[slot], other_state["state"][index][slot])


def test_offloading_moves_slots_to_the_host() -> None:
    """A device without memory stands for the GPU: what is made for it must lie on the CPU."""
    param = torch.empty(8, 4, device="meta", requires_grad=True)
    optimizer = AdaBelief([param], lr=1e-3, offload=True)
    assert {slot.device.type for slot in optimizer.state[param].values()} == {"cpu"}
