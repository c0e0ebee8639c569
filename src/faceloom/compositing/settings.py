"""What a merge can be told, in DFL's words and units."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from faceloom.color import MaskStatistics, TransferName
from faceloom.core import Settings

MaskMode = Literal[
    "full",
    "dst",
    "learned-prd",
    "learned-dst",
    "learned-prd*learned-dst",
    "learned-prd+learned-dst",
]


class MergeSettings(Settings):
    """How predicted faces are put on the frames (reference: pipeline.md 6.4, 6.7)."""

    mode: Literal["overlay"] = "overlay"
    """How the face is blended: `overlay` lays it over the frame through the mask."""

    mask_mode: MaskMode = "learned-prd*learned-dst"
    """Which area of the crop is replaced: all of it (`full`), the hull of the frame's landmarks
    (`dst`), the mask learned for the predicted or for the frame's face, or their product (`*`) or
    sum (`+`)."""

    morph_factor: float = Field(default=1.0, ge=0, le=1)
    """How far an AMP model goes from dst's face (0) to src's (1); other models go all the way."""

    erode: int = Field(default=0, ge=-400, le=400)
    """Shrinks (above 0) or grows (below 0) the mask, by this diameter in quarter pixels of the
    model's picture."""

    blur: int = Field(default=32, ge=0, le=400)
    """Softens the mask's edge over this width, in quarter pixels of the model's picture. The edge
    also keeps half of it away from the crop's border. DFL starts at 0, where seams show."""

    face_scale: int = Field(default=0, ge=-50, le=50)
    """Makes the pasted face larger or smaller, in percent."""

    color_transfer: TransferName = "rct"
    """Gives the predicted face the colours of the frame's: `rct` is Reinhard's mean and spread in
    Lab; `lct` and `mkl` also match how the channels go together; `idt` and `sot` match whole
    distributions, slowly."""

    color_statistics: MaskStatistics = "black"
    """How colour transfer leaves out what the mask leaves out: `black` counts such pixels as
    black, as DFL does; `inside` measures inside the mask only."""
