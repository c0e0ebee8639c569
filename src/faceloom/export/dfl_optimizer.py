"""DeepFaceLab's optimizer files: moments by tensor and a step count.

The moments of a tensor are converted exactly as the tensor is, since the update is elementwise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from faceloom.core import FormatError
from faceloom.export.dfl_files import Array, read_tensors
from faceloom.export.dfl_layout import SLOT_NAMES, copy_from_dfl, slot_name, to_dfl
from faceloom.models import TrainableModel

STEPS = "iters:0"
_MAX_STEPS = 1 << 40


def load_optimizer(
    path: Path, optimizer: Optimizer, model: TrainableModel, *, fresh: Collection[str]
) -> list[str]:
    """Load moments and step count from a DFL file; return notes on what could not be loaded.

    That is everything when the file is of another kind of optimizer, since its moments mean
    something else, and the moments of `fresh` networks and of networks that are not in the file.
    """
    stored = read_tensors(path)
    networks = _networks_of(optimizer, model)
    if len(networks) == 1:
        # The file must be about this network, whatever DFL calls it inside.
        stored = {_without_scope(name): value for name, value in stored.items()}
    prefixes = tuple(f"{SLOT_NAMES[slot]}" for slot in _slots_of(optimizer))
    if not any(name.startswith(prefixes) for name in stored):
        return [f"{path.name} is of another kind of optimizer, which starts without its history"]
    unknown: list[str] = []
    for name, network in networks.items():
        if name in fresh:
            continue
        found = list(_find(stored, optimizer, model.class_name, name, network, len(networks) == 1))
        if any(array is None for _, _, array in found):
            unknown.append(name)
            continue
        for key, target, array in found:
            if array is not None:
                copy_from_dfl(array, target, network=name, key=key, where=str(path))
    steps = _steps(stored, path)
    for group in optimizer.param_groups:
        group["step"] = steps
    return [f"{path.name} has no moments of {name}, which start at zero" for name in unknown]


def optimizer_items(optimizer: Optimizer, model: TrainableModel) -> Iterator[tuple[str, Any]]:
    """The content of an optimizer's DFL file, item by item."""
    yield STEPS, np.int64(optimizer.param_groups[0]["step"])
    for slot in _slots_of(optimizer):
        for name, network in _networks_of(optimizer, model).items():
            for key, param in network.named_parameters():
                if param in optimizer.state:
                    value = optimizer.state[param][slot]
                    yield slot_name(slot, name, key, model.class_name), to_dfl(name, key, value)


def _find(
    stored: dict[str, Array],
    optimizer: Optimizer,
    class_name: str,
    name: str,
    network: nn.Module,
    alone: bool,
) -> Iterator[tuple[str, Tensor, Array | None]]:
    """For each moment of a network: its tensor's key, our tensor, and DFL's array."""
    for key, param in network.named_parameters():
        for slot in _slots_of(optimizer) if param in optimizer.state else ():
            dfl = slot_name(slot, name, key, class_name)
            array = stored.get(_without_scope(dfl) if alone else dfl)
            yield key, optimizer.state[param][slot], array


def _slots_of(optimizer: Optimizer) -> list[str]:
    """Names of the tensors that an optimizer keeps for every parameter."""
    first = next(iter(optimizer.state.values()), {})
    return [slot for slot, value in first.items() if isinstance(value, Tensor)]


def _networks_of(optimizer: Optimizer, model: TrainableModel) -> dict[str, nn.Module]:
    """The networks that an optimizer trains, by name."""
    own = {id(param) for group in optimizer.param_groups for param in group["params"]}
    return {
        name: network
        for name, network in model.networks().items()
        if any(id(param) in own for param in network.parameters())
    }


def _without_scope(name: str) -> str:
    """`ms_D_src/in_conv/weight_0:0` → `ms/in_conv/weight_0:0`."""
    if "/" not in name:
        return name
    slot, _, rest = name.partition("_")
    return f"{slot}/{rest.partition('/')[2]}"


def _steps(stored: dict[str, Array], path: Path) -> int:
    count = stored.get(STEPS)
    if count is None:
        return 0
    if count.size != 1 or count.dtype.kind != "i" or not 0 <= int(count.item()) <= _MAX_STEPS:
        raise FormatError(f"{path}: {STEPS} is not a step count")
    return int(count.item())
