"""A run of pictures as footage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from faceloom.core import MediaError
from faceloom.media.images import read_picture
from faceloom.media.losses import Losses
from faceloom.media.timeline import Timeline, read_timeline
from faceloom.media.types import ColorTags, FootageInfo, Frame

PICTURE_TAGS = ColorTags("gbr", "full", "bt709", "iec61966-2-1")


class ImagesPart:
    """Pictures in the order given; their sizes may differ.

    They are `fps` a second, unless a timeline knows all of them: the one given, or the one that a
    dump left in their folder.
    """

    def __init__(
        self, paths: Sequence[Path], fps: Fraction, timeline: Timeline | None = None
    ) -> None:
        self._paths = list(paths)
        self.losses = Losses(len(self._paths))
        self.timeline = timeline or _folder_timeline(self._paths)
        times = self.timeline.times([path.stem for path in paths]) if self.timeline else None
        if times is None:
            self.timeline = None
        self._times = times or [index / fps for index in range(len(self._paths))]
        self.info = self._describe(fps)

    def _describe(self, fps: Fraction) -> FootageInfo:
        """By the first picture that can be read; `MediaError` when none can."""
        first_error: MediaError | None = None
        for path in self._paths:
            try:
                picture = read_picture(path, native=True)
            except MediaError as error:
                first_error = first_error or error
                continue
            height, width = picture.image.shape[:2]
            deep = picture.image.dtype.itemsize == 2
            info = FootageInfo(
                paths=tuple(self._paths),
                kind="images",
                size=(height, width),
                fps=fps,
                frame_count=len(self._paths),
                duration_s=float(len(self._paths) / fps),
                time_base=1 / fps,
                codec=path.suffix.lower().lstrip("."),
                pix_fmt="rgb48" if deep else "rgb24",
                container="images",
                bit_depth=16 if deep else 8,
                color=PICTURE_TAGS,
                notes=[f"{path.name}: {note}" for note in picture.notes],
            )
            return _timed(info, self.timeline, self._times) if self.timeline else info
        raise first_error or MediaError("no pictures given")

    def __len__(self) -> int:
        return len(self._paths)

    def frames(self, start: int, stop: int, *, native: bool) -> Iterator[Frame]:
        """Pictures `start` to `stop` (excluded), those left out that cannot be read."""
        for index in range(start, stop):
            try:
                frame = self.frame(index, native=native)
            except MediaError as error:
                self.losses.say(str(error))
                continue
            yield frame

    def frame(self, index: int, *, native: bool) -> Frame:
        """Picture `index`. Raises `MediaError` when it cannot be read."""
        path = self._paths[index]
        picture = read_picture(path, native=native)
        for note in picture.notes:
            self.losses.say(f"{path}: {note}")
        return Frame(index, self._times[index], picture.image, path.name, picture.alpha)

    def time_of(self, index: int) -> Fraction:
        """When picture `index` is shown, in seconds."""
        return self._times[index]

    def name_of(self, index: int) -> str:
        """The file name of picture `index`."""
        return self._paths[index].name


def _folder_timeline(paths: Sequence[Path]) -> Timeline | None:
    folders = {path.parent for path in paths}
    return read_timeline(folders.pop()) if len(folders) == 1 else None


def _timed(info: FootageInfo, timeline: Timeline, times: Sequence[Fraction]) -> FootageInfo:
    last = timeline.last_frame_s or 1 / timeline.fps
    return replace(
        info,
        fps=timeline.fps,
        time_base=timeline.time_base,
        sample_aspect=timeline.sample_aspect,
        clock_zero=timeline.clock_zero,
        start_time=times[0],
        last_frame_s=last,
        duration_s=float(times[-1] - times[0] + last),
        vfr=timeline.vfr,
    )
