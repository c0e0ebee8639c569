"""Describe a video: its header, its first frame that decodes, and its frame index.

The index lists the frames and their times, from the packets alone. Numbering frames by time stamp
keeps the numbers stable if the decoder loses frames.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from statistics import median_low
from typing import Any, cast

import av
from av import VideoFrame
from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.sidedata.sidedata import Type
from av.video.stream import VideoStream

from faceloom.core import MediaError
from faceloom.media.colorimetry import UNSPECIFIED, decide_tags
from faceloom.media.hdr import is_hdr
from faceloom.media.orientation import UPRIGHT, display_matrix_orientation, swaps_sides
from faceloom.media.types import AudioInfo, ColorTags, FootageInfo, HdrMetadata, check_size
from faceloom.media.yuv import layout_of

ATTACHED_PICTURE = 1 << 10
TURN_DEG = {6: 90, 7: 90, 3: 180, 4: 180, 5: 270, 8: 270}


@dataclass(frozen=True)
class FrameIndex:
    """Presentation time stamps of the frames in units of `time_base`, sorted.

    `pts` is None if packets have no usable stamps (raw streams, some AVI): frames are then numbered
    in decoding order. `keys` are (pts, dts) of the keyframes.
    """

    time_base: Fraction
    count: int
    pts: list[int] | None
    keys: list[tuple[int, int]]
    last_duration: int
    problems: list[str] = field(default_factory=list[str])

    def find(self, pts: int, after: int) -> int | None:
        """The frame number of a stamp; where stamps repeat, one after number `after`."""
        assert self.pts is not None
        low = bisect_left(self.pts, pts)
        if low >= self.count or self.pts[low] != pts:
            return None
        high = bisect_right(self.pts, pts) - 1
        return min(max(low, after + 1), high)

    def seek_target(self, index: int) -> int | None:
        """The time stamp to seek to for frame `index`; None: the beginning."""
        if self.pts is None or index <= 0:
            return None
        position = bisect_right(self.keys, (self.pts[index], 1 << 62)) - 1
        if position <= 0:
            return None
        pts, dts = self.keys[position]
        return min(pts, dts)

    def keyframe_between(self, after: int, index: int) -> bool:
        """Whether seeking to frame `index` would land after frame `after`."""
        target = self.seek_target(index)
        return self.pts is not None and target is not None and target > self.pts[after]

    def average_gap(self) -> Fraction | None:
        """Mean time between frames in seconds; None for fewer than two stamps."""
        if self.pts is None or self.count < 2 or self.pts[-1] <= self.pts[0]:
            return None
        return Fraction(self.pts[-1] - self.pts[0], self.count - 1) * self.time_base

    def is_variable(self) -> bool:
        """Whether gaps between frames differ by more than rounding, ignoring a single odd one."""
        if self.pts is None or self.count < 3:
            return False
        gaps = Counter(b - a for a, b in zip(self.pts, self.pts[1:], strict=False))
        usual = median_low(list(gaps.elements()))
        tolerance = max(2.0, 0.05 * usual)
        odd = sum(times for gap, times in gaps.items() if abs(gap - usual) > tolerance)
        return odd > 1


def picture_stream(container: InputContainer) -> VideoStream | None:
    """The video track, ignoring cover art."""
    for stream in container.streams.video:
        # A track of an unknown codec has no context, whatever the stubs say.
        known = cast(Any, stream.codec_context) is not None
        if known and not int(stream.disposition) & ATTACHED_PICTURE:
            return stream
    return None


def demux_safely(
    container: InputContainer, streams: list[Any], problems: list[str]
) -> Iterator[Packet[Any]]:
    """Packets up to the end of the file, or up to a read error (added to `problems`)."""
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError as error:
            problems.append(f"the rest of the file is unreadable: {error.strerror}")
            return
        yield packet


def build_index(container: InputContainer, stream: VideoStream) -> FrameIndex:
    """Read all packets of a newly opened container, without decoding."""
    problems: list[str] = []
    stamps: list[tuple[int | None, int | None, bool]] = []
    ends: dict[int, Fraction] = {}
    last_duration = 0
    is_vp8 = stream.codec_context.name == "vp8"
    streams = [stream, *container.streams.audio]
    for packet in demux_safely(container, streams, problems):
        if not packet.size:
            continue
        at = packet.pts if packet.pts is not None else packet.dts
        if at is not None:
            end = (at + (packet.duration or 0)) * packet.time_base
            ends[packet.stream_index] = max(end, ends.get(packet.stream_index, end))
        if packet.stream_index != stream.index or packet.is_discard:
            continue
        if is_vp8 and not bytes(packet)[0] & 0x10:
            continue  # an alt-ref frame, never shown
        stamps.append((packet.pts, packet.dts, packet.is_keyframe))
        last_duration = packet.duration or last_duration
    problems += _missing(container, stream, len(stamps), ends)
    return _from_stamps(stream, stamps, last_duration, problems)


def _from_stamps(
    stream: VideoStream,
    stamps: list[tuple[int | None, int | None, bool]],
    last_duration: int,
    problems: list[str],
) -> FrameIndex:
    assert stream.time_base is not None
    known = sorted(pts for pts, _, _ in stamps if pts is not None)
    usable = len(known) == len(stamps) and len(set(known)) > len(known) // 2
    keys = sorted(
        (pts, dts if dts is not None else pts)
        for pts, dts, is_key in stamps
        if is_key and pts is not None
    )
    return FrameIndex(
        time_base=stream.time_base,
        count=len(stamps),
        pts=known if usable else None,
        keys=keys if usable else [],
        last_duration=last_duration,
        problems=problems,
    )


def _missing(
    container: InputContainer, stream: VideoStream, count: int, ends: dict[int, Fraction]
) -> list[str]:
    """What the header announces but the file does not contain."""
    if stream.frames > count:
        return [f"{stream.frames - count} of {stream.frames} frames are missing from the file"]
    if container.duration is None or not ends or stream.frames:
        return []
    start = Fraction(container.start_time or 0, av.time_base)
    promised = Fraction(container.duration, av.time_base)
    found = max(ends.values()) - start
    if promised - found > max(Fraction(1, 2), promised / 50):
        return [f"the file is truncated: {float(found):.2f} s of {float(promised):.2f} s remain"]
    return []


def open_container(path: Path) -> InputContainer:
    """Open a video for reading; `MediaError` if that fails."""
    try:
        return av.open(str(path), mode="r", metadata_errors="replace")
    except FileNotFoundError:
        raise MediaError(f"{path}: no such file") from None
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise MediaError(f"{path}: {_why(path, error)}") from None


def _why(path: Path, error: Exception) -> str:
    if path.is_file() and path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, PermissionError):
        return "no permission to read this file"
    reason = getattr(error, "strerror", None) or str(error)
    return f"not a readable video ({reason}); is it complete?"


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The video track of an open file, or `MediaError`."""
    stream = picture_stream(container)
    if stream is None:
        raise MediaError(f"{path}: no video track in this file")
    return stream


