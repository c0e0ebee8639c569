"""The merge stage: the trained face on every frame of dst's footage."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any

import cv2
import torch

from faceloom.checkpoints import (
    ModelFolder,
    ModelState,
    choose_device,
    choose_precision,
    computing,
    find_model,
    load_model,
    read_state,
)
from faceloom.compositing import FaceGeometry, MergeSettings
from faceloom.core import Cancel, InputError, Progress
from faceloom.core.vocabulary import SIDES
from faceloom.faces import FaceRecord, Faceset
from faceloom.geometry import frame_to_face
from faceloom.media import Footage, working_transform
from faceloom.models import MODELS, Precision
from faceloom.provenance import append_ledger, require_rights
from faceloom.stages.extract.journal import read_done
from faceloom.stages.merge.job import MergeConfig, MergeJob
from faceloom.stages.merge.pictures import merge_to_pictures
from faceloom.stages.merge.pipeline import Merger, predictor_of
from faceloom.stages.merge.video import merge_to_video
from faceloom.workspace.footage import open_side
from faceloom.workspace.layout import Workspace

__all__ = ["MergeConfig", "MergeResult", "run"]


@dataclass(frozen=True)
class MergeResult:
    """What a merge left."""

    frames: int
    """Frames of the result, finished before or now."""
    faces: int
    """Faces pasted in them."""
    untouched: int
    """Frames passed through: without a face, or with one too small to paste."""
    reused: int
    """Frames that were finished before."""
    model: str
    iteration: int
    seconds: float
    output: Path
    """The folder of the merged frames, or the video."""
    mask_output: Path
    """The same of the masks."""
    losses: list[str] = field(default_factory=list[str])
    """What of the footage could not be decoded."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        paths = {"output": str(self.output), "mask_output": str(self.mask_output)}
        return {**asdict(self), **paths}

    def lines(self) -> list[str]:
        """For people."""
        made = self.frames - self.reused
        rate = f", {made / self.seconds:.1f} a second" if made and self.seconds else ""
        before = f" ({self.reused} were finished before)" if self.reused else ""
        return [
            f"{self.output}: {self.frames} frames{before}, {self.faces} faces, "
            f"{self.untouched} frames untouched{rate}",
            f"masks: {self.mask_output}; model: {self.model}, iteration {self.iteration}",
            *self.losses,
        ]


def run(config: MergeConfig, *, progress: Progress, cancel: Cancel) -> MergeResult:
    """Merge all frames of dst; those finished before by the same model and settings are kept.

    Raises `RightsError` when the workspace's rights record does not cover its footage,
    `InputError` for a missing model or faceset, `CancelledError` when asked to stop; the frames
    finished by then stay.
    """
    began = time.monotonic()
    workspace = Workspace.open(config.workspace)
    covered = {side: workspace.footage(side) for side in SIDES if workspace.has_footage(side)}
    digest = require_rights(workspace.folder, covered, progress=progress, cancel=cancel)
    folder = find_model(
        workspace.model, name=config.name, class_name=config.model, only=_swaps_faces
    )
    faces = _usable_faces(workspace.aligned_dst, progress)
    footage = open_side(workspace, "dst")
    _note_strays(faces, footage, progress)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    # The merger's threads fill the cores; PyTorch and OpenCV must not spread over them as well.
    with computing(device=device, precision=precision, threads=1), _opencv_in_one_thread():
        job = MergeJob(
            config=config,
            workspace=workspace,
            rights_digest=digest,
            footage=footage,
            faces=faces,
            model_name=folder.path.name,
            state=read_state(folder),
            load=lambda: _load_merger(config, folder, footage, device, precision),
            progress=progress,
            cancel=cancel,
        )
        output, mask_output = (merge_to_video if config.to_video else merge_to_pictures)(job)
    result = MergeResult(
        **asdict(job.counts),
        model=job.model_name,
        iteration=job.state.iteration,
        seconds=time.monotonic() - began,
        output=output,
        mask_output=mask_output,
        losses=list(footage.losses),
    )
    _record(job, result)
    return result


def _usable_faces(aligned: Path, progress: Progress) -> dict[str, list[FaceRecord]]:
    """The faceset by frame, without faces whose landmarks cannot be aligned."""
    usable: dict[str, list[FaceRecord]] = {}
    faceset = Faceset(aligned) if aligned.is_dir() else ()
    if not len(faceset):
        _require_no_face(aligned)
        progress.note(f"{aligned}: no face was found in the footage, all frames pass through")
    for path, record in faceset:
        try:
            frame_to_face(record.source_landmarks, 64, "full_face")
        except InputError as error:
            progress.note(f"{path.name}: left out: {error}")
            continue
        usable.setdefault(record.source_stem, []).append(record)
    return usable


def _require_no_face(aligned: Path) -> None:
    """`InputError` for an empty faceset, unless extraction has looked at all frames in vain."""
    done = read_done(aligned)
    if done is None or not done.finished:
        raise InputError(f"{aligned}: no faces; run `faceloom extract dst` first")
    if done.faces:
        raise InputError(
            f"{aligned}: no faces, though {done.faces} were extracted; put them back, or run "
            "`faceloom extract dst --restart`"
        )


def _swaps_faces(class_name: str) -> bool:
    return MODELS[class_name].losses == ("src", "dst")


def _load_merger(
    config: MergeConfig,
    folder: ModelFolder,
    footage: Footage,
    device: torch.device,
    precision: Precision,
) -> tuple[Merger, ModelState]:
    model, state = load_model(folder, device=device, precision=precision, weights=config.weights)
    size = model.settings.resolution
    on_cpu = device.type == "cpu"
    usual = 4 if on_cpu else 16
    merger = Merger(
        predictor=predictor_of(model, morph=config.morph_factor),
        geometry=FaceGeometry(size, model.settings.face_type),
        settings=_merge_settings(config),
        transform=working_transform(footage.info) if footage.info.hdr else None,
        batch_size=config.batch_size or (usual if size <= 256 else usual // 4),
        workers=config.threads or os.cpu_count() or 1,
        predict_in_pool=on_cpu,
    )
    return merger, state


def _merge_settings(config: MergeConfig) -> MergeSettings:
    return MergeSettings(**config.model_dump(include=set(MergeSettings.model_fields)))


def _note_strays(
    faces: Mapping[str, Sequence[FaceRecord]], footage: Footage, progress: Progress
) -> None:
    """Tell of faces that no frame of the footage has."""
    stems = {PurePath(footage.name_of(index)).stem for index in range(len(footage))}
    strays = sorted(faces.keys() - stems)
    if strays and len(strays) == len(faces):
        progress.note(
            f"no frame will have a face: those in data_dst/aligned are of {strays[0]} …, but the "
            f"footage's frames are called {footage.name_of(0)} …; extract dst again"
        )
    elif strays:
        progress.note(f"faces of {len(strays)} frames are not used: no frame is called {strays[0]}")


@contextlib.contextmanager
def _opencv_in_one_thread() -> Generator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _record(job: MergeJob, result: MergeResult) -> None:
    """Write the ledger's line, if anything was made."""
    made = result.frames - result.reused
    if not made:
        return
    append_ledger(
        job.workspace.folder,
        "merge",
        {
            "rights_sha256": job.rights_digest,
            "model": result.model,
            "iteration": result.iteration,
            "settings": _merge_settings(job.config).model_dump(mode="json"),
            "frames": result.frames,
            "faces": result.faces,
            "output": result.output.name,
        },
    )
