"""A model's tensors on disk: a safetensors file for each network, optimizer and running mean."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from faceloom.checkpoints.folder import sync_folder
from faceloom.core import ModelError, Settings
from faceloom.models import TrainableModel

EMA_FILE = "ema.safetensors"


class OptimizerState(Settings):
    """What an optimizer stores besides its tensors."""

    kind: str
    """Its class; the state of another class is not loaded."""
    groups: list[dict[str, Any]]
    """The numbers of its parameter groups."""


def write_tensors(
    target: Path, model: TrainableModel, ema: Mapping[str, Tensor] | None
) -> dict[str, int]:
    """Write a file for each network and optimizer; return names and sizes."""
    tensors: dict[str, Mapping[str, Tensor]] = {
        name: network.state_dict() for name, network in model.networks().items()
    }
    if ema is not None:
        tensors[Path(EMA_FILE).stem] = ema
    for name, optimizer in model.optimizers().items():
        names = parameter_names(model)
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
        try:
            save_file(plain, file)
        except SafetensorError as error:
            raise _system_error(error, file) from error
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())
        sizes[file.name] = file.stat().st_size
    sync_folder(target)
    return sizes


def parameter_names(model: TrainableModel) -> dict[int, str]:
    return {
        id(param): f"{network}.{key}"
        for network, module in model.networks().items()
        for key, param in module.named_parameters()
    }


def optimizer_states(model: TrainableModel) -> dict[str, OptimizerState]:
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


def read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except FileNotFoundError:
        raise ModelError(f"{file}: missing; restore a backup") from None
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file}: cannot be read ({error}); restore a backup") from None


@torch.no_grad()
def _load_network(file: Path, network: nn.Module) -> None:
    stored = read_tensors(file)
    own = network.state_dict()
    if stored.keys() != own.keys():
        odd = sorted(stored.keys() ^ own.keys())
        raise ModelError(f"{file}: its tensors are not this network's (first: {odd[0]})")
    for key, value in own.items():
        _copy(file, key, stored[key], value)


def _copy(file: Path, key: str, stored: Tensor, target: Tensor) -> None:
    """Copy in place, so that memory format and device stay the model's."""
    if stored.shape != target.shape:
        raise ModelError(
            f"{file}: {key} has shape {tuple(stored.shape)}, the model needs {tuple(target.shape)}"
        )
    target.copy_(stored)


@torch.no_grad()
def load_optimizer(
    state_folder: Path,
    name: str,
    optimizer: torch.optim.Optimizer,
    model: TrainableModel,
    saved: OptimizerState | None,
    fresh: Collection[str],
) -> None:
    """Restore moments and step counts. Learning rate and the like come from the settings.

    An optimizer of another kind than the saved one is not restored, since its moments mean
    something else. Neither is one whose network is newly initialised, nor the moments of a network
    that was not trained until now.
    """
    names = parameter_names(model)
    networks = {names[id(param)].partition(".")[0] for param in optimizer.state}
    if saved is None or saved.kind != type(optimizer).__name__ or networks & set(fresh):
        return
    file = state_folder / f"{name}.safetensors"
    stored = read_tensors(file)
    trained = {key.partition(".")[0] for key in stored}
    for param, slots in optimizer.state.items():
        if names[id(param)].partition(".")[0] not in trained:
            continue
        for slot, value in slots.items():
            key = f"{names[id(param)]}.{slot}"
            if key not in stored:
                raise ModelError(f"{file}: {key} is missing; restore a backup")
            if isinstance(value, Tensor):
                _copy(file, key, stored[key], value)
    for group, numbers in zip(optimizer.param_groups, saved.groups, strict=False):
        group["step"] = numbers.get("step", 0)


def load_networks(
    files: Path, model: TrainableModel, saved: Collection[str], *, training: bool
) -> list[str]:
    """Load every network from the state folder `files`, whose file names are `saved`.

    Returns the names of optional networks that are newly initialised; without `training`, optional
    networks are skipped.
    """
    fresh: list[str] = []
    for name, network in model.networks().items():
        file = files / f"{name}.safetensors"
        optional = name in model.optional_networks
        if optional and not (training and file.name in saved and _fits(file, network)):
            fresh.append(name)
            continue
        _load_network(file, network)
    return fresh if training else []


def _fits(file: Path, network: nn.Module) -> bool:
    stored, own = read_tensors(file), network.state_dict()
    return stored.keys() == own.keys() and all(
        stored[key].shape == value.shape for key, value in own.items()
    )


@torch.no_grad()
def load_mean_weights(file: Path, model: TrainableModel) -> None:
    """Replace the weights with their running means."""
    means = read_tensors(file)
    for name, network in model.networks().items():
        for key, value in network.state_dict().items():
            if f"{name}.{key}" in means:
                _copy(file, key, means[f"{name}.{key}"], value)


def _system_error(error: SafetensorError, file: Path) -> OSError:
    """The system's error inside safetensors' own, so that a full disk is recognised."""
    number = re.search(r"os error (\d+)", str(error))
    code = int(number[1]) if number else errno.EIO
    return OSError(code, os.strerror(code), str(file))
