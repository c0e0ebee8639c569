"""The planner against known sizes, PyTorch's own counters, and real steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from faceloom.core import InputError
from faceloom.models import Quick96Settings, SaehdSettings, XsegSettings, build_model
from faceloom.training.planning import batch_size
from faceloom.training.planning import estimate as estimating
from faceloom.training.planning.batch_size import find_batch, largest
from faceloom.training.planning.calibrate import Rates, calibrate
from faceloom.training.planning.cards import CARDS, GIB, find_card
from faceloom.training.planning.estimate import Estimate, estimate, fit
from faceloom.training.planning.noise import train_on_noise
from faceloom.training.planning.simulate import Simulated, simulate

TINY: dict[str, Any] = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16}
DF = SaehdSettings(archi="df-ud", batch_size=2, **TINY)


def tiny(**changes: Any) -> SaehdSettings:
    return SaehdSettings.model_validate({**DF.model_dump(), **changes})


@pytest.mark.parametrize(
    ("class_name", "settings", "parameters", "slots"),
    [
        ("SAEHD", SaehdSettings(archi="df-ud", batch_size=1), 54_470_998, 2),
        ("Quick96", Quick96Settings(batch_size=1), 38_294_330, 1),
    ],
)
def test_sizes_of_known_models(class_name: str, settings: Any, parameters: int, slots: int) -> None:
    """Parameter counts of docs/internals/networks.md."""
    work = simulate(class_name, settings, precision="bf16", host_layers=False)
    assert work.parameters == parameters
    assert work.weights == work.gradients == 4 * parameters
    assert work.slots == 4 * slots * parameters
    assert work.copies == 0
    assert work.peak > work.weights + work.slots + work.gradients


@pytest.mark.parametrize("changes", [{}, {"archi": "liae-udt", "gan_power": 0.1}])
def test_operations_are_those_that_pytorch_counts(changes: dict[str, Any]) -> None:
    settings = tiny(**changes)
    model = build_model("SAEHD", settings)
    with FlopCounterMode(display=False) as counter:
        train_on_noise(model, batch_size=settings.batch_size)
    work = simulate("SAEHD", settings, precision="fp32", host_layers=True)
    assert work.flops == pytest.approx(counter.get_total_flops(), rel=1e-6)


def allocated_at_worst(settings: SaehdSettings, precision: Any) -> int:
    """Most bytes that a real second step has beyond what lay there before, told by PyTorch's
    allocator."""
    model = build_model("SAEHD", settings, precision=precision)
    train_on_noise(model, batch_size=settings.batch_size)
    for optimizer in model.optimizers().values():
        optimizer.zero_grad(set_to_none=True)
    with torch.profiler.profile(profile_memory=True) as profiler:
        train_on_noise(model, batch_size=settings.batch_size)
    events: Any = profiler.profiler.kineto_results.events()
    taken = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    level = worst = 0
    for _, change in taken:
        level += change
        worst = max(worst, level)
    return worst


@pytest.mark.parametrize(
    ("precision", "checkpointing"), [("fp32", False), ("bf16", False), ("bf16", True)]
)
def test_memory_is_what_a_real_step_allocates(precision: Any, checkpointing: bool) -> None:
    settings = tiny(resolution=96, batch_size=8, checkpointing=checkpointing)
    work = simulate("SAEHD", settings, precision=precision, host_layers=True)
    simulated = work.peak - work.weights - work.slots - work.copies
    assert simulated == pytest.approx(allocated_at_worst(settings, precision), rel=0.1)


def test_host_layers_keep_half_copies_and_half_gradients() -> None:
    plain = simulate("SAEHD", DF, precision="bf16", host_layers=False)
    host = simulate("SAEHD", DF, precision="bf16", host_layers=True)
    assert host.parameters == plain.parameters
    assert 0.45 < host.copies / host.weights <= 0.5
    assert 0.5 <= host.gradients / plain.gradients < 0.55
    assert host.flops == plain.flops
    assert host.convolutions == plain.convolutions


def made_up(class_name: str, settings: Any, *, precision: str, host_layers: bool) -> Simulated:
    """A model of 1 MB weights whose activations are 100 KB a sample, half when recomputed."""
    slots = 2_000_000 if settings.optimizer == "adabelief" else 1_000_000
    each = 100_000 * (settings.resolution // 64) ** 2 // (1 + settings.checkpointing)
    peak = 2_000_000 + slots + each * settings.batch_size
    return Simulated(250_000, 10**6, slots, 0, 10**6, peak, 10**9 * settings.batch_size, 0, 10**6)


def test_estimates_follow_the_settings(monkeypatch: Any) -> None:
    monkeypatch.setattr(estimating, "simulate", made_up)

    def of(settings: SaehdSettings, **options: Any) -> Estimate:
        options = {"precision": "fp32", "device_kind": "cuda", **options}
        return estimate("SAEHD", settings, **options)

    plain, offloaded = of(DF), of(tiny(models_opt_on_gpu=False))
    assert plain.host == 0
    assert (plain.activations, plain.slots) == (200_000, 2_000_000)
    assert offloaded.host == plain.slots
    assert offloaded.slots == 0
    assert offloaded.total < plain.total - 0.9 * plain.slots
    assert of(DF, samples=10).total == plain.total + 10 * 5 * 64 * 64
    assert plain.seconds is None
    fast, slow = (of(DF, card=find_card(name)).seconds for name in ("RTX 4090", "RTX 3060"))
    assert fast is not None
    assert slow is not None
    assert fast < slow / 2


@pytest.mark.parametrize("border", [1, 3, 11, 40])
def test_the_largest_batch_fits_and_one_more_does_not(border: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(estimating, "simulate", made_up)
    options: Any = {"precision": "fp32", "device_kind": "cuda"}
    room = estimate("SAEHD", tiny(batch_size=border), **options).total
    found = fit("SAEHD", DF, available=room, **options)
    assert found.fits == (border >= DF.batch_size)
    assert found.largest_batch == border


def test_no_batch_beyond_what_the_class_takes(monkeypatch: Any) -> None:
    def small(_: str, settings: Any, **__: Any) -> Simulated:
        peak = 10**6 * settings.batch_size
        return Simulated(250_000, 10**6, 10**6, 0, 10**6, peak, 10**9, 0, 10**6)

    monkeypatch.setattr(estimating, "simulate", small)
    options: Any = {"precision": "bf16", "device_kind": "cuda"}
    assert fit("XSeg", XsegSettings(), available=900 * GIB, **options).largest_batch == 16
    asked = XsegSettings(batch_size=2)
    assert fit("XSeg", asked, available=0, **options).largest_batch == 0


def test_advice(monkeypatch: Any) -> None:
    monkeypatch.setattr(estimating, "simulate", made_up)
    options: Any = {"precision": "fp32", "device_kind": "cuda"}
    needs = estimate("SAEHD", tiny(batch_size=1, resolution=128), **options)
    asked = tiny(resolution=128, batch_size=1)
    short = fit("SAEHD", asked, available=needs.total - 10**6, **options)
    assert not short.fits
    assert short.largest_batch == 0
    assert any("models_opt_on_gpu=false" in text for text in short.advice)
    nothing = fit("SAEHD", DF, available=1 << 20, **options)
    assert nothing.largest_batch == 0
    assert nothing.advice == ()
    roomy = fit("SAEHD", DF, available=needs.total * 100, **options)
    assert any("resolution up to 640" in text for text in roomy.advice)


def test_time_adds_up_from_rates() -> None:
    work = Simulated(10, 40, 80, 0, 40, 200, flops=1000, product_flops=100, moved=50)
    rates = Rates(2.0, 0.1, 0.01, 0.001)
    found = estimate("SAEHD", DF, precision="fp32", device_kind="cpu", rates=rates, work=work)
    assert found.seconds == pytest.approx(2.0 + 0.1 * 50 + 0.01 * 10 + 0.001 * 100)


def test_calibration_measures_every_part() -> None:
    work = simulate("SAEHD", DF, precision="bf16", host_layers=True)
    rates = calibrate(work, DF, device=torch.device("cpu"), precision="bf16")
    assert all(value > 0 for value in vars(rates).values())


def test_cards_by_name_and_by_size() -> None:
    assert find_card("rtx4090").memory == 24 * GIB
    assert find_card("NVIDIA GeForce RTX 3060").name == "RTX 3060"
    assert find_card("RTX 3060 12GB").name == "RTX 3060"
    assert find_card("a100 80gb").memory == 80 * GIB
    assert find_card("3060 ti").name == "RTX 3060 Ti"
    bare = find_card("10.5 GB")
    assert bare.memory == int(10.5 * GIB)
    assert bare.fp32_tflops is None
    for card in CARDS:
        assert find_card(card.name) is card
        assert card.bf16_tflops is None or card.bf16_tflops > (card.fp32_tflops or 0)
    with pytest.raises(InputError, match="RTX 4090"):
        find_card("Voodoo 2")


@pytest.mark.parametrize("limit", [1, 2, 7, 128])
def test_search_finds_the_largest(limit: int) -> None:
    for border in range(limit + 3):
        tried: list[int] = []

        def fits(number: int, border: int = border, tried: list[int] = tried) -> bool:
            tried.append(number)
            return number <= border

        assert largest(fits, limit=limit) == min(border, limit)
        assert len(tried) == len(set(tried)) <= 14
        assert all(1 <= number <= limit for number in tried)


def test_on_a_cpu_the_batch_grows_while_samples_get_faster(monkeypatch: Any) -> None:
    speeds = {1: 1.0, 2: 1.8, 4: 2.4, 8: 2.5, 16: 99.0}
    assert batch_size._fastest(speeds.__getitem__, limit=128) == 4
    assert batch_size._fastest({1: 1.0, 2: 0.0}.__getitem__, limit=128) == 1
    assert batch_size._fastest({1: 0.0}.__getitem__, limit=128) == 0
    monkeypatch.setattr(batch_size, "LIMIT", 2)
    found = find_batch("SAEHD", DF, device=torch.device("cpu"), precision="fp32")
    assert found in {1, 2}
    monkeypatch.setattr(batch_size, "available_memory", lambda device: 1000)
    with pytest.raises(InputError, match="checkpointing"):
        find_batch("SAEHD", DF, device=torch.device("cpu"), precision="fp32")
