"""Metadata beside the pictures: saved before faces are edited elsewhere, and put back afterwards.

Two files hold the same: DFL's `meta.dat` (pipeline.md 2.8), which its tools read, and ours, which
loses nothing: each block of a face's file as it is, bit for bit, a line of JSON a face.
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
    """The metadata of one face as they were in its file."""

    size: tuple[int, int]
    """(h, w) of the picture that the metadata belong to."""
    dfl: bytes
    """DFL's block: a pickle."""
    own: bytes | None
    """Ours: JSON; None when there was none, or when it was saved by DFL."""


def saved_face(path: Path) -> SavedFace:
    """What is to be saved of a face's file; `FormatError` when it is no face."""
    data = read_bytes(path)
    try:
        dfl, own = metadata_blocks(data)
        record_from_blocks(dfl, own)
        return SavedFace(encoded_size(data), dfl or b"", own)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None


# --- the two files


def write_saved(path: Path, faces: Iterable[tuple[str, SavedFace]]) -> None:
    """Write our file, whole or not at all, a face at a time."""
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
    """Write DFL's file, whole or not at all, a face at a time."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        values = (
            (name, ((*face.size, 3), loads(face.dfl, max_bytes=_MAX_BLOCK))) for name, face in faces
        )
        dump_dict(values, file)


def read_saved(path: Path) -> Iterator[tuple[str, SavedFace]]:
    """The faces in a file of either kind, one at a time; which kind it is, its content tells.

    Raises `InputError` when it cannot be read, and `FormatError` in one line, after the faces
    before it, where it is damaged or hostile.
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
                    raise FormatError(f"{shown(name)} is no plain file name")
                yield name, face
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _lines(file: BinaryIO) -> Iterator[tuple[Any, SavedFace]]:
    head = _json(file.readline(_MAX_LINE))
    if head.get("format") != _FORMAT or head.get("version") != _VERSION:
        raise FormatError(f"no Faceloom metadata of version {_VERSION}")
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
        raise FormatError("damaged metadata: a line that is no JSON object")
    return value


def _block(text: Any) -> bytes:
    try:
        block = base64.b64decode(text, validate=True)
    except (ValueError, TypeError, binascii.Error):
        raise FormatError("damaged metadata: a block that is not base64") from None
    if len(block) > _MAX_BLOCK:
        raise FormatError(f"{len(block)} bytes of metadata of one face")
    return block


def _size(value: Any) -> tuple[int, int]:
    """(h, w) of a saved shape, which may have a number of channels behind."""
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


# --- putting it back


def restored(data: bytes, saved: SavedFace, *, keep_size: bool) -> bytes:
    """An edited picture's file, JPEG or PNG, with the metadata that it had before.

    A picture of another size is brought back to the old one (LANCZOS4, JPEG quality 100, as DFL
    does), or keeps its size while landmarks, polygons and matrix follow it. Pixels are encoded
    again in the first case only. Without a saved block of ours, one that the picture still has
    stays. Raises `FormatError` when the picture or what was saved is damaged, or when the picture
    has changed its shape: nothing tells what was cut off, so no landmarks fit it.
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
            f"was {saved.size[1]}x{saved.size[0]} pixels and is {w}x{h} now: cut, not only "
            "resized, so its landmarks do not fit"
        )
    if not keep_size:
        return with_blocks(_resized(data, saved.size), dfl, own)
    dfl, scaled_own = record_blocks(scaled_record(record, sum(factors) / 2), saved.dfl)
    return with_blocks(data, dfl, own if saved.own is None else scaled_own)


def restore_face(path: Path, saved: SavedFace, *, keep_size: bool) -> bool:
    """Put metadata back into a file, whole or not at all; False when it had them already.

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
