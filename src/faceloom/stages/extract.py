"""The extract stage: find, align and store the faces of src or dst."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path, PurePath

from faceloom.core import Cancel, MediaError, Progress
from faceloom.core.paths import sweep_temporary
from faceloom.detect import FaceFinder, open_finder
from faceloom.faces import FaceSuffix
from faceloom.media import Footage, Frame
from faceloom.stages.extract_begin import follows, move_aside, open_journal
from faceloom.stages.extract_config import ExtractConfig, ExtractResult
from faceloom.stages.extract_faces import FaceWriter
from faceloom.stages.extract_journal import JOURNAL_NAME, Journal, locked
from faceloom.stages.extract_pipeline import (
    BusyTimes,
    Found,
    found_frames,
    opencv_threads,
    unique_stems,
    written_frames,
)
from faceloom.stages.side_footage import open_side
from faceloom.stages.workspace import Workspace

__all__ = ["ExtractConfig", "ExtractResult", "run"]


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
        move_aside(folder, workspace.aligned_debug(config.side))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        sweep_temporary(folder)
        journal = open_journal(folder, config, footage)
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
        tracking=follows(config, footage),
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


def _nothing_decoded(footage: Footage, losses: list[str]) -> str:
    reason = f": {losses[0]}" if losses else ""
    return f"{footage.info.path}: no frame could be decoded{reason}"
