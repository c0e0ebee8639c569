"""The chunks of a PNG: finding, removing and inserting metadata without touching pixels.

W3C PNG specification, third edition, section 5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from faceloom.core import FormatError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The largest picture that we decode has about ten thousand as libpng writes it.
_MAX_CHUNKS = 1 << 16


def is_png(data: bytes) -> bool:
    """Whether `data` starts as a PNG does."""
    return data[:8] == _SIGNATURE


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of every chunk up to IEND; the content is `start + 8 : end - 4`.

    Raises `FormatError` if the file ends before its IEND or is not a PNG.
    """
    if not is_png(data):
        raise FormatError("not a PNG")
    position = len(_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        yield kind, position, end
        if kind == b"IEND":
            return
        position = end
    else:
        raise FormatError(f"damaged PNG: more than {_MAX_CHUNKS} chunks")
    raise FormatError("damaged PNG: it ends too early")


def content(data: bytes, kind: bytes) -> bytes | None:
    """Content of the last chunk of that type; None if there is none.

    Raises `FormatError` if the chunk's checksum is wrong.
    """
    found: bytes | None = None
    for name, start, end in chunks(data):
        if name == kind:
            found = data[start + 8 : end - 4]
            (checksum,) = struct.unpack_from(">I", data, end - 4)
            if zlib.crc32(kind + found) != checksum:
                raise FormatError(f"damaged PNG: wrong checksum of chunk {kind.decode()}")
    return found


def picture_size(data: bytes) -> tuple[int, int]:
    """(h, w) from the header; `FormatError` if there is none."""
    if not is_png(data) or data[12:16] != b"IHDR" or len(data) < 24:
        raise FormatError("damaged PNG: no header")
    w, h = struct.unpack_from(">II", data, 16)
    return h, w


def chunk_bytes(kind: bytes, data: bytes) -> bytes:
    """A whole chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def replace_chunks(data: bytes, removed: frozenset[bytes], inserted: bytes) -> bytes:
    """Without the chunks of the `removed` types and with `inserted` just before IEND."""
    parts = [_SIGNATURE]
    for kind, start, end in chunks(data):
        if kind == b"IEND":
            parts.append(inserted)
        if kind not in removed:
            parts.append(data[start:end])
    return b"".join(parts)
