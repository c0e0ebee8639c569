"""The mask that a face carries, or the one that its landmarks give (pipeline.md 2.2, 3.12)."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import FaceloomError, FormatError, MediaError
from faceloom.faces.files.face_file import check_decodable
from faceloom.faces.record import FaceRecord
from faceloom.geometry import hull_mask

MAX_MASK_BYTES: Final = 50_000


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
