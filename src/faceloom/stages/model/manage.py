"""The models of a workspace: what there is, and renaming, copying, deleting, summing up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from faceloom.checkpoints import ModelFolder, find_model, list_models, load_history, read_state
from faceloom.checkpoints.manage import (
    copy_model,
    delete_model,
    in_training,
    name_and_class,
    named_model,
    rename_model,
)
from faceloom.checkpoints.snapshots import list_backups, list_snapshots
from faceloom.core import FaceloomError, UsageError
from faceloom.core.words import counted
from faceloom.models import MODELS
from faceloom.stages.model.summary import (
    ModelSummary,
    disk_use,
    summarize,
    summarize_losses,
    told_bytes,
    told_duration,
)
from faceloom.workspace.layout import Workspace

_RECENT: Final = 100
_DFL_MARK: Final = "_data.dat"
_STAGES_WITH_NAMES: Final = ("train", "merge")


@dataclass(frozen=True)
class Done:
    """What an operation did."""

    message: str
    """In one line, for people."""
    values: Mapping[str, Any]
    """The same as data."""
    notes: list[str] = field(default_factory=list[str])
    """What the user should know besides."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {**self.values, "notes": self.notes}

    def lines(self) -> list[str]:
        """For people."""
        return [self.message, *self.notes]


@dataclass(frozen=True)
class ListedModel:
    """A line of the list."""

    name: str
    class_name: str
    iteration: int | None
    losses: dict[str, float | None]
    """Means of the last 100 iterations, or of the later half when there are few."""
    trained_s: float
    saved_at: str
    size_bytes: int
    in_training: bool
    trouble: str = ""
    """Why it cannot be used, when it is damaged."""


@dataclass(frozen=True)
class ModelList:
    """Every model of a workspace, the latest saved first."""

    folder: Path
    models: list[ListedModel]
    dfl: list[str]
    """Names of DeepFaceLab models in the same folder, which can be imported."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        models = [asdict(model) for model in self.models]
        return {"folder": str(self.folder), "models": models, "dfl": self.dfl}

    def lines(self) -> list[str]:
        """For people."""
        shown = _columns([_cells(model) for model in self.models])
        if not shown:
            shown = [f"{self.folder}: no models; `faceloom train` makes one"]
        troubles = [f"damaged: {model.trouble}" for model in self.models if model.trouble]
        hints = [f"DeepFaceLab model {name}: `faceloom model import` reads it" for name in self.dfl]
        return [*shown, *troubles, *hints]


def list_all(workspace: Path) -> ModelList:
    """Every model of a workspace; damaged ones too."""
    folder = Workspace.open(workspace).model
    dfl: list[str] = []
    if folder.is_dir():
        dfl = [file.name.removesuffix(_DFL_MARK) for file in sorted(folder.glob(f"*{_DFL_MARK}"))]
    return ModelList(folder, [_listed(model) for model in list_models(folder)], dfl)


def summary(
    workspace: Path, name: str | None = None, *, class_name: str | None = None
) -> ModelSummary:
    """What a model is and how far it has come."""
    return summarize(chosen(workspace, name, class_name))


def rename(workspace: Path, old: str, new: str, *, class_name: str | None = None) -> Done:
    """Give a model another name. Raises `ModelError` when it is in training."""
    folder = chosen(workspace, old, class_name)
    target = rename_model(folder, new)
    former, kind = name_and_class(folder)
    return Done(
        f"{folder.path.name} is now called {target.path.name}",
        {"old": folder.path.name, "new": target.path.name, "path": str(target.path)},
        _named_in_settings(Workspace.open(workspace), former, kind),
    )


def copy(workspace: Path, old: str, new: str, *, class_name: str | None = None) -> Done:
    """Make another model of a saved state, with its losses and previews but not its backups."""
    folder = chosen(workspace, old, class_name)
    target = copy_model(folder, new)
    iteration = read_state(target).iteration
    return Done(
        f"{target.path.name} is a copy of {folder.path.name} at iteration {iteration}",
        {
            "old": folder.path.name,
            "new": target.path.name,
            "path": str(target.path),
            "iteration": iteration,
        },
    )


def delete(workspace: Path, name: str, *, class_name: str | None = None, yes: bool = False) -> Done:
    """Delete a model with its backups, snapshots and previews.

    Raises `UsageError`, telling what would be deleted, without `yes`; `ModelError` when the model
    is in training.
    """
    folder = chosen(workspace, name, class_name)
    doomed, size = _contents(folder), disk_use(folder).total
    if not yes:
        raise UsageError(
            f"this deletes {folder.path}: {doomed}; there is no way back: add --yes to do it"
        )
    delete_model(folder)
    return Done(
        f"deleted {folder.path}: {doomed}",
        {"deleted": folder.path.name, "path": str(folder.path), "freed_bytes": size},
    )


def chosen(workspace: Path, name: str | None, class_name: str | None = None) -> ModelFolder:
    """The model of that name (or NAME_CLASS), or the only one there is."""
    models = Workspace.open(workspace).model
    if name is None:
        return find_model(models, class_name=_known(class_name))
    return named_model(models, name, class_name=_known(class_name))


def _known(class_name: str | None) -> str | None:
    if class_name is not None:
        MODELS[class_name]
    return class_name


def _listed(folder: ModelFolder) -> ListedModel:
    name, class_name = name_and_class(folder)
    trouble, iteration, losses, trained_s, saved_at = "", None, {}, 0.0, ""
    try:
        state = read_state(folder)
        iteration, trained_s, saved_at = state.iteration, state.trained_s, state.saved_at
        recent = load_history(folder, state).values[-2 * _RECENT :]
        columns = summarize_losses(recent, MODELS[state.class_name].losses, window=_RECENT)
        losses = {column: loss.mean for column, loss in columns.items()}
    except FaceloomError as error:
        trouble = str(error)
    return ListedModel(
        name=name,
        class_name=class_name,
        iteration=iteration,
        losses=losses,
        trained_s=trained_s,
        saved_at=saved_at,
        size_bytes=disk_use(folder).total,
        in_training=in_training(folder),
        trouble=trouble,
    )


def _contents(folder: ModelFolder) -> str:
    """What a model's folder holds, in words."""
    try:
        what = f"iteration {read_state(folder).iteration}"
    except FaceloomError:
        what = "a damaged model"
    backups, snapshots = len(list_backups(folder)), len(list_snapshots(folder))
    kept = f"{counted(backups, 'backup')}, {counted(snapshots, 'snapshot')}"
    return f"{what}, {kept}, {told_bytes(disk_use(folder).total)}"


def _named_in_settings(workspace: Workspace, name: str, class_name: str) -> list[str]:
    """Tables of `faceloom.toml` that still name the model as it was called."""
    tables = {stage: workspace.settings(stage) for stage in _STAGES_WITH_NAMES}
    stale = [
        f"[{stage}]"
        for stage, table in tables.items()
        if table.get("name") == name and table.get("model", class_name) == class_name
    ]
    if not stale:
        return []
    return [f"{workspace.file} still says name = {name!r} in {' and '.join(stale)}: change it"]


def _cells(model: ListedModel) -> tuple[str, ...]:
    losses = " ".join(
        f"{name} {value:.4f}"
        for name, value in model.losses.items()
        if value is not None and math.isfinite(value)
    )
    return (
        f"{model.name}_{model.class_name}",
        "damaged" if model.iteration is None else f"iteration {model.iteration}",
        losses,
        told_duration(model.trained_s),
        told_bytes(model.size_bytes),
        model.saved_at,
        "in training" if model.in_training else "",
    )


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
