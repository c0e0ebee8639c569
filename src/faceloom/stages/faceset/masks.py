"""The masks of a faceset as pictures (pipeline.md 5.7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, FaceloomError, InputError, Progress, Settings
from faceloom.core.words import counted
from faceloom.faces import FaceRecord, Faceset, face_mask, has_polygons, polygon_mask
from faceloom.faces.archives.pack import folder_pack
from faceloom.faces.files.face_file import picture_size
from faceloom.geometry import hull_mask
from faceloom.stages.faceset.pictures import Task, targets, write_pictures
from faceloom.workspace.faceset import beside, faceset_folder, refuse_empty

MASKS = "masks"
_QUALITY = 100

MaskSource = Literal["auto", "xseg", "polygons", "hull"]


class MasksConfig(Settings):
    """Which masks to write, and where."""

    workspace: Path = Path()
    """The workspace."""
    faceset: str = "src"
    """Whose faces: src, dst or a folder of faces."""
    source: MaskSource = "auto"
    """Which mask. auto: the applied XSeg mask, else the drawn polygons, else the landmarks' hull;
    xseg, polygons, hull: that one only, and faces without it are left out."""
    place: Literal["folder", "beside_faces"] = "folder"
    """folder: into `<faceset>_masks`; beside_faces: as `<stem>_mask` beside each face, as
    DeepFaceLab does."""
    format: Literal["png", "jpg"] | None = None
    """png, the default in the folder, is exact; jpg, the default beside faces, is DeepFaceLab's."""
    soft: bool = False
    """Keep the grey values of an XSeg mask; else it is cut at one half, as DeepFaceLab does."""
    again: bool = False
    """Also write masks that are there already and newer than their face."""


@dataclass(frozen=True)
class MasksResult:
    """What became of the faces."""

    folder: Path
    """Where the masks are."""
    written: int
    there: int
    without: int
    """Faces that have no mask of the source asked for."""
    failed: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "folder": str(self.folder),
            "written": self.written,
            "there": self.there,
            "without": self.without,
            "failed": self.failed,
        }

    def lines(self) -> list[str]:
        """For people."""
        text = f"{self.folder}: {counted(self.written, 'mask')} written"
        if self.there:
            text += f", {self.there} were there (--again writes them anew)"
        if self.without:
            text += f", none for {counted(self.without, 'face')}"
        if self.failed:
            text += f", {self.failed} failed"
        return [text]


def run(config: MasksConfig, *, progress: Progress, cancel: Cancel) -> MasksResult:
    """Write a mask for every face, white where the face is; one that fails stops nothing.

    Raises `InputError` for a packed faceset whose masks are to lie beside the faces.
    """
    folder = faceset_folder(config.workspace, config.faceset)
    inside = config.place == "beside_faces"
    if inside and folder_pack(folder) is not None:
        raise InputError(f"{folder}: packed; masks beside faces need loose ones: unpack it first")
    if inside:
        progress.note(
            f"{folder}: the masks lie among the faces now; tools skip them, but other programs may "
            "take them for faces"
        )
    faces = Faceset(folder, progress=progress, cancel=cancel)
    refuse_empty(folder, len(faces), len(faces.skipped))
    suffix = f".{config.format or ('jpg' if inside else 'png')}"
    target = folder if inside else beside(folder, MASKS)
    target.mkdir(exist_ok=True)
    tasks = _beside(faces, suffix) if inside else targets(faces, target, suffix)
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
        tasks, len(faces), make,
        quality=_QUALITY, again=config.again, progress=progress, cancel=cancel,
    )  # fmt: skip
    return MasksResult(target, done.written, done.there, done.nothing, len(done.failed))


def chosen_mask(
    record: FaceRecord,
    size: tuple[int, int],
    source: MaskSource,
    name: str,
    progress: Progress,
) -> NDArray[np.float32] | None:
    """The mask of `source`, h w float32 in [0, 1], or None when the face has none such.

    For auto a damaged mask is noted and the next source taken; else `FormatError` is raised.
    """
    if source in ("auto", "xseg") and record.xseg_mask is not None:
        try:
            return face_mask(record, size)
        except FaceloomError as error:
            if source == "xseg":
                raise
            progress.note(f"{name}: {error}; another mask is taken")
    if source in ("auto", "polygons") and has_polygons(record.seg_ie_polys):
        return polygon_mask(record.seg_ie_polys, size)
    if source in ("auto", "hull"):
        return hull_mask(record.landmarks, size, record.eyebrows_expand_mod)
    return None


def _beside(faces: Faceset, suffix: str) -> Iterator[Task]:
    """Targets beside the faces, by DFL's names. One that is itself called a mask has none."""
    taken = {path.name.casefold() for path in faces.paths}
    for path, record in faces:
        target = path.with_name(f"{path.stem}_mask{suffix}")
        if "_mask" not in path.stem and target.name.casefold() not in taken:
            taken.add(target.name.casefold())
            yield Task(path, record, target)
