"""Saving and loading a model atomically.

A save writes a new state folder, then the history, and finally renames `state.json`, which names
the current folder. A kill at any time leaves either the old state or the new one; leftovers are
deleted when training starts again.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, ValidationError
from torch import Tensor

from faceloom.checkpoints.folder import ModelFolder, sync_folder
from faceloom.checkpoints.history import LossHistory, read_history
from faceloom.checkpoints.progress import RecipeProgress, Risk
from faceloom.checkpoints.tensors import (
    EMA_FILE,
    OptimizerState,
    load_mean_weights,
    load_networks,
    load_optimizer,
    optimizer_states,
    read_tensors,
    write_tensors,
)
from faceloom.core import InputError, ModelError, Settings, atomic_write
from faceloom.core.config import validate
from faceloom.core.paths import sweep_temporary
from faceloom.core.vocabulary import Weights
from faceloom.models import MODELS, ModelSettings, Precision, TrainableModel, build_model

FORMAT = 1
_RETRIES = 5
_STATE_PREFIX = "state-"
_UNFINISHED_PREFIX = ".tmp-state-"


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
    """Seed of all randomness."""
    trained_s: float = 0.0
    """Seconds spent training, over all sessions."""
    folder: str
    """Name of the state folder."""
    files: dict[str, int]
    """The state folder's files and their sizes in bytes."""
    optimizers: dict[str, OptimizerState]
    """By the optimizers' names."""
    facesets: dict[str, str] = Field(default_factory=dict)
    """What the two facesets were: count and digest of their file names."""
    device: str = ""
    """What it was last trained on."""
    precision: str = ""
    """How exactly."""
    ranks: int = Field(default=1, ge=1)
    """Processes that shared the last session's batches."""
    risk: Risk = Risk()
    """What was lowered after collapses."""
    recipe: RecipeProgress | None = None
    """How far it has come in a recipe."""
    saved_at: str = ""
    """When, in UTC."""


def read_state(folder: ModelFolder) -> ModelState:
    """The saved state of a model; `ModelError` when there is none or it is not intact."""
    state = _parse_state(folder.state_file)
    for _ in range(_RETRIES):
        trouble = _trouble(folder, state)
        if trouble is None:
            return state
        # Another process may be training the model, and have replaced the state meanwhile.
        before, state = state, _parse_state(folder.state_file)
        if state.folder == before.folder:
            raise ModelError(trouble)
    raise ModelError(f"{folder.path}: is being saved constantly; try again")


def _parse_state(where: Path) -> ModelState:
    try:
        return ModelState.model_validate_json(where.read_bytes())
    except FileNotFoundError:
        raise ModelError(f"no trained model in {where.parent}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ModelError(
            f"{where}: damaged, or written by a newer Faceloom: {key} {first['msg']}"
        ) from None


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
                f"{file} is missing or does not have {size} bytes; put it back, or restore a backup"
                f" with `faceloom model restore` (list: `faceloom model backups`)"
            )
    return None


