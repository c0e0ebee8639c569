"""The train stage: a model learns the two facesets of a workspace."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from faceloom.core import Cancel, InputError, Progress
from faceloom.models import FaceModel, ModelSettings, build_model
from faceloom.samples import SampleStore, load_samples
from faceloom.stages.workspace import Workspace
from faceloom.training import (
    LossHistory,
    ModelFolder,
    ModelState,
    PairSource,
    PrecisionChoice,
    Schedule,
    Trainer,
    changed_settings,
    choose_device,
    choose_faces,
    choose_precision,
    computing,
    first_settings,
    foreign_settings,
    list_models,
    load_history,
    load_model,
    locked,
    model_folder,
    read_state,
    split_name,
    sweep,
)

DEFAULT_NAME = "main"


class TrainConfig(Schedule):
    """What to train, for how long, and where."""

    workspace: Path = Path()
    """The workspace, whose two facesets are learned."""
    model: str = "SAEHD"
    """Class of the model: SAEHD or Quick96."""
    name: str | None = None
    """Name of the model; unset: the only one of its class, or `main` for the first."""
    iterations: int | None = Field(default=None, ge=0)
    """Go on until this iteration; 0 is endless, unset leaves it to the model's `target_iter`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the model, such as resolution, archi, batch_size; those of another class's
    models are left out."""
    changes: tuple[str, ...] = ()
    """The same as `key=value` texts, which win over `settings`."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, cuda:1 … or mps."""
    precision: PrecisionChoice = "auto"
    """fp32, bf16 (about twice as fast where the hardware has it), or auto: bf16 where it does."""
    threads: int = Field(default=0, ge=0)
    """CPU threads; 0 is one for each core."""
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    """Where a new model's randomness comes from; a resumed one keeps its own."""


@dataclass(frozen=True)
class TrainResult:
    """What a training session left."""

    model: Path
    """The model's folder."""
    first_iteration: int
    """Iterations done before this session."""
    iteration: int
    """Iterations done now."""
    loss_src: float | None
    """Mean of the last 100 iterations."""
    loss_dst: float | None
    seconds: float
    """How long this session trained."""
    cancelled: bool
    """Whether it was stopped before its target."""
    device: str
    precision: str
    preview: Path

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        values = asdict(self)
        return {**values, "model": str(self.model), "preview": str(self.preview)}

    def lines(self) -> list[str]:
        """For people."""
        done = self.iteration - self.first_iteration
        if not done:
            return [f"{self.model}: nothing to do, it has {self.iteration} iterations"]
        rate = done / self.seconds if self.seconds else 0.0
        return [
            f"{self.model}: iteration {self.iteration} ({done} in {self.seconds:.0f} s, "
            f"{rate:.2f} a second, {self.precision} on {self.device})",
            f"loss src {self.loss_src:.4f}, dst {self.loss_dst:.4f}; preview: {self.preview}",
        ]


def run(config: TrainConfig, *, progress: Progress, cancel: Cancel) -> TrainResult:
    """Train a new model, or go on with a saved one, until its target or `cancel`.

    A cancelled session is saved like a finished one. Raises `InputError` for missing facesets or
    settings that do not fit, `ModelError` for a damaged model, one in use by another process, or
    a training that collapsed.
    """
    workspace = Workspace.open(config.workspace)
    folder = chosen_folder(workspace.model, config)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    with locked(folder), computing(device=device, precision=precision, threads=config.threads):
        state = read_state(folder) if folder.exists else None
        settings = _settings(config, folder, state)
        if foreign := foreign_settings(config.model, config.settings):
            progress.note(f"not settings of a {config.model}, left out: {', '.join(foreign)}")
        src, dst = (
            load_samples(
                faces,
                size_px=settings.resolution,
                face_type=settings.face_type,
                device=device,
                threads=config.threads or os.cpu_count() or 1,
                progress=progress,
                cancel=cancel,
            )
            for faces in (workspace.aligned_src, workspace.aligned_dst)
        )
        if state is None:
            seed, history = config.seed, LossHistory()
            model = build_model(
                config.model, settings, device=device, seed=seed, precision=precision
            )
        else:
            sweep(folder, keep=state.folder)
            seed, history = state.seed, load_history(folder, state)
            model, _ = load_model(
                folder, device=device, precision=precision, settings=settings, training=True
            )
        trainer = _trainer(config, folder, model, history, (src, dst), seed)
        _note_changed_faces(state, trainer, progress)
        trainer.trained_s = state.trained_s if state else 0.0
        return _train(config, trainer, settings, progress, cancel, precision)


def chosen_folder(models: Path, config: TrainConfig) -> ModelFolder:
    """The folder of the model that `config` means; it need not exist.

    Raises `InputError` when no name is given and several models of the class are there.
    """
    if config.name is not None:
        return model_folder(models, config.name, config.model)
    found = list_models(models, config.model)
    if len(found) > 1:
        names = ", ".join(sorted((split_name(f.path) or ("", ""))[0] for f in found))
        raise InputError(f"{models}: several {config.model} models; choose by --name: {names}")
    return found[0] if found else model_folder(models, DEFAULT_NAME, config.model)


def _settings(config: TrainConfig, folder: ModelFolder, state: ModelState | None) -> ModelSettings:
    if state is None:
        return first_settings(config.model, config.settings, config.changes)
    return changed_settings(state, config.settings, config.changes, where=folder.state_file)


def _trainer(
    config: TrainConfig,
    folder: ModelFolder,
    model: FaceModel,
    history: LossHistory,
    stores: tuple[SampleStore, SampleStore],
    seed: int,
) -> Trainer:
    src, dst = stores
    needs = model.sample_needs
    return Trainer(
        folder=folder,
        model=model,
        batches=PairSource(src, dst, needs, seed),
        history=history,
        faces=choose_faces(src, dst, resolution=needs.resolution),
        seed=seed,
        schedule=Schedule(**config.model_dump(include=set(Schedule.model_fields))),
        facesets={
            side: f"{len(store)} {store.digest}" for side, store in (("src", src), ("dst", dst))
        },
    )


def _note_changed_faces(state: ModelState | None, trainer: Trainer, progress: Progress) -> None:
    if state is None:
        return
    for side, now in trainer.facesets.items():
        before = state.facesets.get(side)
        if before is not None and before != now:
            counts = f"{before.split()[0]} faces then, {now.split()[0]} now"
            progress.note(f"{side}'s faceset has changed since the last session: {counts}")


def _train(
    config: TrainConfig,
    trainer: Trainer,
    settings: ModelSettings,
    progress: Progress,
    cancel: Cancel,
    precision: str,
) -> TrainResult:
    wanted = settings.target_iter if config.iterations is None else config.iterations
    until = wanted or None
    first, began = trainer.iteration, time.monotonic()
    if until is None or first < until:
        progress.start(f"train {trainer.folder.path.name}", until, "iterations", done=first)
        trainer.run(until, progress=progress, cancel=cancel)
        progress.finish()
    recent = trainer.history.values[-100:].astype(np.float64)
    losses = recent.mean(0) if len(recent) else (None, None)
    return TrainResult(
        model=trainer.folder.path,
        first_iteration=first,
        iteration=trainer.iteration,
        loss_src=None if losses[0] is None else float(losses[0]),
        loss_dst=None if losses[1] is None else float(losses[1]),
        seconds=time.monotonic() - began,
        cancelled=cancel.is_set and (until is None or trainer.iteration < until),
        device=_device_name(trainer.model.device),
        precision=precision,
        preview=trainer.folder.previews / "last.jpg",
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
