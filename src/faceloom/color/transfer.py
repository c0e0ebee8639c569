"""Colour transfer: give one picture the colours of another.

Reinhard et al., "Color Transfer between Images", IEEE CG&A 2001, in OpenCV's float CIE-Lab as
DFL does it (reference: pipeline.md 6.5, training.md 6.8).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.color.linear import lct, mkl
from faceloom.color.pixels import MaskStatistics, inside_of, measured
from faceloom.color.transport import idt, sot
from faceloom.core.registry import Registry

Transfer = Callable[..., NDArray[np.float32]]

LAB_LOW = np.array([0.0, -127.0, -127.0], np.float32)
LAB_HIGH = np.array([100.0, 127.0, 127.0], np.float32)
# Below this spread (Lab units; a visible step is about 1) a channel is flat, and dividing by it
# would only blow up rounding noise.
FLAT = 1e-3


def rct(
    image: NDArray[np.float32],
    reference: NDArray[np.float32],
    mask: NDArray[np.float32] | None = None,
    *,
    statistics: MaskStatistics = "black",
) -> NDArray[np.float32]:
    """Give `image` the mean and spread of `reference` in each Lab channel.

    Args:
        image: `h w 3` float32 RGB in [0, 1], the picture to change.
        reference: RGB float32 in [0, 1]; with a mask, of the same size as `image`.
        mask: `h w` float32; pixels of both pictures below 0.5 are left out of the statistics (but
            changed like the others).
        statistics: how they are left out. "black" is DFL's way, with which its users' eyes were
            trained: such pixels count as Lab 0, so that the spread of L follows mostly the mean.
            "inside" takes the statistics over the mask alone, which is Reinhard's definition.

    Returns:
        `h w 3` float32 RGB in [0, 1]. A channel that is flat in `image` is only shifted, where
        DFL divides by zero; a mask without a pixel of 0.5 changes nothing.

    Raises:
        InputError: when the sizes of mask and pictures differ.
    """
    inside = inside_of(image, reference, mask)
    if inside is not None and not inside.any():
        return image.copy()
    lab = _convert(image, cv2.COLOR_RGB2LAB)
    mean, spread = _moments(lab, inside, statistics)
    mean_to, spread_to = _moments(_convert(reference, cv2.COLOR_RGB2LAB), inside, statistics)
    flat = spread < FLAT
    gain = np.where(flat, 1.0, spread_to / np.where(flat, 1.0, spread))
    moved = (lab - mean.astype(np.float32)) * gain.astype(np.float32) + mean_to.astype(np.float32)
    np.clip(moved, LAB_LOW, LAB_HIGH, out=moved)
    return np.clip(_convert(moved, cv2.COLOR_LAB2RGB), np.float32(0), np.float32(1))


def _convert(image: NDArray[np.float32], code: int) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image, code), np.float32)


def _moments(
    lab: NDArray[np.float32], inside: NDArray[np.bool_] | None, statistics: MaskStatistics
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and population spread per channel, `3` float64 each."""
    chosen = measured(lab, inside, statistics)
    mean, spread = cv2.meanStdDev(np.ascontiguousarray(chosen)[:, None, :])
    return np.asarray(mean, np.float64).ravel(), np.asarray(spread, np.float64).ravel()


TRANSFERS: Registry[Transfer] = Registry(
    "colour transfer", {"rct": rct, "lct": lct, "mkl": mkl, "idt": idt, "sot": sot}
)
