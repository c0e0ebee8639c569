"""Rig of a portrait: vertices, weights, triangles, layers."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.animate.portrait import Portrait
from faceloom.animate.topology import (
    CHIN,
    EYES,
    FOREHEAD,
    HINGES,
    INNER_LOWER_LIP,
    INNER_UPPER_LIP,
    LOWER_LIP,
    MESH_POINTS,
    MOUTH_CORNERS,
    OVAL,
    UPPER_LIP,
    delaunay,
)

DOME_STEPS = (0.35, 0.7)
"""Positions of the skull's points between the oval of the face and the silhouette."""
SIDE_DEPTH = 0.5
"""Factor for the depth of the sides of the face."""
SKIRT_PX = 9.0
"""How far the triangles extend beyond the edge of the head."""
JAW_MARGIN_PX = 2.0
"""The mesh is slightly inside the visible edge of the jaw."""
MATTE_SOFTNESS_PX = 1.2


@dataclass(frozen=True)
class Frame3D:
    """Axes and size of the head at rest."""

    pivot: NDArray[np.float64]
    """x, y, z of the joint of head and neck."""
    right: NDArray[np.float64]
    """Unit vector along the eyes, 2-D."""
    down: NDArray[np.float64]
    """Unit vector from brow to chin, 2-D."""
    width_px: float
    """Width of the face."""


@dataclass(frozen=True)
class Rig:
    """What is the same in every frame; points in pixels of the portrait."""

    portrait: Portrait
    head: Frame3D
    rest: NDArray[np.float64]
    """v×3: the mesh first, then dome, silhouette and the skirt below the jaw."""
    sliding: NDArray[np.float64]
    """v: 1 for silhouette vertices, whose position on the skull changes as it turns, else 0."""
    jaw: NDArray[np.float64]
    """v: how much a vertex follows the lower jaw."""
    skin: NDArray[np.int32]
    """t×3 triangles without the openings of eyes and mouth."""
    eyes: tuple[NDArray[np.int32], ...]
    """Triangles of each eyeball, painted below the lids."""
    teeth: NDArray[np.int32]
    """Triangles between the lips."""
    matte: NDArray[np.uint8]
    """h w: 255 inside the head."""
    plate: NDArray[np.uint8]
    """h w 3: the picture without the head: background, neck and shoulders extended behind it."""


def build_rig(portrait: Portrait) -> Rig:
    """Prepare `portrait` for `deform` and `render`."""
    mesh = portrait.mesh.astype(np.float64)
    mesh[:, 2] = _soften_depth(mesh)
    head = _head_frame(mesh)
    below = _lower_oval(mesh, head)
    matte = _matte(portrait, mesh, below)
    mesh[:, 2] = _depth_at_edge(mesh, matte, head)
    jaw = _jaw_weights(mesh, head)
    dome = _dome(portrait, mesh, head)
    silhouette, slide = _silhouette(portrait, mesh, head)
    skirt = mesh[below]
    skirt[:, :2] = _outward(mesh[below, :2], mesh[list(OVAL), :2].mean(axis=0), SKIRT_PX)
    rest = np.concatenate([mesh, dome, silhouette, skirt])
    still = np.zeros(len(dome) + len(silhouette))
    jaw_all = np.concatenate([jaw, still, jaw[below]])
    sliding = np.concatenate([np.zeros(MESH_POINTS + len(dome)), slide, np.zeros(len(below))])
    skin, eyes, teeth = _triangles(rest, jaw_all, head)
    return Rig(
        portrait, head, rest, sliding, jaw_all, skin, eyes, teeth, matte, _plate(portrait, matte)
    )