def probe_video(path: Path) -> tuple[FootageInfo, FrameIndex, int]:
    """Describe a video; also its frame index and the EXIF-like orientation of its frames.

    Raises `MediaError` if no frame can be decoded, or frames exceed the size limit.
    """
    with open_container(path) as container:
        stream = video_stream(container, path)
        check_size(stream.codec_context.height or 1, stream.codec_context.width or 1, path)
        index = build_index(container, stream)
        audio = [_audio_info(track) for track in container.streams.audio]
        dropped = [track.type for track in container.streams if track.type == "subtitle"]
    with open_container(path) as container:
        stream = video_stream(container, path)
        first = _first_frame(container, stream)
        if first is None:
            raise MediaError(f"{path}: no frame can be decoded; the file is damaged")
        check_size(first.height, first.width, path)
        info, orientation = _describe(path, container, stream, first, index)
    info.audio.extend(audio)
    info.notes.extend(_notes(info, index, len(dropped)))
    return info, index, orientation


def _first_frame(container: InputContainer, stream: VideoStream) -> VideoFrame | None:
    for packet in demux_safely(container, [stream], []):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        if frames:
            return frames[0]
    return None


def _describe(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    first: VideoFrame,
    index: FrameIndex,
) -> tuple[FootageInfo, int]:
    orientation = _orientation(first)
    height, width = first.height, first.width
    size = (width, height) if swaps_sides(orientation) else (height, width)
    aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
    layout = layout_of(first.format.name)
    color = _color(stream, first, (height, width), layout.kind == "rgb")
    fps = frame_rate(stream, index)
    start = Fraction(index.pts[0] if index.pts else stream.start_time or 0) * index.time_base
    info = FootageInfo(
        paths=(path,),
        kind="video",
        size=size,
        sample_aspect=1 / aspect if swaps_sides(orientation) else aspect,
        fps=fps,
        frame_count=index.count,
        duration_s=_duration(index, fps),
        start_time=start,
        clock_zero=_clock_zero(container),
        time_base=index.time_base,
        last_frame_s=index.last_duration * index.time_base,
        codec=stream.codec_context.name,
        pix_fmt=first.format.name,
        container=container.format.name,
        bit_depth=_bit_depth(first),
        color=color,
        hdr=is_hdr(color.transfer),
        hdr_metadata=_hdr_metadata(first),
        siting="center" if stream.codec_context.name in {"mjpeg", "mpeg1video"} else "left",
        interlaced=bool(first.interlaced_frame),
        rotation_deg=TURN_DEG.get(orientation, 0),
        vfr=index.is_variable(),
    )
    return info, orientation


def _clock_zero(container: InputContainer) -> Fraction:
    """Where the timeline begins: 0, or the first stamp of any track of a transport stream."""
    if Flags.ts_discont not in Flags(container.format.flags):
        return Fraction(0)
    tracks = (*container.streams.video, *container.streams.audio)
    starts = [
        track.start_time * track.time_base
        for track in tracks
        if track.start_time is not None and track.time_base is not None
    ]
    return min(starts, default=Fraction(0))


