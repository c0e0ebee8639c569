"""Parts of the 478-point mesh, and triangulation.

The indices are those of MediaPipe's face mesh (478 points with irises), image-left eye first.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

MESH_POINTS = 478
CHIN = 152
FOREHEAD = 10
HINGES = (234, 454)
"""The points nearest to the two jaw joints."""

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""The outline of the face, closed, clockwise on the screen from the top of the forehead."""

BROWS = (
    (70, 63, 105, 66, 107, 46, 53, 52, 65, 55),
    (300, 293, 334, 296, 336, 276, 283, 282, 295, 285),
)

INNER_UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_LIP = (
    191, 80, 81, 82, 13, 312, 311, 310, 415, 183, 42, 41, 38, 12, 268, 271, 272, 407,
    184, 74, 73, 72, 11, 302, 303, 304, 408, 185, 40, 39, 37, 0, 267, 269, 270, 409,
)  # fmt: skip
LOWER_LIP = (
    95, 88, 178, 87, 14, 317, 402, 318, 324, 96, 89, 179, 86, 15, 316, 403, 319, 325,
    77, 90, 180, 85, 16, 315, 404, 320, 307, 146, 91, 181, 84, 17, 314, 405, 321, 375,
)  # fmt: skip
MOUTH_CORNERS = ((61, 76, 62, 78), (291, 306, 292, 308))


class Eye(NamedTuple):
    """One eye: lids from the outer or inner corner to the other one, the fold above, the iris."""

    corners: tuple[int, int]
    upper: tuple[int, ...]
    lower: tuple[int, ...]
    """`lower[i]` meets `upper[i]` when the eye closes."""
    fold: tuple[int, ...]
    iris: tuple[int, ...]

    @property
    def contour(self) -> tuple[int, ...]:
        """The lids as one closed line."""
        return (self.corners[0], *self.upper, self.corners[1], *reversed(self.lower))


EYES = (
    Eye(
        (33, 133),
        (246, 161, 160, 159, 158, 157, 173),
        (7, 163, 144, 145, 153, 154, 155),
        (247, 30, 29, 27, 28, 56, 190),
        (468, 469, 470, 471, 472),
    ),
    Eye(
        (263, 362),
        (466, 388, 387, 386, 385, 384, 398),
        (249, 390, 373, 374, 380, 381, 382),
        (467, 260, 259, 257, 258, 286, 414),
        (473, 474, 475, 476, 477),
    ),
)


def delaunay(points: NDArray[np.floating]) -> NDArray[np.int32]:
    """Delaunay triangles of 2-D points: `points` n×2 → m×3 indices, counter-clockwise in x, y.

    Of points that coincide (within 1/64 px) the first is used.
    """
    grid = np.round(np.asarray(points, np.float64) * 64) / 64
    index_of: dict[tuple[float, float], int] = {}
    for index, (x, y) in enumerate(grid.tolist()):
        index_of.setdefault((x, y), index)
    low = np.floor(grid.min(axis=0)).astype(int) - 2
    high = np.ceil(grid.max(axis=0)).astype(int) + 2
    plane = cv2.Subdiv2D((int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])))
    for x, y in index_of:
        plane.insert((x, y))
    corners = np.asarray(plane.getTriangleList(), np.float64).reshape(-1, 3, 2)
    triangles = [
        [index_of[x, y] for x, y in triangle]
        for triangle in corners.tolist()
        if all((x, y) in index_of for x, y in triangle)
    ]
    found = np.array(sorted(triangles), np.int32).reshape(-1, 3)
    flipped = signed_areas(grid[found]) < 0
    found[flipped] = found[flipped][:, ::-1]
    return found


def signed_areas(triangles: NDArray[np.floating]) -> NDArray[np.floating]:
    """Twice the signed area of each triangle: m×3×2 → m."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
