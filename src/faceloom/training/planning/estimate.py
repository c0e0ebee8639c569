"""Estimating before a start what a model needs on a device: memory, time, and what fits."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from faceloom.core import InputError
from faceloom.models import ModelSettings, Precision
from faceloom.training.planning.calibrate import Rates
from faceloom.training.planning.cards import Card
from faceloom.training.planning.simulate import Simulated, simulate

DeviceKind = Literal["cpu", "cuda", "mps"]
MIB = 1 << 20

# Share of a device's memory; the driver and the desktop use the rest.
USABLE_SHARE = 0.92
# Bytes per pixel of a stored sample: RGB and two masks (`faceloom.samples`).
_PLANES = 5
# What a CPU process needs besides its tensors: code, oneDNN's scratch memory, and fragmentation
# (measured on SAEHD and Quick96).
_HOST_BASE, _HOST_SHARE = 155 * MIB, 0.10
# The same for a GPU: context, cuDNN's workspaces, fragmentation.
_CUDA_BASE, _CUDA_SHARE = 900 * MIB, 0.06
# Share of a card's peak that convolutions of these sizes reach.
_CONVOLUTION_SHARE = 0.45
# Share of the traffic between convolutions that remains in a compiled step.
_MOVED_SHARE = 0.4
_BANDWIDTH_SHARE = 0.8
_BYTES_PER_UPDATE = {"adabelief": 28, "rmsprop": 20}
# Ways to fit that do not change the result, mildest first.
_SHRINK: tuple[dict[str, Any], ...] = (
    {"checkpointing": True},
    {"models_opt_on_gpu": False},
    {"checkpointing": True, "models_opt_on_gpu": False},
)
_BATCH_LIMIT = 128


@dataclass(frozen=True)
class Estimate:
    """What one model needs, in bytes and seconds."""

    settings: ModelSettings
    weights: int
    gradients: int
    slots: int
    """Optimizer state on the device."""
    copies: int
    """bfloat16 copies of the weights that persist between steps (CPU only)."""
    activations: int
    """Activations and temporary tensors at the worst moment, besides the above."""
    samples: int
    """The faces, decoded."""
    overhead: int
    """What the framework itself needs."""
    host: int
    """Bytes in the computer's memory instead: offloaded optimizer state."""
    parameters: int
    flops: int
    """Operations per step."""
    seconds: float | None
    """Per step; None if the speed of the device is unknown."""

    @property
    def total(self) -> int:
        """Bytes on the device."""
        tensors = self.weights + self.gradients + self.slots + self.copies + self.activations
        return tensors + self.samples + self.overhead


@dataclass(frozen=True)
class Fit:
    """How a model fits a device."""

    estimate: Estimate
    available: int
    """Bytes that training may use."""
    largest_batch: int
    """Largest batch size that fits, at most 128; 0: none."""
    advice: tuple[str, ...]
    """What else would fit, as text."""

    @property
    def fits(self) -> bool:
        """Whether the model fits with its settings."""
        return self.estimate.total <= self.available


def estimate(
    class_name: str,
    settings: ModelSettings,
    *,
    precision: Precision,
    device_kind: DeviceKind,
    samples: int = 0,
    card: Card | None = None,
    rates: Rates | None = None,
    work: Simulated | None = None,
) -> Estimate:
    """What `settings` need: memory by simulating a step, time from `rates` or `card`.

    `samples` is the number of faces of both sides in the device's memory. `rates` are those of this
    device (`calibrate`); they take precedence over the data sheet of `card`. `work` is the result
    of `simulate` for these settings, if known already.
    """
    on_cpu = device_kind == "cpu"
    work = work or simulate(class_name, settings, precision=precision, host_layers=on_cpu)
    offloaded = 0 if on_cpu or getattr(settings, "models_opt_on_gpu", True) else work.slots
    resting = work.weights + work.slots + work.copies + work.gradients
    base, share = (_HOST_BASE, _HOST_SHARE) if on_cpu else (_CUDA_BASE, _CUDA_SHARE)
    return Estimate(
        settings=settings,
        weights=work.weights,
        gradients=work.gradients,
        slots=work.slots - offloaded,
        copies=work.copies,
        activations=max(0, work.peak - resting),
        samples=samples * _PLANES * settings.resolution**2,
        overhead=base + int(share * (work.peak - offloaded)),
        host=offloaded,
        parameters=work.parameters,
        flops=work.flops,
        seconds=_seconds(work, settings, precision, card, rates),
    )


