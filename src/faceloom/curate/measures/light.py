"""Estimate where the light on a face comes from, from its shading."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import InputError
from faceloom.curate.measures.aligned import aligned_face, luma
from faceloom.geometry import MODEL_POINTS_3D, frame_to_face, transform_points

_SIDE_PX: Final = 64
_BLUR_PX: Final = 1.2
# Samples across the model's width, including those that are not skin.
_SAMPLES: Final = 32
_GAMMA: Final = 2.2
_ROUNDS: Final = 4
_RIDGE: Final = 0.02
# Samples whose surface is seen at a flatter angle (cosine) are ignored.
_STEEPEST: Final = 0.25
_FEWEST: Final = 40
# Brightness up to which a pixel is black; JPEG adds a little noise outside the frame.
_BLACK: Final = 2

# Landmarks of eyes, lips and brows, whose colours are not shading, and a margin around them in the
# model's units (the face is about 147 wide).
_FEATURES: Final = (
    (range(36, 42), 5.0),
    (range(42, 48), 5.0),
    (range(48, 60), 5.0),
    (range(17, 22), 5.0),
    (range(22, 27), 5.0),
)


class LightReader:
    """Fits shading to a model head. Reuse one reader: it precomputes the model's samples.

    The head is a thin-plate surface (Duchon) through the 3-D model of the 68 landmarks.
    Thread-safe.
    """

    def __init__(self) -> None:
        self._points, self._normals = _surface()

    def read(
        self, image: NDArray[np.uint8], landmarks: ArrayLike, *, pixel_aspect: float = 1.0
    ) -> NDArray[np.float32]:
        """Return the vector towards the light of the face with these 68 points in `image`
        (h w 3 RGB).

        x right, y down, z to the viewer, in the axes of the aligned face. The length, 0 to 1, is
        the directional share of the light: 0 when the skin is lit evenly from all sides, or when
        too little of it is visible. The fit assumes linear light on matt skin of one colour
        (brightness = ambient + strength · normal · direction) and is robust, so that beards,
        highlights and hair have little weight. Raises `InputError` for degenerate landmarks.
        """
        face = aligned_face(
            luma(image), landmarks, _SIDE_PX, "full_face", pixel_aspect=pixel_aspect
        )
        outside = _outside_frame(face)
        face = cv2.GaussianBlur(face, (0, 0), _BLUR_PX).astype(np.float32)
        to_face = frame_to_face(landmarks, _SIDE_PX, "full_face", pixel_aspect=pixel_aspect)
        points = transform_points(np.asarray(landmarks, dtype=np.float64), to_face)
        camera, rotation = _orthographic(points)
        place = self._points @ camera[:, :3].T + camera[:, 3]
        normals = self._normals @ rotation.T
        seen = (normals[:, 2] < -_STEEPEST) & ((place >= 0) & (place <= _SIDE_PX - 1)).all(axis=1)
        columns, rows = np.rint(place).astype(np.intp).clip(0, _SIDE_PX - 1).T
        seen &= ~outside[rows, columns]
        if int(seen.sum()) < _FEWEST:
            return np.zeros(3, np.float32)
        columns, rows = columns[seen], rows[seen]
        light = (face[rows, columns].astype(np.float64) / 255) ** _GAMMA
        # The model's z points away from the viewer, the result's towards them.
        return _fit(normals[seen] * (1.0, 1.0, -1.0), light)


def _outside_frame(face: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels of the aligned face (h w) lie outside the frame: black areas at the border.

    This includes a black backdrop, which is not skin either.
    """
    labels = np.asarray(cv2.connectedComponents((face <= _BLACK).astype(np.uint8))[1])
    rim = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    black = np.isin(labels, rim[rim > 0]).astype(np.uint8)
    return np.asarray(cv2.dilate(black, np.ones((5, 5), np.uint8))) > 0


