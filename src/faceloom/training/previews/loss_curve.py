"""Loss curves drawn as pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

COLORS: Final = ((240, 165, 60), (80, 170, 245), (120, 210, 120), (220, 110, 200))
"""RGB of the curves: src's and dst's first."""
_BACKGROUND: Final = (24, 26, 30)
_LINE: Final = (70, 74, 82)
_TEXT: Final = (222, 224, 228)
_GRID_LINES: Final = 6
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX


def draw_strip(losses: NDArray[np.float32], width: int, height: int = 100) -> Image:
    """The loss graph above a preview: RGB, min-max bars a column, full scale at twice the mean
    of the last 80 % (training.md 2.10)."""
    image = np.full((height, width, 3), _BACKGROUND, np.uint8)
    finite = losses[np.isfinite(losses).all(1)]
    top = _full_scale(finite)
    for line in range(_GRID_LINES):
        y = round(line * (height - 1) / _GRID_LINES)
        image[y] = _LINE
    _draw_bars(image, finite, top)
    return image


def draw_curve(
    losses: NDArray[np.float32],
    names: Sequence[str] = ("src", "dst"),
    *,
    width: int = 1200,
    height: int = 480,
) -> Image:
    """The whole history (n, columns) with axes and a smoothed curve a column: RGB."""
    left, right, upper, lower = 70, 20, 34, 34
    image = np.full((height, width, 3), _BACKGROUND, np.uint8)
    finite = losses[np.isfinite(losses).all(1)]
    plot = image[upper : height - lower, left : width - right]
    rows, columns = plot.shape[:2]
    top = _full_scale(finite)
    for line in range(_GRID_LINES + 1):
        y = round(line * (rows - 1) / _GRID_LINES)
        plot[y] = _LINE
        value = top * (1 - line / _GRID_LINES)
        write_text(image, f"{value:.3g}", (8, upper + y + 5))
    dim = plot.copy()
    _draw_bars(dim, finite, top)
    plot[:] = (plot * 0.55 + dim * 0.45).astype(np.uint8)
    for column, color in zip(range(losses.shape[1]), COLORS, strict=False):
        _draw_smooth(plot, finite[:, column], top, color)
    _curve_labels(image, finite, len(losses), (left, upper, columns), names)
    return image


def _curve_labels(
    image: Image,
    finite: NDArray[np.float32],
    count: int,
    place: tuple[int, int, int],
    names: Sequence[str],
) -> None:
    left, upper, columns = place
    height = len(image)
    write_text(image, "0", (left, height - 12))
    write_text(image, f"{count}", (left + columns - 60, height - 12))
    write_text(image, "iterations", (left + columns // 2 - 40, height - 12))
    recent = finite[-max(1, len(finite) // 50) :]
    for column, (name, color) in enumerate(zip(names, COLORS, strict=False)):
        label = f"{name} {recent[:, column].mean():.4f}" if len(recent) else name
        write_text(image, label, (left + 140 * column, upper - 12), color=color)


def write_text(
    image: Image,
    text: str,
    at: tuple[int, int],
    *,
    color: tuple[int, int, int] = _TEXT,
    scale: float = 0.45,
) -> None:
    """Write ASCII text with its baseline's left end at (x, y)."""
    x, y = at
    for shadow in ((x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)):
        cv2.putText(image, text, shadow, _FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(image, text, at, _FONT, scale, color, 1, cv2.LINE_AA)


def _full_scale(losses: NDArray[np.float32]) -> float:
    if not len(losses):
        return 1.0
    late = losses[len(losses) // 5 :]
    return max(float(2 * late.mean()), 1e-6)


def _draw_bars(image: Image, losses: NDArray[np.float32], top: float) -> None:
    """A bar from the lowest to the highest loss for each column of pixels."""
    if not len(losses):
        return
    h, w = image.shape[:2]
    edges = np.linspace(0, len(losses), w + 1)
    for x in range(w):
        first = math.floor(edges[x])
        part = losses[first : max(first + 1, math.ceil(edges[x + 1]))]
        for column, color in zip(range(losses.shape[1]), COLORS, strict=False):
            low, high = _row(part[:, column].min(), top, h), _row(part[:, column].max(), top, h)
            image[high : low + 1, x] = color


def _draw_smooth(
    image: Image, losses: NDArray[np.float32], top: float, color: tuple[int, int, int]
) -> None:
    """The mean over a fiftieth of the history, as a line."""
    if len(losses) < 2:
        return
    h, w = image.shape[:2]
    reach = max(1, len(losses) // 50)
    sums = np.concatenate([[0.0], np.cumsum(losses, dtype=np.float64)])
    last = np.unique(np.linspace(1, len(losses), min(w, len(losses))).astype(int))
    first = np.maximum(last - reach, 0)
    means = (sums[last] - sums[first]) / (last - first)
    points: list[tuple[int, int]] = [
        (round(float(x) / len(losses) * (w - 1)), _row(y, top, h))
        for x, y in zip(last, means, strict=True)
    ]
    cv2.polylines(image, [np.array(points, np.int32)], False, color, 2, cv2.LINE_AA)


def _row(value: Any, top: float, height: int) -> int:
    return round((1 - min(float(value) / top, 1.0)) * (height - 1))
