"""Faces made sharper by super-resolution; the old pictures are kept (pipeline.md 5.6)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from faceloom.checkpoints.device import choose_device, choose_precision, computing
from faceloom.core import Cancel, Progress, Settings
from faceloom.core.words import counted
from faceloom.enhance import Enhancer
from faceloom.faces import FaceRecord, Faceset, OwnMetadata, encode_face, read_face
from faceloom.faces.moves.moves import hold_faces, recover_moves
from faceloom.faces.rescale import scaled_record
from faceloom.geometry import crop_area
from faceloom.stages.faceset.replace import replace_faces
from faceloom.workspace.faceset import faceset_folder, refuse_empty, undo_command

MARK: Final = "enhanced"
"""Field of a face's own block with the strength that it was enhanced with."""
_FOLDER = "enhanced"


class EnhanceConfig(Settings):
    """Which faces to make sharper, and how much."""

    workspace: Path = Path()
    """The workspace."""
    faceset: str = "src"
    """Whose faces: src, dst or a folder of faces."""
    strength: float = Field(default=1.0, gt=0, le=1)
    """How much of the enhanced picture is mixed in: 1 all, 0.3 a little."""
    scale: Literal[1, 2, 4] = 1
    """How much larger the new pictures are: 1 keeps their size."""
    detail: Literal["frame", "picture"] = "frame"
    """At which size a face is enhanced. frame: at the one that it had in its frame, which is what
    its detail is worth, and quick; picture: at the one it is stored with, as DeepFaceLab does."""
    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """Quality of the JPEG files."""
    again: bool = False
    """Also enhance faces that were enhanced before."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 … or mps."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic: auto takes bf16 where the device is faster with it."""
    threads: int = Field(default=0, ge=0, le=256)
    """Threads on the CPU; 0: one for each core."""


@dataclass(frozen=True)
class EnhanceResult:
    """What became of the faces."""

    folder: Path
    enhanced: int
    before: int
    """Faces that had been enhanced before and were left as they are."""
    failed: int
    originals: Path | None
    """Where the pictures from before are."""
    undo: str
    """The command that takes it back."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        originals = None if self.originals is None else str(self.originals)
        return {**asdict(self), "folder": str(self.folder), "originals": originals}

    def lines(self) -> list[str]:
        """For people."""
        text = f"{self.folder}: {counted(self.enhanced, 'face')} enhanced"
        if self.before:
            text += f", {self.before} were enhanced before (--again repeats it)"
        if self.failed:
            text += f", {self.failed} could not be"
        if self.originals is None:
            return [text]
        where = f"the old pictures are in {self.originals}"
        return [text, where, f"`{self.undo}` brings them back"]


def run(config: EnhanceConfig, *, progress: Progress, cancel: Cancel) -> EnhanceResult:
    """Enhance the faces of a faceset, or go on where a run was stopped.

    Raises `InputError` for a folder that cannot be used, `WeightsError` when the network cannot
    be had, `CancelledError` on `cancel`.
    """
    folder = faceset_folder(config.workspace, config.faceset)
    recover_moves(folder)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    threads = config.threads or os.cpu_count() or 1
    # On a CPU, faces side by side use the cores better than the threads of one convolution.
    workers = threads if device.type == "cpu" else 2
    with (
        ExitStack() as hold,
        computing(device=device, precision=precision, threads=1),
    ):
        hold.enter_context(hold_faces(folder))
        faceset = Faceset(folder, progress=progress, cancel=cancel)
        refuse_empty(folder, len(faceset), len(faceset.skipped))
        chosen = [path for path, record in faceset if config.again or _strength(record) is None]
        enhancer = Enhancer(device=device, precision=precision, progress=progress)
        done = replace_faces(
            folder,
            chosen,
            _make(config, enhancer),
            ending=_FOLDER,
            settings={
                "tool": "enhance",
                **config.model_dump(include={"strength", "scale", "detail", "jpeg_quality"}),
            },
            label=f"enhance {folder.name}",
            workers=workers,
            progress=progress,
            cancel=cancel,
            hold=hold,
        )
    before = len(faceset) - len(chosen)
    return EnhanceResult(
        folder=folder,
        enhanced=done.replaced,
        before=before,
        failed=done.failed,
        originals=done.originals,
        undo=undo_command(config.workspace, config.faceset),
    )


def _make(config: EnhanceConfig, enhancer: Enhancer) -> Callable[[Path], bytes]:
    def make(path: Path) -> bytes:
        image, record = read_face(path)
        h, w = image.shape[:2]
        sharp = enhancer.enhance(
            image,
            strength=config.strength,
            size=(h * config.scale, w * config.scale),
            detail_px=_detail_px(record, h) if config.detail == "frame" else None,
        )
        suffix = ".png" if path.suffix.lower() == ".png" else ".jpg"
        new = _marked(scaled_record(record, config.scale), config.strength)
        return encode_face(sharp, new, suffix, config.jpeg_quality)

    return make


def _detail_px(record: FaceRecord, size_px: int) -> float | None:
    """The side of the face's crop in its frame; None when that is not known."""
    if record.image_to_face_mat is None:
        return None
    return float(np.sqrt(crop_area(record.image_to_face_mat, size_px)))


def _strength(record: FaceRecord) -> Any:
    return None if record.own is None else record.own.unknown.get(MARK)


def _marked(record: FaceRecord, strength: float) -> FaceRecord:
    own = record.own or OwnMetadata()
    fields = MappingProxyType({**own.unknown, MARK: strength})
    return replace(record, own=replace(own, unknown=fields))
