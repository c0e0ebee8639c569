"""Merging into two folders of pictures, going on behind what is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

from faceloom.media import Frame, write_image
from faceloom.merge import Composite
from faceloom.stages.merge_job import MergeJob
from faceloom.stages.merge_journal import FrameEntry, FrameKeys, MergeJournal
from faceloom.stages.merge_pipeline import MergePipeline


def merge_to_pictures(job: MergeJob) -> tuple[Path, Path]:
    """Write `merged/<stem>.png` and `merged_mask/<stem>.png` of every frame; return the folders.

    PNG of the footage's depth (8 or 16 bits), with its alpha; masks have one channel of 8 bits.
    """
    images, masks = job.workspace.merged, job.workspace.merged_mask
    keys = FrameKeys(job.footage.info, job.config, f"{job.model_name}/{job.state.folder}")
    with MergeJournal(images, masks, forget=job.config.redo) as journal:

        def key_of(name: str) -> str:
            return keys.key(name, job.faces_of(name))

        def write(frame: Frame, done: Composite) -> int:
            image_file, mask_file = journal.outputs(frame.name)
            write_image(mask_file, done.mask)
            write_image(image_file, done.image, alpha=frame.alpha)
            return done.faces

        finished = journal.finished_from_start(key_of)
        for entry in finished:
            job.counts.add(entry.faces, reused=True)
        job.progress.start("merge", len(job.footage), "frames", done=len(finished))
        frames = _unfinished(job, journal, _unique(job, finished), key_of)
        pipeline = MergePipeline(job.merger, write)
        for frame, faces in pipeline.run(frames, lambda frame: job.faces_of(frame.name)):
            journal.add(frame.index, frame.name, key_of(frame.name), faces)
            job.done(faces)
        job.progress.finish()
        job.cancel.check()
        if others := journal.remove_others():
            job.progress.note(f"{others} merged frames of other footage were deleted")
    return images, masks


def _unique(job: MergeJob, finished: list[FrameEntry]) -> Iterator[Frame]:
    """The frames after the finished ones, without those that would overwrite another's files."""
    stems = {PurePath(entry.name).stem for entry in finished}
    for frame in job.frames(len(finished)):
        stem = PurePath(frame.name).stem
        if stem in stems:
            job.progress.note(f"{frame.name}: left out, another frame is called {stem!r} as well")
            continue
        stems.add(stem)
        yield frame


def _unfinished(
    job: MergeJob, journal: MergeJournal, frames: Iterator[Frame], key_of: Callable[[str], str]
) -> Iterator[Frame]:
    """The frames that must be made; the others are counted."""
    for frame in frames:
        entry = journal.finished(frame.name, key_of(frame.name))
        if entry is None:
            yield frame
        else:
            job.counts.add(entry.faces, reused=True)
            job.progress.advance()
