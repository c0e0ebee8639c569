"""Write a video with the time stamps, colours and audio of the footage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import av
import cv2
import numpy as np
from av import VideoFrame
from av.container import OutputContainer
from av.packet import Packet
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from faceloom.core import MediaError, atomic_path
from faceloom.media.codecs import (
    EncodePlan,
    Preset,
    VideoCodec,
    audio_problem,
    check_container,
    plan_encoding,
)
from faceloom.media.colorimetry import MATRICES, PRIMARIES, TRANSFERS, code_of
from faceloom.media.matroska import SPARE_NAME, set_pixel_aspect
from faceloom.media.probe import demux_safely, open_container
from faceloom.media.types import FootageInfo, Image
from faceloom.media.yuv import planes_of, rgb_to_frame, to_uint8

# Seconds that audio is written ahead of the video, so that players find both close together.
_AUDIO_LEAD = Fraction(1, 2)


class VideoWriter:
    """Encodes frames into a file that appears at `path` only if everything succeeds.

    The result has the time base, colour tags and sample aspect ratio of the footage (`like`) and
    unchanged audio packets from `audio_from`. `size` (h, w) defaults to that of the footage. `crf`
    or `bitrate` (bits per second) apply to h264 and h265; prores, ffv1 and h264-lossless have
    neither. FFV1 and lossless H.264 keep RGB bit for bit. This is a context manager; an error
    removes what was written.

    Raises `InputError` for options that do not fit, `MediaError` if the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        like: FootageInfo,
        *,
        codec: VideoCodec = "h264",
        crf: float | None = None,
        bitrate: int | None = None,
        audio_from: Path | None = None,
        size: tuple[int, int] | None = None,
        preset: Preset = "medium",
    ) -> None:
        self.path = path
        self._suffix = path.suffix.lower()
        check_container(codec, self._suffix)
        self.size = size or like.size
        self.frames_written = 0
        self._like = like
        self._audio_from = audio_from
        self._plan = plan_encoding(codec, like, self.size, crf=crf, bitrate=bitrate, preset=preset)
        self._zero = like.clock_zero or min(Fraction(0), like.start_time)
        self._last_pts: int | None = None
        self._held: VideoFrame | None = None
        self._durations: dict[int, int] = {}
        self._cleanup = contextlib.ExitStack()
        self._reformatter = VideoReformatter()
        self._temporary: Path
        self._output: OutputContainer
        self._stream: VideoStream
        self._audio: _AudioCopy | None = None

    @property
    def notes(self) -> list[str]:
        """Notes for the user about the result."""
        return self._plan.notes + (self._audio.problems if self._audio else [])

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException as error:
            self._cleanup.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _open(self) -> None:
        temporary = self._cleanup.enter_context(atomic_path(self.path))
        self._temporary = temporary
        with self._as_media_error():
            self._output = av.open(
                str(temporary), mode="w", options=_muxer_options(self._suffix, self._like)
            )
            self._cleanup.callback(self._close_quietly)
            self._stream = self._add_stream()
            if self._audio_from is not None:
                self._audio = _AudioCopy(self._audio_from, self._output, self.path, self._zero)
                self._cleanup.callback(self._audio.close)

    def _add_stream(self) -> VideoStream:
        plan, like = self._plan, self._like
        stream = cast(
            VideoStream,
            self._output.add_stream(
                cast(Any, plan.encoder), rate=_sane_rate(like.fps), options=dict(plan.options)
            ),
        )
        context = stream.codec_context
        context.height, context.width = self.size
        context.pix_fmt = plan.pix_fmt
        context.time_base = like.time_base
        stream.time_base = like.time_base
        context.sample_aspect_ratio = like.sample_aspect
        context.colorspace = code_of(MATRICES, plan.color.matrix)
        context.color_range = 2 if plan.color.range == "full" else 1
        context.color_primaries = code_of(PRIMARIES, plan.color.primaries)
        context.color_trc = code_of(TRANSFERS, plan.color.transfer)
        context.thread_count = 0
        if self._suffix == ".mkv" and like.sample_aspect != 1:
            stream.metadata["title"] = SPARE_NAME
        if plan.encoder == "libx265" and self._suffix != ".mkv":
            context.codec_tag = "hvc1"  # the tag that Apple players expect
        if "b" in plan.options:
            context.bit_rate = int(plan.options["b"])
        return stream

    def write(self, image: Image, time: Fraction) -> None:
        """Append a frame: RGB `h w 3` (or grey `h w`), uint8 or uint16 full scale, at `time` s.

        `time` is on the timeline of the footage and must increase from frame to frame.
        Raises `MediaError` if the size differs or the encoder fails.
        """
        if image.shape[:2] != self.size:
            raise MediaError(
                f"{self.path}: a frame of {image.shape[1]}x{image.shape[0]} does not fit a video "
                f"of {self.size[1]}x{self.size[0]}"
            )
        if image.ndim == 2:
            image = cv2.merge([image, image, image])
        frame = self._to_frame(image)
        pts = round((time - self._zero) / self._like.time_base)
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1
        self._last_pts = pts
        frame.pts = pts
        frame.time_base = self._like.time_base
        with self._as_media_error():
            self._encode_held(pts)
            self._held = frame
        self.frames_written += 1

    def _encode_held(self, next_pts: int) -> None:
        """Encode the previous frame, now that its duration is known."""
        frame = self._held
        if frame is None or frame.pts is None:
            return
        self._durations[frame.pts] = next_pts - frame.pts
        self._mux(frame)
        if self._audio:
            self._audio.feed(frame.pts * self._like.time_base)

    def _to_frame(self, image: Image) -> VideoFrame:
        plan = self._plan
        if not plan.rgb:
            return _tagged(rgb_to_frame(image, plan.pix_fmt, plan.color, self._like.siting), plan)
        if plan.pix_fmt != "gbrp16le":
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(to_uint8(image)), format="rgb24")
            return _tagged(
                self._reformatter.reformat(
                    frame, format=plan.pix_fmt, src_color_range=2, dst_color_range=2
                ),
                plan,
            )
        deep = image if image.dtype == np.uint16 else image.astype(np.uint16) * np.uint16(257)
        red, green, blue = cv2.split(deep)
        frame = VideoFrame(image.shape[1], image.shape[0], plan.pix_fmt)
        for view, plane in zip(planes_of(frame), (green, blue, red), strict=True):
            view[...] = plane
        return _tagged(frame, plan)

    def _mux(self, frame: VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            # Encoders guess durations from the average rate; the file length depends on them.
            duration = self._durations.pop(packet.pts or 0, None)
            if duration is not None:
                packet.duration = duration
            if self.frames_written <= 2:
                # x265 leaves the decoding time unset for clips shorter than its reordering;
                # two frames are never reordered.
                packet.dts = packet.pts
            self._output.mux(packet)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            try:
                self._finish()
            except BaseException as raised:
                self._cleanup.__exit__(type(raised), raised, raised.__traceback__)
                raise
        self._cleanup.__exit__(kind, error, trace)

    def _finish(self) -> None:
        if not self.frames_written:
            raise MediaError(f"{self.path}: no frames to write")
        last = self._like.last_frame_s or 1 / self._like.fps
        with self._as_media_error():
            ticks = max(1, round(last / self._like.time_base))
            self._encode_held((self._last_pts or 0) + ticks)
            self._mux(None)
            if self._audio:
                self._audio.feed(None)
            self._output.close()
            if self._suffix == ".mkv" and self._like.sample_aspect != 1:
                set_pixel_aspect(self._temporary, self.size, self._like.sample_aspect)

    def _close_quietly(self) -> None:
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
            self._output.close()

    @contextlib.contextmanager
    def _as_media_error(self) -> Any:
        try:
            yield
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise MediaError(f"{self.path}: cannot be written ({reason})") from error


def _tagged(frame: VideoFrame, plan: EncodePlan) -> VideoFrame:
    frame.colorspace = code_of(MATRICES, plan.color.matrix)
    frame.color_range = 2 if plan.color.range == "full" else 1
    frame.color_primaries = code_of(PRIMARIES, plan.color.primaries)
    frame.color_trc = code_of(TRANSFERS, plan.color.transfer)
    return frame


def _muxer_options(suffix: str, like: FootageInfo) -> dict[str, str]:
    if suffix == ".mkv":
        # Audio may begin slightly before zero (priming samples); shifting everything to avoid that
        # would change the time stamps of the video. Without checksums the header can be edited in
        # place.
        return {"avoid_negative_ts": "disabled", "write_crc32": "0"}
    scale = like.time_base.denominator
    # The clock of the movie stores the offset of a late start, exactly if it is this fine.
    clock = {"movie_timescale": str(scale)} if 1000 < scale <= 1_000_000 else {}
    return {"movflags": "+faststart"} | clock


def _sane_rate(fps: Fraction) -> Fraction:
    """A frame rate with small terms, as encoders require."""
    return fps.limit_denominator(100_000) if fps.numerator > 1_000_000 else fps


class _AudioCopy:
    """Copies the audio packets of a file into an output, in step with its video.

    `zero` (seconds) is subtracted from every time stamp, as in the video.
    Raises `MediaError` if the container of the output does not support the audio.
    """

    def __init__(self, source: Path, output: OutputContainer, target: Path, zero: Fraction) -> None:
        self.problems: list[str] = []
        self._input = open_container(source)
        self._output = output
        self._zero = zero
        try:
            self._tracks = self._add_tracks(target)
        except BaseException:
            self._input.close()
            raise
        inputs = [track for track in self._input.streams.audio if track.index in self._tracks]
        self._packets: Iterator[Packet[Any]] = (
            demux_safely(self._input, inputs, self.problems) if inputs else iter(())
        )
        self._waiting: Packet[Any] | None = None

    def _add_tracks(self, target: Path) -> dict[int, Any]:
        tracks: dict[int, Any] = {}
        for track in self._input.streams.audio:
            context: Any = track.codec_context
            if context is None:
                self.problems.append(f"skipped audio track {track.index}: unknown codec")
                continue
            problem = audio_problem(target.suffix.lower(), [context.codec.canonical_name])
            if problem:
                raise MediaError(f"{target}: {problem}")
            try:
                copy = self._output.add_stream_from_template(track)
            except ValueError as error:
                raise MediaError(f"{target}: {error}; name the result .mkv") from None
            copy.metadata.update(track.metadata)
            copy.disposition = track.disposition
            tracks[track.index] = copy
        return tracks

    def feed(self, until: Fraction | None) -> None:
        """Copy the packets up to `until` seconds of output time; None: all the rest."""
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None:
                return
            if packet.dts is None or not packet.size:
                continue
            time = packet.dts * packet.time_base - self._zero
            if until is not None and time > until + _AUDIO_LEAD:
                self._waiting = packet
                return
            self._pass_on(packet)

    def _pass_on(self, packet: Packet[Any]) -> None:
        shift = round(self._zero / packet.time_base)
        packet.dts = None if packet.dts is None else packet.dts - shift
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.stream = self._tracks[packet.stream_index]
        try:
            self._output.mux(packet)
        except av.error.InvalidDataError:
            self.problems.append("skipped a damaged audio packet")

    def close(self) -> None:
        """Close the source."""
        self._input.close()
