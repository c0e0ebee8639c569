"""Saving and resuming a model, whole or not at all.

A save writes a new state folder, then the history, and last renames `state.json`, which names the
folder that counts. A kill at any instant leaves either the old state or the new one; what the other
left behind is swept when training starts again.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from faceloom.core import ModelError, Settings, atomic_write
from faceloom.core.config import validate
from faceloom.core.paths import sweep_temporary
from faceloom.models import MODELS, FaceModel, ModelSettings, Precision, build_model
from faceloom.training.folder import ModelFolder, sync_folder
from faceloom.training.history import LossHistory, read_history

FORMAT = 1
_RETRIES = 5
_STATE_PREFIX = "state-"
_UNFINISHED_PREFIX = ".tmp-state-"


class OptimizerState(Settings):
    """What an optimizer keeps beside its tensors."""

    kind: str
    """Its class; another class starts afresh."""
    groups: list[dict[str, Any]]
    """Its parameter groups' numbers."""


class ModelState(Settings):
    """The content of `state.json`."""

    format: Literal[1] = FORMAT
    """Version of this file."""
    faceloom: str = ""
    """The version of Faceloom that wrote it."""
    class_name: str
    """Class of the model, as in `MODELS`."""
    settings: dict[str, Any]
    """The model's settings."""
    iteration: int = Field(ge=0)
    """Iterations done."""
    seed: int
    """Where all randomness comes from."""
    trained_s: float = 0.0
    """Seconds spent training, all sessions together."""
    folder: str
    """Name of the state folder."""
    files: dict[str, int]
    """The state folder's files and their sizes in bytes."""
    optimizers: dict[str, OptimizerState]
    """By the optimizers' names."""
    facesets: dict[str, str] = Field(default_factory=dict)
    """What the two facesets were: count and digest of their file names."""
    saved_at: str = ""
    """When, in UTC."""


def read_state(folder: ModelFolder) -> ModelState:
    """The saved state of a model; `ModelError` when there is none or it is not intact."""
    state = _parse_state(folder.state_file)
    for _ in range(_RETRIES):
        trouble = _trouble(folder, state)
        if trouble is None:
            return state
        # Another process may be training it, and have replaced the state while it was looked at.
        before, state = state, _parse_state(folder.state_file)
        if state.folder == before.folder:
            raise ModelError(trouble)
    raise ModelError(f"{folder.path}: is being saved all the time; try again")


def _parse_state(where: Path) -> ModelState:
    try:
        return ModelState.model_validate_json(where.read_bytes())
    except FileNotFoundError:
        raise ModelError(f"{where.parent}: no trained model here") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{where}: damaged or of a newer Faceloom: {key} {first['msg']}") from None


def _trouble(folder: ModelFolder, state: ModelState) -> str | None:
    """What is wrong with the files that a state names, or None."""
    for name, size in state.files.items():
        file = folder.path / state.folder / name
        plain = Path(name).name == name and Path(state.folder).name == state.folder
        try:
            intact = plain and file.stat().st_size == size
        except FileNotFoundError:
            intact = False
        if not intact:
            return (
                f"{file}: missing or not of {size} bytes; put it back, or restore a backup from "
                f"{folder.backups}"
            )
    return None


