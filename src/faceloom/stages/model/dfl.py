"""Models of DeepFaceLab's into the workspace, and the workspace's out to DeepFaceLab."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from faceloom.checkpoints import (
    LossHistory,
    ModelFolder,
    load_history,
    load_model,
    locked,
    model_folder,
    save_state,
)
from faceloom.checkpoints.events import EventLog
from faceloom.checkpoints.manage import name_and_class, named_model
from faceloom.core import Cancel, InputError, Progress, Settings
from faceloom.core.vocabulary import SIDES
from faceloom.export import (
    DflModel,
    build_dfl_model,
    lost_settings,
    read_dfl_model,
    write_dfl_model,
)
from faceloom.provenance import append_ledger, require_rights
from faceloom.workspace.layout import Workspace

DEFAULT_NAME = "main"
"""What a model without a name, as XSeg is in DFL, is called here."""


class ImportConfig(Settings):
    """Which model of DeepFaceLab's to take over."""

    workspace: Path = Path()
    """The workspace that the model comes into."""
    folder: Path | None = None
    """DeepFaceLab's model folder; unset: the workspace's own, which has the same place in both."""
    name: str | None = None
    """The model's name there; needed when there are several."""
    class_name: str | None = None
    """Its class there: SAEHD, AMP, Quick96 or XSeg; needed when several have the name."""
    new_name: str | None = None
    """What to call it here; unset: as there."""
    allow_missing: bool = False
    """Start networks afresh whose files are missing: DeepFaceLab's way of resetting a part."""
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    """Where the randomness of its further training comes from."""


class ExportConfig(Settings):
    """Which model to write for DeepFaceLab, and where to."""

    workspace: Path = Path()
    """The workspace that the model is in."""
    folder: Path | None = None
    """DeepFaceLab's model folder; unset: the workspace's own, which has the same place in both."""
    name: str | None = None
    """The model's name, or name and class; needed when there are several."""
    class_name: str | None = None
    """Its class; needed when several have the name."""
    new_name: str | None = None
    """What to call it there; unset: as here. Underscores become spaces."""
    overwrite: bool = False
    """Replace a model of that name and class."""


@dataclass(frozen=True)
class ImportResult:
    """What was taken over."""

    model: str
    path: Path
    class_name: str
    iteration: int
    settings: dict[str, Any]
    fresh: list[str]
    """Networks that start afresh."""
    notes: list[str] = field(default_factory=list[str])

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {**asdict(self), "path": str(self.path)}

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.path}: {self.class_name} at iteration {self.iteration}; `faceloom train` goes"
            " on with it",
            *(f"note: {note}" for note in self.notes),
        ]


@dataclass(frozen=True)
class ExportResult:
    """What was written."""

    model: str
    iteration: int
    folder: Path
    files: list[str]
    notes: list[str] = field(default_factory=list[str])

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {**asdict(self), "folder": str(self.folder)}

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.folder}: {self.model} at iteration {self.iteration} in {len(self.files)} files",
            *(f"note: {note}" for note in self.notes),
        ]


def run_import(config: ImportConfig, *, progress: Progress, cancel: Cancel) -> ImportResult:
    """Take a model of DeepFaceLab's into the workspace, to go on training or to merge with.

    Raises `InputError` when none or several models fit or the name is taken here, `FormatError`
    for damaged or hostile files, `ModelError` for a missing one.
    """
    workspace = Workspace.open(config.workspace)
    folder = config.folder.expanduser() if config.folder else workspace.model
    source = read_dfl_model(folder, name=config.name, class_name=config.class_name)
    name = config.new_name or source.files.name or DEFAULT_NAME
    target = model_folder(workspace.model, name, source.files.class_name)
    if target.exists:
        raise InputError(f"{target.path}: is there already; choose another name with --as")
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
    return ImportResult(
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


def run_export(config: ExportConfig, *, progress: Progress, cancel: Cancel) -> ExportResult:
    """Write a model as DeepFaceLab keeps it, with optimizer state, losses and options.

    Raises `RightsError` when the workspace's rights record does not cover its footage,
    `InputError` when none or several models fit, or one is there that `overwrite` does not allow
    to replace.
    """
    workspace = Workspace.open(config.workspace)
    covered = {side: workspace.footage(side) for side in SIDES if workspace.has_footage(side)}
    digest = require_rights(workspace.folder, covered, progress=progress, cancel=cancel)
    folder = named_model(workspace.model, config.name, class_name=config.class_name)
    cancel.check()
    progress.start("export", 2, "steps")
    fresh: list[str] = []
    model, state = load_model(
        folder, device=torch.device("cpu"), training=True, on_fresh=fresh.append
    )
    progress.advance()
    cancel.check()
    target = config.folder.expanduser() if config.folder else workspace.model
    files = write_dfl_model(
        target,
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
    return ExportResult(
        folder.path.name, state.iteration, target, names, _export_notes(model, fresh)
    )


def _export_notes(model: Any, fresh: list[str]) -> list[str]:
    notes = [f"{name} had no saved weights and starts afresh" for name in fresh]
    lost = lost_settings(model.settings, model.class_name)
    if lost:
        notes.append(f"DeepFaceLab has no options for: {', '.join(lost)}")
    return notes
