"""Preview grids: what the model makes of a few fixed faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from faceloom.models import FaceModel
from faceloom.samples import SampleBatch, SampleStore, plain_batch
from faceloom.training.previews.chosen import choose_named
from faceloom.training.previews.loss_curve import draw_strip, write_text

Image = NDArray[np.uint8]

ROWS: Final = 4
COLUMNS: Final = ("src", "src-src", "dst", "dst-dst", "src-dst")
"""DFL's words: whose face, in whose place. The last is the swap."""
MORPHS: Final = (0.25, 0.5, 0.65, 0.75, 1.0)
"""How far towards src the faces of an AMP model's `morph` preview go, beside dst-dst."""
_LARGEST_CELL_PX: Final = 384
_SMALLEST_CELL_PX: Final = 160
_TITLE_PX: Final = 24
_CAPTION_PX: Final = 22
_CAPTION_WIDTH_PX: Final = 300


@dataclass(frozen=True)
class Preview:
    """One moment of a training, RGB uint8."""

    plain: Image
    """`ROWS` rows of `COLUMNS`, below a loss graph."""
    masked: Image
    """The same inside the masks: the faces' own left of each pair, the learned ones right."""
    more: Mapping[str, Image] = field(default_factory=lambda: dict[str, Image]())
    """Further pictures by name, such as `morph`."""


@dataclass(frozen=True)
class PreviewFaces:
    """The faces that every preview of a training shows."""

    src: SampleBatch
    dst: SampleBatch


def choose_faces(
    src: SampleStore,
    dst: SampleStore,
    *,
    resolution: int,
    src_names: Sequence[str] = (),
    dst_names: Sequence[str] = (),
) -> PreviewFaces:
    """The named faces; of a side without names, faces spread evenly over its head yaw.

    Always the same for the same facesets. Raises `InputError` for a name that is not there.
    """
    rows = min(max(len(src_names), len(dst_names)) or ROWS, len(src), len(dst))
    sides = [
        plain_batch(
            store,
            choose_named(store, names, rows) if names else _spread(store.yaw_rad, rows),
            resolution=resolution,
        )
        for store, names in ((src, src_names), (dst, dst_names))
    ]
    return PreviewFaces(*sides)


def _spread(yaw_rad: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    by_yaw = np.argsort(yaw_rad, kind="stable")
    places = ((np.arange(count) + 0.5) / count * len(by_yaw)).astype(np.int64)
    return by_yaw[places].astype(np.int64)


def make_preview(
    model: FaceModel, faces: PreviewFaces, losses: NDArray[np.float32], *, iteration: int
) -> Preview:
    """Run the model on the preview faces and draw the grids. Uses no randomness."""
    made = model.reconstruct(faces.src.target, faces.dst.target)
    plain = (faces.src.target, made.src_src, faces.dst.target, made.dst_dst, made.src_dst)
    swap_mask = made.src_dst_mask
    if model.settings.face_type != "head":
        swap_mask = swap_mask * made.dst_dst_mask
    masks = (faces.src.mask, made.src_src_mask, faces.dst.mask, made.dst_dst_mask, swap_mask)
    masked = tuple(image * mask for image, mask in zip(plain, masks, strict=True))
    whole, inside = (_grid(columns, COLUMNS, losses, iteration) for columns in (plain, masked))
    more: dict[str, Image] = {}
    if "morph_factor" in type(model.settings).model_fields:
        swaps = [model.predict(faces.dst.target, morph=value).face for value in MORPHS]
        columns = (faces.dst.target, made.dst_dst, *swaps)
        titles = ("dst", "dst-dst", *(f"{value:g}" for value in MORPHS))
        more["morph"] = _grid(columns, titles, losses, iteration)
    return Preview(whole, inside, more)


def _grid(
    columns: Sequence[Tensor],
    titles: Sequence[str],
    losses: NDArray[np.float32],
    iteration: int,
) -> Image:
    """Columns of `b 3 r r` pictures under titles and the loss graph."""
    stacks = [_cells(column) for column in columns]
    body = np.concatenate([np.concatenate(list(stack), 0) for stack in stacks], 1)
    width = body.shape[1]
    heading = np.full((_TITLE_PX, width, 3), 24, np.uint8)
    for number, name in enumerate(titles):
        write_text(heading, name, (number * width // len(titles) + 6, _TITLE_PX - 8))
    return np.concatenate([draw_header(losses, width, iteration), heading, body], 0)


def draw_header(
    losses: NDArray[np.float32],
    width: int,
    iteration: int,
    names: Sequence[str] = ("src", "dst"),
) -> Image:
    """The loss graph above a preview, with its caption: RGB, `width` wide."""
    graph = draw_strip(losses, width)
    graph[:_CAPTION_PX, :_CAPTION_WIDTH_PX] //= 4
    write_text(graph, _caption(losses, iteration, names), (6, 16))
    return graph


def _caption(losses: NDArray[np.float32], iteration: int, names: Sequence[str]) -> str:
    recent = losses[-100:]
    recent = recent[np.isfinite(recent).all(1)]
    if not len(recent):
        return f"iteration {iteration}"
    means = zip(names, recent.mean(0), strict=True)
    return "   ".join([f"iteration {iteration}", *(f"{name} {mean:.4f}" for name, mean in means)])


def _cells(column: Tensor) -> Image:
    """`b 3 r r` as `b c c 3` uint8 at a size that people can look at."""
    pixels = column.detach().float().clamp(0, 1).mul(255).round().byte()
    images = pixels.permute(0, 2, 3, 1).cpu().numpy()
    side = images.shape[1]
    cell = min(max(side, _SMALLEST_CELL_PX), _LARGEST_CELL_PX)
    if cell == side:
        return images
    mode = cv2.INTER_AREA if cell < side else cv2.INTER_CUBIC
    resized = [cv2.resize(image, (cell, cell), interpolation=mode) for image in images]
    return np.stack(resized).astype(np.uint8)
