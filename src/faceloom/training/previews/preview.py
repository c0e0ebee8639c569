"""Preview pictures: grids of faces under the loss graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from faceloom.training.previews.loss_curve import draw_strip, write_text

Image = NDArray[np.uint8]

ROWS: Final = 4
_LARGEST_CELL_PX: Final = 384
_SMALLEST_CELL_PX: Final = 160
_TITLE_PX: Final = 24
_CAPTION_PX: Final = 22
_CAPTION_WIDTH_PX: Final = 300
_GREY: Final = 24


@dataclass(frozen=True)
class Preview:
    """The pictures of one moment of a training, RGB uint8."""

    plain: Image
    """Rows of faces and what the model makes of them, below a loss graph."""
    masked: Image
    """The same inside the masks."""
    more: Mapping[str, Image] = field(default_factory=lambda: dict[str, Image]())
    """Further pictures by name, such as `morph`."""

    @property
    def pictures(self) -> dict[str, Image]:
        """All pictures by name."""
        return {"plain": self.plain, "masked": self.masked, **self.more}


def draw_grid(
    columns: Mapping[str, Tensor],
    losses: NDArray[np.float32],
    iteration: int,
    loss_names: Sequence[str],
) -> Image:
    """Columns of `n 3 r r` or `n 1 r r` pictures under their names and the loss graph."""
    stacks = [_cells(column) for column in columns.values()]
    rows, side = max(len(stack) for stack in stacks), stacks[0].shape[1]
    width = len(stacks) * side
    body = np.full((rows * side, width, 3), _GREY, np.uint8)
    titles = np.full((_TITLE_PX, width, 3), _GREY, np.uint8)
    for column, (name, stack) in enumerate(zip(columns, stacks, strict=True)):
        left = column * side
        body[: len(stack) * side, left : left + side] = np.concatenate(list(stack), 0)
        write_text(titles, name, (left + 6, _TITLE_PX - 8))
    graph = draw_strip(losses, width)
    graph[:_CAPTION_PX, :_CAPTION_WIDTH_PX] //= 4
    write_text(graph, _caption(losses, iteration, loss_names), (6, 16))
    return np.concatenate([graph, titles, body], 0)


def _caption(losses: NDArray[np.float32], iteration: int, names: Sequence[str]) -> str:
    recent = losses[-100:]
    recent = recent[np.isfinite(recent).all(1)]
    if not len(recent):
        return f"iteration {iteration}"
    means = zip(names, recent.mean(0), strict=True)
    return "   ".join([f"iteration {iteration}", *(f"{name} {mean:.4f}" for name, mean in means)])


def _cells(column: Tensor) -> Image:
    """Pictures in [0, 1] as `n c c 3` uint8, at a size that is easy to look at."""
    pixels = column.detach().float().clamp(0, 1).mul(255).round().byte()
    images = pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()
    side = images.shape[1]
    cell = min(max(side, _SMALLEST_CELL_PX), _LARGEST_CELL_PX)
    if cell == side:
        return np.ascontiguousarray(images)
    mode = cv2.INTER_AREA if cell < side else cv2.INTER_CUBIC
    resized = [
        cv2.resize(np.ascontiguousarray(image), (cell, cell), interpolation=mode)
        for image in images
    ]
    return np.stack(resized).astype(np.uint8)
