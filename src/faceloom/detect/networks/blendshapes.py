"""Expression and gaze of a face whose landmarks are known, by MediaPipe's blendshapes network.

The network takes 146 of the mesh's 478 points and returns the 52 coefficients known from ARKit. The
choice of points and the names are those of MediaPipe's `face_blendshapes_graph.cc` (Apache-2.0).
Points are given in pixels; the network itself normalises their place and size.
"""

from __future__ import annotations

import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import FormatError, InputError, Progress
from faceloom.detect.networks.mesh import MeshLandmarker
from faceloom.detect.points import bounds
from faceloom.detect.types import Region, Seed
from faceloom.geometry import BLENDSHAPES
from faceloom.weights import fetch

_MEMBER: Final = "face_blendshapes.tflite"
_POINTS_TEXT: Final = """
0 1 4 5 6 7 8 10 13 14 17 21 33 37 39 40 46 52 53 54 55 58 61 63 65 66 67 70 78 80 81 82 84 87
88 91 93 95 103 105 107 109 127 132 133 136 144 145 146 148 149 150 152 153 154 155 157 158 159
160 161 162 163 168 172 173 176 178 181 185 191 195 197 234 246 249 251 263 267 269 270 276 282
283 284 285 288 291 293 295 296 297 300 308 310 311 312 314 317 318 321 323 324 332 334 336 338
356 361 362 365 373 374 375 377 378 379 380 381 382 384 385 386 387 388 389 390 397 398 400 402
405 409 415 454 466 468 469 470 471 472 473 474 475 476 477
"""
INPUT_POINTS: Final = np.array(_POINTS_TEXT.split(), dtype=np.intp)
"""The 146 points of the mesh that the network takes, in its order."""
_PLACE: Final = {name: place for place, name in enumerate(BLENDSHAPES)}

# Side of the network's square over the extent of the 68 points, which do not include the forehead.
_REGION_SCALE: Final = 1.72
_LIPS: Final = (13, 14)
_EYE_CORNERS: Final = (33, 263)
# Gap between the lips of a wide open mouth over the distance between the outer eye corners.
_WIDE_OPEN: Final = 0.5
# Rotation of the eyes at a coefficient of 1: fitted to the place of the irises between the corners
# of the eyes in 228 nearly frontal faces, with the eye's centre 0.84 iris widths behind the iris.
_GAZE_DEG: Final = 24.0


@dataclass(frozen=True, eq=False)
class Expression:
    """The expression of a face. Everything but `presence` is NaN where the mesh sees no face."""

    presence: float
    """Logit of the mesh: below 0 there is probably no face."""
    coefficients: NDArray[np.float32]
    """52 values, 0 to 1, in the order of `BLENDSHAPES`."""
    gaze_deg: tuple[float, float]
    """Rotation of the eyes in the head, towards the picture's right and down."""
    mouth_open: float
    """Gap between the lips: 0 closed, 1 wide open."""
    eyes_closed: float
    """0 wide open, about 0.15 relaxed, 0.65 and more closed."""


class ExpressionReader:
    """Reads expressions. Thread-safe, but one reader per thread is faster.

    Raises `WeightsError` when the networks are not available.
    """

    def __init__(
        self, model: Path | None = None, *, threads: int = 1, progress: Progress | None = None
    ) -> None:
        path = model or fetch("face-landmarker", progress=progress)
        self._landmarker = MeshLandmarker(path, threads=threads)
        self._network: Any = cv2.dnn.readNetFromTFLite(_read_member(path))
        self._lock = threading.Lock()

    def read(self, image: NDArray[np.uint8], landmarks: ArrayLike) -> Expression:
        """The expression of the face with these 68 points in `image` (h w 3 RGB).

        Raises `InputError` for another number of points.
        """
        points = np.asarray(landmarks, dtype=np.float32)
        if points.shape != (68, 2):
            raise InputError(f"an expression needs landmarks of shape (68, 2), not {points.shape}")
        seed = Seed(bounds(points), _region(points))
        (found,) = self._landmarker.landmarks(image, [seed])
        if found.mesh is None or found.presence <= 0 or not np.isfinite(found.mesh).all():
            return unseen(found.presence)
        return expression(found.mesh, self.coefficients(found.mesh), found.presence)

    def coefficients(self, mesh: NDArray[np.float32]) -> NDArray[np.float32]:
        """The 52 coefficients of a mesh, `478 2` or `478 3` in pixels."""
        points = np.ascontiguousarray(mesh[INPUT_POINTS, :2][None], dtype=np.float32)
        with self._lock:
            self._network.setInput(points)
            answer = self._network.forward()
        return np.array(answer, dtype=np.float32).reshape(len(BLENDSHAPES))


def expression(
    mesh: NDArray[np.float32], coefficients: NDArray[np.float32], presence: float
) -> Expression:
    """The expression from a mesh (`478 3`) and its 52 coefficients.

    How far the mouth is open comes from the mesh, because the coefficient `jawOpen` also rises for
    closed mouths seen from below.
    """

    def mean(*names: str) -> float:
        return float(np.mean([coefficients[_PLACE[name]] for name in names]))

    right = mean("eyeLookOutLeft", "eyeLookInRight") - mean("eyeLookInLeft", "eyeLookOutRight")
    down = mean("eyeLookDownLeft", "eyeLookDownRight") - mean("eyeLookUpLeft", "eyeLookUpRight")
    gap = float(np.linalg.norm(mesh[_LIPS[0]] - mesh[_LIPS[1]]))
    eyes = float(np.linalg.norm(mesh[_EYE_CORNERS[0]] - mesh[_EYE_CORNERS[1]]))
    return Expression(
        presence=presence,
        coefficients=coefficients,
        gaze_deg=(_GAZE_DEG * right, _GAZE_DEG * down),
        mouth_open=min(gap / max(_WIDE_OPEN * eyes, 1e-6), 1.0),
        eyes_closed=mean("eyeBlinkLeft", "eyeBlinkRight"),
    )


def unseen(presence: float) -> Expression:
    """The expression of a face that the mesh does not see."""
    nothing = np.full(len(BLENDSHAPES), np.nan, dtype=np.float32)
    return Expression(presence, nothing, (np.nan, np.nan), np.nan, np.nan)


def _region(points: NDArray[np.float32]) -> Region:
    """The mesh's square around 68 points, rotated as the outer eye corners."""
    left, top, right, bottom = bounds(points)
    eyes = points[45] - points[36]
    return Region(
        center_x=(left + right) / 2,
        center_y=(top + bottom) / 2,
        side_px=_REGION_SCALE * max(right - left, bottom - top, 1.0),
        angle_rad=float(np.arctan2(eyes[1], eyes[0])),
    )


def _read_member(path: Path) -> NDArray[np.uint8]:
    try:
        with zipfile.ZipFile(path) as archive:
            return np.frombuffer(archive.read(_MEMBER), np.uint8)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path}: not a Face Landmarker file: {error}") from None
