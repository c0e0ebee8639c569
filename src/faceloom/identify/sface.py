"""Identity embeddings of faces, 128 numbers each, by SFace.

Zhong et al., "SFace: Sigmoid-constrained hypersphere loss for robust face recognition" (2021).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import InputError, Progress
from faceloom.geometry import ARCFACE_POINTS, five_points, umeyama, warp_to_face
from faceloom.weights import fetch
from faceloom.weights.sessions import open_session

SAME_PERSON = 0.36
"""Cosine above which two faces are taken for one person's: true for 0.992 of the pairs of one
person's faces and 0.001 of the pairs of different people's."""
SIZE_PX = 112


class Identifier:
    """Embeds faces; thread-safe.

    `threads` is the number of CPU threads of one inference; `device` as in `open_session`. Raises
    `WeightsError` when the network is not available.
    """

    name = "sface"

    def __init__(
        self,
        model: Path | None = None,
        *,
        threads: int = 1,
        device: str = "auto",
        progress: Progress | None = None,
    ) -> None:
        path = model or fetch("sface", progress=progress)
        self._session: Any = open_session(path, threads=threads, device=device)
        self._input: str = self._session.get_inputs()[0].name
        self._lock = threading.Lock()

    def embed(
        self, image: NDArray[np.uint8], landmarks: ArrayLike, *, pixel_aspect: float = 1.0
    ) -> NDArray[np.float32]:
        """The unit vector, 128 float32, of the face with these points in `image` (h w 3 RGB).

        `landmarks` are the 68 points of iBUG or the 5 of a detector, in pixels of `image`, which
        may be a frame or a face picture. Raises `InputError` for any other number of points.
        """
        return self.embed_aligned(align_face(image, landmarks, pixel_aspect=pixel_aspect))

    def embed_aligned(self, face: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same for a picture `112 112 3` RGB made by `align_face`."""
        if face.shape != (SIZE_PX, SIZE_PX, 3):
            raise InputError(f"the identity network takes 112x112 RGB pictures, not {face.shape}")
        batch = np.ascontiguousarray(face.transpose(2, 0, 1)[None], dtype=np.float32)
        with self._lock:
            vector = self._session.run(None, {self._input: batch})[0].reshape(-1)
        vector = np.asarray(vector, dtype=np.float32)
        return vector / max(float(np.linalg.norm(vector)), 1e-12)


def align_face(
    image: NDArray[np.uint8], landmarks: ArrayLike, *, pixel_aspect: float = 1.0
) -> NDArray[np.uint8]:
    """The face as `112 112 3`, with its five points on ArcFace's template. Raises as `embed`."""
    points = five_points(landmarks) * [pixel_aspect, 1.0]
    matrix = umeyama(points, ARCFACE_POINTS)[:2].astype(np.float64).copy()
    matrix[:, 0] *= pixel_aspect
    face = warp_to_face(image, matrix, SIZE_PX, interpolation="linear", antialias=True)
    return np.asarray(face, dtype=np.uint8)


def similarity(a: ArrayLike, b: ArrayLike) -> float:
    """Cosine of two embeddings, -1 to 1; above `SAME_PERSON` they count as one person."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norm if norm else 0.0


def mean_embedding(embeddings: Sequence[ArrayLike]) -> NDArray[np.float32]:
    """The mean of several embeddings of one person, scaled to unit length.

    Raises `InputError` when there are none.
    """
    if not embeddings:
        raise InputError("cannot average zero embeddings")
    mean = np.mean([np.asarray(e, dtype=np.float64) for e in embeddings], axis=0)
    return (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
