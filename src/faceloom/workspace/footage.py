"""A side's footage with true times, even if only its extracted frames are there."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import PurePath

from faceloom.core.vocabulary import Side
from faceloom.media import Footage, FootageInfo, Timeline, open_footage
from faceloom.workspace.layout import Workspace


def open_side(workspace: Workspace, side: Side) -> Footage:
    """Open a side's footage.

    Frames without `frames.json` (extracted by DFL, or by hand) get their times and pixel shape
    from the video next to them (`data_dst.mp4`). Raises `InputError` if there is no footage,
    `MediaError` if it cannot be read.
    """
    source = workspace.footage(side)
    footage = open_footage(source)
    video = workspace.video(side)
    if footage.info.kind == "video" or footage.has_timeline or video is None or video == source:
        return footage
    of_video = open_footage(video)
    if of_video.info.kind != "video":
        return footage
    stems = [PurePath(footage.name_of(index)).stem for index in range(len(footage))]
    return open_footage(source, timeline=timeline_of_dump(stems, of_video))


def timeline_of_dump(stems: Sequence[str], video: Footage) -> Timeline:
    """The times of frames extracted from `video`, by their stems in order.

    `00001` is the video's first frame if all numbers are within the video and at most a tenth of
    its frames is missing; otherwise the pictures are spread evenly over the video's length.
    """
    info = video.info
    numbers = [int(stem) if stem.isdigit() else 0 for stem in stems]
    count = len(video)
    direct = bool(stems) and min(numbers) >= 1 and max(numbers) <= count
    if direct and len(stems) > count * 0.9:
        stamps = {
            stem: round(video.time_of(number - 1) / info.time_base)
            for stem, number in zip(stems, numbers, strict=True)
        }
        return timeline_like(info, stamps, fps=info.fps)
    fps = Fraction(len(stems)) / Fraction(info.duration_s).limit_denominator(1_000_000)
    fps = fps.limit_denominator(1001)
    stamps = {
        stem: round((info.start_time + index / fps) / info.time_base)
        for index, stem in enumerate(stems)
    }
    return timeline_like(info, stamps, fps=fps)


def timeline_like(info: FootageInfo, stamps: dict[str, int], *, fps: Fraction) -> Timeline:
    """A timeline of pictures taken from the footage `info`, at `fps` per second."""
    return Timeline(
        fps=fps,
        time_base=info.time_base,
        stamps=stamps,
        sample_aspect=info.sample_aspect,
        clock_zero=info.clock_zero,
        last_frame_s=info.last_frame_s if fps == info.fps else Fraction(0),
        vfr=info.vfr and fps == info.fps,
    )
