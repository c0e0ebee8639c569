"""A perceptual hash of faces: 64 bits that are nearly equal for near-duplicates."""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.curate.measures.aligned import aligned_face, luma

_SIDE_PX: Final = 32
# The waves of an average aligned face, in units of the mean amplitude. Compared with 0, two people
# would share about 38 of the 64 bits; compared with these, 33. Means over 44 clips and portraits
# and their mirror images, so waves that mirroring negates are 0.
_BITS: Final = 64
_ANY_FACE_TEXT: Final = """
0 .35 -2.14 0 -1.23 0 -1.39 0 .95 -.11 0 -1.48 0 3.19 0 .43 0 -.14 0 1.71 -1.3 0 .83 0 -.95 0
-.1 0 -1.19 0 -1.55 0 -.36 0 -.64 .23 0 .58 0 -1.26 0 -.25 0 -.62 0 -.26 0 .05 0 -.76 0 .18 0
.41 -.25 0 -.06 0 .23 0 .28 0 .13 0
"""
_ANY_FACE: Final = np.array(_ANY_FACE_TEXT.split(), dtype=np.float32)


def _lowest_waves() -> NDArray[np.intp]:
    """Indices of the 64 lowest frequencies of the transform after the mean, lowest first."""
    row, column = np.mgrid[:_SIDE_PX, :_SIDE_PX]
    return np.lexsort((row.ravel(), (row + column).ravel()))[1 : _BITS + 1]


_WAVES: Final = _lowest_waves()


def perceptual_hash(
    image: NDArray[np.uint8], landmarks: ArrayLike, *, pixel_aspect: float = 1.0
) -> NDArray[np.uint8]:
    """Return 8 bytes that identify the face in `image` (h w 3 RGB) at `landmarks` (68 2).

    One bit for each of the 64 lowest frequencies of the aligned grey face's cosine transform:
    whether it is above the average face's. Crop, size, JPEG quality, brightness and contrast hardly
    change them; compare hashes by the number of different bits. After Zauner, "Implementation and
    benchmarking of perceptual image hash functions" (2010), with alignment and the average face
    added. Raises `InputError` for degenerate landmarks.
    """
    # A type whose square lies inside nearly every face type's crop.
    face = aligned_face(
        luma(image),
        landmarks,
        _SIDE_PX,
        "midfull_face",
        pixel_aspect=pixel_aspect,
        border="replicate",
    )
    waves: Any = cv2.dct(face.astype(np.float32))
    low = np.asarray(waves, dtype=np.float32).ravel()[_WAVES]
    amplitude = float(np.abs(low).mean())
    return np.packbits(low > _ANY_FACE * np.float32(amplitude))
