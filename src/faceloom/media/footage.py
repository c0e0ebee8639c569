"""Footage: one type for a video, a picture, a folder, or a list of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Protocol

from faceloom.core import MediaError
from faceloom.core.paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from faceloom.media.images import read_picture
from faceloom.media.timeline import Timeline, read_timeline
from faceloom.media.types import ColorTags, FootageInfo, Frame, Losses
from faceloom.media.video import VideoPart

IMAGE_FPS = Fraction(25)
_PICTURE_TAGS = ColorTags("gbr", "full", "bt709", "iec61966-2-1")


class Part(Protocol):
    """A run of frames from one source."""

    info: FootageInfo
    losses: Losses

    def __len__(self) -> int: ...
    def frames(self, start: int, stop: int, *, native: bool) -> Iterator[Frame]: ...
    def frame(self, index: int, *, native: bool) -> Frame: ...
    def time_of(self, index: int) -> Fraction: ...
    def name_of(self, index: int) -> str: ...


class ImagesPart:
    """Pictures in the given order; their sizes may differ.

    Times come from `timeline`, or from the one in their folder, if it lists all of them; otherwise
    there are `fps` pictures per second.
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
        """Describe the first readable picture; `MediaError` if there is none."""
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
                color=_PICTURE_TAGS,
                notes=[f"{path.name}: {note}" for note in picture.notes],
            )
            return _timed(info, self.timeline, self._times) if self.timeline else info
        raise first_error or MediaError("no pictures given")

    def __len__(self) -> int:
        return len(self._paths)

    def frames(self, start: int, stop: int, *, native: bool) -> Iterator[Frame]:
        """Pictures `start` to `stop` (excluded), without unreadable ones."""
        for index in range(start, stop):
            try:
                frame = self.frame(index, native=native)
            except MediaError as error:
                self.losses.say(str(error))
                continue
            yield frame

    def frame(self, index: int, *, native: bool) -> Frame:
        """Picture `index`. Raises `MediaError` if it cannot be read."""
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


@dataclass(frozen=True)
class _Placed:
    """A part and its position: first frame number, shift in time, prefix of its frame names."""

    part: Part
    first: int
    shift: Fraction
    prefix: str


class Footage:
    """Frames in order or by number, from one or several sources.

    `info` describes the first source, with the counts of all.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._placed = _place(parts)
        self._count = sum(len(part) for part in parts)
        self.info = parts[0].info if len(parts) == 1 else _join(parts, self._count)

    def __len__(self) -> int:
        return self._count

    @property
    def has_timeline(self) -> bool:
        """Whether frames have their own time stamps, not just an assumed rate."""
        parts = [placed.part for placed in self._placed]
        return all(not isinstance(part, ImagesPart) or part.timeline is not None for part in parts)

    @property
    def losses(self) -> list[str]:
        """What could not be decoded so far; complete after iterating over all frames."""
        return [line for placed in self._placed for line in placed.part.losses.lines()]

    def frames(
        self, start: int = 0, stop: int | None = None, *, native: bool = False
    ) -> Iterator[Frame]:
        """Frames `start` to `stop` (excluded, None: the end) in order.

        Images are uint8 RGB, HDR tone-mapped; with `native`, uint16 full-scale RGB code values
        if the source has more than 8 bits. Frames that cannot be decoded are skipped, as are their
        numbers, and reported in `losses`.
        """
        end = self._count if stop is None else min(stop, self._count)
        for placed in self._placed:
            low = max(start - placed.first, 0)
            high = min(end - placed.first, len(placed.part))
            if low < high:
                for frame in placed.part.frames(low, high, native=native):
                    yield _shifted(frame, placed)

    def frame(self, index: int, *, native: bool = False) -> Frame:
        """Frame `index`. Raises `MediaError` if it does not exist or cannot be decoded."""
        placed = self._find(index)
        return _shifted(placed.part.frame(index - placed.first, native=native), placed)

    def time_of(self, index: int) -> Fraction:
        """The time of frame `index` in seconds, without decoding it."""
        placed = self._find(index)
        return placed.part.time_of(index - placed.first) + placed.shift

    def name_of(self, index: int) -> str:
        """The name of frame `index` (see `Frame.name`), without decoding it."""
        placed = self._find(index)
        return placed.prefix + placed.part.name_of(index - placed.first)

    def _find(self, index: int) -> _Placed:
        if not 0 <= index < self._count:
            raise MediaError(f"{self.info.path}: there is no frame {index + 1}, only {self._count}")
        return next(placed for placed in reversed(self._placed) if placed.first <= index)


def open_footage(
    source: Path | str | Sequence[Path | str],
    *,
    fps: Fraction | None = None,
    timeline: Timeline | None = None,
) -> Footage:
    """Open a video, a picture, a folder of either, or a list of those.

    Videos keep their own time stamps. Pictures take theirs from `timeline` (or from `frames.json`
    in their folder); otherwise there are `fps` per second (25 by default). Raises `MediaError` if a
    source cannot be read at all.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    files = [file for one in sources for file in _expand(Path(one))]
    if not files:
        raise MediaError("no footage: pass a video, a picture or a folder")
    parts: list[Part] = []
    for is_picture, run in groupby(files, lambda file: file.suffix.lower() in IMAGE_SUFFIXES):
        if is_picture:
            parts.append(ImagesPart(list(run), fps or IMAGE_FPS, timeline))
        else:
            parts += [VideoPart(file) for file in run]
    return Footage(parts)


def _expand(source: Path) -> list[Path]:
    """A file itself; for a folder, the pictures and videos directly in it, by name."""
    if source.is_dir():
        known = IMAGE_SUFFIXES | VIDEO_SUFFIXES
        found = sorted(
            entry
            for entry in source.iterdir()
            if entry.suffix.lower() in known and not entry.name.startswith(".") and entry.is_file()
        )
        if not found:
            raise MediaError(f"{source}: no pictures or videos in this folder")
        return found
    if not source.exists():
        raise MediaError(f"{source}: no such file or folder")
    return [source]


def _place(parts: Sequence[Part]) -> list[_Placed]:
    placed: list[_Placed] = []
    first, clock = 0, Fraction(0)
    for part in parts:
        info = part.info
        is_video = info.kind == "video"
        shift = clock - info.start_time if len(parts) > 1 else Fraction(0)
        prefix = f"{info.path.stem}_" if len(parts) > 1 and is_video else ""
        placed.append(_Placed(part, first, shift, prefix))
        first += len(part)
        last = part.time_of(len(part) - 1) if len(part) else info.start_time
        clock += last - info.start_time + 1 / info.fps
    return placed


def _shifted(frame: Frame, placed: _Placed) -> Frame:
    if not placed.first and not placed.shift and not placed.prefix:
        return frame
    return replace(
        frame,
        index=frame.index + placed.first,
        time=frame.time + placed.shift,
        name=placed.prefix + frame.name,
    )


def _join(parts: Sequence[Part], count: int) -> FootageInfo:
    """The description of the first source with the files, counts and notes of all."""
    infos = [part.info for part in parts]
    notes = [f"{info.path.name}: {note}" for info in infos for note in info.notes]
    if len({info.size for info in infos}) > 1:
        notes.append("the sources differ in size")
    return replace(
        infos[0],
        paths=tuple(path for info in infos for path in info.paths),
        frame_count=count,
        duration_s=sum(info.duration_s for info in infos),
        bit_depth=max(info.bit_depth for info in infos),
        start_time=Fraction(0),
        clock_zero=Fraction(0),
        time_base=Fraction(1, 90000),
        audio=[],
        notes=notes,
    )
