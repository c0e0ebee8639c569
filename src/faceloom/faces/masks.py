"""Masks of a face: the one stored in it, from its landmarks, or from hand-drawn polygons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import FaceloomError, FormatError, MediaError
from faceloom.faces.files.face_file import check_decodable
from faceloom.faces.record import FaceRecord, SegPolygon
from faceloom.geometry import hull_mask

MAX_MASK_BYTES: Final = 50_000
# Far outside any picture, yet safe in OpenCV's fixed-point arithmetic.
_FAR_PX = 1 << 20


def encode_mask(mask: ArrayLike) -> bytes:
    """A mask (h w, 0 to 1) as DFL stores it: PNG, or JPEG where that exceeds 50 000 bytes.

    Raises `FormatError` for a mask that fits in neither.
    """
    values = np.asarray(mask, dtype=np.float64)
    image = (np.clip(values, 0, 1) * 255).astype(np.uint8)
    data = cv2.imencode(".png", image)[1].tobytes()
    quality = 100
    while len(data) > MAX_MASK_BYTES and quality > 0:
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        quality -= 1
    if len(data) > MAX_MASK_BYTES:
        raise FormatError(f"a mask of {image.shape} does not fit in {MAX_MASK_BYTES} bytes")
    return data


def decode_mask(data: bytes) -> NDArray[np.float32]:
    """The stored mask, h w float32 in [0, 1] at its own size; `FormatError` when damaged."""
    try:
        check_decodable(data)
    except MediaError as error:
        raise FormatError(f"the stored mask: {error}") from None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:
        image = None
    if image is None:
        raise FormatError("the stored mask cannot be decoded")
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def face_mask(record: FaceRecord, size: tuple[int, int]) -> NDArray[np.float32]:
    """The full-face mask of a face picture of `size` (h, w): h w float32 in [0, 1].

    The stored mask, resized, if there is one, else the hull of the landmarks (training.md 6.4).
    """
    if record.xseg_mask is None:
        return hull_mask(record.landmarks, size, record.eyebrows_expand_mod)
    try:
        mask = decode_mask(record.xseg_mask)
    except FaceloomError as error:
        raise FormatError(f"face mask of {record.source_filename!r}: {error}") from None
    if mask.shape != size:
        resized = cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
        mask = np.asarray(resized, dtype=np.float32)
    return mask.clip(0, 1)


def has_polygons(polygons: Sequence[SegPolygon]) -> bool:
    """Whether anything is drawn: at least one point."""
    return any(len(polygon.points) for polygon in polygons)


def polygon_mask(polygons: Sequence[SegPolygon], size: tuple[int, int]) -> NDArray[np.float32]:
    """The mask of polygons in pixels of a picture of `size` (h, w): h w float32, 0 or 1.

    Including polygons are filled first, then excluding ones are cut out, each with its points
    truncated to whole pixels and its inside by the even-odd rule, as DFL fills them.
    """
    mask = np.zeros(size, np.uint8)
    for polygon in sorted(polygons, key=lambda polygon: not polygon.include):
        if len(polygon.points):
            points = np.clip(polygon.points, -_FAR_PX, _FAR_PX).astype(np.int32)
            cv2.fillPoly(mask, [points], (1.0 if polygon.include else 0.0,))
    return mask.astype(np.float32)
