"""Faces in the form that DFL 2.0 and its relatives open (pipeline.md 2.1 to 2.4).

They open less than we do: only JPEG files, whose JFIF header is the first, without restart
intervals and with nothing behind the picture, and metadata of certain types.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from faceloom.core import FormatError
from faceloom.faces.files import jpeg, png
from faceloom.faces.files.face_file import (
    decode_picture,
    encode_picture,
    metadata_blocks,
    record_from_blocks,
    with_blocks,
)
from faceloom.faces.record import FaceRecord, record_to_dfl
from faceloom.pickles import dumps, loads

_MAX_BLOCK = 1 << 20
_DRI = 0xDD
_APP14 = 0xEE
_BASELINE, _PROGRESSIVE = 0xC0, 0xC2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JFIF = b"JFIF\0"
_JFIF_SEGMENT = bytes.fromhex("ffe0 0010 4a464946 00 0101 00 0001 0001 00 00")


def dfl_form(data: bytes, *, own: bool = True, jpeg_quality: int = 100) -> tuple[bytes, bool]:
    """A face's file as DFL opens it, and whether its pixels had to be encoded anew.

    They have to in a PNG and in a JPEG of a kind that DFL cannot parse. `own`: with our block,
    which DFL steps over. Raises `FormatError` when it is no face or its metadata are too large for
    a JPEG, `MediaError` when its picture would have to be decoded and cannot be.
    """
    dfl_block, own_block = metadata_blocks(data)
    record = record_from_blocks(dfl_block, own_block)
    anew = png.is_png(data) or not _is_parsed_by_dfl(data)
    if anew:
        data = encode_picture(decode_picture(data), ".jpg", jpeg_quality)
    values = dfl_values(loads(dfl_block or b"", max_bytes=_MAX_BLOCK), record)
    return with_blocks(_with_jfif_first(data), dumps(values), own_block if own else None), anew


def dfl_values(values: dict[str, Any], record: FaceRecord) -> dict[str, Any]:
    """A face's dictionary with what DFL needs in it, of the types that its tools expect.

    What it has already, and keys of other ages, stay as they are.
    """
    needed = record_to_dfl(record)
    kept = {key: value for key, value in values.items() if value is not None}
    rect = kept.get("source_rect")
    if not (isinstance(rect, np.ndarray) and rect.dtype.kind in "iu"):
        kept.pop("source_rect", None)  # its sorter indexes it as an array
    mask = kept.get("xseg_mask")
    if mask is not None and not isinstance(mask, np.ndarray):
        kept.pop("xseg_mask")
    return {**kept, **{key: value for key, value in needed.items() if key not in kept}}


def _is_parsed_by_dfl(data: bytes) -> bool:
    """Whether DFL's parser comes through the file, apart from what `_with_jfif_first` mends."""
    segments = jpeg.header_segments(data)
    frames = [s.marker for s in segments if s.marker in _FRAMES]
    if frames not in ([_BASELINE], [_PROGRESSIVE]):
        return False
    if any(s.marker == _DRI or s.marker < _BASELINE for s in segments):
        return False
    scan = segments[-1].end
    # It takes everything up to the first end mark for the picture, and expects nothing behind it.
    return data[scan : scan + 2] == b"\xff\xda" and data.find(b"\xff\xd9", scan) == len(data) - 2


def _with_jfif_first(data: bytes) -> bytes:
    """With the JFIF header before all else, and no other APP0, which DFL would stumble over."""
    segments = jpeg.header_segments(data)
    first = segments[0]
    headers = [s for s in segments if s.marker == jpeg.APP0]
    jfif = [s for s in headers if data.startswith(_JFIF, s.payload, s.end)]
    if headers == jfif[:1] == [first]:
        return data
    header = data[jfif[0].start : jfif[0].end] if jfif else _new_header(data, segments)
    kept = [data[s.start : s.end] for s in segments if s.marker != jpeg.APP0]
    return b"".join((data[:2], header, *kept, data[segments[-1].end :]))


def _new_header(data: bytes, segments: list[jpeg.Segment]) -> bytes:
    """A JFIF header where there is none, unless it would change what the colours mean."""
    frame = next((s for s in segments if s.marker in _FRAMES), None)
    if frame is None:
        raise FormatError("damaged JPEG: no frame header")
    numbers = list(data[frame.payload + 6 : frame.end : 3])
    plain = numbers in ([1], [1, 2, 3]) and all(s.marker != _APP14 for s in segments)
    return _JFIF_SEGMENT if plain else b""
