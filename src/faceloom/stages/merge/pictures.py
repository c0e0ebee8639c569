"""Merging into two folders of pictures, going on behind what is finished."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath

from faceloom.compositing import Composite
from faceloom.media import Frame, write_image
from faceloom.stages.merge.job import MergeJob
from faceloom.stages.merge.journal import FrameEntry, FrameKeys, MergeJournal
from faceloom.stages.merge.pipeline import MergePipeline


def merge_to_pictures(job: MergeJob) -> tuple[Path, Path]:
    """Write `merged/<stem>.png` and `merged_mask/<stem>.png` of every frame; return the folders.

    PNG of the footage's depth (8 or 16 bits), with its alpha; masks have one channel of 8 bits.
    """
    images, masks = job.workspace.merged, job.workspace.merged_mask
    names = _names(job)
    with MergeJournal(images, masks, forget=job.config.redo) as journal:
        _, finished = _compare(job, journal, names.values())
        if len(finished) < len(names):
            _make(job, journal, names)
        else:
            _reuse(job, finished)
        if others := journal.remove_others():
            job.progress.note(f"{others} merged frames of other footage were deleted")
    return images, masks


def _names(job: MergeJob) -> dict[int, str]:
    """Frame number → name, without frames that would overwrite the files of another."""
    names: dict[int, str] = {}
    stems: set[str] = set()
    for index in range(len(job.footage)):
        name = job.footage.name_of(index)
        stem = PurePath(name).stem
        if stem in stems:
            job.progress.note(f"{name}: left out, another frame is called {stem!r} as well")
            continue
        stems.add(stem)
        names[index] = name
    return names


def _compare(
    job: MergeJob, journal: MergeJournal, names: Iterable[str]
) -> tuple[dict[str, str], list[FrameEntry]]:
    """The key of each frame as it should be, and the frames that are finished so."""
    keys = FrameKeys(job.footage.info, job.config, f"{job.model_name}/{job.weights}")
    wanted = {name: keys.key(name, job.faces_of(name)) for name in names}
    found = (journal.finished(name, key) for name, key in wanted.items())
    return wanted, [entry for entry in found if entry is not None]


def _reuse(job: MergeJob, finished: Iterable[FrameEntry]) -> None:
    for entry in finished:
        job.counts.add(entry.faces, reused=True)


def _make(job: MergeJob, journal: MergeJournal, names: dict[int, str]) -> None:
    """Make the frames that are not finished; of the others at the ends nothing is decoded."""
    merger = job.load_merger()
    # Only now is it known which state of the model the frames are made with.
    wanted, finished = _compare(job, journal, names.values())
    _reuse(job, finished)
    there = {entry.name for entry in finished}
    missing = [index for index, name in names.items() if name not in there]
    job.progress.start("merge", len(names), "frames", done=len(finished))

    def write(frame: Frame, done: Composite) -> int:
        image_file, mask_file = journal.outputs(frame.name)
        write_image(mask_file, done.mask)
        write_image(image_file, done.image, alpha=frame.alpha)
        return done.faces

    if missing:
        chosen = set(missing)
        frames = job.frames(missing[0], missing[-1] + 1)
        made = MergePipeline(merger, write).run(
            (frame for frame in frames if frame.index in chosen),
            lambda frame: job.faces_of(frame.name),
        )
        for frame, faces in made:
            journal.add(frame.name, wanted[frame.name], faces)
            job.done(faces)
    job.progress.finish()
    job.cancel.check()
