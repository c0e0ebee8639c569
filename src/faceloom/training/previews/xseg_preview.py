"""Previews of a mask model: labelled faces with the mask it finds, and unlabelled ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceloom.models.base import MaskBatch, MaskModel
from faceloom.training.previews.loss_curve import write_text
from faceloom.training.previews.preview import Preview, draw_header

Image = NDArray[np.uint8]

ROWS: Final = 4
_TITLE_PX: Final = 24
_GREEN: Final = (0.0, 1.0, 0.0)


@dataclass(frozen=True)
class XsegFaces:
    """The faces that every preview of a training shows."""

    training: MaskBatch
    """Samples as the training sees them, varied, with what is to be found in them."""
    src: Tensor
    """`n 3 r r`: faces of src as they are; there may be none."""
    dst: Tensor
    """`n 3 r r`: the same of dst."""


def make_xseg_preview(
    model: MaskModel, faces: XsegFaces, losses: NDArray[np.float32], *, iteration: int
) -> Preview:
    """Run the model on the preview faces and draw them. Uses no randomness.

    `plain` has the training faces: tinted outside their label, the mask found, tinted outside that.
    `masked` has src's and dst's faces: as they are, the mask found, tinted. In pretraining both
    have the pictures that the model makes in grey.
    """
    pretrain = model.settings.pretrain
    training = faces.training
    found = model.predict_mask(training.image)
    if pretrain:
        columns = {"picture": training.image, "grey": training.target, "rebuilt": found}
    else:
        columns = {
            "label": tinted(training.image, training.target),
            "mask": found,
            "found": tinted(training.image, found),
        }
    sides: dict[str, Tensor] = {}
    for name, pictures in (("src", faces.src), ("dst", faces.dst)):
        if len(pictures):
            mask = model.predict_mask(pictures)
            sides |= {name: pictures, f"{name} rebuilt" if pretrain else f"{name} mask": mask}
            sides |= {} if pretrain else {f"{name} found": tinted(pictures, mask)}
    return Preview(
        plain=_grid(columns, losses, iteration),
        masked=_grid(sides or columns, losses, iteration),
    )


def tinted(image: Tensor, mask: Tensor) -> Tensor:
    """`b 3 r r`, half green where `mask` (`b 1 r r`) is 0."""
    green = torch.tensor(_GREEN, device=image.device)[None, :, None, None]
    return image * mask + (1 - mask) * (image + green) / 2


def _grid(columns: Mapping[str, Tensor], losses: NDArray[np.float32], iteration: int) -> Image:
    """Columns of `n 3 r r` or `n 1 r r` pictures under their names and the loss graph."""
    stacks = [_cells(column) for column in columns.values()]
    rows = max(len(stack) for stack in stacks)
    side = stacks[0].shape[1]
    body = np.full((rows * side, len(stacks) * side, 3), 24, np.uint8)
    titles = np.full((_TITLE_PX, len(stacks) * side, 3), 24, np.uint8)
    for column, (name, stack) in enumerate(zip(columns, stacks, strict=True)):
        left = column * side
        body[: len(stack) * side, left : left + side] = np.concatenate(list(stack), 0)
        write_text(titles, name, (left + 6, _TITLE_PX - 8))
    graph = draw_header(losses, body.shape[1], iteration, ("mask",))
    return np.concatenate([graph, titles, body], 0)


def _cells(column: Tensor) -> Image:
    """`n r r 3` uint8."""
    pixels = column.detach().float().clamp(0, 1).mul(255).round().byte()
    shown = pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    return np.ascontiguousarray(shown.cpu().numpy())
