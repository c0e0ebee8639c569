"""The models of a workspace: listing, renaming, copying and deleting them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from faceloom.checkpoints import (
    ModelFolder,
    copy_model,
    delete_model,
    find_model,
    in_training,
    list_backups,
    list_models,
    list_snapshots,
    load_history,
    name_and_class,
    read_state,
    rename_model,
)
from faceloom.core import Cancel, FaceloomError, Progress, UsageError
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.models import MODELS
from faceloom.stages.model.config import (
    ModelCopyConfig,
    ModelDeleteConfig,
    ModelListConfig,
    ModelRenameConfig,
    NamedModel,
)
from faceloom.stages.model.summary import disk_use, duration_text, size_text, summarize_losses
from faceloom.workspace import Workspace

_RECENT: Final = 100
_DFL_MARK: Final = "_data.dat"
_STAGES_WITH_NAMES: Final = ("train", "merge")


@dataclass(frozen=True)
class ListedModel:
    """One model of the list."""

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
class ModelList(Result):
    """Every model of a workspace, the latest saved first."""

    folder: Path
    models: list[ListedModel]
    dfl: list[str]
    """Names of DeepFaceLab models in the same folder, which can be imported."""

    def lines(self) -> list[str]:
        """For people."""
        shown = _columns([_cells(model) for model in self.models])
        if not shown:
            shown = [f"no models in {self.folder}; `faceloom train` creates one"]
        damaged = [f"damaged: {model.trouble}" for model in self.models if model.trouble]
        hints = [
            f"{name} is a DeepFaceLab model; import it with `faceloom model import`"
            for name in self.dfl
        ]
        return [*shown, *damaged, *hints]


@dataclass(frozen=True)
class ModelRenameResult(Result):
    """A model with its new name."""

    old: str
    new: str
    path: Path
    notes: list[str]
    """Settings that still contain the old name."""

    def lines(self) -> list[str]:
        """For people."""
        return [f"renamed {self.old} to {self.new}", *self.notes]


@dataclass(frozen=True)
class ModelCopyResult(Result):
    """A copy of a model."""

    old: str
    new: str
    path: Path
    iteration: int

    def lines(self) -> list[str]:
        """For people."""
        return [f"copied {self.old} to {self.new} at iteration {self.iteration}"]


@dataclass(frozen=True)
class ModelDeleteResult(Result):
    """A model that is gone."""

    deleted: str
    path: Path
    content: str
    """What it contained, in words."""
    freed_bytes: int

    def lines(self) -> list[str]:
        """For people."""
        return [f"deleted {self.path}: {self.content}"]


def list_all(config: ModelListConfig, *, progress: Progress, cancel: Cancel) -> ModelList:
    """Every model of a workspace, including damaged ones."""
    del progress, cancel
    folder = Workspace.open(config.workspace).model
    dfl: list[str] = []
    if folder.is_dir():
        dfl = [file.name.removesuffix(_DFL_MARK) for file in sorted(folder.glob(f"*{_DFL_MARK}"))]
    return ModelList(folder, [_listed(model) for model in list_models(folder)], dfl)


def rename(config: ModelRenameConfig, *, progress: Progress, cancel: Cancel) -> ModelRenameResult:
    """Give a model another name. Raises `ModelError` when it is in training."""
    del progress, cancel
    folder = chosen(config)
    target = rename_model(folder, config.new_name)
    notes = _named_in_settings(Workspace.open(config.workspace), *name_and_class(folder))
    return ModelRenameResult(folder.path.name, target.path.name, target.path, notes)


def copy(config: ModelCopyConfig, *, progress: Progress, cancel: Cancel) -> ModelCopyResult:
    """Make another model of a saved state, with its losses and previews but not its backups."""
    del progress, cancel
    folder = chosen(config)
    target = copy_model(folder, config.new_name)
    iteration = read_state(target).iteration
    return ModelCopyResult(folder.path.name, target.path.name, target.path, iteration)


def delete(config: ModelDeleteConfig, *, progress: Progress, cancel: Cancel) -> ModelDeleteResult:
    """Delete a model with its backups, snapshots and previews.

    Without `yes` raises `UsageError` saying what would be deleted; raises `ModelError` when the
    model is in training.
    """
    del progress, cancel
    folder = chosen(config)
    content, size = _contents(folder), disk_use(folder).total
    if not config.yes:
        raise UsageError(
            f"this would delete {folder.path}: {content}; it cannot be undone, add --yes to do it"
        )
    delete_model(folder)
    return ModelDeleteResult(folder.path.name, folder.path, content, size)


def chosen(config: NamedModel) -> ModelFolder:
    """The model that a configuration names, or the only one there is."""
    models = Workspace.open(config.workspace).model
    return find_model(models, name=config.name, class_name=config.class_name)


def _listed(folder: ModelFolder) -> ListedModel:
    name, class_name = name_and_class(folder)
    trouble, iteration, trained_s, saved_at = "", None, 0.0, ""
    losses: dict[str, float | None] = {}
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
    """What a model's folder contains, in words."""
    try:
        what = f"iteration {read_state(folder).iteration}"
    except FaceloomError:
        what = "a damaged model"
    backups, snapshots = len(list_backups(folder)), len(list_snapshots(folder))
    kept = f"{counted(backups, 'backup')}, {counted(snapshots, 'snapshot')}"
    return f"{what}, {kept}, {size_text(disk_use(folder).total)}"


def _named_in_settings(workspace: Workspace, name: str, class_name: str) -> list[str]:
    """A note on the tables of `faceloom.toml` that still contain a model's old name."""
    tables = {stage: workspace.settings(stage) for stage in _STAGES_WITH_NAMES}
    stale = [
        f"[{stage}]"
        for stage, table in tables.items()
        if table.get("name") == name and table.get("model", class_name) == class_name
    ]
    if not stale:
        return []
    where = " and ".join(stale)
    return [f"{workspace.file} still has name = {name!r} in {where}: change it there"]


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
        duration_text(model.trained_s),
        size_text(model.size_bytes),
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
