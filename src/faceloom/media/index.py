"""The frame index of a video: which frames there are and when, from its packets alone.

Numbering frames by their time stamps keeps numbers from shifting where the decoder loses some.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import median_low
from typing import Any, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

ATTACHED_PICTURE = 1 << 10


@dataclass(frozen=True)
class FrameIndex:
    """Presentation time stamps of a video's frames in units of `time_base`, sorted.

    `pts` is None where packets carry no usable stamps (raw streams, some AVI): frames are then
    numbered in the order in which they decode. `keys` are (pts, dts) of the keyframes.
    """

    time_base: Fraction
    count: int
    pts: list[int] | None
    keys: list[tuple[int, int]]
    last_duration: int
    problems: list[str] = field(default_factory=list[str])

    def find(self, pts: int, after: int) -> int | None:
        """The frame number of a stamp, beyond number `after` where stamps repeat."""
        assert self.pts is not None
        low = bisect_left(self.pts, pts)
        if low >= self.count or self.pts[low] != pts:
            return None
        high = bisect_right(self.pts, pts) - 1
        return min(max(low, after + 1), high)

    def seek_target(self, index: int) -> int | None:
        """The time stamp to seek to for decoding frame `index`; None: from the beginning."""
        if self.pts is None or index <= 0:
            return None
        position = bisect_right(self.keys, (self.pts[index], 1 << 62)) - 1
        if position <= 0:
            return None
        pts, dts = self.keys[position]
        return min(pts, dts)

    def keyframe_between(self, after: int, index: int) -> bool:
        """Whether a seek to frame `index` would land beyond frame `after`."""
        target = self.seek_target(index)
        return self.pts is not None and target is not None and target > self.pts[after]

    def average_gap(self) -> Fraction | None:
        """Mean time between frames in seconds; None for fewer than two stamps."""
        if self.pts is None or self.count < 2 or self.pts[-1] <= self.pts[0]:
            return None
        return Fraction(self.pts[-1] - self.pts[0], self.count - 1) * self.time_base

    def is_variable(self) -> bool:
        """Whether gaps between frames differ by more than rounding (and a lone odd last one)."""
        if self.pts is None or self.count < 3:
            return False
        gaps = Counter(b - a for a, b in zip(self.pts, self.pts[1:], strict=False))
        usual = median_low(list(gaps.elements()))
        tolerance = max(2.0, 0.05 * usual)
        odd = sum(times for gap, times in gaps.items() if abs(gap - usual) > tolerance)
        return odd > 1


def picture_stream(container: InputContainer) -> VideoStream | None:
    """The video track, leaving out cover art."""
    for stream in container.streams.video:
        # A track of an unknown codec has no context, whatever the stubs say.
        known = cast(Any, stream.codec_context) is not None
        if known and not int(stream.disposition) & ATTACHED_PICTURE:
            return stream
    return None


def demux_safely(
    container: InputContainer, streams: list[Any], problems: list[str]
) -> Iterator[Packet[Any]]:
    """Packets until the file's end, or until it can be read no further (noted in `problems`)."""
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError as error:
            problems.append(f"the file can be read no further: {error.strerror}")
            return
        yield packet


def build_index(container: InputContainer, stream: VideoStream) -> FrameIndex:
    """Read all packets of a freshly opened container, without decoding."""
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
    """What the header promises and the file does not hold."""
    if stream.frames > count:
        return [f"{stream.frames - count} of {stream.frames} frames are missing from the file"]
    if container.duration is None or not ends or stream.frames:
        return []
    start = Fraction(container.start_time or 0, av.time_base)
    promised = Fraction(container.duration, av.time_base)
    found = max(ends.values()) - start
    if promised - found > max(Fraction(1, 2), promised / 50):
        return [f"the file is cut off: {float(found):.2f} s of {float(promised):.2f} s are there"]
    return []
