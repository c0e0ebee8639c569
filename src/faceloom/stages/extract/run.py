"""The extract stage: find, align and store the faces of src or dst."""

from __future__ import annotations

import time

from faceloom.core import Cancel, Progress
from faceloom.core.paths import sweep_temporary
from faceloom.core.words import counted
from faceloom.stages.extract.config import ExtractConfig
from faceloom.stages.extract.extraction import Extraction
from faceloom.stages.extract.journal import locked
from faceloom.stages.extract.pipeline import extract
from faceloom.stages.extract.redo import redo
from faceloom.stages.extract.result import ExtractResult

__all__ = ["ExtractConfig", "ExtractResult", "run"]


def run(config: ExtractConfig, *, progress: Progress, cancel: Cancel) -> ExtractResult:
    """Extract the faces of a side into its `aligned` folder, or resume a run that was stopped.

    Raises `MediaError` for footage that cannot be read, `InputError` for a faceset that does not
    match the settings, `WeightsError` when a network is not available, and `CancelledError` on
    `cancel`.
    """
    extraction = Extraction.open(config, progress, cancel)
    if config.redo is not None:
        return redo(extraction)
    if config.restart:
        # Everything that may fail comes first: without networks, the old faces stay where they are.
        _ = extraction.tools
        extraction.move_faces_aside()
    extraction.folder.mkdir(parents=True, exist_ok=True)
    with locked(extraction.folder):
        sweep_temporary(extraction.folder)
        extraction.journal = extraction.open_journal()
        done = extraction.journal.done
        if done.finished:
            return extraction.result(0)
        progress.note(_plan(extraction))
        for note in extraction.footage.info.notes:
            progress.note(note)
        _ = extraction.tools, extraction.writer
        before = done.frames
        started = time.perf_counter()
        extract(extraction)
        seconds = time.perf_counter() - started
        for loss in extraction.losses:
            progress.note(loss)
        if not done.faces:
            progress.note("no faces found in any frame")
        return extraction.result(done.frames - before, seconds, losses=extraction.losses)


def _plan(extraction: Extraction) -> str:
    """What will happen, in one line."""
    config, done = extraction.config, extraction.journal.done
    frames = counted(len(extraction.footage), "frame")
    resumed = f", resuming after frame {done.next_index}" if done.frames else ""
    size = "each at its own size" if config.size_px is None else f"{config.size_px} px"
    return (
        f"extracting {config.face_type} faces ({size}) from {frames} of "
        f"{extraction.footage.info.path} into {extraction.folder}, with detector "
        f"{config.detector} and landmarker {config.landmarker}{resumed}"
    )
