"""Faces as files: a JPEG or PNG that carries its own metadata (pipeline.md 2.1, 2.4, 2.5).

JPEG: DFL's pickle in APP15, ours as JSON in APP9. PNG, the lossless choice: the same two blocks
in the private chunks `fcWp` (DFL's, before 2020-02) and `flMd`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import FaceloomError, FormatError, InputError, MediaError, atomic_write
from faceloom.faces.archives.pack import pack_of, read_packed
from faceloom.faces.files import jpeg, png
from faceloom.faces.own import own_from_json, own_to_json
from faceloom.faces.record import FaceRecord, record_from_dfl, record_to_dfl, rewritten_dfl
from faceloom.pickles import dumps, loads

FaceSuffix = Literal[".jpg", ".png"]

FACE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png"})
"""Suffixes of files that are looked into, in any case. DFL itself opens only `.jpg`."""
MAX_FILE_BYTES: Final = 256 << 20
MAX_PIXELS: Final = 1 << 25
"""Of a face's picture: four times DFL's largest in each direction, and little enough to decode."""
_MAX_SCANNED_PIXELS = 1 << 30
_MAX_PNG_BLOCK = 1 << 20
_OWN_APP = 0xE9
_OWN_PREFIX = b"Faceloom\0"
_DFL_CHUNK = b"fcWp"
_OWN_CHUNK = b"flMd"
# Enough for the metadata of a face without a mask; more is read when the header asks for it.
_FIRST_READ = 16 << 10


# --- writing


def encode_face(
    image: NDArray[np.uint8], record: FaceRecord, suffix: FaceSuffix = ".jpg", quality: int = 90
) -> bytes:
    """The file of a face: `image` h w 3 RGB uint8 with `record` in it. Safe in any thread.

    `quality` is the JPEG's, 1 to 100; PNG is lossless. Raises `FormatError` when the metadata is
    larger than a JPEG can hold, `InputError` for another suffix or kind of picture.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"a face is h w 3 uint8, not {image.shape} {image.dtype}")
    blocks = _blocks(suffix, record_to_dfl(record), record)
    data = encode_picture(image, suffix, quality)
    if suffix == ".png":
        return b"".join((data[:-12], blocks, data[-12:]))
    return jpeg.insert_after_first(data, blocks)


