"""Merging straight into a labelled video, and a second one of the masks."""

from __future__ import annotations

import contextlib
import glob
import os
import uuid
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from faceloom.core import InputError
from faceloom.media import (
    ColorTags,
    Footage,
    FootageInfo,
    Frame,
    VideoWriter,
    default_codec,
    default_suffix,
)
from faceloom.merge import Composite
from faceloom.provenance import sign_file
from faceloom.stages.merge_job import MergeJob
from faceloom.stages.merge_pipeline import MergePipeline


def merge_to_video(job: MergeJob) -> tuple[Path, Path]:
    """Write the result and the video of its masks (lossless); return their paths.

    The result has the footage's time stamps, colour tags and audio, and appears only when it is
    whole and signed. A merge into a video does not resume: cancelled or killed, it begins anew.
    """
    config, info = job.config, job.footage.info
    codec = config.codec or default_codec(info)
    target = config.output or job.workspace.result(default_suffix(codec, info))
    mask_target = target.with_name(f"{target.stem}_mask.mp4")
    for path in (target, mask_target):
        _refuse_footage(path, job.footage)
    audio_from = job.workspace.video("dst") if info.audio or info.kind == "images" else None
    job.progress.start("merge to video", len(job.footage), "frames")
    with _unsigned(target) as unsigned:
        with (
            VideoWriter(
                unsigned,
                info,
                codec=codec,
                crf=config.crf,
                bitrate=config.bitrate,
                audio_from=audio_from,
            ) as writer,
            VideoWriter(mask_target, _mask_like(info), codec="h264-lossless") as mask_writer,
        ):
            _write_frames(job, writer, mask_writer)
            notes = writer
        for note in notes.notes:
            job.progress.note(note)
        sign_file(
            unsigned,
            workspace_dir=job.workspace.folder,
            rights_digest=job.rights_digest,
            parent=job.source,
            destination=target,
        )
    job.progress.finish()
    return target, mask_target


def _write_frames(job: MergeJob, writer: VideoWriter, mask_writer: VideoWriter) -> None:
    pipeline = MergePipeline(job.merger, _as_made)
    for frame, done in pipeline.run(job.frames(), lambda frame: job.faces_of(frame.name)):
        writer.write(done.image, frame.time)
        mask_writer.write(done.mask, frame.time)
        job.done(done.faces)
    job.cancel.check()


def _as_made(frame: Frame, done: Composite) -> Composite:
    del frame
    return done


def _refuse_footage(path: Path, footage: Footage) -> None:
    """A result must never take the place of what it is made from."""
    if path.exists() and any(path.samefile(source) for source in footage.info.paths):
        raise InputError(f"{path}: is the footage itself; choose another output")


def _mask_like(info: FootageInfo) -> FootageInfo:
    """The footage's time line and size, without its colours and sound."""
    return replace(
        info, bit_depth=8, hdr=False, hdr_metadata=None, color=ColorTags(), audio=[], notes=[]
    )


@contextlib.contextmanager
def _unsigned(target: Path) -> Generator[Path]:
    """A place beside `target` for a video that is not labelled yet, and must not outlive us."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f".tmp-*-{glob.escape(target.name)}"):
        leftover.unlink(missing_ok=True)
    path = target.with_name(f".tmp-{os.getpid()}-{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
