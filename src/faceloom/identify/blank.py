"""How much an identity vector tells of blur rather than of a person.

A face of a few pixels, or one out of focus, does not give SFace a vector like its owner's with some
noise: it gives a vector in one and the same direction, whoever it shows. Two blurred strangers are
therefore nearer to each other (up to 0.8) than two blurred pictures of one person, and would join
the groups of sharp faces that each of them is nearest to. The direction is known, so a product
with it tells such faces, whatever their crop, size or file.
"""

from __future__ import annotations

import base64
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLANK_LIMIT: Final = 0.30
"""Blankness above which a vector says little of who it is. Of 6800 faces of 37 persons none was
above 0.24. Of 23 portraits shrunk to 16, 12, 8 pixels (of SFace's 112) 1, 11, 20 are above the
limit: it is a sign that a face cannot be told, and none that it can."""

# The mean vector of 630 faces of 37 persons after shrinking to 8 pixels, and after a blur of
# sigma 6, at SFace's 112 pixels: `bench/clusters.py --blank` makes one like it. 128 little-endian
# float16.
_DIRECTION: Final = (
    "HqmrrM4spikjLhowK66krBi007GsL2Ipua50nDOwEaE9KTOqpaZAsHku2CderI8vGiYvMMOg06ujKOsujCmhKE4p7CN6"
    "MKwvvS+LKhGtJqTRKuQmIi0Mq5IpQCp9rykmqi65rE8v5CpbKFiviCciKdMsCqjgrS2lA6b1rO0soK9AMAuyjajAL08r"
    "TS5cJQws/DGvplopgid2KvGaObD+rDUqui8DsOyusJGEMqWn1KgfKSgyhq9VJBUyHygZr6muAqmaHLEWnS9GrmAuTSYt"
    "KnqqO6r5sUKd2bE1sGstZSldKL6tYaGULSes9R9/qBErPyYCLIQkJJyarbWp6CR5Gw=="
)


def blank_direction() -> NDArray[np.float32]:
    """The unit vector, 128 float32, of a face that shows nobody."""
    vector = np.frombuffer(base64.b64decode(_DIRECTION), "<f2").astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def blankness(embeddings: ArrayLike) -> NDArray[np.float32]:
    """Cosine of each unit vector, n x 128, with `blank_direction`: n float32.

    NaN where the vector is NaN (no vector was taken).
    """
    vectors = np.asarray(embeddings, dtype=np.float32).reshape(-1, 128)
    return np.asarray(vectors @ blank_direction(), dtype=np.float32)
