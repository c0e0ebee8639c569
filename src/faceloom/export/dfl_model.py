"""Reading DeepFaceLab models.

`read_dfl_model` reads what the model is, `build_dfl_model` builds it with its weights and optimizer
state, ready for further training.
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
    """A DFL model without its weights, which `build_dfl_model` reads."""

    files: DflFiles
    settings: ModelSettings
    iteration: int
    history: NDArray[np.float32]
    """(iteration, losses); NaN where a loss is not known."""
    seed: int | None
    """Only known for a model that Faceloom exported."""
    notes: tuple[str, ...] = ()
    """What could not be imported unchanged."""


@dataclass
class Loaded:
    """What did not come from DFL's files."""

    fresh: list[str] = field(default_factory=list[str])
    """Networks that start from random weights."""
    notes: list[str] = field(default_factory=list[str])


def read_dfl_model(
    folder: Path, *, name: str | None = None, class_name: str | None = None
) -> DflModel:
    """The model of that name and class in a DFL folder; with nothing given, the only one.

    Raises `InputError` when none or several match or its options are not supported, `FormatError`
    for files that are damaged, hostile or of an abandoned architecture.
    """
    files = find_dfl_model(folder, name=name, class_name=class_name)
    path = folder / files.data
    data = read_data(path)
    options = data.get("options", {})
    iteration = _plain_int(data.get("iter", 0))
    if not isinstance(options, dict) or iteration is None or not 0 <= iteration <= MAX_ITERATION:
        raise FormatError(f"{path}: not a DeepFaceLab data.dat")
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

    A discriminator or optimizer whose file is missing is newly initialised. With `allow_missing`
    so is any other network, since DFL's users reset a part by deleting its file; otherwise that is
    a `ModelError`. Raises `FormatError` for damaged or hostile files and for tensors that do not
    match the model's options.
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
            loaded.notes.append(f"{path.name} is missing: {name} starts from random weights")
        else:
            raise ModelError(
                f"{path}: missing; put it back, or use --allow-missing to start {name} from random"
                " weights"
            )
    for name, optimizer in model.optimizers().items():
        path = files.folder / files.tensors(name)
        if path.is_file():
            loaded.notes += load_optimizer(path, optimizer, model, fresh=loaded.fresh)
        else:
            loaded.notes.append(
                f"{path.name} is missing: the optimizer {name} starts without its history"
            )
    return loaded


def _load_network(path: Path, name: str, network: nn.Module) -> None:
    stored = read_tensors(path)
    own = {dfl_name(key): (key, param) for key, param in network.named_parameters()}
    if stored.keys() != own.keys():
        odd = sorted(stored.keys() ^ own.keys())[0]
        verb = "has no" if odd in own else "has"
        raise FormatError(
            f"{path}: does not match the model's options: it {verb} tensor {odd:.60}; it has"
            f" {len(stored)} tensors, expected {len(own)}"
        )
    for dfl, (key, param) in own.items():
        copy_from_dfl(stored[dfl], param, network=name, key=key, where=str(path))


def _history(stored: Any, iteration: int, columns: int) -> NDArray[np.float32]:
    """The last `iteration` rows of DFL's list of lists; missing or invalid ones are NaN."""
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
    """Our settings that follow from the content of the optimizer's file.

    Before AdaBelief, DFL had no option for the optimizer; and AMP trained its inters until
    September 2021, without an option for it.
    """
    path = files.folder / files.tensors(_MAIN_OPTIMIZER)
    if not path.is_file():
        return {}
    names = read_tensors(path).keys()
    squares = any(name.startswith(f"{SLOT_NAMES['a']}_") for name in names)
    inters = any(name.startswith(f"{SLOT_NAMES['m']}_inter_src/") for name in names)
    return {"optimizer": "rmsprop" if squares else "adabelief", "train_inters": inters}
