"""Which pixels of two pictures a colour transfer measures."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError

MaskStatistics = Literal["black", "inside"]
"""How a transfer leaves out what a mask leaves out: counted as black, or not counted."""


def inside_of(
    image: NDArray[Any], reference: NDArray[Any], mask: NDArray[Any] | None
) -> NDArray[np.bool_] | None:
    """Where the mask (`h w` or `h w 1`) is at least 0.5: `h w`, or None without a mask.

    Raises `InputError` when mask, image and reference differ in size.
    """
    if mask is None:
        return None
    if not image.shape[:2] == reference.shape[:2] == mask.shape[:2]:
        raise InputError(
            f"colour transfer: mask {mask.shape[:2]}, picture {image.shape[:2]} and reference "
            f"{reference.shape[:2]} differ in size"
        )
    return mask.reshape(mask.shape[:2]) >= 0.5


def measured(
    picture: NDArray[np.float32], inside: NDArray[np.bool_] | None, statistics: MaskStatistics
) -> NDArray[np.float32]:
    """The pixels of `h w 3` that count, `n 3`: all of them, those inside, or all with black
    outside. Black is 0 in RGB as in Lab."""
    if inside is None:
        return picture.reshape(-1, 3)
    if statistics == "inside":
        return picture[inside]
    return np.where(inside[..., None], picture, np.float32(0.0)).reshape(-1, 3)
