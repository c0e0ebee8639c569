"""Merging straight into a labelled video, and a second one of the masks."""

from __future__ import annotations

from pathlib import Path

from faceloom.compositing import Composite
from faceloom.media import (
    Frame,
    VideoWriter,
    default_codec,
    default_suffix,
)
from faceloom.provenance import sign_file
from faceloom.stages.merge.job import MergeJob
from faceloom.stages.merge.pipeline import MergePipeline, Merger
from faceloom.workspace.result_video import mask_like, refuse_sources, sound_of, unsigned_path


def merge_to_video(job: MergeJob) -> tuple[Path, Path]:
    """Write the result and the video of its masks (lossless); return their paths.

    The result has the footage's time stamps, colour tags and audio, and appears only when it is
    whole and signed. A merge into a video does not resume: cancelled or killed, it begins anew.
    """
    config, info = job.config, job.footage.info
    codec = config.codec or default_codec(info)
    audio_from, audio = sound_of(job.workspace, job.footage.info)
    suffix = default_suffix(codec, info, [track.codec for track in audio])
    target = config.output or job.workspace.result(suffix)
    mask_target = target.with_name(f"{target.stem}_mask.mp4")
    for path in (target, mask_target):
        refuse_sources(path, info)
    merger = job.load_merger()
    job.progress.start("merge to video", len(job.footage), "frames")
    with unsigned_path(target) as unsigned:
        with (
            VideoWriter(
                unsigned,
                info,
                codec=codec,
                crf=config.crf,
                bitrate=config.bitrate,
                audio_from=audio_from,
            ) as writer,
            VideoWriter(mask_target, mask_like(info), codec="h264-lossless") as mask_writer,
        ):
            _write_frames(job, merger, writer, mask_writer)
        for note in writer.notes:
            job.progress.note(note)
        sign_file(
            unsigned,
            workspace_dir=job.workspace.folder,
            rights_digest=job.rights_digest,
            parent=job.workspace.footage("dst"),
            destination=target,
        )
    job.progress.finish()
    return target, mask_target


def _write_frames(
    job: MergeJob, merger: Merger, writer: VideoWriter, mask_writer: VideoWriter
) -> None:
    pipeline = MergePipeline(merger, _as_made)
    for frame, done in pipeline.run(job.frames(), lambda frame: job.faces_of(frame.name)):
        writer.write(done.image, frame.time)
        mask_writer.write(done.mask, frame.time)
        job.done(done.faces)
    job.cancel.check()


def _as_made(frame: Frame, done: Composite) -> Composite:
    del frame
    return done