def save_state(
    folder: ModelFolder,
    model: TrainableModel,
    history: LossHistory,
    *,
    seed: int,
    trained_s: float = 0.0,
    facesets: Mapping[str, str] | None = None,
    ema: Mapping[str, Tensor] | None = None,
    **run: Any,
) -> ModelState:
    """Save a model after `len(history)` iterations, then delete the previous state.

    `ema`: running means of its weights. `run`: other fields of `ModelState` to set, such as device,
    precision, ranks, risk or recipe; or the settings, where a lowered risk changed those that the
    model was built with.
    """
    iteration = len(history)
    token = uuid.uuid4().hex[:4]
    name = f"{_STATE_PREFIX}{iteration:08d}-{token}"
    folder.path.mkdir(parents=True, exist_ok=True)
    unfinished = folder.path / f"{_UNFINISHED_PREFIX}{token}"
    unfinished.mkdir()
    try:
        files = write_tensors(unfinished, model, ema)
        unfinished.rename(folder.path / name)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    history.write(folder.history_file)
    sync_folder(folder.path)
    values: dict[str, Any] = {
        "faceloom": version("faceloom"),
        "class_name": model.class_name,
        "settings": model.settings.model_dump(mode="json"),
        "iteration": iteration,
        "seed": seed,
        "trained_s": trained_s,
        "folder": name,
        "files": files,
        "optimizers": optimizer_states(model),
        "facesets": dict(facesets or {}),
        "saved_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    state = ModelState(**{**values, **run})
    atomic_write(folder.state_file, state.model_dump_json(indent=1))
    sync_folder(folder.path)
    sweep(folder, keep=name)
    return state


def update_state(folder: ModelFolder, **fields: Any) -> ModelState:
    """Change fields of `state.json`, such as risk or recipe, without touching weights."""
    state = read_state(folder).model_copy(update=fields)
    atomic_write(folder.state_file, state.model_dump_json(indent=1))
    sync_folder(folder.path)
    return state


def sweep(folder: ModelFolder, *, keep: str) -> None:
    """Delete state folders other than `keep`, and leftovers of killed processes."""
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
    weights: Weights = "trained",
    compiled: bool = False,
    on_fresh: Callable[[str], None] | None = None,
) -> tuple[Any, ModelState]:
    """Build the saved model and load its weights; with `training`, its optimizers as well.

    `settings` replaces the saved ones where they may differ; see `changed_settings`. An optional
    network (`optional_networks`) without saved weights of its shape is newly initialised, and
    `on_fresh` is called with its name. Raises `ModelError` when any other file is missing, damaged
    or of another shape: nothing is ever reinitialised silently, as DeepFaceLab does.
    """
    loading = _Loading(device, precision, settings, training, weights, compiled, on_fresh)
    for _ in range(_RETRIES):
        state = read_state(folder)
        try:
            return _load(folder, state, loading), state
        except ModelError:
            # Training in another process may have replaced the state in the meantime.
            if read_state(folder).folder == state.folder:
                raise
    raise ModelError(f"{folder.path}: is being saved constantly; try again")


@dataclass(frozen=True)
class _Loading:
    """How to load a state."""

    device: torch.device
    precision: Precision
    settings: ModelSettings | None
    training: bool
    weights: Weights
    compiled: bool
    on_fresh: Callable[[str], None] | None


def _load(folder: ModelFolder, state: ModelState, loading: _Loading) -> TrainableModel:
    model = build_model(
        state.class_name,
        loading.settings or saved_settings(state, where=folder.state_file),
        device=loading.device,
        seed=state.seed,
        precision=loading.precision,
        **({"compiled": True} if loading.compiled else {}),
    )
    files = folder.path / state.folder
    fresh = load_networks(files, model, state.files, training=loading.training)
    for name in fresh:
        if loading.on_fresh:
            loading.on_fresh(name)
    if loading.training:
        for name, optimizer in model.optimizers().items():
            load_optimizer(files, name, optimizer, model, state.optimizers.get(name), fresh)
    if loading.weights == "mean" and EMA_FILE not in state.files:
        raise InputError(
            f"{folder.path.name} has no running mean of its weights; continue training with"
            " --set ema_decay=0.999, or use --weights trained"
        )
    if loading.weights == "mean" or (loading.weights == "auto" and EMA_FILE in state.files):
        load_mean_weights(files / EMA_FILE, model)
    return model


def load_means(folder: ModelFolder, state: ModelState) -> dict[str, Tensor]:
    """The saved running means of the weights; empty if there are none."""
    if EMA_FILE not in state.files:
        return {}
    return read_tensors(folder.path / state.folder / EMA_FILE)


def saved_settings(state: ModelState, *, where: Path) -> ModelSettings:
    """The settings that a state was saved with; `InputError` names `where` when they do not fit."""
    return validate(MODELS[state.class_name].settings, state.settings, where=str(where))


def load_history(folder: ModelFolder, state: ModelState) -> LossHistory:
    """The losses up to the saved iteration."""
    columns = len(MODELS[state.class_name].losses)
    return read_history(folder.history_file, state.iteration, columns=columns)
