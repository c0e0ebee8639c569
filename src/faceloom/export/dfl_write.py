"""Writing models in DeepFaceLab's format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from faceloom.core import InputError
from faceloom.export.dfl_files import FileSet
from faceloom.export.dfl_folder import DflFiles, dfl_file_name
from faceloom.export.dfl_layout import dfl_name, to_dfl
from faceloom.export.dfl_optimizer import optimizer_items
from faceloom.export.dfl_options import OWN_KEY, options_from_settings, own_record
from faceloom.models import TrainableModel

_PARTS = (
    *("encoder", "inter", "inter_AB", "inter_B", "inter_src", "inter_dst"),
    *("decoder", "decoder_src", "decoder_dst", "GAN", "code_discriminator"),
    *("src_dst_opt", "GAN_opt", "D_code_opt"),
)
"""Networks and optimizers that some DFL model has."""
_FORBIDDEN = frozenset('/\\:*?"<>|')


def write_dfl_model(
    folder: Path,
    name: str,
    model: TrainableModel,
    *,
    history: NDArray[np.float32],
    seed: int = 0,
    overwrite: bool = False,
) -> list[Path]:
    """Write a model with its optimizers into a DFL folder; return the files.

    `history`: (iterations, losses), a row for each iteration done. In DFL a name ends at its first
    underscore, so underscores become spaces. Files of other models are not touched. Raises
    `InputError` for a name that files cannot have, and when a model of that name and class exists,
    unless `overwrite`; then files that only the old model has are deleted.
    """
    files = DflFiles(folder, dfl_file_name(name), model.class_name)
    if model.class_name != "XSeg":
        _check_name(files.name, name)
    if (folder / files.data).exists() and not overwrite:
        raise InputError(
            f"{folder / files.data} already exists; use --overwrite to replace the model, or choose"
            " another --output or --as"
        )
    options = options_from_settings(model.settings, model.class_name)
    written = FileSet(folder)
    try:
        written.add_text(files.summary, _summary(files, len(history), options))
        for network_name, network in model.networks().items():
            written.add_tensors(files.tensors(network_name), _network_items(network_name, network))
        for optimizer_name, optimizer in model.optimizers().items():
            written.add_tensors(files.tensors(optimizer_name), optimizer_items(optimizer, model))
        written.add_data(files.data, _data(model, history, options, seed))
        placed = written.commit()
    finally:
        written.discard()
    for stale in {files.tensors(part) for part in _PARTS} - {path.name for path in placed}:
        # DFL would load the old model's discriminator as soon as its option is on.
        (folder / stale).unlink(missing_ok=True)
    return placed


def _check_name(there: str, here: str) -> None:
    if not there or there.startswith(".") or _FORBIDDEN & set(there):
        raise InputError(f"model name {here!r}: use letters, digits, spaces and -")


def _network_items(name: str, network: nn.Module) -> Iterator[tuple[str, Any]]:
    for key, param in network.named_parameters():
        yield dfl_name(key), to_dfl(name, key, param)


def _data(
    model: TrainableModel, history: NDArray[np.float32], options: dict[str, Any], seed: int
) -> dict[str, Any]:
    """The content of `data.dat`, without DFL's preview sample, which consists of real faces: DFL
    draws a new one."""
    known = history[~np.isnan(history).any(1)]
    return {
        "iter": len(history),
        "options": options,
        "loss_history": known.astype(np.float64).tolist(),
        "sample_for_preview": None,
        "choosed_gpu_indexes": None,
        OWN_KEY: own_record(model.settings, seed),
    }


def _summary(files: DflFiles, iteration: int, options: dict[str, Any]) -> str:
    """The readable summary, as DFL writes it."""
    head = {"Model name": files.label, "Current iteration": str(iteration)}
    shown = {key: str(value) for key, value in options.items()}
    keys = max(map(len, [*head, *shown]))
    values = max(map(len, [*head.values(), *shown.values()]))
    inside = keys + values + 4

    def line(text: str = "") -> str:
        return f"=={text:^{inside}}=="

    def row(key: str, value: str) -> str:
        return f"=={key:>{keys}}: {value:<{values + 2}}=="

    def section(title: str) -> str:
        return f"=={f' {title} ':-^{inside}}=="

    lines = [
        f"=={' Model Summary ':=^{inside}}==",
        line(),
        *(row(key, value) for key, value in head.items()),
        line(),
        section("Model Options"),
        line(),
        *(row(key, value) for key, value in shown.items()),
        line(),
        section("Running On"),
        line(),
        row("Written by", "Faceloom"),
        line(),
        "=" * (inside + 4),
    ]
    return "\n".join(lines) + "\n"
