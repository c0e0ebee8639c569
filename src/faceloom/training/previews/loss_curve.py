"""Loss graphs as pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

# RGB of the curves: src and dst first.
COLORS: Final = ((240, 165, 60), (80, 170, 245), (120, 210, 120), (220, 110, 200))
_BACKGROUND: Final = (24, 26, 30)
_LINE: Final = (70, 74, 82)
_TEXT: Final = (222, 224, 228)
_GRID_LINES: Final = 6
_POINTS: Final = 1100
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX


def draw_strip(losses: NDArray[np.float32], width: int, height: int = 100) -> Image:
    """The loss graph above a preview, as in DeepFaceLab: RGB, a bar from the lowest to the highest
    loss per column of pixels. Full scale is twice the mean of the last 80 %."""
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
    """The whole history (n, columns): a curve of moving means, and the range, per column. RGB."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    finite = losses[np.isfinite(losses).all(1)]
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.style.use("dark_background")
        figure = Figure((width / 100, height / 100), dpi=100, facecolor=_hex(_BACKGROUND))
        figure.subplots_adjust(left=0.055, right=0.975, bottom=0.12, top=0.96)
        axes = figure.add_subplot(facecolor=_hex(_BACKGROUND), xlabel="iterations")
        axes.set(xlim=(0, max(len(losses), 1)), ylim=(0, _full_scale(finite)))
        axes.grid(color=_hex(_LINE))
        if len(finite):
            _plot(axes, finite, len(losses), names)
            axes.legend(loc="upper right", labelcolor="linecolor", ncols=len(names))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _plot(axes: Any, losses: NDArray[np.float32], count: int, names: Sequence[str]) -> None:
    """Each column's range, and its mean over a fiftieth of the history."""
    reach = max(1, len(losses) // 50)
    starts = np.unique(np.linspace(0, len(losses) - 1, _POINTS).astype(int))
    x = (starts + 1) * (count / len(losses))
    for values, name, color in zip(losses.T, names, map(_hex, COLORS), strict=False):
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        axes.fill_between(x, low, high, color=color, alpha=0.35, linewidth=0)
        sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
        first = np.maximum(starts + 1 - reach, 0)
        means = (sums[starts + 1] - sums[first]) / (starts + 1 - first)
        axes.plot(x, means, color=color, linewidth=2, label=f"{name} {means[-1]:.4f}")


def _hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def write_text(
    image: Image,
    text: str,
    at: tuple[int, int],
    *,
    color: tuple[int, int, int] = _TEXT,
    scale: float = 0.45,
) -> None:
    """Write ASCII text whose baseline starts at (x, y)."""
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
    """A bar from the lowest to the highest loss in each column of pixels."""
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


def _row(value: Any, top: float, height: int) -> int:
    return round((1 - min(float(value) / top, 1.0)) * (height - 1))
