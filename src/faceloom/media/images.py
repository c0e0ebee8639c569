"""Read pictures of every kind as upright RGB, and write them atomically."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
import numpy.typing as npt

from faceloom.core import MediaError, atomic_write
from faceloom.media.orientation import UPRIGHT, apply_orientation, exif_orientation, tiff_tags
from faceloom.media.types import MAX_PICTURE_BYTES, Image, check_size
from faceloom.media.yuv import to_uint8

Alpha = npt.NDArray[np.uint8]

JPEG_QUALITY = 95
# Fast, especially with run lengths of differences to the row above: half the time of the OpenCV
# default for a frame of footage, at about the same size.
PNG_COMPRESSION = 1

_FRAME_HEADERS = frozenset({*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC)})


@dataclass(frozen=True)
class Picture:
    """A decoded picture: upright RGB uint8 or uint16, its alpha, and notes on damage."""

    image: Image
    alpha: Alpha | None = None
    notes: list[str] = field(default_factory=list[str])


def read_image(path: Path, *, native: bool = False) -> tuple[Image, Alpha | None]:
    """A picture as upright RGB `h w 3` and its alpha `h w` uint8 (None if it has none).

    uint8; with `native`, uint16 full scale for pictures with more than 8 bits. Grey, palette and
    CMYK pictures become RGB. Raises `MediaError` if the file is not a readable picture.
    """
    picture = read_picture(path, native=native)
    return picture.image, picture.alpha


def read_picture(path: Path, *, native: bool = False) -> Picture:
    """Like `read_image`, with notes on damage."""
    try:
        if path.stat().st_size > MAX_PICTURE_BYTES:
            raise MediaError(f"{path}: more than 1 GB; too large for a picture")
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror or error}") from None
    return decode_picture(data, path, native=native)


def decode_picture(data: bytes, path: Path, *, native: bool = False) -> Picture:
    """Decode the bytes of a picture file; `path` is for messages."""
    if not data:
        raise MediaError(f"{path}: the file is empty")
    size = stored_size(data)
    if size is not None:
        check_size(*size, path)
    stored, orientation = _decode_opencv(data)
    notes: list[str] = []
    if stored is None:
        stored = _decode_ffmpeg(data)
        notes.append("damaged: only part of the picture can be decoded")
    elif is_cut_off(data):
        notes.append("truncated: the lower part of the picture may be missing")
    if stored is None:
        raise MediaError(f"{path}: not a readable picture")
    image, alpha = _to_rgb(stored)
    image = apply_orientation(image, orientation)
    if alpha is not None:
        alpha = apply_orientation(alpha, orientation)
    return Picture(image if native else to_uint8(image), alpha, notes)


def _decode_opencv(data: bytes) -> tuple[npt.NDArray[Any] | None, int]:
    """The stored pixels (BGR, BGRA or grey, any depth) and the EXIF orientation."""
    flags = cv2.IMREAD_UNCHANGED
    try:
        stored, kinds, blocks = cast(
            tuple[npt.NDArray[Any] | None, Any, Any],
            cv2.imdecodeWithMetadata(np.frombuffer(data, np.uint8), flags=flags),
        )
    except cv2.error:
        return None, UPRIGHT
    if stored is None or stored.size == 0:
        return None, _jpeg_orientation(data)
    orientation = UPRIGHT
    for kind, block in zip(np.ravel(kinds), blocks, strict=False):
        if int(kind) == cv2.IMAGE_METADATA_EXIF:
            orientation = exif_orientation(np.asarray(block).tobytes())
    if data[:2] in {b"II", b"MM"}:
        orientation = tiff_tags(data, {0x0112}).get(0x0112, orientation)
    return stored, orientation


def _jpeg_orientation(data: bytes) -> int:
    at = data.find(b"Exif\0\0", 0, 70_000)
    return exif_orientation(data[at:]) if at > 0 else UPRIGHT


def _decode_ffmpeg(data: bytes) -> npt.NDArray[Any] | None:
    """Decode with FFmpeg what OpenCV rejects, mostly truncated JPEGs. BGR."""
    try:
        with av.open(io.BytesIO(data), mode="r") as container:
            stream = container.streams.video[0]
            check_size(stream.codec_context.height or 1, stream.codec_context.width or 1, Path())
            for frame in container.decode(stream):
                return frame.to_ndarray(
                    format="bgr24", src_color_range=frame.color_range, dst_color_range=2
                )
    except (av.error.FFmpegError, MediaError, IndexError, ValueError):
        return None
    return None


def _to_rgb(stored: npt.NDArray[Any]) -> tuple[Image, Alpha | None]:
    """OpenCV pixels as RGB uint8 or uint16, and the alpha as uint8."""
    stored = _to_integer(stored)
    if stored.ndim == 2:
        return cv2.merge([stored, stored, stored]), None
    channels = stored.shape[2]
    if channels == 1:
        return cv2.merge([stored, stored, stored]), None
    if channels == 2:
        gray, alpha = cv2.split(stored)
        return cv2.merge([gray, gray, gray]), to_uint8(alpha)
    image = cv2.cvtColor(np.ascontiguousarray(stored[..., :3]), cv2.COLOR_BGR2RGB)
    if channels < 4:
        return image, None
    return image, to_uint8(np.ascontiguousarray(stored[..., 3]))


def _to_integer(stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if stored.dtype == np.uint8 or stored.dtype == np.uint16:
        return stored
    if np.issubdtype(stored.dtype, np.floating):
        clean = np.nan_to_num(np.clip(stored, 0.0, 1.0))
        return np.round(clean * 65535).astype(np.uint16)
    information = np.iinfo(stored.dtype)
    scaled = (stored.astype(np.float64) - information.min) / (information.max - information.min)
    return np.round(scaled * 65535).astype(np.uint16)


def stored_size(data: bytes) -> tuple[int, int] | None:
    """(h, w) from the header of a picture file, without decoding; None if unknown."""
    try:
        if data.startswith(b"\x89PNG"):
            width, height = struct.unpack_from(">II", data, 16)
            return height, width
        if data.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(height), abs(width)
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_size(data)
        tags = tiff_tags(data, {0x0100, 0x0101})
        if len(tags) == 2:
            return tags[0x0101], tags[0x0100]
    except (struct.error, IndexError):
        return None
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return height, width
        if marker == 0xFF or 0xD0 <= marker <= 0xD9 or marker in {0x00, 0x01}:
            at += 1 if marker == 0xFF else 2
            continue
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        return int.from_bytes(data[27:30], "little") + 1, width
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return ((bits >> 14) & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return height & 0x3FFF, width & 0x3FFF
    return None


def is_cut_off(data: bytes) -> bool:
    """Whether a JPEG or PNG ends before its end marker."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < 2
    if data.startswith(b"\x89PNG"):
        return data.rfind(b"IEND") < 0
    return False


