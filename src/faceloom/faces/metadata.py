"""Metadata saved before faces are edited elsewhere, and restored afterwards.

There are two files: DFL's `meta.dat`, which its tools read, and ours, which loses nothing: one
line of JSON per face, with each metadata block bit for bit (docs/internals/formats.md).
"""

from __future__ import annotations

import base64
import binascii
import json
import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import cv2
import numpy as np

from faceloom.core import FormatError, InputError, atomic_path
from faceloom.faces.archives.plain_names import is_plain_name, shown
from faceloom.faces.files.face_file import (
    MAX_PIXELS,
    decode_picture,
    encode_picture,
    encoded_size,
    metadata_blocks,
    read_bytes,
    record_blocks,
    record_from_blocks,
    with_blocks,
    write_bytes,
)
from faceloom.faces.record import scaled_record
from faceloom.pickles import dump_dict, dumps, loads, stream

DFL_NAME: Final = "meta.dat"
OWN_NAME: Final = "faceloom_meta.jsonl"
MAX_TABLE_BYTES: Final = 8 << 30
MAX_FACES: Final = 1_000_000
_FORMAT = "faceloom metadata"
_VERSION = 1
_MAX_LINE = 4 << 20
_MAX_BLOCK = 1 << 20
_JPEG_QUALITY = 100
_SAME_SHAPE = 0.01


@dataclass(frozen=True)
class SavedFace:
    """The metadata of one face, as in its file."""

    size: tuple[int, int]
    """(h, w) of the picture that the metadata belongs to."""
    dfl: bytes
    """DFL's block: a pickle."""
    own: bytes | None
    """Our JSON block; None if there was none, or if DFL saved the metadata."""


def saved_face(path: Path) -> SavedFace:
    """The metadata of a face's file; `FormatError` if it is not a face."""
    data = read_bytes(path)
    try:
        dfl, own = metadata_blocks(data)
        record_from_blocks(dfl, own)
        return SavedFace(encoded_size(data), dfl or b"", own)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None


# --- the two files


def write_saved(path: Path, faces: Iterable[tuple[str, SavedFace]]) -> None:
    """Write our file, whole or not at all, one face at a time."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(json.dumps({"format": _FORMAT, "version": _VERSION}).encode() + b"\n")
        for name, face in faces:
            line: dict[str, Any] = {
                "name": name,
                "size": list(face.size),
                "dfl": base64.b64encode(face.dfl).decode(),
            }
            if face.own is not None:
                line["own"] = base64.b64encode(face.own).decode()
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def write_meta_dat(path: Path, faces: Iterable[tuple[str, SavedFace]]) -> None:
    """Write DFL's file, whole or not at all, one face at a time."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        values = (
            (name, ((*face.size, 3), loads(face.dfl, max_bytes=_MAX_BLOCK))) for name, face in faces
        )
        dump_dict(values, file)


def read_saved(path: Path) -> Iterator[tuple[str, SavedFace]]:
    """The faces in a file of either kind, recognised by its content, one at a time.

    Raises `InputError` if it cannot be read, and `FormatError` where it is damaged or hostile,
    after the faces that precede the damage.
    """
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) > MAX_TABLE_BYTES:
                raise FormatError(f"larger than {MAX_TABLE_BYTES >> 30} GiB")
            file.seek(0)
            ours = file.read(1) == b"{"
            file.seek(0)
            for count, (name, face) in enumerate(_lines(file) if ours else _entries(file)):
                if count >= MAX_FACES:
                    raise FormatError(f"more than {MAX_FACES} faces")
                if not is_plain_name(name):
                    raise FormatError(f"{shown(name)} is not a plain file name")
                yield name, face
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _lines(file: BinaryIO) -> Iterator[tuple[Any, SavedFace]]:
    head = _json(file.readline(_MAX_LINE))
    if head.get("format") != _FORMAT or head.get("version") != _VERSION:
        raise FormatError(f"not Faceloom metadata of version {_VERSION}")
    while line := file.readline(_MAX_LINE):
        value = _json(line)
        own = value.get("own")
        face = SavedFace(
            _size(value.get("size")),
            _block(value.get("dfl")),
            None if own is None else _block(own),
        )
        yield value.get("name"), face


