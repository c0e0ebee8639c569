"""The segments of a JPEG: finding, removing and inserting metadata without touching pixels.

ITU-T T.81, annex B. Everything from the first start of scan on is kept unchanged.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from faceloom.core import FormatError

MAX_PAYLOAD: Final = 65_533
APP0: Final = 0xE0
APP15: Final = 0xEF
_SOI = b"\xff\xd8"
_SOS = 0xDA
_EOI = 0xD9
# Start-of-frame markers: C0..CF without DHT (C4), JPG (C8) and DAC (CC).
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
# Before the first scan; colour profiles and large XMP take a few hundred.
_MAX_SEGMENTS = 4096
_MAX_PADDING = 4096


@dataclass(frozen=True)
class Segment:
    """A marker segment: `data[start:end]` is all of it, `data[payload:end]` its payload."""

    marker: int
    start: int
    payload: int
    end: int


def is_jpeg(data: bytes) -> bool:
    """Whether `data` starts as a JPEG does."""
    return data[:2] == _SOI


def header_segments(data: bytes) -> list[Segment]:
    """The segments before the first scan, in order; the scan starts where the last one ends.

    `data` may be the beginning of a file. Raises `FormatError` if it ends before the first scan or
    is not a JPEG.
    """
    if not is_jpeg(data):
        raise FormatError("not a JPEG")
    segments: list[Segment] = []
    position, padding = 2, 0
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise FormatError("damaged JPEG: something other than a segment in the header")
        marker = data[position + 1]
        if marker == 0xFF:  # padding before a marker
            position += 1
            padding += 1
            if padding > _MAX_PADDING:
                raise FormatError("damaged JPEG: nothing but padding in the header")
            continue
        if len(segments) >= _MAX_SEGMENTS:
            raise FormatError(f"damaged JPEG: more than {_MAX_SEGMENTS} segments in the header")
        if marker in _BARE:
            segments.append(Segment(marker, position, position + 2, position + 2))
            position += 2
            continue
        if marker == _SOS:
            return segments
        if marker in (_EOI, 0x00):
            raise FormatError("damaged JPEG: it ends before its picture")
        (length,) = struct.unpack_from(">H", data, position + 2)
        end = position + 2 + length
        if length < 2 or end > len(data):
            raise FormatError("damaged JPEG: it ends before its picture")
        segments.append(Segment(marker, position, position + 4, end))
        position = end
    raise FormatError("damaged JPEG: it ends before its picture")


def payload(data: bytes, segments: list[Segment], marker: int, prefix: bytes) -> bytes | None:
    """Payload, after `prefix`, of the last segment of that kind; None if there is none."""
    for segment in reversed(segments):
        if segment.marker == marker and data.startswith(prefix, segment.payload, segment.end):
            return data[segment.payload + len(prefix) : segment.end]
    return None


def picture_size(data: bytes, segments: list[Segment]) -> tuple[int, int]:
    """(h, w) from the frame header; `FormatError` if there is none."""
    for segment in segments:
        if segment.marker in _SOF and segment.end - segment.payload >= 5:
            h, w = struct.unpack_from(">HH", data, segment.payload + 1)
            return h, w
    raise FormatError("damaged JPEG: no frame header")


def segment_bytes(marker: int, content: bytes) -> bytes:
    """A whole segment; `FormatError` if `content` does not fit in one."""
    if len(content) > MAX_PAYLOAD:
        raise FormatError(
            f"{len(content)} bytes of metadata do not fit in a JPEG segment ({MAX_PAYLOAD}): "
            "use fewer polygons or a smaller mask, or store the face as PNG"
        )
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def insert_after_first(data: bytes, inserted: bytes) -> bytes:
    """`inserted` after the JFIF header of a JPEG that OpenCV encoded; no parsing, for speed."""
    if data[2:4] != bytes([0xFF, APP0]):
        return replace_segments(data, [], inserted)
    (length,) = struct.unpack_from(">H", data, 4)
    return b"".join((data[: 4 + length], inserted, data[4 + length :]))


def replace_segments(data: bytes, removed: list[tuple[int, bytes]], inserted: bytes) -> bytes:
    """Without the segments that match (marker, payload prefix), and with `inserted` after the
    last APPn segment, or first if there is none. The rest and the scans are unchanged."""
    segments = header_segments(data)
    kept = [
        s
        for s in segments
        if not any(s.marker == m and data.startswith(p, s.payload, s.end) for m, p in removed)
    ]
    last_app = max((i for i, s in enumerate(kept) if APP0 <= s.marker <= APP15), default=-1)
    parts = [_SOI, *(data[s.start : s.end] for s in kept)]
    parts.insert(last_app + 2, inserted)
    scan = segments[-1].end if segments else 2
    return b"".join((*parts, data[scan:]))