def save_state(
    folder: ModelFolder,
    model: FaceModel,
    history: LossHistory,
    *,
    seed: int,
    trained_s: float = 0.0,
    facesets: Mapping[str, str] | None = None,
) -> ModelState:
    """Save a model after `len(history)` iterations; then delete the state before."""
    iteration = len(history)
    token = uuid.uuid4().hex[:4]
    name = f"{_STATE_PREFIX}{iteration:08d}-{token}"
    folder.path.mkdir(parents=True, exist_ok=True)
    unfinished = folder.path / f"{_UNFINISHED_PREFIX}{token}"
    unfinished.mkdir()
    try:
        files = _write_tensors(unfinished, model)
        unfinished.rename(folder.path / name)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    history.write(folder.history_file)
    sync_folder(folder.path)
    state = ModelState(
        faceloom=version("faceloom"),
        class_name=model.class_name,
        settings=model.settings.model_dump(mode="json"),
        iteration=iteration,
        seed=seed,
        trained_s=trained_s,
        folder=name,
        files=files,
        optimizers=_optimizer_states(model),
        facesets=dict(facesets or {}),
        saved_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    atomic_write(folder.state_file, state.model_dump_json(indent=1))
    sync_folder(folder.path)
    sweep(folder, keep=name)
    return state


def sweep(folder: ModelFolder, *, keep: str) -> None:
    """Delete state folders other than `keep`, and what a killed process left."""
    for entry in folder.path.iterdir():
        stale = entry.name.startswith(_STATE_PREFIX) and entry.name != keep
        if entry.is_dir() and (stale or entry.name.startswith(_UNFINISHED_PREFIX)):
            shutil.rmtree(entry, ignore_errors=True)
    sweep_temporary(folder.path)


def load_model(
    folder: ModelFolder,
    *,
    device: torch.device,
    precision: Precision = "fp32",
    settings: ModelSettings | None = None,
    training: bool = False,
) -> tuple[FaceModel, ModelState]:
    """Build the saved model and load its weights; with `training`, its optimizers as well.

    `settings` replaces the saved ones where they may differ; see `changed_settings`. Raises
    `ModelError` when a file is missing, damaged or of another shape: nothing is ever
    re-initialised silently (the original's defects 3 and 4).
    """
    for _ in range(_RETRIES):
        state = read_state(folder)
        try:
            return _load(folder, state, device, precision, settings, training=training), state
        except ModelError:
            # A training in another process may have replaced the state meanwhile.
            if read_state(folder).folder == state.folder:
                raise
    raise ModelError(f"{folder.path}: is being saved all the time; try again")


def _load(
    folder: ModelFolder,
    state: ModelState,
    device: torch.device,
    precision: Precision,
    settings: ModelSettings | None,
    *,
    training: bool,
) -> FaceModel:
    model = build_model(
        state.class_name,
        settings or saved_settings(state, where=folder.state_file),
        device=device,
        seed=state.seed,
        precision=precision,
    )
    for name, network in model.networks().items():
        _load_network(folder.path / state.folder / f"{name}.safetensors", network)
    if training:
        for name, optimizer in model.optimizers().items():
            _load_optimizer(folder.path / state.folder, name, optimizer, model, state)
    return model


def saved_settings(state: ModelState, *, where: Path) -> ModelSettings:
    """The settings that a state was saved with; `InputError` names `where` when they do not fit."""
    return validate(MODELS[state.class_name].settings, state.settings, where=str(where))


def load_history(folder: ModelFolder, state: ModelState) -> LossHistory:
    """The losses up to the saved iteration."""
    return read_history(folder.history_file, state.iteration)


def _write_tensors(target: Path, model: FaceModel) -> dict[str, int]:
    """Write networks and optimizers, a file each; return names and sizes."""
    tensors = {name: network.state_dict() for name, network in model.networks().items()}
    for name, optimizer in model.optimizers().items():
        names = _parameter_names(model)
        tensors[name] = {
            f"{names[id(param)]}.{slot}": value
            for param, slots in optimizer.state.items()
            for slot, value in slots.items()
            if isinstance(value, Tensor)
        }
    sizes: dict[str, int] = {}
    for name, values in tensors.items():
        file = target / f"{name}.safetensors"
        plain = {key: value.detach().cpu().contiguous() for key, value in values.items()}
        save_file(plain, file)
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())
        sizes[file.name] = file.stat().st_size
    sync_folder(target)
    return sizes


def _parameter_names(model: FaceModel) -> dict[int, str]:
    return {
        id(param): f"{network}.{key}"
        for network, module in model.networks().items()
        for key, param in module.named_parameters()
    }


def _optimizer_states(model: FaceModel) -> dict[str, OptimizerState]:
    return {
        name: OptimizerState(
            kind=type(optimizer).__name__,
            groups=[
                {key: value for key, value in group.items() if key != "params"}
                for group in optimizer.param_groups
            ],
        )
        for name, optimizer in model.optimizers().items()
    }


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except FileNotFoundError:
        raise ModelError(f"{file}: missing; restore a backup") from None
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file}: cannot be read ({error}); restore a backup") from None


@torch.no_grad()
def _load_network(file: Path, network: nn.Module) -> None:
    stored = _read_tensors(file)
    own = network.state_dict()
    if stored.keys() != own.keys():
        odd = sorted(stored.keys() ^ own.keys())
        raise ModelError(f"{file}: its tensors are not this network's (first: {odd[0]})")
    for key, value in own.items():
        _copy(file, key, stored[key], value)


def _copy(file: Path, key: str, stored: Tensor, target: Tensor) -> None:
    """Copy into the place, so that memory format and device stay the model's."""
    if stored.shape != target.shape:
        raise ModelError(
            f"{file}: {key} has shape {tuple(stored.shape)}, the model needs {tuple(target.shape)}"
        )
    target.copy_(stored)


@torch.no_grad()
def _load_optimizer(
    state_folder: Path,
    name: str,
    optimizer: torch.optim.Optimizer,
    model: FaceModel,
    state: ModelState,
) -> None:
    """Restore moments and step counts. Learning rate and the like are those of the settings.

    An optimizer of another kind than the saved one starts afresh: its moments mean something else.
    """
    saved = state.optimizers.get(name)
    if saved is None or saved.kind != type(optimizer).__name__:
        return
    file = state_folder / f"{name}.safetensors"
    stored = _read_tensors(file)
    names = _parameter_names(model)
    for param, slots in optimizer.state.items():
        for slot, value in slots.items():
            key = f"{names[id(param)]}.{slot}"
            if key not in stored:
                raise ModelError(f"{file}: {key} is missing; restore a backup")
            if isinstance(value, Tensor):
                _copy(file, key, stored[key], value)
    for group, numbers in zip(optimizer.param_groups, saved.groups, strict=False):
        group["step"] = numbers.get("step", 0)
