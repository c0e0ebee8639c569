"""The extract stage: find, align and store the faces of src or dst."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from faceloom.core import Cancel, InputError, MediaError, Progress, Settings
from faceloom.core.paths import list_images, sweep_temporary
from faceloom.detect import DETECTORS, LANDMARKERS, MIN_FACE_PX, FaceFinder, open_finder
from faceloom.faces import FaceSuffix
from faceloom.geometry import SHORT, FaceType
from faceloom.media import Footage, Frame
from faceloom.stages.extract_faces import FaceWriter
from faceloom.stages.extract_journal import (
    JOURNAL_NAME,
    LOCK_NAME,
    Journal,
    locked,
    read_journal,
    start_journal,
)
from faceloom.stages.extract_pipeline import (
    BusyTimes,
    Found,
    found_frames,
    opencv_threads,
    unique_stems,
    written_frames,
)
from faceloom.stages.side_footage import open_side
from faceloom.stages.workspace import Side, Workspace

_HEAD_TYPES = frozenset({"head", "head_no_align"})


class ExtractConfig(Settings):
    """Whose faces to extract, how they are cropped, and what counts as a face."""

    workspace: Path = Path()
    """The workspace."""
    side: Side
    """Whose faces: src or dst."""
    face_type: FaceType = "whole_face"
    """How much of the head a face shows; the short names h, mf, f, wf and head do as well."""
    image_size: int | None = Field(default=None, ge=64, le=2048)
    """Side of the face pictures in pixels; unset: 512, or 768 for head."""
    format: Literal["jpg", "png"] = "jpg"
    """File type of the faces: jpg (DFL's) or png (lossless, about six times larger)."""
    jpeg_quality: int = Field(default=90, ge=1, le=100)
    """Quality of the JPEG files."""
    max_faces: int = Field(default=0, ge=0)
    """Most faces of a frame, the largest first; 0: all."""
    min_face_px: int = Field(default=MIN_FACE_PX, ge=0)
    """Faces whose points span less than this in the frame are left out; 0: none. Below the
    default, what is found is noise more often than not."""
    detector: str = "yunet"
    """Finds the faces."""
    landmarker: str = "mesh-478"
    """Finds the points of a face."""
    detector_size: int = Field(default=640, ge=128, le=4096)
    """Longer side at which the detector sees a frame; more finds smaller faces, slower."""
    tracking: Literal["auto", "on", "off"] = "auto"
    """Whether frames follow each other in time: faces are then followed and numbered. auto: for
    videos and frames with times of their own; `on` suits any folder of frames of one shot."""
    debug: bool = False
    """Also write each frame with its faces drawn in, into `aligned_debug`."""
    restart: bool = False
    """Extract anew; faces that are there are moved to `aligned_old…`, never deleted."""
    workers: int = Field(default=0, ge=0, le=64)
    """Threads that align and write; 0: one for each core, at most 8."""

    @field_validator("face_type", mode="before")
    @classmethod
    def _long_name(cls, value: object) -> object:
        return SHORT.get(value, value) if isinstance(value, str) else value

    @field_validator("detector", "landmarker")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        try:
            (DETECTORS if info.field_name == "detector" else LANDMARKERS)[name]
        except InputError as error:
            raise ValueError(str(error)) from None
        return name

    @property
    def size_px(self) -> int:
        """The side of the face pictures."""
        if self.image_size is not None:
            return self.image_size
        return 768 if self.face_type in _HEAD_TYPES else 512


@dataclass(frozen=True)
class ExtractResult:
    """What an extraction found. The counts are those of the whole footage, resumed runs included;
    speed and shares are those of this run."""

    side: Side
    folder: Path
    frames: int
    faces: int
    frames_without_face: int
    resumed_at: int
    """Frames that earlier runs had done."""
    seconds: float
    fps: float
    busy: dict[str, float] = field(default_factory=lambda: dict[str, float]())
    """Share of the run's time that each step was at work: decode, detect, landmarks, write. The
    steps run side by side, and write in several threads, so the sum may exceed 1."""
    cpu_ms: dict[str, float] = field(default_factory=lambda: dict[str, float]())
    """CPU milliseconds of each step for a frame."""
    losses: list[str] = field(default_factory=lambda: list[str]())
    """What of the footage could not be decoded or was left out."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {**asdict(self), "folder": str(self.folder)}

    def lines(self) -> list[str]:
        """For people."""
        faces = f"{self.folder}: {_counted(self.faces, 'face')} of {_counted(self.frames, 'frame')}"
        if self.frames_without_face:
            faces += f", {self.frames_without_face} without a face"
        done = self.frames - self.resumed_at
        if not done:
            return [f"{faces}; nothing was left to do (--restart extracts anew)"]
        busy = ", ".join(f"{step} {share:.0%}" for step, share in self.busy.items())
        return [
            faces,
            f"{_counted(done, 'frame')} in {self.seconds:.1f} s, {self.fps:.1f} a second ({busy})",
        ]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def run(config: ExtractConfig, *, progress: Progress, cancel: Cancel) -> ExtractResult:
    """Extract the faces of a side into its `aligned` folder, or go on where a run was stopped.

    Raises `MediaError` for footage that cannot be read, `InputError` for a faceset that does not
    fit the settings, `WeightsError` when a network cannot be had, `CancelledError` on `cancel`.
    """
    workspace = Workspace.open(config.workspace)
    footage = open_side(workspace, config.side)
    folder = workspace.aligned(config.side)
    finder = None
    if config.restart:
        # First all that may go wrong: without networks, say, the old faces stay where they are.
        finder = _finder(config, progress)
        _move_aside(folder, workspace.aligned_debug(config.side))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        sweep_temporary(folder)
        journal = _journal(folder, config, footage)
        if journal.done.finished:
            return _result(config, folder, journal, journal.done.frames, 0.0, BusyTimes(), [])
        for note in footage.info.notes:
            progress.note(note)
        finder = finder or _finder(config, progress)
        writer = _writer(config, workspace, footage)
        return _extract(config, footage, finder, writer, journal, progress, cancel)


def _finder(config: ExtractConfig, progress: Progress) -> FaceFinder:
    return open_finder(
        config.detector,
        config.landmarker,
        long_side_px=config.detector_size,
        min_face_px=config.min_face_px,
        progress=progress,
    )


def _extract(
    config: ExtractConfig,
    footage: Footage,
    finder: FaceFinder,
    writer: FaceWriter,
    journal: Journal,
    progress: Progress,
    cancel: Cancel,
) -> ExtractResult:
    """Run the pipeline to its end, or to a cancel, keeping the journal."""
    done, times, skipped = journal.done, BusyTimes(), list[str]()
    resumed_at = done.frames
    started = time.perf_counter()
    frames = unique_stems(
        _frames_to_do(footage, journal),
        set(done.stems),
        lambda frame: skipped.append(f"{frame.name}: another frame has the same stem; left out"),
    )
    found = found_frames(
        frames,
        finder,
        pixel_aspect=footage.info.pixel_aspect,
        tracking=_tracks(config, footage),
        state=done.state,
        times=times,
    )
    written = written_frames(
        _until(found, cancel),
        writer,
        max_faces=config.max_faces,
        workers=config.workers or min(8, os.cpu_count() or 1),
        times=times,
    )
    progress.start(f"extract {config.side}", len(footage), "frames", done=done.next_index)
    with opencv_threads(1), journal, contextlib.closing(found), contextlib.closing(written):
        for item in written:
            frame = item.frame
            stem, damaged = PurePath(frame.name).stem, bool(footage.losses)
            journal.add(frame.index, stem, item.faces, item.state, damaged=damaged)
            progress.advance()
            progress.metric(faces=str(done.faces))
        cancel.check()
        losses = [*footage.losses, *skipped]
        if not done.frames:
            (writer.folder / JOURNAL_NAME).unlink()
            raise MediaError(_nothing_decoded(footage, losses))
        journal.finish()
    seconds = time.perf_counter() - started
    progress.finish()
    for loss in losses:
        progress.note(loss)
    if not done.faces:
        progress.note("no face was found in any frame")
    return _result(config, writer.folder, journal, resumed_at, seconds, times, losses)


def _frames_to_do(footage: Footage, journal: Journal) -> Iterator[Frame]:
    """The frames behind the last one done."""
    first = journal.done.next_index
    if footage.info.kind != "video" or not journal.done.damaged:
        return footage.frames(first)
    # In a damaged stream, what a frame looks like hangs on where decoding began.
    return (frame for frame in footage.frames() if frame.index >= first)


def _until(found: Iterator[Found], cancel: Cancel) -> Iterator[Found]:
    """The frames until a cancel; what is in the pipeline behind is still written."""
    for item in found:
        yield item
        if cancel.is_set:
            return


def _result(
    config: ExtractConfig,
    folder: Path,
    journal: Journal,
    resumed_at: int,
    seconds: float,
    times: BusyTimes,
    losses: list[str],
) -> ExtractResult:
    done = journal.done
    new = done.frames - resumed_at
    return ExtractResult(
        side=config.side,
        folder=folder,
        frames=done.frames,
        faces=done.faces,
        frames_without_face=done.without_face,
        resumed_at=resumed_at,
        seconds=round(seconds, 3),
        fps=round(new / seconds, 2) if seconds else 0.0,
        busy={step: round(spent / seconds, 3) for step, spent in times.seconds().items()},
        cpu_ms={step: round(1000 * cpu / new, 2) for step, cpu in times.cpu_seconds().items()},
        losses=losses,
    )


def _writer(config: ExtractConfig, workspace: Workspace, footage: Footage) -> FaceWriter:
    debug_folder = workspace.aligned_debug(config.side) if config.debug else None
    if debug_folder is not None:
        debug_folder.mkdir(parents=True, exist_ok=True)
    suffix: FaceSuffix = ".png" if config.format == "png" else ".jpg"
    return FaceWriter(
        folder=workspace.aligned(config.side),
        debug_folder=debug_folder,
        face_type=config.face_type,
        size_px=config.size_px,
        suffix=suffix,
        jpeg_quality=config.jpeg_quality,
        pixel_aspect=footage.info.pixel_aspect,
    )


def _tracks(config: ExtractConfig, footage: Footage) -> bool:
    if config.tracking == "auto":
        return footage.info.kind == "video" or footage.has_timeline
    return config.tracking == "on"


def _journal(folder: Path, config: ExtractConfig, footage: Footage) -> Journal:
    """The journal to go on with, or a new one. `InputError` where going on would mix things."""
    header = _header(config, footage)
    journal = read_journal(folder)
    if journal is None:
        if list_images(folder) or (folder / "faceset.pak").exists():
            raise InputError(
                f"{folder}: holds faces that were not extracted here; --restart moves them aside "
                "and extracts anew"
            )
        return start_journal(folder, header)
    before = journal.done.header
    if before.get("footage") != header["footage"]:
        raise InputError(
            f"{folder}: was extracted from other footage than {footage.info.path}; --restart "
            "moves those faces aside and extracts anew"
        )
    changed = [k for k, v in header["settings"].items() if before.get("settings", {}).get(k) != v]
    if changed:
        old = ", ".join(f"{key}={before['settings'].get(key)}" for key in changed)
        raise InputError(
            f"{folder}: was extracted with {old}; use the same again, or --restart to move those "
            "faces aside and extract anew"
        )
    return journal


def _header(config: ExtractConfig, footage: Footage) -> dict[str, Any]:
    """What must be the same for a run to go on with another's faceset."""
    files = [(path.name, path.stat().st_size) for path in footage.info.paths]
    return {
        "footage": hashlib.sha256(json.dumps(files).encode()).hexdigest()[:32],
        "settings": {
            "face_type": config.face_type,
            "image_size": config.size_px,
            "format": config.format,
            "jpeg_quality": config.jpeg_quality,
            "max_faces": config.max_faces,
            "min_face_px": config.min_face_px,
            "detector": config.detector,
            "landmarker": config.landmarker,
            "detector_size": config.detector_size,
            "tracking": _tracks(config, footage),
        },
    }


def _move_aside(folder: Path, debug_folder: Path) -> None:
    """Move a faceset to `aligned_old`, `aligned_old2` …; debug pictures can be made again."""
    if debug_folder.is_dir():
        for picture in list_images(debug_folder):
            picture.unlink()
    if not folder.is_dir() or not any(entry.name != LOCK_NAME for entry in folder.iterdir()):
        return
    with locked(folder):
        number = 1
        while (
            target := folder.with_name(f"{folder.name}_old{number if number > 1 else ''}")
        ).exists():
            number += 1
    folder.rename(target)


def _nothing_decoded(footage: Footage, losses: list[str]) -> str:
    reason = f": {losses[0]}" if losses else ""
    return f"{footage.info.path}: no frame could be decoded{reason}"