def _orientation(frame: VideoFrame) -> int:
    for block in _side_data(frame):
        if block.type == Type.DISPLAYMATRIX:
            return display_matrix_orientation(bytes(block))
    return UPRIGHT


def _side_data(frame: VideoFrame) -> list[Any]:
    return list(frame.side_data)


def _color(
    stream: VideoStream, frame: VideoFrame, size: tuple[int, int], is_rgb: bool
) -> ColorTags:
    """The tags of the frame, or of the track if the frame has none."""
    context = stream.codec_context

    def pick(of_frame: int, of_track: int, unset: int) -> int:
        return int(of_frame) if int(of_frame) != unset else int(of_track)

    codes = (
        pick(frame.colorspace, context.colorspace, UNSPECIFIED),
        pick(frame.color_range, context.color_range, 0),
        pick(frame.color_primaries, context.color_primaries, UNSPECIFIED),
        pick(frame.color_trc, context.color_trc, UNSPECIFIED),
    )
    return decide_tags(codes, size=size, pix_fmt=frame.format.name, is_rgb=is_rgb)


def _bit_depth(frame: VideoFrame) -> int:
    if frame.format.has_palette:
        return 8
    return max(8, *(component.bits for component in frame.format.components))


def frame_rate(stream: VideoStream, index: FrameIndex) -> Fraction:
    """Average frames per second: from the header, or from the stamps if it has none."""
    if index.is_variable() and index.pts is not None:
        span = (index.pts[-1] - index.pts[0] + index.last_duration) * index.time_base
        return (index.count / span).limit_denominator(100_000)
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate:
            return Fraction(rate)
    gap = index.average_gap()
    return (1 / gap).limit_denominator(100_000) if gap else Fraction(25)


def _duration(index: FrameIndex, fps: Fraction) -> float:
    """Seconds from the start of the first frame to the end of the last one."""
    if index.pts is None:
        return float(index.count / fps)
    last = index.last_duration * index.time_base or 1 / fps
    return float((index.pts[-1] - index.pts[0]) * index.time_base + last)


def _audio_info(track: Any) -> AudioInfo:
    context = track.codec_context
    start = Fraction(track.start_time or 0) * Fraction(track.time_base)
    if context is None:
        return AudioInfo(track.index, "unknown", 0, "unknown", 0, start, track.language)
    return AudioInfo(
        index=track.index,
        codec=context.codec.canonical_name,
        channels=context.channels,
        layout=context.layout.name,
        sample_rate_hz=context.sample_rate,
        start_time=start,
        language=track.language,
    )


def _hdr_metadata(frame: VideoFrame) -> HdrMetadata | None:
    display: str | None = None
    light: tuple[int, int] | None = None
    for block in _side_data(frame):
        data = bytes(block)
        if block.type == Type.CONTENT_LIGHT_LEVEL and len(data) >= 8:
            cll, fall = struct.unpack_from("=2I", data)
            light = (cll, fall)
        if block.type == Type.MASTERING_DISPLAY_METADATA and len(data) >= 88:
            display = _master_display(data)
    return HdrMetadata(display, light) if display or light else None


def _master_display(data: bytes) -> str | None:
    """FFmpeg's mastering display block (ten rationals, two flags) in the format of x265."""
    numbers = struct.unpack_from("=20i2i", data)
    if not (numbers[20] and numbers[21]) or 0 in numbers[1:20:2]:
        return None
    values = [numbers[i] / numbers[i + 1] for i in range(0, 20, 2)]
    red, green, blue, white = (
        tuple(round(v * 50000) for v in values[i : i + 2]) for i in (0, 2, 4, 6)
    )
    low, high = (round(v * 10000) for v in values[8:10])
    parts = zip(["G", "B", "R", "WP"], (green, blue, red, white), strict=True)
    return "".join(f"{name}({x},{y})" for name, (x, y) in parts) + f"L({high},{low})"


def _notes(info: FootageInfo, index: FrameIndex, subtitles: int) -> list[str]:
    notes = list(index.problems)
    if info.interlaced:
        notes.append(
            "interlaced: both fields are used as one frame; for clean edges, deinterlace the "
            "footage first"
        )
    if info.vfr:
        notes.append("variable frame rate: every frame keeps its own time stamp")
    if info.hdr:
        name = "PQ" if info.color.transfer == "smpte2084" else "HLG"
        notes.append(
            f"HDR ({name}): tone-mapped for detection and training, preserved in the result"
        )
    if info.color.guessed:
        notes.append(f"the file does not state its colour matrix: assuming {info.color.matrix}")
    if index.pts is None:
        notes.append("the file has no time stamps: times follow from the frame rate")
    if subtitles:
        notes.append("subtitles are not copied into the result")
    return notes
