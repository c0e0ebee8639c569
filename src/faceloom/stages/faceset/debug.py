"""Pictures of the faces with their landmarks, in a folder next to the faceset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, Progress
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.faces import Faceset, draw_landmarks, read_face
from faceloom.stages.faceset.config import FacesetDebugConfig
from faceloom.stages.faceset.pictures import Task, targets, write_pictures
from faceloom.workspace import faceset_folder, refuse_empty, sibling

LANDMARKS = "landmarks"
_BLUE = (0, 0, 255)
_FAR_PX = 30_000


@dataclass(frozen=True)
class FacesetDebugResult(Result):
    """How many pictures were drawn."""

    folder: Path
    """Where the pictures are."""
    written: int
    there: int
    """Pictures that existed already."""
    failed: int

    def lines(self) -> list[str]:
        text = f"{self.folder}: {counted(self.written, 'picture')} written"
        if self.there:
            text += f", {self.there} existed already (--again redraws them)"
        if self.failed:
            text += f", {self.failed} failed"
        return [text]


def run(config: FacesetDebugConfig, *, progress: Progress, cancel: Cancel) -> FacesetDebugResult:
    """Draw landmarks and hull on a copy of every face, in `<faceset>_landmarks`.

    Not in the faceset, where DeepFaceLab puts them and they are mistaken for faces.
    """
    folder = faceset_folder(config.workspace, config.faceset)
    faces = Faceset(folder, progress=progress, cancel=cancel)
    refuse_empty(folder, len(faces), len(faces.skipped))
    target = sibling(folder, LANDMARKS)
    target.mkdir(exist_ok=True)
    progress.start("drawing", len(faces), "faces")
    done = write_pictures(
        targets(faces, target, ".jpg"),
        _draw,
        quality=config.jpeg_quality,
        again=config.again,
        threads=config.threads,
        progress=progress,
        cancel=cancel,
    )
    return FacesetDebugResult(target, done["written"], done["there"], done["failed"])


def _draw(task: Task) -> NDArray[np.uint8]:
    image, record = read_face(task.path)
    picture = draw_landmarks(image, record.landmarks, brow_expand=record.eyebrows_expand_mod)
    if record.face_type == "mark_only":
        # The picture is the whole frame: show what the detector saw.
        l, t, r, b = (int(v) for v in np.clip(record.source_rect, -_FAR_PX, _FAR_PX))
        cv2.rectangle(picture, (l, t), (r, b), _BLUE, 2)
    return picture