def _fit(normals: NDArray[np.float64], light: NDArray[np.float64]) -> NDArray[np.float32]:
    """The light vector that shades `normals` (n 3) as `light` (n)."""
    level = float(np.median(light))
    if level < 1e-4:
        return np.zeros(3, np.float32)
    value = light / level
    design = np.column_stack([np.ones(len(normals)), normals])
    penalty = np.diag([0.0, 1.0, 1.0, 1.0]) * _RIDGE * len(value)
    weights = np.ones(len(value))
    solution = np.zeros(4)
    for _ in range(_ROUNDS):
        weighted = design * weights[:, None]
        solution = np.linalg.solve(weighted.T @ design + penalty, weighted.T @ value)
        away = np.abs(value - design @ solution)
        scale = max(1.4826 * float(np.median(away)), 1e-3)
        weights = 1 / (1 + (away / (1.5 * scale)) ** 2)
    direction = solution[1:]
    strength = float(np.linalg.norm(direction))
    if strength < 1e-6:
        return np.zeros(3, np.float32)
    share = strength / (strength + max(float(solution[0]), 0.0))
    return (direction / strength * share).astype(np.float32)


def _orthographic(
    points: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scaled orthographic camera (2 4) that best projects the model to `points` (68 2), and the
    head's rotation (3 3)."""
    model = np.column_stack([MODEL_POINTS_3D, np.ones(68)])
    affine = np.linalg.lstsq(model, points, rcond=None)[0].T
    u, scales, v = np.linalg.svd(affine[:, :3], full_matrices=False)
    if not np.isfinite(scales).all() or scales[1] < 1e-9:
        raise InputError("the landmarks do not describe a head")
    two = u @ v
    rotation = np.vstack([two, np.cross(two[0], two[1])])
    linear = two * scales.mean()
    offset = (points - MODEL_POINTS_3D @ linear.T).mean(axis=0)
    return np.column_stack([linear, offset]), rotation


def _surface() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Samples of the model's skin and their outward normals, n 3 each."""
    model = np.asarray(MODEL_POINTS_3D, dtype=np.float64)
    flat, depth = model[:, :2], model[:, 2]
    weights, plane = _thin_plate(flat, depth)
    low, high = flat.min(axis=0), flat.max(axis=0)
    step = (high[0] - low[0]) / _SAMPLES
    x, y = np.meshgrid(np.arange(low[0], high[0], step), np.arange(low[1], high[1], step))
    samples = np.column_stack([x.ravel(), y.ravel()])
    samples = samples[_on_skin(samples, flat)]
    away = samples[:, None] - flat
    square = (away**2).sum(axis=2) + 1e-9
    z = (square * np.log(square) / 2) @ weights + plane[0] + samples @ plane[1:]
    slope = np.einsum("sp,spd,p->sd", np.log(square) + 1, away, weights) + plane[1:]
    # Towards the viewer z falls, so the outward normal of z(x, y) is (dz/dx, dz/dy, -1).
    normals = np.column_stack([slope, -np.ones(len(slope))])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return np.column_stack([samples, z]), normals


def _thin_plate(
    flat: NDArray[np.float64], depth: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (68) and plane (3) of a slightly smoothed thin plate through the points."""
    square = ((flat[:, None] - flat) ** 2).sum(axis=2)
    kernel = np.where(square > 0, square * np.log(np.maximum(square, 1e-9)) / 2, 0.0)
    kernel += 200.0 * np.eye(len(flat))
    ones = np.column_stack([np.ones(len(flat)), flat])
    system = np.block([[kernel, ones], [ones.T, np.zeros((3, 3))]])
    values = np.concatenate([depth, np.zeros(3)])
    solution: NDArray[np.float64] = np.linalg.solve(system, values).astype(np.float64)
    return solution[:-3], solution[-3:]


def _on_skin(samples: NDArray[np.float64], flat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which samples lie inside the face and outside eyes, brows and lips."""
    points = flat.astype(np.float32)

    def inside(hull: NDArray[np.float32]) -> NDArray[np.float64]:
        outline = cv2.convexHull(hull)
        near = [cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in samples]
        return np.array(near, dtype=np.float64)

    chosen = inside(points[:27]) > 6.0
    for landmarks, margin in _FEATURES:
        chosen &= inside(points[list(landmarks)]) < -margin
    return chosen