def _json(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not line.endswith(b"\n"):
        raise FormatError("damaged metadata: a line that is not a JSON object")
    return value


def _block(text: Any) -> bytes:
    try:
        block = base64.b64decode(text, validate=True)
    except (ValueError, TypeError, binascii.Error):
        raise FormatError("damaged metadata: a block that is not base64") from None
    if len(block) > _MAX_BLOCK:
        raise FormatError(f"{len(block)} bytes of metadata for one face")
    return block


def _size(value: Any) -> tuple[int, int]:
    """(h, w) of a saved shape, which may end with the number of channels."""
    sides = list(value) if isinstance(value, (list, tuple)) else []
    if len(sides) not in (2, 3) or any(type(n) is not int for n in sides):
        raise FormatError("damaged metadata: a picture without a size")
    h, w = sides[:2]
    if not (h > 0 and w > 0 and h * w <= MAX_PIXELS):
        raise FormatError(f"damaged metadata: a picture of {shown((h, w))} pixels")
    return h, w


def _entries(file: BinaryIO) -> Iterator[tuple[Any, SavedFace]]:
    try:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise FormatError("damaged metadata: it is empty") from None
    with mapped:
        for item in stream(mapped):
            if type(item) is not tuple or len(item) != 2 or type(item[1]) is not tuple:
                raise FormatError("damaged metadata: something other than faces")
            name, value = item
            if len(value) != 2 or not isinstance(value[1], dict):
                raise FormatError("damaged metadata: something other than faces")
            yield name, SavedFace(_size(value[0]), dumps(value[1]), None)


# --- restoring


def restored(data: bytes, saved: SavedFace, *, keep_size: bool) -> bytes:
    """An edited picture's file, JPEG or PNG, with its former metadata.

    A picture of another size is scaled back to the old size (LANCZOS4, JPEG quality 100, as in
    DFL), or with `keep_size` landmarks, polygons and matrix are scaled instead; pixels are
    re-encoded only in the first case. If our block was not saved, the picture keeps the one it
    has. Raises `FormatError` if the picture or the save is damaged, or if the aspect ratio has
    changed: what was cut off is unknown, so the landmarks do not fit.
    """
    record = record_from_blocks(saved.dfl, saved.own)
    _, present = metadata_blocks(data)
    dfl, own = saved.dfl, present if saved.own is None else saved.own
    h, w = encoded_size(data)
    if (h, w) == saved.size:
        return with_blocks(data, dfl, own)
    factors = h / saved.size[0], w / saved.size[1]
    if abs(factors[0] - factors[1]) > _SAME_SHAPE * max(factors):
        raise FormatError(
            f"was {saved.size[1]}x{saved.size[0]} pixels, is now {w}x{h}: cropped, not only "
            "resized, so its landmarks do not fit"
        )
    if not keep_size:
        return with_blocks(_resized(data, saved.size), dfl, own)
    dfl, scaled_own = record_blocks(scaled_record(record, sum(factors) / 2), saved.dfl)
    return with_blocks(data, dfl, own if saved.own is None else scaled_own)


def restore_face(path: Path, saved: SavedFace, *, keep_size: bool) -> bool:
    """Restore the metadata in a file, whole or not at all; False if it was still there.

    Raises as `restored`, naming the file.
    """
    data = read_bytes(path)
    try:
        new = restored(data, saved, keep_size=keep_size)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    if new == data:
        return False
    write_bytes(path, new)
    return True


def _resized(data: bytes, size: tuple[int, int]) -> bytes:
    h, w = size
    resized = cv2.resize(decode_picture(data), (w, h), interpolation=cv2.INTER_LANCZOS4)
    suffix = ".jpg" if data.startswith(b"\xff\xd8") else ".png"
    return encode_picture(np.asarray(resized, np.uint8), suffix, _JPEG_QUALITY)
