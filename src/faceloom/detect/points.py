"""From the 478 points of MediaPipe's mesh to the 68 iBUG points, and the regions around them.

The mapping is described in docs/internals/alignment.md.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from faceloom.detect.types import Detection, Rect, Region
from faceloom.geometry import umeyama

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

# Side of the landmarker's square over the longer side of what it surrounds.
REGION_SCALE = 1.5


def _pairs() -> NDArray[np.intp]:
    """`68 2`: the two mesh points (often the same one twice) whose mean is each iBUG point."""
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
    """The square for a landmarker's first pass: 1.5 times the box's longer side, eyes level.

    With `around_points` its centre is that of the five points. Where the picture's border cuts a
    face, the box ends at the border, while the points extend into the hidden half.
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
    """The square around a mesh: 1.5 times its larger extent, rotated as its outer eye corners."""
    low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
    eyes = mesh[_EYE_CORNERS[1]] - mesh[_EYE_CORNERS[0]]
    center = (low + high) / 2
    return Region(
        center_x=float(center[0]),
        center_y=float(center[1]),
        side_px=float(REGION_SCALE * (high - low).max()),
        angle_rad=float(np.arctan2(eyes[1], eyes[0])),
    )


# Where the five points lie in a face's box: the median of YuNet's detections of 29 faces in photos,
# made symmetric.
_MEAN_POINTS = ((0.257, 0.377), (0.743, 0.377), (0.5, 0.58), (0.297, 0.732), (0.703, 0.732))
# Width of those boxes over their height.
_BOX_ASPECT = 0.78
# Larger extent of the mesh over that of the 68 points, which do not include the forehead.
_MESH_OVER_68 = 1.164


def points_in_box(rect: Rect, turn_deg: int = 0) -> NDArray[np.float32]:
    """`5 2`: typical places of eyes, nose tip and mouth corners in a face's box.

    `turn_deg` is the clockwise turn of the picture (0, 90, 180, 270) in which the face is upright.
    """
    unit = np.array(_MEAN_POINTS, dtype=np.float64) - 0.5
    for _ in range(turn_deg // 90 % 4):
        # Undoing a clockwise quarter turn: what pointed right points up.
        unit = np.stack([unit[:, 1], -unit[:, 0]], axis=1)
    left, top, right, bottom = rect
    size = np.array([right - left, bottom - top])
    middle = np.array([left + right, top + bottom]) / 2
    return (middle + unit * size).astype(np.float32)


def quarter_turn(points: NDArray[np.float32]) -> Literal[0, 90, 180, 270]:
    """The clockwise turn of the picture that puts a face with these five points most upright."""
    eyes = points[1] - points[0]
    turns = round(-float(np.arctan2(eyes[1], eyes[0])) / (np.pi / 2)) % 4
    return (0, 90, 180, 270)[turns]


def box_of_points(points: NDArray[np.float32]) -> Rect:
    """Approximately the box that a detector would give for a face with these five points."""
    to_picture = umeyama(np.array(_MEAN_POINTS) * [_BOX_ASPECT, 1.0], points)
    x, y = to_picture @ [_BOX_ASPECT / 2, 0.5, 1.0]
    # The bounds of the ellipse in the rotated box: a rotated face does not fill its corners.
    half = np.abs(to_picture[:, :2] * [_BOX_ASPECT / 2, 0.5])
    width, height = np.hypot(half[:, 0], half[:, 1])
    return float(x - width), float(y - height), float(x + width), float(y + height)


def region_of_landmarks(points: NDArray[np.float32]) -> Region:
    """The square around 68 landmarks, about as large as that of `region_of_mesh`."""
    left, top, right, bottom = bounds(points)
    eyes = points[42:48].mean(axis=0) - points[36:42].mean(axis=0)
    return Region(
        center_x=(left + right) / 2,
        center_y=(top + bottom) / 2,
        side_px=REGION_SCALE * _MESH_OVER_68 * max(right - left, bottom - top),
        angle_rad=float(np.arctan2(eyes[1], eyes[0])),
    )


def box_of_region(region: Region) -> Rect:
    """Approximately the upright box that a detector would give for the face of a region."""
    half = region.side_px / REGION_SCALE / 2
    return (
        region.center_x - half,
        region.center_y - half,
        region.center_x + half,
        region.center_y + half,
    )


def bounds(points: NDArray[np.float32]) -> Rect:
    """Left, top, right, bottom of points `n 2`."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def area(rect: Rect) -> float:
    """The area of a rectangle (left, top, right, bottom)."""
    return (rect[2] - rect[0]) * (rect[3] - rect[1])


def covered(a: Rect, b: Rect) -> float:
    """The shared area of two rectangles over the area of the smaller one, 0 to 1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height) / max(1e-9, min(area(a), area(b)))


def overlap(a: Rect, b: Rect) -> float:
    """Intersection over union of two rectangles (left, top, right, bottom), 0 to 1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
