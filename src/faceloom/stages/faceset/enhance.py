"""Sharper faces by super-resolution; the old pictures are kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from faceloom.checkpoints.device import choose_device, choose_precision, computing
from faceloom.core import Cancel, Progress
from faceloom.core.pool import worker_count
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.enhance import Enhancer
from faceloom.faces import FaceRecord, Faceset, OwnMetadata, encode_face, read_face
from faceloom.faces.moves.moves import lock_faces, recover_moves
from faceloom.faces.record import scaled_record
from faceloom.geometry import crop_area
from faceloom.stages.faceset.config import FacesetEnhanceConfig
from faceloom.stages.faceset.replace import replace_faces
from faceloom.workspace import faceset_folder, refuse_empty, undo_command

MARK: Final = "enhanced"
"""Field of a face's own block: the strength it was enhanced with."""
_FOLDER = "enhanced"


@dataclass(frozen=True)
class FacesetEnhanceResult(Result):
    """How many faces were enhanced."""

    folder: Path
    enhanced: int
    before: int
    """Faces that had been enhanced before and were skipped."""
    failed: int
    originals: Path | None
    """Where the old pictures are."""
    undo: str
    """The command that reverts it."""

    def lines(self) -> list[str]:
        text = f"{self.folder}: {counted(self.enhanced, 'face')} enhanced"
        if self.before:
            text += f", {self.before} were enhanced before (--again enhances them too)"
        if self.failed:
            text += f", {self.failed} failed"
        if self.originals is None:
            return [text]
        where = f"the old pictures are in {self.originals}"
        return [text, where, f"`{self.undo}` brings them back"]


def run(
    config: FacesetEnhanceConfig, *, progress: Progress, cancel: Cancel
) -> FacesetEnhanceResult:
    """Enhance the faces of a faceset, or resume a run that was stopped.

    Raises `InputError` for a folder that cannot be used, `WeightsError` if the network cannot be
    loaded, `CancelledError` on `cancel`.
    """
    folder = faceset_folder(config.workspace, config.faceset)
    recover_moves(folder)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    # On a CPU, faces in parallel use the cores better than the threads of one convolution.
    workers = worker_count(config.threads) if device.type == "cpu" else 2
    with (
        ExitStack() as hold,
        computing(device=device, precision=precision, threads=1),
    ):
        hold.enter_context(lock_faces(folder))
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
    return FacesetEnhanceResult(
        folder=folder,
        enhanced=done.replaced,
        before=before,
        failed=done.failed,
        originals=done.originals,
        undo=undo_command(config.workspace, config.faceset),
    )


def _make(config: FacesetEnhanceConfig, enhancer: Enhancer) -> Callable[[Path], bytes]:
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
    """The side of the face's crop in its frame; None if unknown."""
    if record.image_to_face_mat is None:
        return None
    return float(np.sqrt(crop_area(record.image_to_face_mat, size_px)))


def _strength(record: FaceRecord) -> Any:
    return None if record.own is None else record.own.unknown.get(MARK)


def _marked(record: FaceRecord, strength: float) -> FaceRecord:
    own = record.own or OwnMetadata()
    fields = MappingProxyType({**own.unknown, MARK: strength})
    return replace(record, own=replace(own, unknown=fields))
