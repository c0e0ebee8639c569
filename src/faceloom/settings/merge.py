"""Settings of merging, in DeepFaceLab's words and units."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from faceloom.core.config import Option, Settings
from faceloom.core.vocabulary import MaskStatistics, TransferName

MaskMode = Literal[
    "full",
    "dst",
    "learned-prd",
    "learned-dst",
    "learned-prd*learned-dst",
    "learned-prd+learned-dst",
]


class MergeSettings(Settings):
    """How predicted faces are composited onto the frames."""

    mode: Annotated[Literal["overlay"], Option(hidden=True)] = "overlay"
    """Blend mode: `overlay` lays the face over the frame through the mask."""

    mask_mode: MaskMode = "learned-prd*learned-dst"
    """Which area is replaced: the whole crop (`full`), the hull of the frame's landmarks (`dst`),
    the mask learned for the predicted face (`learned-prd`) or for the frame's face
    (`learned-dst`), or the product (`*`) or sum (`+`) of the two."""

    morph_factor: float = Field(default=1.0, ge=0, le=1)
    """How far an AMP model goes from dst's face (0) to src's (1). Other models ignore it."""

    erode: int = Field(default=0, ge=-400, le=400)
    """Shrink (above 0) or grow (below 0) the mask by this diameter, in quarter pixels of the
    model's picture."""

    blur: int = Field(default=32, ge=0, le=400)
    """Soften the edge of the mask over this width, in quarter pixels of the model's picture. The
    mask also stays half of it away from the border of the crop. DFL's default is 0, which shows
    seams."""

    face_scale: int = Field(default=0, ge=-50, le=50)
    """Enlarge or shrink the pasted face, in percent."""

    color_transfer: TransferName = "rct"
    """Match the colours of the predicted face to the frame's face: `rct` matches mean and spread
    in Lab (Reinhard); `lct` and `mkl` also match how the channels correlate; `idt` and `sot` match
    the whole distribution, which is slow."""

    color_statistics: MaskStatistics = "black"
    """How colour transfer treats pixels outside the mask: `black` counts them as black, as DFL
    does; `inside` measures inside the mask only."""
