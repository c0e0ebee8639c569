"""Rotate pictures upright: EXIF orientations and the display matrix of videos."""

from __future__ import annotations

import math
import struct

import cv2

from faceloom.media.types import Image

UPRIGHT = 1


def apply_orientation(image: Image, orientation: int) -> Image:
    """A stored picture rotated upright by its EXIF orientation (1 to 8; others count as 1)."""
    if orientation == 2:
        return cv2.flip(image, 1)
    if orientation == 3:
        return cv2.rotate(image, cv2.ROTATE_180)
    if orientation == 4:
        return cv2.flip(image, 0)
    if orientation == 5:
        return cv2.transpose(image)
    if orientation == 6:
        return cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)
    if orientation == 7:
        return cv2.rotate(cv2.transpose(image), cv2.ROTATE_180)
    if orientation == 8:
        return cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return image


def swaps_sides(orientation: int) -> bool:
    """Whether an orientation exchanges width and height."""
    return orientation in {5, 6, 7, 8}


def exif_orientation(exif: bytes) -> int:
    """The orientation in an EXIF block (with or without its `Exif` prefix), 1 if there is none."""
    tiff = exif[6:] if exif.startswith(b"Exif\0\0") else exif
    return tiff_tags(tiff, {0x0112}).get(0x0112, UPRIGHT)


def tiff_tags(tiff: bytes, wanted: set[int]) -> dict[int, int]:
    """Integer tags of the first directory of a TIFF structure; empty if it is malformed."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return {}
    found: dict[int, int] = {}
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(min(count, 512)):
            at = start + 2 + entry * 12
            tag, kind = struct.unpack_from(f"{order}HH", tiff, at)
            if tag in wanted and kind in {3, 4}:
                form = "H" if kind == 3 else "I"
                (found[tag],) = struct.unpack_from(f"{order}{form}", tiff, at + 8)
    except struct.error:
        pass
    return found


def display_matrix_orientation(matrix: bytes) -> int:
    """The EXIF orientation nearest to a video's display matrix (9 int32, 16.16 fixed point)."""
    if len(matrix) < 36:
        return UPRIGHT
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    mirrored = a * d - b * c < 0
    if mirrored:
        # A mirrored matrix is a left-right flip followed by a rotation.
        a, b = -a, -b
    # Rotating the stored picture clockwise by this angle makes it upright.
    turns = round(math.degrees(math.atan2(b, a)) / 90) % 4
    plain = {0: 1, 1: 6, 2: 3, 3: 8}
    flipped = {0: 2, 1: 7, 2: 4, 3: 5}
    return (flipped if mirrored else plain)[turns]