def write_image(
    path: Path,
    image: Image,
    *,
    alpha: Alpha | None = None,
    jpeg_quality: int = JPEG_QUALITY,
    durable: bool = False,
) -> int:
    """Write RGB (`h w 3`) or a mask (`h w`), uint8 or uint16; return the number of bytes.

    The suffix of `path` sets the format. PNG and TIFF keep 16 bits and alpha; others get 8 bits and
    no alpha. The file is written atomically. Raises `MediaError` if writing fails.
    """
    suffix = path.suffix.lower()
    deep_format = suffix in {".png", ".tif", ".tiff"}
    stored = image if deep_format else to_uint8(image)
    if stored.ndim == 3:
        stored = cv2.cvtColor(stored, cv2.COLOR_RGB2BGR)
        if alpha is not None and deep_format:
            scaled = alpha.astype(np.uint16) * 257 if stored.dtype == np.uint16 else alpha
            stored = cv2.merge([*cv2.split(stored), scaled])
    try:
        done, encoded = cv2.imencode(suffix, stored, _options(suffix, jpeg_quality))
    except cv2.error as error:
        raise MediaError(f"{path}: cannot write {suffix or 'this'} pictures") from error
    if not done:
        raise MediaError(f"{path}: cannot write {suffix} pictures")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, encoded.tobytes(), durable=durable)
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror or error}") from None
    return int(encoded.size)


def _options(suffix: str, jpeg_quality: int) -> list[int]:
    if suffix in {".jpg", ".jpeg"}:
        return [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]
    if suffix == ".png":
        return [
            *(cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION),
            *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
            *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
        ]
    if suffix == ".webp":
        return [cv2.IMWRITE_WEBP_QUALITY, jpeg_quality]
    return []
