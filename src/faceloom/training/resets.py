"""Resetting networks of a trained model, most often `inter_AB` of a LIAE model.

DeepFaceLab users delete a network's file, which the next start then re-initialises. That keeps the
optimizer's moments of the old weights; here they are reset too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor

from faceloom.checkpoints.events import EventLog
from faceloom.checkpoints.folder import ModelFolder
from faceloom.checkpoints.snapshots import install_state, link_file, list_snapshots, snapshot
from faceloom.checkpoints.state import ModelState, read_state, saved_settings
from faceloom.checkpoints.tensors import EMA_FILE, read_tensors
from faceloom.core import InputError
from faceloom.models import build_model

_SUFFIX: Final = ".safetensors"

Tensors = dict[str, Tensor]


def reset_networks(folder: ModelFolder, names: Sequence[str]) -> ModelState:
    """Give networks of a saved model new weights; return the new saved state.

    The weights depend only on the model's seed and iteration. The networks' optimizer moments
    become zero and their averages the new weights; everything else stays, including the iteration.
    The state before is kept as a snapshot, and the reset is logged. A kill at any moment leaves the
    model as it was or with all of `names` reset. The caller must hold `locked(folder)`.

    Raises `InputError` for a network that the model does not have.
    """
    state = read_state(folder)
    chosen = list(dict.fromkeys(names))
    fresh = _fresh_weights(folder, state, chosen)
    kept = _keep_before(folder, state, chosen)
    source = folder.path / state.folder
    changed = _changed_files(source, state, fresh)

    def fill(unfinished: Path) -> None:
        for name in state.files:
            if name in changed:
                _write(changed[name], unfinished / name)
            else:
                link_file(source / name, unfinished / name)

    installed = install_state(folder, state, fill)
    EventLog(folder.events_file).write(
        "reset",
        state.iteration,
        f"reset {', '.join(chosen)}; the state before is in snapshot {kept!r}",
        networks=chosen,
        snapshot=kept,
    )
    return installed


def _fresh_weights(
    folder: ModelFolder, state: ModelState, names: Sequence[str]
) -> dict[str, Tensors]:
    """Newly initialised weights of `names`, by network and tensor."""
    model = build_model(
        state.class_name,
        saved_settings(state, where=folder.state_file),
        device="cpu",
        seed=_seed(state),
    )
    networks = model.networks()
    known = [name for name in networks if f"{name}{_SUFFIX}" in state.files]
    if not names:
        raise InputError(
            f"{folder.path.name}: give the names of the networks to reset: {', '.join(known)}"
        )
    for name in names:
        if name not in known:
            raise InputError(
                f"{folder.path.name} has no network {name!r}; its networks: {', '.join(known)}"
            )
    return {name: dict(networks[name].state_dict()) for name in names}


def _seed(state: ModelState) -> int:
    """A different seed per iteration: a network reset twice must not get the same weights."""
    digest = hashlib.sha256(f"reset {state.seed} {state.iteration}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def _keep_before(folder: ModelFolder, state: ModelState, names: Sequence[str]) -> str:
    """Keep the state as a snapshot with a new name; return the name."""
    plain = f"{state.iteration:08d} before reset of {' '.join(names)}"
    taken = {kept.name for kept in list_snapshots(folder)}
    name = next(
        one for one in (plain, *(f"{plain} {n}" for n in range(2, 1000))) if one not in taken
    )
    return snapshot(folder, name).name


def _changed_files(
    source: Path, state: ModelState, fresh: Mapping[str, Tensors]
) -> dict[str, Tensors]:
    """The new content of every file of the state that contains the reset networks."""
    by_key = {f"{net}.{key}": value for net, own in fresh.items() for key, value in own.items()}
    changed: dict[str, Tensors] = {f"{net}{_SUFFIX}": own for net, own in fresh.items()}
    if EMA_FILE in state.files:
        means = read_tensors(source / EMA_FILE)
        changed[EMA_FILE] = {key: by_key.get(key, value) for key, value in means.items()}
    for name in state.optimizers:
        file = f"{name}{_SUFFIX}"
        if file not in state.files:
            continue
        slots = read_tensors(source / file)
        # A slot's key is `network.tensor.slot`.
        stale = [key for key in slots if key.partition(".")[0] in fresh]
        if stale:
            zeros = {key: torch.zeros_like(slots[key]) for key in stale}
            changed[file] = {**slots, **zeros}
    return changed


def _write(tensors: Tensors, file: Path) -> None:
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, file)
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())