def _soften_depth(mesh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Depths with the sides of the face moved forward and its edge smoothed; 478.

    A frontal picture shows the cheek in front of the ear as a few pixels. Rotated with its full
    depth it would be smeared over many, and depth variations along the edge would become dents.
    """
    depth = mesh[:, 2]
    front = float(np.quantile(depth, 0.6))
    depth = np.where(depth > front, front + SIDE_DEPTH * (depth - front), depth)
    loop = list(OVAL)
    steps = np.arange(len(loop))
    apart = np.minimum(steps, len(loop) - steps)
    kernel = np.exp(-0.5 * (apart / 2.5) ** 2)
    kernel /= kernel.sum()
    even = np.real(np.fft.ifft(np.fft.fft(depth[loop]) * np.fft.fft(kernel)))
    # Neighbours of the edge change with it.
    sigma = 0.07 * float(np.ptp(mesh[:, 0]))
    distance = np.linalg.norm(mesh[:, None, :2] - mesh[None, loop, :2], axis=2)
    near = np.exp(-0.5 * (distance / sigma) ** 2)
    change = (near * (even - depth[loop])).sum(axis=1) / np.maximum(near.sum(axis=1), 1.0)
    depth = depth + change
    depth[loop] = even
    return depth


def _depth_at_edge(
    mesh: NDArray[np.float64], matte: NDArray[np.uint8], head: Frame3D
) -> NDArray[np.float64]:
    """Depths where points near the visible edge of the head are as deep as the oval; 478.

    The mesh may have a point of the cheek where the picture shows the edge: rotated with the depth
    of the cheek, it would pull in the background.
    """
    inside = cv2.distanceTransform((matte > 127).astype(np.uint8), cv2.DIST_L2, 5)
    column = np.clip(np.round(mesh[:, 0]).astype(int), 0, matte.shape[1] - 1)
    row = np.clip(np.round(mesh[:, 1]).astype(int), 0, matte.shape[0] - 1)
    share = 1 - _smoothstep(inside[row, column].astype(np.float64) / (0.1 * head.width_px))
    _, edge = _nearest_on_loop(mesh, mesh[list(OVAL)])
    return mesh[:, 2] + share * (edge - mesh[:, 2])


def _outward(
    points: NDArray[np.float64], centre: NDArray[np.float64], distance_px: float
) -> NDArray[np.float64]:
    """Points moved away from `centre` by a fixed distance."""
    away = points - centre
    return points + distance_px * away / np.linalg.norm(away, axis=1, keepdims=True)


def _silhouette(
    portrait: Portrait, mesh: NDArray[np.float64], head: Frame3D
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The outline and a second one just outside, for the soft edge of the matte.

    Returns the points (n×3) and how far each slides (n). Near the jaw the outline has the depth of
    the jaw and rotates with it, so that the edge of the face does not tear.
    """
    inner = portrait.outline.astype(np.float64)
    outer = _outward(inner, inner.mean(axis=0), SKIRT_PX)
    distance, oval_depth = _nearest_on_loop(inner, mesh[list(OVAL)])
    slide = _smoothstep(distance / (0.2 * head.width_px))
    depth = oval_depth + slide * (head.pivot[2] - oval_depth)
    points = np.column_stack([np.concatenate([inner, outer]), np.tile(depth, 2)])
    return points, np.tile(slide, 2)


def _nearest_on_loop(
    points: NDArray[np.float64], loop: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each point: distance to the closed 3-D line seen from the front, and depth there."""
    start, edge = loop, np.roll(loop, -1, axis=0) - loop
    length = (edge[:, :2] ** 2).sum(axis=1)
    along = ((points[:, None, :2] - start[None, :, :2]) * edge[:, :2]).sum(axis=2) / length
    foot = start + np.clip(along, 0, 1)[..., None] * edge
    distance = np.linalg.norm(points[:, None, :2] - foot[..., :2], axis=2)
    best = distance.argmin(axis=1)
    every = np.arange(len(points))
    return distance[every, best], foot[every, best, 2]


def _lower_oval(mesh: NDArray[np.float64], head: Frame3D) -> list[int]:
    """The oval's points from the right jaw over the chin to the left, below the ears."""
    level = float(mesh[list(HINGES), :2].mean(axis=0) @ head.down)
    start = OVAL.index(HINGES[1])
    stop = OVAL.index(HINGES[0])
    margin = 0.12 * head.width_px
    return [i for i in OVAL[start : stop + 1] if float(mesh[i, :2] @ head.down) > level + margin]


def _head_frame(mesh: NDArray[np.float64]) -> Frame3D:
    """Axes from the corners of the eyes; the pivot is between the ears at mouth height."""
    across = mesh[263, :2] - mesh[33, :2]
    right = across / np.linalg.norm(across)
    down = np.array([-right[1], right[0]])
    ears = mesh[list(HINGES)].mean(axis=0)
    mouth = mesh[[61, 291]].mean(axis=0)
    level = float((mouth[:2] - ears[:2]) @ down)
    centre = mesh[[FOREHEAD, CHIN], :2].mean(axis=0)
    x_offset = float((ears[:2] - centre) @ right)
    pivot_xy = centre + right * x_offset * 0.5
    pivot_xy = pivot_xy + down * (float((ears[:2] - pivot_xy) @ down) + level)
    width = float(np.linalg.norm(mesh[HINGES[1], :2] - mesh[HINGES[0], :2]))
    return Frame3D(np.append(pivot_xy, ears[2]), right, down, width)


def _dome(portrait: Portrait, mesh: NDArray[np.float64], head: Frame3D) -> NDArray[np.float64]:
    """Points between the upper oval and the silhouette, with the depth of a rounded skull."""
    outline = portrait.outline.astype(np.float64)
    centre = mesh[list(OVAL), :2].mean(axis=0)
    mouth_level = float(mesh[[61, 291], :2].mean(axis=0) @ head.down)
    points: list[list[float]] = []
    for index in OVAL:
        start = mesh[index]
        if float(start[:2] @ head.down) > mouth_level:
            continue
        end = _ray_hits(centre, start[:2], outline)
        if end is None:
            continue
        for step in DOME_STEPS:
            x, y = start[:2] + step * (end - start[:2])
            depth = head.pivot[2] + (start[2] - head.pivot[2]) * np.sqrt(1 - step * step)
            points.append([float(x), float(y), float(depth)])
    return np.array(points, np.float64).reshape(-1, 3)


def _ray_hits(
    origin: NDArray[np.float64], through: NDArray[np.float64], line: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Where the ray from `origin` past `through` leaves the open polyline, or None."""
    direction = through - origin
    start, edge = line[:-1], np.diff(line, axis=0)
    cross = direction[0] * edge[:, 1] - direction[1] * edge[:, 0]
    offset = start - origin
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (offset[:, 0] * edge[:, 1] - offset[:, 1] * edge[:, 0]) / cross
        inside = (offset[:, 0] * direction[1] - offset[:, 1] * direction[0]) / cross
    hits = along[(inside >= 0) & (inside <= 1) & (along > 1.02)]
    return origin + float(hits.max()) * direction if len(hits) else None


def _smoothstep(value: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(value, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)


def _jaw_weights(mesh: NDArray[np.float64], head: Frame3D) -> NDArray[np.float64]:
    """478 weights: 1 on chin and lower lip, 0 above the mouth, smooth in between."""
    down = mesh[:, :2] @ head.down
    across = mesh[:, :2] @ head.right
    level = float(down[[61, 291]].mean())
    height = float(down[CHIN] - level)
    weights = _smoothstep((down - level + 0.1 * height) / (0.5 * height))
    middle = float(across[[61, 291]].mean())
    half = float(across[291] - across[61]) / 2
    lower = list(LOWER_LIP)
    weights[lower] = 1 - 0.55 * np.clip(np.abs(across[lower] - middle) / half, 0, 1) ** 2
    weights[list(UPPER_LIP)] = 0.0
    for side in MOUTH_CORNERS:
        weights[list(side)] = 0.3
    return weights


def _triangles(
    rest: NDArray[np.float64], jaw: NDArray[np.float64], head: Frame3D
) -> tuple[NDArray[np.int32], tuple[NDArray[np.int32], ...], NDArray[np.int32]]:
    """Split one triangulation, made with the mouth open, into skin, eyeballs and mouth."""
    layout = rest[:, :2].copy()
    layout += 0.25 * head.width_px * jaw[:, None] * head.down
    irises = [index for eye in EYES for index in eye.iris]
    surface = np.setdiff1d(np.arange(len(rest)), irises)
    triangles = surface.astype(np.int32)[delaunay(layout[surface])]
    is_skin = np.ones(len(triangles), bool)
    eyes: list[NDArray[np.int32]] = []
    for eye in EYES:
        is_skin &= ~_within(triangles, eye.contour, eye.contour, layout)
        ball = np.array((*eye.contour, *eye.iris), np.int32)
        eyes.append(ball[delaunay(rest[ball, :2])])
    lips = (*INNER_UPPER_LIP, *reversed(INNER_LOWER_LIP[1:-1]))
    mouth = _within(triangles, lips, lips, layout)
    is_skin &= ~mouth
    return triangles[is_skin], tuple(eyes), triangles[mouth]


def _within(
    triangles: NDArray[np.int32],
    members: tuple[int, ...],
    contour: tuple[int, ...],
    layout: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Which triangles have all corners in `members` and their middle inside `contour`."""
    polygon = layout[list(contour)].astype(np.float32)
    found = np.asarray(np.isin(triangles, members).all(axis=1), np.bool_)
    for index in np.flatnonzero(found):
        x, y = layout[triangles[index]].mean(axis=0)
        found[index] = cv2.pointPolygonTest(polygon, (float(x), float(y)), False) >= 0
    return found


def _matte(portrait: Portrait, mesh: NDArray[np.float64], below: list[int]) -> NDArray[np.uint8]:
    """Silhouette and jaw filled, with a soft edge as from a lens; h w uint8."""
    h, w = portrait.image.shape[:2]
    jaw = _outward(mesh[below, :2], mesh[list(OVAL), :2].mean(axis=0), JAW_MARGIN_PX)
    mask = np.zeros((h, w), np.uint8)
    for polygon in (np.concatenate([portrait.outline, jaw]), mesh[list(OVAL), :2]):
        cv2.fillPoly(mask, [np.round(polygon * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), MATTE_SOFTNESS_PX), np.uint8)


def _plate(portrait: Portrait, matte: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The background behind the head, extended inwards from its edge at half resolution."""
    h, w = matte.shape
    small = (w // 2, h // 2)
    hole = cv2.dilate(matte, np.ones((13, 13), np.uint8))
    hole = cv2.resize(hole, small, interpolation=cv2.INTER_NEAREST)
    image = cv2.resize(portrait.image, small, interpolation=cv2.INTER_AREA)
    filled = cv2.inpaint(image, (hole > 0).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    filled = cv2.resize(filled, (w, h), interpolation=cv2.INTER_CUBIC)
    behind = cv2.dilate(matte, np.ones((9, 9), np.uint8)).astype(np.float32) / 255
    share = cv2.GaussianBlur(behind, (0, 0), 2.0)[..., None]
    return np.round(filled * share + portrait.image * (1 - share)).astype(np.uint8)
