"""Face models of a few thousand weights, and saved folders of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from faceloom.checkpoints import LossHistory, ModelFolder, save_state
from faceloom.models import FaceModel, SaehdSettings, build_model

SMALL: dict[str, Any] = {
    "resolution": 64,
    "archi": "df-ud",
    "ae_dims": 32,
    "e_dims": 16,
    "d_dims": 16,
    "batch_size": 1,
    "optimizer": "rmsprop",  # half as much to write as with adabelief
}


def small_model(seed: int = 3, **changes: Any) -> FaceModel:
    """A SAEHD of 64 px."""
    settings = SaehdSettings(**{**SMALL, **changes})
    return build_model("SAEHD", settings, device=torch.device("cpu"), seed=seed)


def falling_losses(count: int, scale: float = 1.0) -> LossHistory:
    """1/n and 2/n, times `scale`."""
    return LossHistory([(scale / (i + 1), scale * 2 / (i + 1)) for i in range(count)])


def save_small(
    path: Path, iteration: int = 2, *, seed: int = 3, scale: float = 1.0, **changes: Any
) -> ModelFolder:
    """A saved small model whose moments are not zero."""
    folder, model = ModelFolder(path), small_model(seed, **changes)
    for optimizer in model.optimizers().values():
        for slots in optimizer.state.values():
            for slot in slots.values():
                slot.fill_(seed + iteration / 100)
        optimizer.param_groups[0]["step"] = iteration
    save_state(folder, model, falling_losses(iteration, scale), seed=seed)
    return folder


def content(folder: ModelFolder, state_folder: str) -> dict[str, bytes]:
    """The bytes of every file of a state."""
    return {file.name: file.read_bytes() for file in (folder.path / state_folder).iterdir()}
