"""The extract stage: find, align and store the faces of src or dst."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from faceloom.core import Cancel, MediaError, Progress
from faceloom.core.paths import sweep_temporary
from faceloom.media import Footage, Frame
from faceloom.stages.extract.begin import follows, move_aside, open_journal
from faceloom.stages.extract.config import ExtractConfig
from faceloom.stages.extract.faces import FaceWriter
from faceloom.stages.extract.journal import JOURNAL_NAME, FrameLine, Journal, locked
from faceloom.stages.extract.pipeline import (
    BusyTimes,
    found_frames,
    opencv_threads,
    unique_stems,
    written_frames,
)
from faceloom.stages.extract.redo import redo
from faceloom.stages.extract.result import ExtractResult
from faceloom.stages.extract.tools import Tools, open_tools, open_writer
from faceloom.stages.extract.tracks import Named, TrackNamer
from faceloom.stages.extract.window import settled_frames, span_of
from faceloom.workspace.footage import open_side
from faceloom.workspace.layout import Workspace

__all__ = ["ExtractConfig", "ExtractResult", "run"]


def run(config: ExtractConfig, *, progress: Progress, cancel: Cancel) -> ExtractResult:
    """Extract the faces of a side into its `aligned` folder, or go on where a run was stopped.

    Raises `MediaError` for footage that cannot be read, `InputError` for a faceset that does not
    fit the settings, `WeightsError` when a network cannot be had, `CancelledError` on `cancel`.
    """
    if config.redo is not None:
        done = redo(config, progress=progress, cancel=cancel)
        folder, frames = (
            Workspace.open(config.workspace).aligned(config.side),
            done.journal.done.frames,
        )
        result = _result(
            config, folder, done.journal, frames, done.seconds, done.times, done.losses
        )
        return replace(result, again=done.again, added=done.added, moved=done.moved)
    workspace = Workspace.open(config.workspace)
    footage = open_side(workspace, config.side)
    folder = workspace.aligned(config.side)
    tools = None
    if config.restart:
        # First all that may go wrong: without networks, say, the old faces stay where they are.
        tools = open_tools(config, workspace, footage, progress)
        move_aside(folder, workspace.aligned_debug(config.side))
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        sweep_temporary(folder)
        journal = open_journal(folder, config, footage)
        if journal.done.finished:
            return _result(config, folder, journal, journal.done.frames, 0.0, BusyTimes(), [])
        for note in footage.info.notes:
            progress.note(note)
        tools = tools or open_tools(config, workspace, footage, progress)
        writer = open_writer(config, workspace, footage)
        return _extract(config, footage, tools, writer, journal, progress, cancel)


def _extract(
    config: ExtractConfig,
    footage: Footage,
    tools: Tools,
    writer: FaceWriter,
    journal: Journal,
    progress: Progress,
    cancel: Cancel,
) -> ExtractResult:
    """Run the pipeline to its end, or to a cancel, keeping the journal."""
    done, times, skipped = journal.done, BusyTimes(), list[str]()
    resumed_at = done.frames
    started = time.perf_counter()
    conveyor = _conveyor(config, footage, tools, journal, times, skipped)
    written = written_frames(
        _until(conveyor, cancel),
        writer,
        workers=config.workers or min(8, os.cpu_count() or 1),
        times=times,
    )
    progress.start(f"extract {config.side}", len(footage), "frames", done=done.next_index)
    with opencv_threads(1), journal, contextlib.closing(conveyor), contextlib.closing(written):
        for item, faces in written:
            journal.add(_line_of(item, faces, damaged=bool(footage.losses)))
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


def _conveyor(
    config: ExtractConfig,
    footage: Footage,
    tools: Tools,
    journal: Journal,
    times: BusyTimes,
    skipped: list[str],
) -> Generator[Named]:
    """Frames with the faces to write, from the first one that is not done.

    The frames of a window before it are found again, as they were the first time, for what they
    tell of those behind them.
    """
    tracking, aspect = follows(config, footage), footage.info.pixel_aspect
    span = span_of(footage.info, tracking=tracking, smooth=config.smooth)
    done = journal.done
    first = done.next_index
    again, state = done.before(span.total)
    namer = TrackNamer(
        tools.identifier,
        wanted=tools.wanted,
        max_faces=config.max_faces,
        pixel_aspect=aspect,
        learned=done.learned,
    )
    frames = unique_stems(
        _frames_to_do(footage, again, first=first, damaged=done.damaged),
        done.stems - {PurePath(footage.name_of(index)).stem for index in again},
        lambda frame: skipped.append(f"{frame.name}: another frame has the same stem; left out"),
    )
    wanted = (frame for frame in frames if frame.index >= first or frame.index in again)
    found = found_frames(
        wanted, tools.finder, pixel_aspect=aspect, tracking=tracking, state=state, times=times
    )
    settled = settled_frames(
        found, tools.finder, span, smooth=config.smooth, pixel_aspect=aspect, times=times
    )
    with contextlib.closing(found), contextlib.closing(settled):
        for item in settled:
            if item.frame.index >= first:
                with times.measure("tracks"):
                    named = namer.name(item)
                yield named


def _line_of(item: Named, faces: int, *, damaged: bool) -> FrameLine:
    return FrameLine(
        index=item.frame.index,
        stem=PurePath(item.frame.name).stem,
        faces=faces,
        state=item.state,
        filled=item.filled,
        left_out=item.left_out,
        learned=item.learned,
        damaged=damaged,
    )


def _frames_to_do(
    footage: Footage, again: Sequence[int], *, first: int, damaged: bool
) -> Iterator[Frame]:
    """The frames behind the last one done, and those to look at `again` before them."""
    start = min([first, *again])
    if footage.info.kind != "video" or not damaged:
        return footage.frames(start)
    # In a damaged stream, what a frame looks like hangs on where decoding began.
    return (frame for frame in footage.frames() if frame.index >= start)


def _until(items: Iterator[Named], cancel: Cancel) -> Iterator[Named]:
    """The frames until a cancel; what is in the pipeline behind is still written."""
    for item in items:
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
        tracks=done.tracks,
        joined=done.joined,
        filled=done.filled,
        left_out=done.left_out,
        again=0,
        added=0,
        moved=0,
        resumed_at=resumed_at,
        seconds=round(seconds, 3),
        fps=round(new / seconds, 2) if seconds else 0.0,
        busy={step: round(spent / seconds, 3) for step, spent in times.seconds().items()},
        cpu_ms={
            step: round(1000 * cpu / max(new, 1), 2) for step, cpu in times.cpu_seconds().items()
        },
        losses=losses,
    )


def _nothing_decoded(footage: Footage, losses: list[str]) -> str:
    reason = f": {losses[0]}" if losses else ""
    return f"{footage.info.path}: no frame could be decoded{reason}"