def fit(
    class_name: str,
    settings: ModelSettings,
    *,
    precision: Precision,
    device_kind: DeviceKind,
    available: int,
    samples: int = 0,
    card: Card | None = None,
    rates: Rates | None = None,
) -> Fit:
    """Whether `settings` fit into `available` bytes, the largest batch that fits, and advice."""

    def of(**changes: Any) -> Estimate:
        changed = settings.model_validate({**settings.model_dump(), **changes})
        same = not changes
        return estimate(
            class_name,
            changed,
            precision=precision,
            device_kind=device_kind,
            samples=samples,
            card=card,
            rates=rates if same else None,
        )

    asked = of()
    largest = _largest_batch(settings, asked.total, available, of)
    advice = _larger(settings, available, of) if largest else _smaller(settings, available, of)
    return Fit(asked, available, largest, tuple(advice))


def available_memory(device: torch.device) -> int:
    """Bytes that training may use on `device` now."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return min(free, int(USABLE_SHARE * total))
    return int(USABLE_SHARE * _free_host_memory())


def _free_host_memory() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        raise InputError(
            "this system does not report its free memory; give --card '16 GB'"
        ) from None


def _seconds(
    work: Simulated,
    settings: ModelSettings,
    precision: Precision,
    card: Card | None,
    rates: Rates | None,
) -> float | None:
    if rates is not None:
        return (
            rates.convolutions_s
            + rates.s_per_byte * work.moved
            + rates.s_per_parameter * work.parameters
            + rates.s_per_product_flop * work.product_flops
        )
    if card is None or card.fp32_tflops is None:
        return None
    peak = (card.bf16_tflops if precision == "bf16" else None) or card.fp32_tflops
    update = _BYTES_PER_UPDATE.get(getattr(settings, "optimizer", "rmsprop"), 20)
    traffic = _MOVED_SHARE * work.moved + update * work.parameters
    return work.flops / (_CONVOLUTION_SHARE * peak * 1e12) + traffic / (
        _BANDWIDTH_SHARE * card.gb_per_s * 1e9
    )


def batch_limits(settings: ModelSettings) -> tuple[int, int]:
    """The smallest and the largest batch size that the class allows."""
    rules = type(settings).model_fields["batch_size"].metadata
    lows = [rule.ge for rule in rules if hasattr(rule, "ge")]
    highs = [rule.le for rule in rules if hasattr(rule, "le")]
    return max([1, *lows]), min([_BATCH_LIMIT, *highs])


def _largest_batch(settings: ModelSettings, total: int, available: int, of: Any) -> int:
    """Memory grows almost linearly with the batch size: extrapolate, then check."""
    batch, (low, high) = settings.batch_size, batch_limits(settings)
    other = max(low, batch // 2) if batch > low else low + 1
    grows = (of(batch_size=other).total - total) / (other - batch)
    guess = min(high, batch + int((available - total) // max(grows, 1.0)))
    while guess >= low and of(batch_size=guess).total > available:
        guess -= max(1, guess // 16)
    return guess if guess >= low else 0


def _larger(settings: ModelSettings, available: int, of: Any) -> Iterator[str]:
    """Advice: the largest resolution for this batch size."""
    larger = list(_resolutions(settings, upwards=True))
    fitting = bisect_right(larger, available, key=lambda side: of(resolution=side).total)
    if fitting:
        yield f"resolution up to {larger[fitting - 1]} fits with batch_size {settings.batch_size}"


def _smaller(settings: ModelSettings, available: int, of: Any) -> Iterator[str]:
    """Advice: what would make the model fit with the smallest batch size."""
    known, least = type(settings).model_fields, batch_limits(settings)[0]
    for changes in _SHRINK:
        if not changes.keys() <= known.keys():
            continue
        if of(batch_size=least, **changes).total <= available:
            words = " ".join(f"{key}={str(value).lower()}" for key, value in changes.items())
            yield f"{words} fits with batch_size {least}"
            break
    for resolution in _resolutions(settings, upwards=False):
        if of(batch_size=least, resolution=resolution).total <= available:
            yield f"resolution {resolution} fits with batch_size {least}"
            return


def _resolutions(settings: ModelSettings, *, upwards: bool) -> Iterator[int]:
    """The next resolutions that the class allows, in steps of about a quarter."""
    if "resolution" in settings.fixed:
        return
    resolution = settings.resolution
    last = 640 if upwards else 64
    while resolution != last:
        step = max(32, resolution // 4 // 32 * 32)
        resolution = resolution // 32 * 32 + (step if upwards else -step)
        resolution = min(last, resolution) if upwards else max(last, resolution)
        yield resolution