def encode_picture(image: NDArray[np.uint8], suffix: FaceSuffix, quality: int) -> bytes:
    """The file of a picture (h w 3 RGB uint8) without metadata."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(suffix, bgr, _encoding(suffix, quality))
    if not done:
        raise MediaError(f"a face of {image.shape} pixels cannot be encoded as {suffix}")
    return encoded.tobytes()


def _encoding(suffix: FaceSuffix, quality: int) -> list[int]:
    if suffix == ".jpg":
        return [cv2.IMWRITE_JPEG_QUALITY, quality]
    # Run-length matching alone packs filtered photographs best, in half the time.
    run_length = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    return [cv2.IMWRITE_PNG_COMPRESSION, 1, *run_length]


def _blocks(suffix: str, dfl: Mapping[str, Any], record: FaceRecord) -> bytes:
    """Both metadata blocks of a record, ready to be inserted."""
    own = None if record.own is None else own_to_json(record.own)
    return _inserted(suffix, dumps(dict(dfl)), own)


def _inserted(suffix: str, pickled: bytes, own: bytes | None) -> bytes:
    if suffix == ".png":
        if len(pickled) > _MAX_PNG_BLOCK:
            raise FormatError(f"{len(pickled)} bytes of metadata, more than {_MAX_PNG_BLOCK}")
        ours = b"" if own is None else png.chunk_bytes(_OWN_CHUNK, own)
        return png.chunk_bytes(_DFL_CHUNK, pickled) + ours
    if suffix != ".jpg":
        raise InputError(f"faces are written as .jpg or .png, not {suffix!r}")
    ours = b"" if own is None else jpeg.segment_bytes(_OWN_APP, _OWN_PREFIX + own)
    return ours + jpeg.segment_bytes(jpeg.APP15, pickled)


def write_face(
    path: Path, image: NDArray[np.uint8], record: FaceRecord, *, jpeg_quality: int = 90
) -> int:
    """Write a face to `path` (.jpg or .png), whole or not at all; returns the file's bytes.

    Raises as `encode_face`, before anything is written.
    """
    suffix = path.suffix
    if suffix not in (".jpg", ".png"):
        raise InputError(f"{path}: faces are written as .jpg or .png, in lower case as DFL wants")
    try:
        data = encode_face(image, record, suffix, jpeg_quality)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    _write(path, data, durable=False)
    return len(data)


def update_record(path: Path, record: FaceRecord) -> None:
    """Replace the metadata in a face's file; its pixels are not encoded again.

    What did not change stays bit for bit as it was. The old file stays as it is when anything
    fails. Raises `FormatError` when the file is no JPEG or PNG or the metadata is too large.
    """
    data = _read(path)
    try:
        new = _with_record(data, record)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    _write(path, new, durable=True)


def _with_record(data: bytes, record: FaceRecord) -> bytes:
    old_block, _ = metadata_blocks(data)
    return with_blocks(data, *record_blocks(record, old_block))


def record_blocks(record: FaceRecord, old: bytes | None = None) -> tuple[bytes, bytes | None]:
    """DFL's block and ours of `record`; what is as in DFL's `old` block stays bit for bit."""
    values = {} if old is None else loads(old, max_bytes=_MAX_PNG_BLOCK)
    dfl = rewritten_dfl(values if isinstance(values, dict) else {}, record)
    return dumps(dfl), None if record.own is None else own_to_json(record.own)


def with_blocks(data: bytes, dfl: bytes, own: bytes | None) -> bytes:
    """A face's file with these metadata blocks in place of its own; its pixels stay as they are.

    Raises `FormatError` when it is no JPEG or PNG, or the blocks are too large for it.
    """
    if png.is_png(data):
        removed = frozenset({_DFL_CHUNK, _OWN_CHUNK})
        return png.replace_chunks(data, removed, _inserted(".png", dfl, own))
    inserted = _inserted(".jpg", dfl, own)
    return jpeg.replace_segments(data, [(jpeg.APP15, b""), (_OWN_APP, _OWN_PREFIX)], inserted)


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Put a face's file in place of another, whole or not at all; `InputError` where it fails."""
    _write(path, data, durable=durable)


def _write(path: Path, data: bytes, *, durable: bool) -> None:
    if pack_of(path) is not None:
        raise InputError(f"{path}: is packed; `faceloom faceset unpack` the faceset first")
    try:
        atomic_write(path, data, durable=durable)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


# --- reading


def read_record(path: Path) -> FaceRecord:
    """The metadata of a face's file, without decoding the picture.

    Raises `FormatError` when the file is no face or its metadata is damaged or hostile,
    `InputError` when it cannot be read.
    """
    try:
        return record_from_blocks(*read_blocks(path))
    except FormatError as error:
        raise _named(path, error) from None


def read_face(path: Path) -> tuple[NDArray[np.uint8], FaceRecord]:
    """A face's picture, h w 3 RGB uint8 as stored (EXIF orientation is not applied, as landmarks
    are in stored pixels), and its metadata.

    Raises as `read_record`, and `MediaError` when the picture cannot be decoded.
    """
    data = read_bytes(path)
    try:
        record = record_from_bytes(data)
        return decode_picture(data), record
    except FaceloomError as error:
        raise _named(path, error) from None


def _named(path: Path, error: FaceloomError) -> FaceloomError:
    return type(error)(f"{path}: {error}")


