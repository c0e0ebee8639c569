"""Reading a model of DeepFaceLab's (reference: training.md 1.13, 2.11).

`read_dfl_model` tells what the model is, `build_dfl_model` makes it with its weights and optimizer
state, ready to train on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from faceloom.core import FormatError, ModelError
from faceloom.export.dfl_files import read_data, read_tensors
from faceloom.export.dfl_folder import DflFiles, find_dfl_model
from faceloom.export.dfl_layout import SLOT_NAMES, copy_from_dfl, dfl_name
from faceloom.export.dfl_optimizer import load_optimizer
from faceloom.export.dfl_options import OWN_KEY, read_own_record, settings_from_options
from faceloom.models import MODELS, ModelSettings, TrainableModel, build_model

MAX_ITERATION = 50_000_000
_MAIN_OPTIMIZER = "src_dst_opt"
_NUMBERS = (int, float, np.floating, np.integer)


@dataclass(frozen=True)
class DflModel:
    """What a model of DFL's is; its weights are read by `build_dfl_model`."""

    files: DflFiles
    settings: ModelSettings
    iteration: int
    history: NDArray[np.float32]
    """(iteration, losses): NaN where a loss is not known."""
    seed: int | None
    """Of a model that we wrote."""
    notes: tuple[str, ...] = ()
    """What could not be taken over as it was."""


@dataclass
class Loaded:
    """What did not come from DFL's files."""

    fresh: list[str] = field(default_factory=list[str])
    """Networks that start afresh."""
    notes: list[str] = field(default_factory=list[str])


def read_dfl_model(
    folder: Path, *, name: str | None = None, class_name: str | None = None
) -> DflModel:
    """What the model `name` of a class in a folder of DFL's is; the only one, with nothing given.

    Raises `InputError` when none or several fit or its options are none of ours, `FormatError` for
    files that are damaged, hostile or of a dead architecture.
    """
    files = find_dfl_model(folder, name=name, class_name=class_name)
    path = folder / files.data
    data = read_data(path)
    options = data.get("options", {})
    iteration = _plain_int(data.get("iter", 0))
    if not isinstance(options, dict) or iteration is None or not 0 <= iteration <= MAX_ITERATION:
        raise FormatError(f"{path}: not a data.dat of DFL's")
    own = read_own_record(files.class_name, data.get(OWN_KEY), options)
    seed: int | None = None
    notes: list[str] = []
    if own is not None:
        settings, seed = own
    else:
        settings, notes = settings_from_options(
            files.class_name, options, _evident(files), where=str(path)
        )
    columns = len(MODELS[files.class_name].losses)
    history = _history(data.get("loss_history", []), iteration, columns)
    return DflModel(files, settings, iteration, history, seed, tuple(notes))


def build_dfl_model(
    source: DflModel,
    *,
    device: torch.device | str = "cpu",
    seed: int = 0,
    allow_missing: bool = False,
) -> tuple[TrainableModel, Loaded]:
    """The model with its weights, optimizer moments and step counts.

    A discriminator or an optimizer whose file is missing starts afresh. So does any other network
    with `allow_missing`, which is how DFL's users reset a part: by deleting its file; otherwise it
    is a `ModelError`. Raises `FormatError` for damaged or hostile files and for tensors that are
    not those of the model's options.
    """
    model = build_model(source.files.class_name, source.settings, device=device, seed=seed)
    return model, load_dfl_weights(source.files, model, allow_missing=allow_missing)


def load_dfl_weights(
    files: DflFiles, model: TrainableModel, *, allow_missing: bool = False
) -> Loaded:
    """Fill a model from DFL's files; see `build_dfl_model`."""
    loaded = Loaded()
    for name, network in model.networks().items():
        path = files.folder / files.tensors(name)
        if path.is_file():
            _load_network(path, name, network)
        elif name in model.optional_networks or allow_missing:
            loaded.fresh.append(name)
            loaded.notes.append(f"{path.name} is missing: {name} starts afresh")
        else:
            raise ModelError(
                f"{path}: missing; put it back, or give --allow-missing to start {name} afresh"
            )
    for name, optimizer in model.optimizers().items():
        path = files.folder / files.tensors(name)
        if path.is_file():
            loaded.notes += load_optimizer(path, optimizer, model, fresh=loaded.fresh)
        else:
            loaded.notes.append(f"{path.name} is missing: the optimizer {name} starts afresh")
    return loaded


def _load_network(path: Path, name: str, network: nn.Module) -> None:
    stored = read_tensors(path)
    own = {dfl_name(key): (key, param) for key, param in network.named_parameters()}
    if stored.keys() != own.keys():
        odd = sorted(stored.keys() ^ own.keys())[0]
        verb = "has no" if odd in own else "has"
        raise FormatError(
            f"{path}: does not fit the model's options: it {verb} tensor {odd:.60} of"
            f" {len(stored)}, where {len(own)} are expected"
        )
    for dfl, (key, param) in own.items():
        copy_from_dfl(stored[dfl], param, network=name, key=key, where=str(path))


def _history(stored: Any, iteration: int, columns: int) -> NDArray[np.float32]:
    """The last `iteration` rows of DFL's list of lists; what is missing or odd is NaN."""
    history = np.full((iteration, columns), np.nan, np.float32)
    rows = stored[-iteration:] if isinstance(stored, list) and iteration else []
    first = iteration - len(rows)
    for index, row in enumerate(rows, first):
        whole = isinstance(row, list | tuple) and len(row) == columns
        if whole and all(isinstance(value, _NUMBERS) for value in row):
            history[index] = row
    return history


def _plain_int(value: Any) -> int | None:
    return int(value) if isinstance(value, int | np.integer) else None


def _evident(files: DflFiles) -> dict[str, Any]:
    """Settings of ours that follow from what the optimizer's file holds.

    Options of DFL's from before AdaBelief do not name the optimizer; and AMP trained its inters
    until September 2021, without an option for it.
    """
    path = files.folder / files.tensors(_MAIN_OPTIMIZER)
    if not path.is_file():
        return {}
    names = read_tensors(path).keys()
    squares = any(name.startswith(f"{SLOT_NAMES['a']}_") for name in names)
    inters = any(name.startswith(f"{SLOT_NAMES['m']}_inter_src/") for name in names)
    return {"optimizer": "rmsprop" if squares else "adabelief", "train_inters": inters}
