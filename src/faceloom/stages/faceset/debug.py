"""Faces with their landmarks drawn in, beside the faceset (pipeline.md 5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from faceloom.core import Cancel, Progress, Settings
from faceloom.core.words import counted
from faceloom.faces import Faceset, draw_landmarks, read_face
from faceloom.stages.faceset.pictures import Task, targets, write_pictures
from faceloom.workspace.faceset import beside, faceset_folder, refuse_empty

LANDMARKS = "landmarks"
_BLUE = (0, 0, 255)
_FAR_PX = 30_000


class DebugConfig(Settings):
    """Of which faceset to draw the landmarks."""

    workspace: Path = Path()
    """The workspace."""
    faceset: str = "src"
    """Whose faces: src, dst or a folder of faces."""
    jpeg_quality: int = Field(default=85, ge=1, le=100)
    """Quality of the pictures."""
    again: bool = False
    """Also draw pictures that are there already and newer than their face."""


@dataclass(frozen=True)
class DebugResult:
    """What became of the faces."""

    folder: Path
    """Where the pictures are."""
    written: int
    there: int
    failed: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "folder": str(self.folder),
            "written": self.written,
            "there": self.there,
            "failed": self.failed,
        }

    def lines(self) -> list[str]:
        """For people."""
        text = f"{self.folder}: {counted(self.written, 'picture')} written"
        if self.there:
            text += f", {self.there} were there (--again draws them anew)"
        if self.failed:
            text += f", {self.failed} failed"
        return [text]


def run(config: DebugConfig, *, progress: Progress, cancel: Cancel) -> DebugResult:
    """Draw landmarks and hull on every face, into `<faceset>_landmarks`.

    Not into the faceset, where DFL puts them: there they are taken for faces.
    """
    folder = faceset_folder(config.workspace, config.faceset)
    faces = Faceset(folder, progress=progress, cancel=cancel)
    refuse_empty(folder, len(faces), len(faces.skipped))
    target = beside(folder, LANDMARKS)
    target.mkdir(exist_ok=True)
    progress.start("drawing", len(faces), "faces")
    done = write_pictures(
        targets(faces, target, ".jpg"), len(faces), _draw,
        quality=config.jpeg_quality, again=config.again, progress=progress, cancel=cancel,
    )  # fmt: skip
    return DebugResult(target, done.written, done.there, len(done.failed))


def _draw(task: Task) -> NDArray[np.uint8]:
    image, record = read_face(task.path)
    picture = draw_landmarks(image, record.landmarks, brow_expand=record.eyebrows_expand_mod)
    if record.face_type == "mark_only":
        # The picture is the whole frame: show what the detector saw.
        l, t, r, b = (int(v) for v in np.clip(record.source_rect, -_FAR_PX, _FAR_PX))
        cv2.rectangle(picture, (l, t), (r, b), _BLUE, 2)
    return picture