def decode_picture(data: bytes) -> NDArray[np.uint8]:
    """The pixels of an encoded JPEG or PNG, h w 3 RGB uint8; its size is checked beforehand."""
    check_decodable(data)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise MediaError("the picture is damaged and cannot be decoded")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def check_decodable(data: bytes) -> None:
    """`MediaError` for a picture that would take too much memory or time to decode."""
    h, w = _bounded(encoded_size(data))
    # A decoder goes over the whole picture for each scan, and thousands fit in a small file.
    if h * w * (1 + data.count(b"\xff\xda")) > _MAX_SCANNED_PIXELS and jpeg.is_jpeg(data):
        raise MediaError(f"a picture of {w}x{h} pixels in too many scans to be decoded")


def _bounded(size: tuple[int, int]) -> tuple[int, int]:
    h, w = size
    if h < 1 or w < 1 or h * w > MAX_PIXELS:
        raise MediaError(f"a picture of {w}x{h} pixels; at most {MAX_PIXELS} are decoded")
    return size


def encoded_size(data: bytes) -> tuple[int, int]:
    """(h, w) of an encoded JPEG or PNG, from its header; `FormatError` for anything else."""
    if png.is_png(data):
        return png.picture_size(data)
    return jpeg.picture_size(data, jpeg.header_segments(data))


def picture_size(path: Path) -> tuple[int, int]:
    """(h, w) of a face's file, from its header alone where that is short; as `encoded_size`.

    Raises `MediaError` for a size that no face has, `InputError` when it cannot be read.
    """
    try:
        try:
            return _bounded(encoded_size(_read(path, _FIRST_READ)))
        except FormatError:
            return _bounded(encoded_size(_read(path)))  # The header goes on.
    except (FormatError, MediaError) as error:
        raise _named(path, error) from None


def record_from_bytes(data: bytes) -> FaceRecord:
    """The record in a face's file; `FormatError` when it is no face."""
    return record_from_blocks(*metadata_blocks(data))


def record_from_blocks(dfl: bytes | None, own: bytes | None) -> FaceRecord:
    """The record of the two metadata blocks of a file."""
    if dfl is None:
        raise FormatError("no face metadata")
    if own is not None and len(own) > _MAX_PNG_BLOCK:
        raise FormatError(f"{len(own)} bytes of Faceloom metadata, more than {_MAX_PNG_BLOCK}")
    raw = loads(dfl, max_bytes=_MAX_PNG_BLOCK)
    return record_from_dfl(raw, None if own is None else own_from_json(own))


def read_blocks(path: Path) -> tuple[bytes | None, bytes | None]:
    """DFL's block and ours, reading no more of the file than its header."""
    head = _read(path, _FIRST_READ)
    if len(head) < _FIRST_READ:
        return metadata_blocks(head)
    if jpeg.is_jpeg(head):
        try:
            return metadata_blocks(head)
        except FormatError:
            pass  # The header goes on, or is damaged: the whole file tells.
    return metadata_blocks(_read(path))


def metadata_blocks(data: bytes) -> tuple[bytes | None, bytes | None]:
    """DFL's block and ours in a file's content; `FormatError` when it is no JPEG or PNG."""
    if png.is_png(data):
        return png.content(data, _DFL_CHUNK), png.content(data, _OWN_CHUNK)
    if not jpeg.is_jpeg(data):
        raise FormatError("neither JPEG nor PNG")
    segments = jpeg.header_segments(data)
    dfl = jpeg.payload(data, segments, jpeg.APP15, b"")
    return dfl, jpeg.payload(data, segments, _OWN_APP, _OWN_PREFIX)


def read_bytes(path: Path) -> bytes:
    """A face's whole file, loose or packed; at most `MAX_FILE_BYTES`."""
    return _read(path)


def _read(path: Path, limit: int | None = None) -> bytes:
    """The file's bytes, or its first `limit`; bounded before anything is read."""
    packed = pack_of(path)
    if packed is not None:
        return read_packed(*packed, limit=limit, most=MAX_FILE_BYTES)
    try:
        with path.open("rb") as handle:
            if limit is not None:
                return handle.read(limit)
            data = handle.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_FILE_BYTES:
        raise FormatError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
    return data
