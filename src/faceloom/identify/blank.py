"""How much an identity vector comes from blur rather than from a person.

For a tiny or out-of-focus face SFace does not return the person's vector with some noise, but a
vector in one particular direction, whoever it shows. Two blurred strangers are therefore closer to
each other (up to 0.8) than two blurred pictures of one person, and would end up in groups of sharp
faces where they do not belong. Since that direction is known, the cosine with it detects such
faces, whatever their crop, size or file format.
"""

from __future__ import annotations

import base64
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLANK_LIMIT: Final = 0.30
"""Blankness above which a vector says little about who it is. None of 6800 faces of 37 people is
above 0.24. Of 23 portraits shrunk to 16, 12 and 8 pixels (SFace takes 112), 1, 11 and 20 are above
the limit. So a high blankness means that a face cannot be recognised; a low one does not mean that
it can."""

# The mean vector of 630 faces of 37 people after shrinking to 8 pixels, and after a blur of
# sigma 6, at SFace's 112 pixels: `bench/clusters.py --blank` makes one like it. 128 little-endian
# float16.
_DIRECTION: Final = (
    "HqmrrM4spikjLhowK66krBi007GsL2Ipua50nDOwEaE9KTOqpaZAsHku2CderI8vGiYvMMOg06ujKOsujCmhKE4p7CN6"
    "MKwvvS+LKhGtJqTRKuQmIi0Mq5IpQCp9rykmqi65rE8v5CpbKFiviCciKdMsCqjgrS2lA6b1rO0soK9AMAuyjajAL08r"
    "TS5cJQws/DGvplopgid2KvGaObD+rDUqui8DsOyusJGEMqWn1KgfKSgyhq9VJBUyHygZr6muAqmaHLEWnS9GrmAuTSYt"
    "KnqqO6r5sUKd2bE1sGstZSldKL6tYaGULSes9R9/qBErPyYCLIQkJJyarbWp6CR5Gw=="
)


def blank_direction() -> NDArray[np.float32]:
    """The unit vector, 128 float32, of a face that is too blurred to show who it is."""
    vector = np.frombuffer(base64.b64decode(_DIRECTION), "<f2").astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def blankness(embeddings: ArrayLike) -> NDArray[np.float32]:
    """Cosine of each unit vector, n x 128, with `blank_direction`: n float32.

    NaN where the vector is NaN (no vector was taken).
    """
    vectors = np.asarray(embeddings, dtype=np.float32).reshape(-1, 128)
    return np.asarray(vectors @ blank_direction(), dtype=np.float32)
