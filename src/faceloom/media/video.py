"""Read the frames of a video: in order with threaded decoding, or one by number."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av import VideoFrame

from faceloom.core import MediaError
from faceloom.media.hdr import HdrTransform, ToneMapper, working_transform
from faceloom.media.orientation import apply_orientation
from faceloom.media.probe import (
    FrameIndex,
    demux_safely,
    open_container,
    probe_video,
    video_stream,
)
from faceloom.media.types import FootageInfo, Frame, Image, Losses
from faceloom.media.yuv import FrameConverter

Decoded = tuple[int, VideoFrame]

# Random access decodes on instead of seeking if the frame is at most this far ahead.
SHORT_WALK = 12


class VideoPart:
    """A video file. Raises `MediaError` if it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.info: FootageInfo
        self._index: FrameIndex
        self.info, self._index, self._orientation = probe_video(path)
        self._path = path
        self.losses = Losses(self.info.frame_count or 0)
        for problem in self._index.problems:
            self.losses.say(problem)
        transform = working_transform(self.info)
        self._tone_map = ToneMapper(transform) if isinstance(transform, HdrTransform) else None
        self._lock = threading.Lock()
        self._cursor: Generator[Decoded] | None = None
        self._cursor_at = -1

    def __len__(self) -> int:
        return self._index.count

    def frames(self, start: int, stop: int, *, native: bool) -> Iterator[Frame]:
        """Frames `start` to `stop` (excluded) in order, without those that do not decode."""
        converter = FrameConverter(self.info.color, self.info.siting)
        expected = start
        decoded = self._decode(start)
        try:
            for index, frame in decoded:
                if index >= stop:
                    break
                self.losses.lost(range(expected, index))
                expected = index + 1
                if frame.is_corrupt:
                    self.losses.damaged(index)
                yield self._convert(index, frame, converter, native)
                if expected >= stop:
                    break
            self.losses.lost(range(expected, stop))
        finally:
            decoded.close()

    def frame(self, index: int, *, native: bool) -> Frame:
        """Frame `index` alone. Raises `MediaError` if it cannot be decoded."""
        with self._lock:
            for fresh in (False, True):
                frame = self._fetch(index, fresh)
                if frame is not None:
                    converter = FrameConverter(self.info.color, self.info.siting)
                    return self._convert(index, frame, converter, native)
        raise MediaError(f"{self._path}: frame {index + 1} cannot be decoded")

    def _fetch(self, index: int, fresh: bool) -> VideoFrame | None:
        """Decode on to frame `index` from the cursor, from its keyframe, or from the start."""
        near = self._cursor_at < index and (
            index - self._cursor_at <= SHORT_WALK
            or not self._index.keyframe_between(self._cursor_at, index)
        )
        if self._cursor is None or self._cursor_at < 0 or not near or fresh:
            if self._cursor is not None:
                self._cursor.close()
            self._cursor = self._decode(0 if fresh else index, thread_type="SLICE")
            self._cursor_at = -1
        for found, frame in self._cursor:
            self._cursor_at = found
            if found == index:
                return frame
            if found > index:
                return None
        self._cursor_at = -1
        return None

    def _convert(
        self, index: int, frame: VideoFrame, converter: FrameConverter, native: bool
    ) -> Frame:
        deep = self.info.bit_depth > 8 and (native or self.info.hdr)
        image: Image = converter.to_rgb(frame, deep=deep)
        if self._tone_map is not None and not native:
            image = self._tone_map(image)
        image = apply_orientation(image, self._orientation)
        return Frame(index, self.time_of(index), image, self.name_of(index))

    def time_of(self, index: int) -> Fraction:
        """The time stamp of frame `index` in seconds on the container's timeline."""
        if self._index.pts is None:
            return self.info.start_time + index / self.info.fps
        return self._index.pts[index] * self._index.time_base

    def name_of(self, index: int) -> str:
        """The name of frame `index` as a picture."""
        return f"{index + 1:05d}.png"

    def _decode(self, start: int, thread_type: str = "AUTO") -> Generator[Decoded]:
        """Numbered frames from `start` on, with increasing numbers."""
        target = self._index.seek_target(start)
        if target is not None:
            run = self._run(target, thread_type)
            first = next(run, None)
            if first is not None and first[0] <= start:
                yield from self._from(start, first, run)
                return
            run.close()
        yield from self._from(start, None, self._run(None, thread_type))

    @staticmethod
    def _from(start: int, first: Decoded | None, run: Generator[Decoded]) -> Generator[Decoded]:
        with contextlib.closing(run):
            if first is not None and first[0] >= start:
                yield first
            for index, frame in run:
                if index >= start:
                    yield index, frame

    def _run(self, target: int | None, thread_type: str) -> Generator[Decoded]:
        """Decode from a seek target (or the beginning) to the end, numbering the frames."""
        with open_container(self._path) as container:
            stream = video_stream(container, self._path)
            stream.thread_type = thread_type
            if target is not None:
                try:
                    container.seek(target, stream=stream, backward=True)
                except av.error.FFmpegError:
                    return
            after = -1
            for packet in demux_safely(container, [stream], []):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:
                    continue
                for frame in frames:
                    index = self._number(frame, after)
                    if index is not None and index > after:
                        after = index
                        yield index, frame

    def _number(self, frame: VideoFrame, after: int) -> int | None:
        if self._index.pts is None:
            return after + 1 if after + 1 < self._index.count else None
        if frame.pts is None:
            return None
        return self._index.find(frame.pts, after)
