"""From the 478 points of the mesh to the 68 points of iBUG, and the regions around them.

Source: shared/reference/weights.md, "Mesh-478 use".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceloom.detect.types import Detection, Rect, Region

_JAW = (
    "127 | 234 | 93 | 58,132 | 58,172 | 136 | 149,150 | 148,176 | 152 | 377,400 | 378,379 | 365 "
    "| 288,397 | 288,361 | 323 | 454 | 356"
)
_BROWS = (
    "46,70 | 63,105 | 66,105 | 66,107 | 55,107 | 285,336 | 296,336 | 296,334 | 293,334 | 276,300"
)
_NOSE = "168 | 6,197 | 5,195 | 4 | 240 | 97 | 2 | 326 | 460"
_EYES = "33 | 160 | 157,158 | 133 | 153 | 144 | 362 | 384,385 | 387 | 263 | 373 | 380"
_MOUTH = (
    "61 | 39 | 37 | 0 | 267 | 269 | 291 | 321 | 314 | 17 | 84 | 91 "
    "| 78 | 81 | 13 | 311 | 308 | 402 | 14 | 178"
)

REGION_SCALE = 1.5
"""Side of the landmarker's square over the longer side of what it is put around."""


def _pairs() -> NDArray[np.intp]:
    """`68 2`: the two mesh points (often the same twice) whose mean is each iBUG point."""
    groups = " | ".join((_JAW, _BROWS, _NOSE, _EYES, _MOUTH)).split("|")
    indices = [[int(number) for number in group.split(",")] for group in groups]
    return np.array([group * 2 if len(group) == 1 else group for group in indices], dtype=np.intp)


MESH_TO_68 = _pairs()
"""`68 2` indices into the mesh; the mean of a row's two points is the iBUG point."""

_EYE_CORNERS = (33, 263)


def mesh_to_68(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """`68 2` landmarks in iBUG order from a `478 3` (or `478 2`) mesh."""
    return mesh[MESH_TO_68, :2].mean(axis=1, dtype=np.float32)


def region_of_detection(detection: Detection, *, around_points: bool = False) -> Region:
    """The square for a landmarker's first pass: 1.5 of the box's longer side, eyes level.

    With `around_points` the five points are its centre: where the picture's border cuts a face
    the box ends with the picture, while the points go on to where the hidden half would be.
    """
    left, top, right, bottom = detection.rect
    eyes = detection.points[1] - detection.points[0]
    center = ((left + right) / 2, (top + bottom) / 2)
    if around_points:
        center = (float(detection.points[:, 0].mean()), float(detection.points[:, 1].mean()))
    return Region(
        center_x=center[0],
        center_y=center[1],
        side_px=REGION_SCALE * max(right - left, bottom - top),
        angle_rad=float(np.arctan2(eyes[1], eyes[0])),
    )


def region_of_mesh(mesh: NDArray[np.float32]) -> Region:
    """The square around a mesh: 1.5 of its larger extent, turned by its outer eye corners."""
    low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
    eyes = mesh[_EYE_CORNERS[1]] - mesh[_EYE_CORNERS[0]]
    center = (low + high) / 2
    return Region(
        center_x=float(center[0]),
        center_y=float(center[1]),
        side_px=float(REGION_SCALE * (high - low).max()),
        angle_rad=float(np.arctan2(eyes[1], eyes[0])),
    )


def bounds(points: NDArray[np.float32]) -> Rect:
    """Left, top, right, bottom of points `n 2`."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def overlap(a: Rect, b: Rect) -> float:
    """Intersection over union of two rectangles (left, top, right, bottom), 0 to 1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
