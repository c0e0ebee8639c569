"""Importing models from DeepFaceLab and exporting models to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from faceloom.checkpoints import (
    EventLog,
    LossHistory,
    ModelFolder,
    load_history,
    load_model,
    locked,
    model_folder,
    name_and_class,
    save_state,
)
from faceloom.core import Cancel, InputError, Progress
from faceloom.core.result import Result
from faceloom.core.vocabulary import SIDES
from faceloom.core.words import counted
from faceloom.export import (
    DflModel,
    build_dfl_model,
    lost_settings,
    read_dfl_model,
    write_dfl_model,
)
from faceloom.provenance import append_ledger, require_rights
from faceloom.stages.model.config import ModelExportConfig, ModelImportConfig
from faceloom.stages.model.manage import chosen
from faceloom.workspace import Workspace

# What a model without a name, such as DeepFaceLab's XSeg, is called here.
DEFAULT_NAME = "main"


@dataclass(frozen=True)
class ModelImportResult(Result):
    """What was imported."""

    model: str
    path: Path
    class_name: str
    iteration: int
    settings: dict[str, Any]
    fresh: list[str]
    """Networks that start from random weights."""
    notes: list[str] = field(default_factory=list[str])

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"imported {self.class_name} at iteration {self.iteration} to {self.path}; continue"
            " with `faceloom train`",
            *(f"note: {note}" for note in self.notes),
        ]


@dataclass(frozen=True)
class ModelExportResult(Result):
    """What was written."""

    model: str
    iteration: int
    output: Path
    files: list[str]
    notes: list[str] = field(default_factory=list[str])

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"exported {self.model} at iteration {self.iteration} to {self.output},"
            f" {counted(len(self.files), 'file')}",
            *(f"note: {note}" for note in self.notes),
        ]


def import_model(
    config: ModelImportConfig, *, progress: Progress, cancel: Cancel
) -> ModelImportResult:
    """Import a DeepFaceLab model into the workspace, to continue training or to merge with.

    Raises `InputError` when none or several models fit or the name is taken here, `FormatError`
    for damaged or hostile files, `ModelError` for a missing one.
    """
    workspace = Workspace.open(config.workspace)
    folder = config.folder.expanduser() if config.folder else workspace.model
    source = read_dfl_model(folder, name=config.name, class_name=config.class_name)
    name = config.new_name or source.files.name or DEFAULT_NAME
    target = model_folder(workspace.model, name, source.files.class_name)
    if target.exists:
        raise InputError(f"{target.path} already exists; choose another name with --as")
    cancel.check()
    progress.start("import", 2, "steps")
    seed = config.seed if source.seed is None else source.seed
    with locked(target):
        model, loaded = build_dfl_model(source, seed=seed, allow_missing=config.allow_missing)
        progress.advance()
        cancel.check()
        _save(target, model, source, seed)
        progress.advance()
    progress.finish()
    append_ledger(
        workspace.folder,
        "model-import",
        {
            "model": target.path.name,
            "class": source.files.class_name,
            "iteration": source.iteration,
            "from": source.files.label,
            "format": "dfl",
        },
    )
    return ModelImportResult(
        model=target.path.name,
        path=target.path,
        class_name=source.files.class_name,
        iteration=source.iteration,
        settings=source.settings.model_dump(mode="json"),
        fresh=loaded.fresh,
        notes=[*source.notes, *loaded.notes],
    )


def _save(target: ModelFolder, model: Any, source: DflModel, seed: int) -> None:
    history = LossHistory(source.history, columns=source.history.shape[1])
    save_state(target, model, history, seed=seed)
    label = source.files.label
    EventLog(target.events_file).write(
        "imported", source.iteration, f"imported {label} of DeepFaceLab", source=label
    )


def export_model(
    config: ModelExportConfig, *, progress: Progress, cancel: Cancel
) -> ModelExportResult:
    """Write a model in DeepFaceLab's format, with optimizer state, losses and options.

    Raises `RightsError` when the workspace's rights record does not cover its footage,
    `InputError` when none or several models fit, or the model exists there and `overwrite` is off.
    """
    workspace = Workspace.open(config.workspace)
    covered = {side: workspace.footage(side) for side in SIDES if workspace.has_footage(side)}
    digest = require_rights(workspace.folder, covered, progress=progress, cancel=cancel)
    folder = chosen(config)
    cancel.check()
    progress.start("export", 2, "steps")
    fresh: list[str] = []
    model, state = load_model(
        folder, device=torch.device("cpu"), training=True, on_fresh=fresh.append
    )
    progress.advance()
    cancel.check()
    output = config.output.expanduser() if config.output else workspace.model
    files = write_dfl_model(
        output,
        config.new_name or name_and_class(folder)[0],
        model,
        history=load_history(folder, state).values,
        seed=state.seed,
        overwrite=config.overwrite,
    )
    progress.advance()
    progress.finish()
    names = [file.name for file in files]
    append_ledger(
        workspace.folder,
        "model-export",
        {
            "rights_sha256": digest,
            "model": folder.path.name,
            "iteration": state.iteration,
            "format": "dfl",
            "files": names,
        },
    )
    return ModelExportResult(
        folder.path.name, state.iteration, output, names, _export_notes(model, fresh)
    )


def _export_notes(model: Any, fresh: list[str]) -> list[str]:
    notes = [f"{name} has no saved weights and starts from random ones" for name in fresh]
    lost = lost_settings(model.settings, model.class_name)
    if lost:
        notes.append(f"DeepFaceLab has no options for {', '.join(lost)}")
    return notes
