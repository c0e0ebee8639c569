"""Render one frame: paint triangles far to near, then resample smoothly once."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.animate.deform import deform, rigid
from faceloom.animate.motion import Pose
from faceloom.animate.rig import Rig
from faceloom.animate.topology import EYES, INNER_LOWER_LIP, INNER_UPPER_LIP, MESH_POINTS

OVERSAMPLE = 2
"""Supersampling factor, for soft edges of lids and lips."""
_SHIFT = 4
MOUTH_DARK = (48.0, 17.0, 15.0)
TEETH = (230.0, 205.0, 176.0)
TONGUE = (112.0, 46.0, 42.0)


@dataclass(frozen=True)
class Layer:
    """Triangles of the picture and their targets: both t×3×2, in painting order."""

    source: NDArray[np.float64]
    target: NDArray[np.float64]


def render(rig: Rig, pose: Pose) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Render `rig` in `pose`.

    Returns the frame (h w 3, RGB) and the 478 moved mesh points (478×3 in its pixels).
    """
    vertices = deform(rig, pose)
    layers = _layers(rig, vertices, pose)
    box = _box(vertices, rig.portrait.image.shape[:2])
    head, alpha = _paint(rig, layers, vertices, box)
    frame = rig.plate.astype(np.float32)
    left, top, right, bottom = box
    region = frame[top:bottom, left:right]
    region += alpha[..., None] * (head * _shading(rig, vertices, box, pose)[..., None] - region)
    frame *= pose.gain * _front_light(pose)
    return np.clip(np.round(frame), 0, 255).astype(np.uint8), vertices[:MESH_POINTS]


def _box(points: NDArray[np.float64], size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The part of the frame that the head can cover: left, top, right, bottom."""
    low = np.floor(points[:, :2].min(axis=0)).astype(int) - 12
    high = np.ceil(points[:, :2].max(axis=0)).astype(int) + 13
    return (
        max(int(low[0]), 0),
        max(int(low[1]), 0),
        min(int(high[0]), size[1]),
        min(int(high[1]), size[0]),
    )


def _layers(rig: Rig, vertices: NDArray[np.float64], pose: Pose) -> list[Layer]:
    """Upper teeth and eyeballs, which rotate with the skull and are painted below the skin."""
    rest = rig.rest[:, :2]
    skull = rigid(rig, pose)[:, :2]
    layers = [Layer(rest[rig.teeth], skull[rig.teeth])]
    for eye, triangles in zip(EYES, rig.eyes, strict=True):
        ball = skull.copy()
        ball[list(eye.iris)] = vertices[list(eye.iris), :2]
        layers.append(Layer(rest[triangles], ball[triangles]))
    depth = vertices[rig.skin, 2].mean(axis=1)
    order = rig.skin[np.argsort(-depth, kind="stable")]
    layers.append(Layer(rest[order], vertices[order, :2]))
    return layers


def _paint(
    rig: Rig,
    layers: list[Layer],
    vertices: NDArray[np.float64],
    box: tuple[int, int, int, int],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Head colours (h w 3) and matte (h w, 0..1) within `box`."""
    left, top, right, bottom = box
    shape = ((bottom - top) * OVERSAMPLE, (right - left) * OVERSAMPLE)

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return (points - np.array([left, top]) + 0.5) * OVERSAMPLE - 0.5

    mouth = (*INNER_UPPER_LIP, *reversed(INNER_LOWER_LIP[1:-1]))
    opening = place(vertices[list(mouth), :2])
    owner = np.zeros(shape, np.int32)
    cv2.fillPoly(owner, [_fixed(opening)], 1, shift=_SHIFT)
    map_x, map_y = _maps(owner, [Layer(each.source, place(each.target)) for each in layers])
    colours = cv2.remap(
        rig.portrait.image, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float32)
    alpha = cv2.remap(rig.matte, map_x, map_y, cv2.INTER_LINEAR).astype(np.float32) / 255
    alpha[owner == 0] = 0
    inside = owner == 1
    if inside.any():
        colours[inside] = _mouth_colours(inside, opening, 0.055 * rig.head.width_px * OVERSAMPLE)
        alpha[inside] = 1
    size = (right - left, bottom - top)
    return (
        np.asarray(cv2.resize(colours, size, interpolation=cv2.INTER_AREA), np.float32),
        np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.float32),
    )


