"""What a training will need, told before it starts: `faceloom train --plan`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from faceloom.checkpoints.device import choose_device, choose_precision, computing
from faceloom.core import Cancel, Progress
from faceloom.models import ModelSettings, Precision
from faceloom.stages.train.run import TrainConfig, settings_of
from faceloom.training import device_name
from faceloom.training.planning.calibrate import calibrate
from faceloom.training.planning.cards import GIB, Card, find_card
from faceloom.training.planning.plan import USABLE_SHARE, Fit, available_memory, fit
from faceloom.training.planning.simulate import simulate
from faceloom.workspace import Workspace

_PICTURES = {".jpg", ".jpeg", ".png"}


class PlanConfig(TrainConfig):
    """The training that is asked about, and on what."""

    card: str | None = None
    """A graphics card by name, as `RTX 4090`, or a memory size, as `24 GB`; unset: this machine."""

    @classmethod
    def of(cls, training: TrainConfig, *, card: str | None) -> Self:
        """The plan of `training`."""
        values = {key: getattr(training, key) for key in TrainConfig.model_fields}
        return cls(**values, card=card)


@dataclass(frozen=True)
class PlanResult:
    """What was found."""

    class_name: str
    settings: ModelSettings
    device: str
    precision: Precision
    fit: Fit

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "model": self.class_name,
            "settings": self.settings.model_dump(mode="json"),
            "device": self.device,
            "precision": self.precision,
            **self.fit.as_dict(),
        }

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
            f" {one.parameters / 1e6:.1f} M parameters, {one.flops / 1e9:.0f} GFLOP a step",
            f"{verdict} {self.device}: {_gib(one.total)} of {_gib(self.fit.available)} GB ({need})",
        ]
        if one.host:
            lines.append(f"beside it {_gib(one.host)} GB of the computer's memory (optimizer)")
        if one.seconds is not None:
            lines.append(f"about {one.seconds:.2g} s a step, {1 / one.seconds:.2g} steps a second")
        largest = self.fit.largest_batch
        lines.append(f"largest batch_size that fits: {largest or 'none'}")
        return [*lines, *self.fit.advice]


def run(config: PlanConfig, *, progress: Progress, cancel: Cancel) -> PlanResult:
    """Estimate a training without starting it; a short measurement tells this device's speed.

    Raises `InputError` for an unknown card, or settings that do not fit each other.
    """
    class_name, settings = settings_of(config)
    card = None if config.card is None else find_card(config.card)
    samples = _faces(config.workspace)
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
    return PlanResult(class_name, settings, name, precision, result)


def _for_this_machine(
    config: TrainConfig, class_name: str, settings: ModelSettings, samples: int
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


def _precision_on(card: Card, config: TrainConfig) -> Precision:
    """What the trainer would choose on `card`; of a bare memory size, that of a recent card."""
    if config.precision != "auto":
        return config.precision
    return "fp32" if card.bf16_tflops is None and card.fp32_tflops is not None else "bf16"


def _faces(workspace: Path) -> int:
    """Pictures in both facesets, without opening them."""
    opened = Workspace.open(workspace)
    folders = {opened.aligned_src, opened.aligned_dst}
    return sum(
        path.suffix.lower() in _PICTURES
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
    )


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"
