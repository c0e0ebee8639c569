"""Write the display size into a finished Matroska file.

FFmpeg takes the pixel shape of a track from a field that PyAV does not expose, and FFV1 does not
store it. A placeholder track name reserves space in the header, and the display size replaces it.
Source: RFC 9559 (Matroska), RFC 8794 (EBML).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import gcd
from pathlib import Path

SPARE_NAME = "picture".ljust(40, ".")

_SEGMENT, _TRACKS, _TRACK_ENTRY = 0x18538067, 0x1654AE6B, 0xAE
_TRACK_TYPE, _NAME, _VIDEO, _VOID = 0x83, 0x536E, 0xE0, 0xEC
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_HEAD_BYTES = 1 << 20
_PIXELS, _ASPECT = 0, 3

Element = tuple[int, int, int, int]
"""id, start of the element, start of its payload, end."""


def set_pixel_aspect(path: Path, size: tuple[int, int], aspect: Fraction) -> bool:
    """Set the pixel aspect of the video track of `path`, which must have the name `SPARE_NAME`.

    `size` is (h, w). Returns False, without changes, if the header is not as expected.
    """
    with path.open("r+b") as file:
        head = file.read(_HEAD_BYTES)
        entry = _video_entry(head)
        if entry is None:
            return False
        start, end = entry
        payload = _with_display(head, start, end, _display_size(size, aspect))
        if payload is None:
            return False
        file.seek(start)
        file.write(payload)
    return True


def _display_size(size: tuple[int, int], aspect: Fraction) -> tuple[int, int, int]:
    """(width, height, unit): in pixels if that is exact, otherwise a ratio."""
    height, width = size
    shown = width * aspect
    if shown.denominator == 1:
        return int(shown), height, _PIXELS
    wide, high = width * aspect.numerator, height * aspect.denominator
    common = gcd(wide, high)
    return wide // common, high // common, _ASPECT


def _video_entry(head: bytes) -> tuple[int, int] | None:
    """Payload bounds of the first video track's entry."""
    segment = next((e for e in _elements(head, 0, len(head)) if e[0] == _SEGMENT), None)
    if segment is None:
        return None
    tracks = next((e for e in _elements(head, segment[2], len(head)) if e[0] == _TRACKS), None)
    if tracks is None or tracks[3] > len(head):
        return None
    for kind, _, start, end in _elements(head, tracks[2], tracks[3]):
        if kind != _TRACK_ENTRY:
            continue
        for inner, _, inner_start, inner_end in _elements(head, start, end):
            if inner == _TRACK_TYPE and head[inner_start:inner_end].strip(b"\0") == b"\x01":
                return start, end
    return None


def _with_display(head: bytes, start: int, end: int, display: tuple[int, int, int]) -> bytes | None:
    """The payload with the display size instead of the placeholder name, of equal length."""
    parts: list[bytes] = []
    had_name = False
    for kind, element_start, payload_start, element_end in _elements(head, start, end):
        if kind == _NAME:
            had_name = True
        elif kind == _VIDEO:
            inner = b"".join(
                head[a:d]
                for k, a, _, d in _elements(head, payload_start, element_end)
                if k not in {_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT}
            )
            inner += _number(_DISPLAY_WIDTH, display[0]) + _number(_DISPLAY_HEIGHT, display[1])
            parts.append(_element(_VIDEO, inner + _number(_DISPLAY_UNIT, display[2])))
        else:
            parts.append(head[element_start:element_end])
    payload = b"".join(parts)
    spare = end - start - len(payload)
    if not had_name or spare < 2 or spare > 120:
        return None
    return payload + bytes([_VOID, 0x80 | (spare - 2)]) + bytes(spare - 2)


def _elements(data: bytes, at: int, end: int) -> Iterator[Element]:
    """The consecutive elements in `data[at:end]`, up to the first invalid one."""
    while at < end:
        first = data[at] if at < len(data) else 0
        width = 9 - first.bit_length()
        if not 1 <= width <= 4 or at + width >= len(data):
            return
        kind = int.from_bytes(data[at : at + width])
        size_at = at + width
        size_width = 9 - data[size_at].bit_length()
        if size_width > 8:
            return
        size = int.from_bytes(data[size_at : size_at + size_width]) & ((1 << 7 * size_width) - 1)
        payload = size_at + size_width
        yield kind, at, payload, payload + size
        at = payload + size


def _element(kind: int, payload: bytes) -> bytes:
    size_width = next(w for w in range(1, 9) if len(payload) < (1 << 7 * w) - 1)
    size = len(payload) | 1 << 7 * size_width
    return kind.to_bytes((kind.bit_length() + 7) // 8) + size.to_bytes(size_width) + payload


def _number(kind: int, value: int) -> bytes:
    return _element(kind, value.to_bytes(max(1, (value.bit_length() + 7) // 8)))