def _maps(
    owner: NDArray[np.int32], layers: list[Layer]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Source position of each pixel in the picture: x and y, both h w.

    Writes the triangle of each pixel into `owner` (h w): 0 none, 1 the open mouth (set before),
    from 2 on the triangles in painting order.
    """
    affines = [np.zeros((2, 2, 3), np.float32)]
    number = 2
    for layer in layers:
        for polygon in _fixed(layer.target):
            cv2.fillConvexPoly(owner, polygon, number, shift=_SHIFT)
            number += 1
        affines.append(_affines(layer.target, layer.source))
    h, w = owner.shape
    table = np.concatenate(affines)[owner.ravel()].reshape(h, w, 2, 3)
    x = np.arange(w, dtype=np.float32)[None]
    y = np.arange(h, dtype=np.float32)[:, None]
    maps = table[..., 0] * x[:, :, None] + table[..., 1] * y[:, :, None] + table[..., 2]
    maps = maps.astype(np.float32, copy=False)
    return np.ascontiguousarray(maps[..., 0]), np.ascontiguousarray(maps[..., 1])


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Fixed-point coordinates for OpenCV's drawing functions."""
    return np.round(points * (1 << _SHIFT)).astype(np.int32)


def _affines(target: NDArray[np.float64], source: NDArray[np.float64]) -> NDArray[np.float32]:
    """The 2×3 maps from each triangle of `target` to its `source`: t×3×2 → t×2×3."""
    system = np.concatenate([target, np.ones((*target.shape[:2], 1))], axis=2)
    area = np.abs(np.linalg.det(system))
    system[area < 1e-6] += np.diag([1e-3, 1e-3, 1e-3])
    return np.swapaxes(np.linalg.solve(system, source), 1, 2).astype(np.float32)


def _mouth_colours(
    inside: NDArray[np.bool_], opening: NDArray[np.float64], teeth_px: float
) -> NDArray[np.float32]:
    """Colours of the open mouth, which the picture does not show: upper teeth, then dark.

    `opening` is the inner line of the lips, `teeth_px` the length of a tooth, both in pixels of
    `inside`.
    """
    rows, columns = np.nonzero(inside)
    upper = opening[: len(INNER_UPPER_LIP)]
    order = np.argsort(upper[:, 0], kind="stable")
    edge = np.interp(columns, upper[order, 0], upper[order, 1])
    depth = (rows - edge) / teeth_px
    middle, half = float(upper[:, 0].mean()), float(np.ptp(upper[:, 0])) / 2 + 1e-6
    side = np.clip(np.abs(columns - middle) / half, 0, 1)
    # Teeth curve away from the viewer: the outer ones are shorter and in shadow.
    teeth = np.clip((1 - side**3 - depth) * 4, 0, 1)
    light = (0.72 + 0.28 * np.clip(depth, 0, 1)) * (1 - 0.75 * side**2)
    lower = np.clip((depth - 1.6) / 2.0, 0, 1)[:, None]
    back = np.array(MOUTH_DARK) + lower * (np.array(TONGUE) - np.array(MOUTH_DARK))
    mixed = teeth[:, None] * light[:, None] * np.array(TEETH) + (1 - teeth[:, None]) * back
    return mixed.astype(np.float32)


def _light_direction(pose: Pose) -> NDArray[np.float64]:
    azimuth = np.deg2rad(pose.light_deg)
    direction = np.array([np.sin(azimuth), -0.35, -np.cos(azimuth)])
    return direction / np.linalg.norm(direction)


def _front_light(pose: Pose) -> float:
    """Effect of the moving light on a surface that faces the camera."""
    return 1 + pose.light * (max(float(-_light_direction(pose)[2]), 0.0) - 0.7)


def _shading(
    rig: Rig, vertices: NDArray[np.float64], box: tuple[int, int, int, int], pose: Pose
) -> NDArray[np.float32]:
    """The moving light on each pixel of `box`, relative to a surface facing the camera: h w."""
    left, top, right, bottom = box
    size = (right - left, bottom - top)
    if not pose.light:
        return np.ones((size[1], size[0]), np.float32)
    corners = vertices[rig.skin]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    normals *= -np.sign(normals[:, 2:] + 1e-12)
    lit = np.clip(normals @ _light_direction(pose), 0, 1)
    factors = (1 + pose.light * (lit - 0.7)) / _front_light(pose)
    order = np.argsort(-corners[:, :, 2].mean(axis=1), kind="stable")
    coarse = np.ones((size[1] // 4 + 1, size[0] // 4 + 1), np.float32)
    polygons = _fixed((corners[:, :, :2] - np.array([left, top])) / 4)
    for index in order.tolist():
        cv2.fillConvexPoly(coarse, polygons[index], float(factors[index]), shift=_SHIFT)
    smooth = cv2.GaussianBlur(coarse, (0, 0), 0.035 * rig.head.width_px / 4 + 1.0)
    return np.asarray(cv2.resize(smooth, size, interpolation=cv2.INTER_CUBIC), np.float32)
