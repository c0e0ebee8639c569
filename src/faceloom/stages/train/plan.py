"""The plan stage: what a training will need, before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import humanize

from faceloom.checkpoints.device import choose_device, choose_precision, computing
from faceloom.core import Cancel, Progress
from faceloom.core.result import Result
from faceloom.faces import Faceset
from faceloom.models import ModelSettings, Precision
from faceloom.stages.train.config import PlanConfig
from faceloom.stages.train.run import settings_of
from faceloom.training import device_name
from faceloom.training.planning.calibrate import calibrate
from faceloom.training.planning.cards import GIB, Card, find_card
from faceloom.training.planning.estimate import USABLE_SHARE, Fit, available_memory, fit
from faceloom.training.planning.simulate import simulate
from faceloom.workspace import Workspace


@dataclass(frozen=True)
class PlanResult(Result):
    """What a training needs, and what would fit."""

    class_name: str
    settings: ModelSettings
    device: str
    precision: Precision
    fit: Fit
    iterations: int | None = None
    """The goal, if one is set."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`, with the estimate's totals."""
        values = super().as_dict()
        found, one = values.pop("fit"), self.fit.estimate
        found["fits"] = self.fit.fits
        found["estimate"] |= {"total": one.total, "batch_size": one.settings.batch_size}
        del found["estimate"]["settings"]
        return {"model": values.pop("class_name"), **values, **found}

    def lines(self) -> list[str]:
        """For people."""
        one, s = self.fit.estimate, self.settings
        parts = {
            "weights": one.weights + one.copies,
            "gradients": one.gradients,
            "optimizer": one.slots,
            "activations": one.activations,
            "faces": one.samples,
            "framework": one.overhead,
        }
        need = ", ".join(f"{name} {_gib(value)}" for name, value in parts.items() if value)
        verdict = "fits" if self.fit.fits else "does not fit"
        lines = [
            f"{self.class_name} {s.resolution} px, batch_size {s.batch_size}, {self.precision}:"
            f" {one.parameters / 1e6:.1f} M parameters, {one.flops / 1e9:.0f} GFLOP per step",
            f"{verdict} {self.device}: {_gib(one.total)} of {_gib(self.fit.available)} GB ({need})",
        ]
        if one.host:
            lines.append(f"also {_gib(one.host)} GB of the computer's memory (optimizer)")
        if one.seconds is not None:
            rate = 1 / one.seconds
            lines.append(f"about {one.seconds:.2g} s per step, {rate:.2g} steps per second")
            if self.iterations:
                whole = humanize.naturaldelta(self.iterations * one.seconds)
                lines.append(f"{self.iterations} iterations: about {whole}")
        largest = self.fit.largest_batch
        lines.append(f"largest batch_size that fits: {largest or 'none'}")
        return [*lines, *self.fit.advice]


def run(config: PlanConfig, *, progress: Progress, cancel: Cancel) -> PlanResult:
    """Estimate a training without starting it; this device's speed is measured briefly.

    Raises `InputError` for an unknown card or conflicting settings.
    """
    class_name, settings = settings_of(config)
    card = None if config.card is None else find_card(config.card)
    workspace = Workspace.open(config.workspace)
    folders = {workspace.aligned_src, workspace.aligned_dst}
    samples = sum(len(Faceset(folder)) for folder in folders if folder.is_dir())
    progress.start(f"plan {class_name}", None, "parts")
    if card is None:
        name, precision, result = _for_this_machine(config, class_name, settings, samples)
    else:
        name, precision = f"{card.name} ({_gib(card.memory)} GB)", _precision_on(card, config)
        result = fit(
            class_name,
            settings,
            precision=precision,
            device_kind="cuda",
            available=int(USABLE_SHARE * card.memory),
            samples=samples,
            card=card,
        )
    cancel.check()
    progress.finish()
    goal = config.iterations or settings.target_iter or None
    return PlanResult(class_name, settings, name, precision, result, goal)


def _for_this_machine(
    config: PlanConfig, class_name: str, settings: ModelSettings, samples: int
) -> tuple[str, Precision, Fit]:
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    kind = "cuda" if device.type == "cuda" else "cpu" if device.type == "cpu" else "mps"
    available = available_memory(device)
    with computing(device=device, precision=precision, threads=config.threads):
        work = simulate(class_name, settings, precision=precision, host_layers=device.type == "cpu")
        rates = calibrate(work, settings, device=device, precision=precision)
    result = fit(
        class_name,
        settings,
        precision=precision,
        device_kind=kind,
        available=available,
        samples=samples,
        rates=rates,
    )
    return device_name(device), precision, result


def _precision_on(card: Card, config: PlanConfig) -> Precision:
    """The trainer's choice on `card`; for a bare memory size, that of a recent card."""
    if config.precision != "auto":
        return config.precision
    return "fp32" if card.bf16_tflops is None and card.fp32_tflops is not None else "bf16"


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"
