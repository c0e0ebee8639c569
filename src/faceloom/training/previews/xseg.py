"""Previews of a mask model: labelled faces with the mask that it finds, and unlabelled faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceloom.models import MaskModel
from faceloom.nn.batch import MaskBatch
from faceloom.training.previews.preview import Preview, draw_grid

_GREEN: Final = (0.0, 1.0, 0.0)


@dataclass(frozen=True)
class XsegFaces:
    """The faces in every preview of a training."""

    training: MaskBatch
    """Varied samples, as the training sees them, with their targets."""
    src: Tensor
    """`n 3 r r`: unchanged faces of src; may be empty."""
    dst: Tensor
    """`n 3 r r`: the same for dst."""


def make_xseg_preview(
    model: MaskModel, faces: XsegFaces, losses: NDArray[np.float32], *, iteration: int
) -> Preview:
    """Run the model on the preview faces and draw them. Uses no randomness.

    `plain` has the training faces: tinted outside their label, the mask that the model finds, and
    tinted outside that mask. `masked` has the faces of src and dst: unchanged, the mask, and
    tinted. In pretraining both have the grey pictures that the model makes.
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
        plain=draw_grid(columns, losses, iteration, ("mask",)),
        masked=draw_grid(sides or columns, losses, iteration, ("mask",)),
    )


def tinted(image: Tensor, mask: Tensor) -> Tensor:
    """`b 3 r r`, half green where `mask` (`b 1 r r`) is 0."""
    green = torch.tensor(_GREEN, device=image.device)[None, :, None, None]
    return image * mask + (1 - mask) * (image + green) / 2
