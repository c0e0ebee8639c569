"""A model's kept states: snapshots, backups, going back to them; and resets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faceloom.checkpoints import (
    EventLog,
    Kept,
    ModelFolder,
    list_backups,
    list_snapshots,
    locked,
    read_state,
)
from faceloom.checkpoints import backup as keep_backup
from faceloom.checkpoints import find_kept as find_state
from faceloom.checkpoints import forget as forget_state
from faceloom.checkpoints import restore as restore_state
from faceloom.checkpoints import snapshot as keep_snapshot
from faceloom.core import Cancel, Progress
from faceloom.core.result import Result
from faceloom.stages.model.config import (
    ModelBackupConfig,
    ModelBackupsConfig,
    ModelForgetConfig,
    ModelResetConfig,
    ModelRestoreConfig,
    ModelSnapshotConfig,
    ModelSnapshotsConfig,
)
from faceloom.stages.model.manage import chosen
from faceloom.training.resets import reset_networks


@dataclass(frozen=True)
class KeptState:
    """A snapshot or backup."""

    name: str
    kind: str
    path: Path
    iteration: int | None
    """None for a damaged one."""
    saved_at: str
    trained_s: float


@dataclass(frozen=True)
class KeptList(Result):
    """The snapshots or backups of a model, the oldest first."""

    model: str
    kept: list[KeptState]

    def lines(self) -> list[str]:
        """For people."""
        if not self.kept:
            return [f"{self.model}: none"]
        width = max(len(entry.name) for entry in self.kept)
        return [
            f"{entry.name:{width}}  "
            + ("damaged" if entry.iteration is None else f"iteration {entry.iteration}")
            + (f"  {entry.saved_at}" if entry.saved_at else "")
            for entry in self.kept
        ]


@dataclass(frozen=True)
class ModelSnapshotResult(Result):
    """A snapshot that was taken."""

    model: str
    snapshot: str
    iteration: int
    path: Path

    def lines(self) -> list[str]:
        """For people."""
        return [f"{self.model}: took snapshot {self.snapshot!r} at iteration {self.iteration}"]


@dataclass(frozen=True)
class ModelBackupResult(Result):
    """A backup that was made."""

    model: str
    backup: str
    iteration: int
    path: Path

    def lines(self) -> list[str]:
        """For people."""
        return [f"{self.model}: made backup {self.backup} at iteration {self.iteration}"]


@dataclass(frozen=True)
class ModelRestoreResult(Result):
    """A state that a model went back to."""

    model: str
    restored: str
    kind: str
    iteration: int
    replaced: str | None
    """The backup of the state before."""

    def lines(self) -> list[str]:
        """For people."""
        back = f"{self.model}: restored {self.kind} {self.restored!r}, iteration {self.iteration}"
        return [back, f"the state before is backup {self.replaced}"] if self.replaced else [back]


@dataclass(frozen=True)
class ModelForgetResult(Result):
    """A kept state that is gone."""

    model: str
    kind: str
    deleted: str

    def lines(self) -> list[str]:
        """For people."""
        return [f"{self.model}: deleted {self.kind} {self.deleted!r}"]


@dataclass(frozen=True)
class ModelResetResult(Result):
    """Networks with new weights."""

    model: str
    networks: list[str]
    iteration: int
    snapshot: str
    """The state before."""

    def lines(self) -> list[str]:
        """For people."""
        networks = ", ".join(self.networks)
        return [
            f"{self.model}: reinitialised {networks} at iteration {self.iteration}",
            f"the state before is snapshot {self.snapshot!r}",
        ]


def snapshot(
    config: ModelSnapshotConfig, *, progress: Progress, cancel: Cancel
) -> ModelSnapshotResult:
    """Keep the saved state as a snapshot; the model may be in training."""
    del progress, cancel
    folder = chosen(config)
    path = keep_snapshot(folder, config.label)
    iteration = read_state(ModelFolder(path)).iteration
    EventLog(folder.events_file).write("snapshot", iteration, f"snapshot {config.label!r} taken")
    return ModelSnapshotResult(folder.path.name, config.label, iteration, path)


def backup(config: ModelBackupConfig, *, progress: Progress, cancel: Cancel) -> ModelBackupResult:
    """Keep the saved state as a backup; the model may be in training."""
    del progress, cancel
    folder = chosen(config)
    path = keep_backup(folder)
    iteration = read_state(ModelFolder(path)).iteration
    EventLog(folder.events_file).write("backup", iteration, f"backup {path.name} made")
    return ModelBackupResult(folder.path.name, path.name, iteration, path)


def snapshots(config: ModelSnapshotsConfig, *, progress: Progress, cancel: Cancel) -> KeptList:
    """The snapshots of a model."""
    del progress, cancel
    folder = chosen(config)
    return KeptList(folder.path.name, [_kept_state(kept) for kept in list_snapshots(folder)])


def backups(config: ModelBackupsConfig, *, progress: Progress, cancel: Cancel) -> KeptList:
    """The backups of a model."""
    del progress, cancel
    folder = chosen(config)
    return KeptList(folder.path.name, [_kept_state(kept) for kept in list_backups(folder)])


def restore(
    config: ModelRestoreConfig, *, progress: Progress, cancel: Cancel
) -> ModelRestoreResult:
    """Restore the snapshot of that label, or the backup of that iteration.

    The current state is kept as a backup. Raises `ModelError` when the model is in training.
    """
    del progress, cancel
    folder = chosen(config)
    with locked(folder):
        kept = find_state(folder, config.state)
        before = {entry.name for entry in list_backups(folder)}
        state = restore_state(folder, kept.path)
        saved = [entry.name for entry in list_backups(folder) if entry.name not in before]
        message = f"restored {kept.kind} {kept.name!r}"
        EventLog(folder.events_file).write("restored", state.iteration, message)
    replaced = saved[0] if saved else None
    return ModelRestoreResult(folder.path.name, kept.name, kept.kind, state.iteration, replaced)


def forget(config: ModelForgetConfig, *, progress: Progress, cancel: Cancel) -> ModelForgetResult:
    """Delete the snapshot of that label, or the backup of that iteration."""
    del progress, cancel
    folder = chosen(config)
    kept = find_state(folder, config.state)
    forget_state(kept)
    return ModelForgetResult(folder.path.name, kept.kind, kept.name)


def reset(config: ModelResetConfig, *, progress: Progress, cancel: Cancel) -> ModelResetResult:
    """Give networks of a model new weights; the state before is kept as a snapshot.

    Raises `ModelError` when the model is in training.
    """
    del progress, cancel
    folder = chosen(config)
    with locked(folder):
        before = {kept.name for kept in list_snapshots(folder)}
        state = reset_networks(folder, config.networks)
        taken = sorted({kept.name for kept in list_snapshots(folder)} - before)[0]
    return ModelResetResult(folder.path.name, list(config.networks), state.iteration, taken)


def _kept_state(kept: Kept) -> KeptState:
    state = kept.state
    return KeptState(
        name=kept.name,
        kind=kept.kind,
        path=kept.path,
        iteration=kept.iteration,
        saved_at=state.saved_at if state else "",
        trained_s=state.trained_s if state else 0.0,
    )
