"""The masks of a faceset as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, FaceloomError, InputError, Progress
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.faces import FaceRecord, Faceset, face_mask, has_polygons, polygon_mask
from faceloom.faces.archives.pack import folder_pack
from faceloom.faces.files.face_file import picture_size
from faceloom.geometry import hull_mask
from faceloom.stages.faceset.config import FacesetMasksConfig, MaskSource
from faceloom.stages.faceset.pictures import Task, targets, write_pictures
from faceloom.workspace import faceset_folder, refuse_empty, sibling

MASKS = "masks"
_QUALITY = 100


@dataclass(frozen=True)
class FacesetMasksResult(Result):
    """How many masks were written."""

    folder: Path
    """Where the masks are."""
    written: int
    there: int
    """Masks that existed already."""
    without: int
    """Faces that do not have the requested mask."""
    failed: int

    def lines(self) -> list[str]:
        text = f"{self.folder}: {counted(self.written, 'mask')} written"
        if self.there:
            text += f", {self.there} existed already (--again rewrites them)"
        if self.without:
            text += f", no such mask for {counted(self.without, 'face')}"
        if self.failed:
            text += f", {self.failed} failed"
        return [text]


def run(config: FacesetMasksConfig, *, progress: Progress, cancel: Cancel) -> FacesetMasksResult:
    """Write a mask for every face, white where the face is; a failed one stops nothing.

    Raises `InputError` for a packed faceset if the masks are to be written next to the faces.
    """
    folder = faceset_folder(config.workspace, config.faceset)
    inside = config.place == "beside_faces"
    if inside and folder_pack(folder) is not None:
        raise InputError(
            f"{folder}: packed; masks next to faces need loose faces, so unpack it first"
        )
    if inside:
        progress.note(
            f"{folder}: the masks are written next to the faces; Faceloom skips them, but other "
            "programs may mistake them for faces"
        )
    faces = Faceset(folder, progress=progress, cancel=cancel)
    refuse_empty(folder, len(faces), len(faces.skipped))
    suffix = f".{config.format or ('jpg' if inside else 'png')}"
    target = folder if inside else sibling(folder, MASKS)
    target.mkdir(exist_ok=True)
    progress.start("masks", len(faces), "faces")

    def make(task: Task) -> NDArray[np.uint8] | None:
        mask = chosen_mask(
            task.record, picture_size(task.path), config.source, task.path.name, progress
        )
        if mask is None:
            return None
        values = mask if config.soft else (mask > 0.5).astype(np.float32)
        return np.rint(values * 255).astype(np.uint8)

    done = write_pictures(
        _beside(faces, suffix) if inside else targets(faces, target, suffix),
        make,
        quality=_QUALITY,
        again=config.again,
        threads=config.threads,
        progress=progress,
        cancel=cancel,
    )
    return FacesetMasksResult(
        target, done["written"], done["there"], done["without"], done["failed"]
    )


def chosen_mask(
    record: FaceRecord,
    size: tuple[int, int],
    source: MaskSource,
    name: str,
    progress: Progress,
) -> NDArray[np.float32] | None:
    """The mask of `source`, h w float32 in [0, 1], or None if the face does not have it.

    For auto, a damaged mask is noted and the next source is used; otherwise `FormatError` is
    raised.
    """
    if source in ("auto", "xseg") and record.xseg_mask is not None:
        try:
            return face_mask(record, size)
        except FaceloomError as error:
            if source == "xseg":
                raise
            progress.note(f"{name}: {error}; using another mask")
    if source in ("auto", "polygons") and has_polygons(record.seg_ie_polys):
        return polygon_mask(record.seg_ie_polys, size)
    if source in ("auto", "hull"):
        return hull_mask(record.landmarks, size, record.eyebrows_expand_mod)
    return None


def _beside(faces: Faceset, suffix: str) -> Iterator[Task]:
    """Targets next to the faces, named as in DFL; a face named `…_mask…` itself is skipped."""
    taken = {path.name.casefold() for path in faces.paths}
    for path, record in faces:
        target = path.with_name(f"{path.stem}_mask{suffix}")
        if "_mask" not in path.stem and target.name.casefold() not in taken:
            taken.add(target.name.casefold())
            yield Task(path, record, target)
