"""A model's preview history as a video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faceloom.core import Cancel, Progress
from faceloom.core.paths import output_file
from faceloom.core.result import Result
from faceloom.core.vocabulary import SIDES
from faceloom.core.words import counted
from faceloom.provenance import require_rights, sign_file
from faceloom.stages.model.config import ModelTimelapseConfig
from faceloom.stages.model.manage import chosen
from faceloom.training.previews.timelapse import write_timelapse
from faceloom.workspace import Workspace, unsigned_path


@dataclass(frozen=True)
class ModelTimelapseResult(Result):
    """The video."""

    model: str
    output: Path
    frames: int
    fps: int

    def lines(self) -> list[str]:
        """For people."""
        return [f"{self.output}: {counted(self.frames, 'frame')}, signed"]


def timelapse(
    config: ModelTimelapseConfig, *, progress: Progress, cancel: Cancel
) -> ModelTimelapseResult:
    """Make a video of a model's previews, signed like every video that shows a swapped face.

    Raises `RightsError` when the workspace's rights record does not cover its footage,
    `InputError` when there is no preview history, `CancelledError` when asked to stop (no file is
    left then).
    """
    workspace = Workspace.open(config.workspace)
    folder = chosen(config)
    covered = {side: workspace.footage(side) for side in SIDES if workspace.has_footage(side)}
    digest = require_rights(workspace.folder, covered, progress=progress, cancel=cancel)
    name = "timelapse" if config.preview == "plain" else f"timelapse_{config.preview}"
    output = output_file(config.output or f"{folder.path}/", f"{name}.mp4")
    with unsigned_path(output) as unsigned:
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
            destination=output,
        )
    return ModelTimelapseResult(folder.path.name, output, count, config.fps)
