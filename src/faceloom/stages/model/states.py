"""A model's kept states: snapshots, backups, going back to them, resets; and its timelapse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from faceloom.checkpoints import ModelFolder, locked, read_state
from faceloom.checkpoints.events import EventLog
from faceloom.checkpoints.snapshots import (
    Kept,
    backup,
    find_kept,
    forget,
    list_backups,
    list_snapshots,
    restore,
    snapshot,
)
from faceloom.core import Cancel, Progress, Settings
from faceloom.core.vocabulary import SIDES
from faceloom.provenance import require_rights, sign_file
from faceloom.stages.model.manage import Done, chosen
from faceloom.training.previews.timelapse import PreviewKind, write_timelapse
from faceloom.training.resets import reset_networks
from faceloom.workspace.layout import Workspace
from faceloom.workspace.result_video import unsigned_path


@dataclass(frozen=True)
class KeptState:
    """A snapshot or backup."""

    name: str
    kind: str
    path: str
    iteration: int | None
    """None for a damaged one."""
    saved_at: str
    trained_s: float


@dataclass(frozen=True)
class KeptList:
    """The snapshots or backups of a model, the oldest first."""

    model: str
    kept: list[KeptState]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return asdict(self)

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


def take_snapshot(
    workspace: Path, label: str, *, name: str | None = None, class_name: str | None = None
) -> Done:
    """Keep the saved state as a snapshot called `label`; the model may be in training."""
    folder = chosen(workspace, name, class_name)
    path = snapshot(folder, label)
    iteration = read_state(ModelFolder(path)).iteration
    message = f"snapshot {label!r} taken"
    EventLog(folder.events_file).write("snapshot", iteration, message)
    return Done(
        f"{folder.path.name}: {message} at iteration {iteration}",
        {"model": folder.path.name, "snapshot": label, "iteration": iteration, "path": str(path)},
    )


def take_backup(workspace: Path, *, name: str | None = None, class_name: str | None = None) -> Done:
    """Keep the saved state as a backup; the model may be in training."""
    folder = chosen(workspace, name, class_name)
    path = backup(folder)
    iteration = read_state(ModelFolder(path)).iteration
    EventLog(folder.events_file).write("backup", iteration, f"backup {path.name} kept")
    return Done(
        f"{folder.path.name}: backup kept at iteration {iteration}",
        {"model": folder.path.name, "backup": path.name, "iteration": iteration, "path": str(path)},
    )


def snapshots(
    workspace: Path, *, name: str | None = None, class_name: str | None = None
) -> KeptList:
    """The snapshots of a model."""
    folder = chosen(workspace, name, class_name)
    return KeptList(folder.path.name, [_kept_state(kept) for kept in list_snapshots(folder)])


def backups(workspace: Path, *, name: str | None = None, class_name: str | None = None) -> KeptList:
    """The backups of a model."""
    folder = chosen(workspace, name, class_name)
    return KeptList(folder.path.name, [_kept_state(kept) for kept in list_backups(folder)])


def go_back(
    workspace: Path, wanted: str, *, name: str | None = None, class_name: str | None = None
) -> Done:
    """Restore the snapshot of that name, or the backup of that iteration.

    The present state is kept as a backup. Raises `ModelError` when the model is in training.
    """
    folder = chosen(workspace, name, class_name)
    with locked(folder):
        kept = find_kept(folder, wanted)
        before = {entry.name for entry in list_backups(folder)}
        state = restore(folder, kept.path)
        saved = [entry.name for entry in list_backups(folder) if entry.name not in before]
        message = f"went back to {kept.kind} {kept.name!r}"
        EventLog(folder.events_file).write("restored", state.iteration, message)
    return Done(
        f"{folder.path.name}: {message}, iteration {state.iteration}",
        {
            "model": folder.path.name,
            "restored": kept.name,
            "kind": kept.kind,
            "iteration": state.iteration,
            "replaced": saved[0] if saved else None,
        },
        [f"the state before is backup {saved[0]}"] if saved else [],
    )


def drop(
    workspace: Path, wanted: str, *, name: str | None = None, class_name: str | None = None
) -> Done:
    """Delete the snapshot of that name, or the backup of that iteration."""
    folder = chosen(workspace, name, class_name)
    kept = find_kept(folder, wanted)
    forget(kept)
    return Done(
        f"{folder.path.name}: deleted {kept.kind} {kept.name!r}",
        {"model": folder.path.name, "kind": kept.kind, "deleted": kept.name},
    )


def reset(
    workspace: Path,
    networks: Sequence[str],
    *,
    name: str | None = None,
    class_name: str | None = None,
) -> Done:
    """Give networks of a model new weights; the state before is kept as a snapshot.

    Raises `ModelError` when the model is in training.
    """
    folder = chosen(workspace, name, class_name)
    with locked(folder):
        before = {kept.name for kept in list_snapshots(folder)}
        state = reset_networks(folder, networks)
        taken = sorted({kept.name for kept in list_snapshots(folder)} - before)[0]
    return Done(
        f"{folder.path.name}: {', '.join(networks)} given new weights at iteration "
        f"{state.iteration}",
        {
            "model": folder.path.name,
            "networks": list(networks),
            "iteration": state.iteration,
            "snapshot": taken,
        },
        [f"the state before is snapshot {taken!r}"],
    )


class TimelapseConfig(Settings):
    """How the preview history becomes a video."""

    workspace: Path = Path()
    """The workspace that the model lies in."""
    name: str | None = None
    """The model; unset: the only one there is."""
    class_name: str | None = None
    """Its class, where several of that name are there."""
    preview: PreviewKind = "plain"
    """Which of the previews: plain, masked, or morph for AMP."""
    output: Path | None = None
    """The video; unset: `timelapse.mp4` in the model's folder."""
    fps: int = Field(default=12, ge=1, le=120)
    """Pictures a second."""


def timelapse(config: TimelapseConfig, *, progress: Progress, cancel: Cancel) -> Done:
    """Make a video of a model's previews, signed like every video that shows a swapped face.

    Raises `RightsError` when the workspace's rights record does not cover its footage,
    `InputError` when there is no preview history, `CancelledError` when asked to stop (nothing is
    left then).
    """
    workspace = Workspace.open(config.workspace)
    folder = chosen(config.workspace, config.name, config.class_name)
    covered = {side: workspace.footage(side) for side in SIDES if workspace.has_footage(side)}
    digest = require_rights(workspace.folder, covered, progress=progress, cancel=cancel)
    suffix = "" if config.preview == "plain" else f"_{config.preview}"
    target = config.output or folder.path / f"timelapse{suffix}.mp4"
    with unsigned_path(target) as unsigned:
        count = write_timelapse(
            folder.previews,
            unsigned,
            kind=config.preview,
            fps=config.fps,
            progress=progress,
            cancel=cancel,
        )
        sign_file(
            unsigned,
            workspace_dir=workspace.folder,
            rights_digest=digest,
            parent=covered.get("dst"),
            destination=target,
        )
    return Done(
        f"{target}: {count} frames, signed",
        {"model": folder.path.name, "output": str(target), "frames": count, "fps": config.fps},
    )


def _kept_state(kept: Kept) -> KeptState:
    state = kept.state
    return KeptState(
        name=kept.name,
        kind=kept.kind,
        path=str(kept.path),
        iteration=kept.iteration,
        saved_at=state.saved_at if state else "",
        trained_s=state.trained_s if state else 0.0,
    )
