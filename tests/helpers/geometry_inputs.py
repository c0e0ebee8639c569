"""The reference's inputs A and B (docs/internals/alignment.md): the 3-D model, projected and
turned."""

from __future__ import annotations

import math

import numpy as np

from faceloom.geometry import MODEL_POINTS_3D


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """The points, turned clockwise on the screen about the origin."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return points @ np.array([[c, s], [-s, c]])


INPUT_A = turned(MODEL_POINTS_3D[:, :2] * 2, 10) + np.array([500, 400])
_C, _S = math.cos(math.radians(30)), math.sin(math.radians(30))
_X = MODEL_POINTS_3D[:, 0] * _C + MODEL_POINTS_3D[:, 2] * _S
INPUT_B = np.column_stack([_X, MODEL_POINTS_3D[:, 1]]) * 1.5 + np.array([640, 360])
