"""CIE L*a*b* of sRGB pictures in torch, batched; the D65 constants are OpenCV's.

The formulas are computed as they stand. OpenCV's own float Lab goes through tables on the way
there and is up to half a unit off.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

_WHITE: Final = (0.950456, 1.0, 1.088754)
_RGB_TO_XYZ: Final = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_XYZ_TO_RGB: Final = np.linalg.inv(np.array(_RGB_TO_XYZ)).tolist()
_ROOTS_TO_LAB: Final = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))
_LAB_OFFSET: Final = ((-16.0,), (0.0,), (0.0,))
_LAB_TO_ROOTS: Final = ((1 / 116, 1 / 500, 0.0), (1 / 116, 0.0, 0.0), (1 / 116, 0.0, -1 / 200))
_ROOTS_OFFSET: Final = ((16 / 116,), (16 / 116,), (16 / 116,))
_SRGB_KNEE: Final = 0.04045
_LINEAR_KNEE: Final = 0.0031308
_LAB_KNEE: Final = 0.008856
_LAB_SLOPE: Final = 7.787


def rgb_to_lab(image: Tensor) -> Tensor:
    """L in 0 … 100, a and b about ±127, of RGB in [0, 1]: `b 3 h w`."""
    roots = _root(map_colors(constant(_RGB_TO_XYZ, image) / _white(image), 0.0, _expand(image)))
    return map_colors(constant(_ROOTS_TO_LAB, image), constant(_LAB_OFFSET, image), roots)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """RGB of L*a*b*, cut to [0, 1]: `b 3 h w`."""
    roots = map_colors(constant(_LAB_TO_ROOTS, lab), constant(_ROOTS_OFFSET, lab), lab)
    linear = map_colors(constant(_XYZ_TO_RGB, lab) * _white(lab).T, 0.0, _cube(roots))
    return _compress(linear.clamp_(0, 1)).clamp_(0, 1)


def map_colors(matrix: Tensor, offset: Tensor | float, image: Tensor) -> Tensor:
    """`matrix` (3 3, or one a picture, b 3 3) times every colour of `b 3 h w`, plus `offset` (3 1
    or b 3 1)."""
    pixels = image.flatten(2)
    shape = pixels.shape
    offset = offset if isinstance(offset, Tensor) else pixels.new_full((1, 1), offset)
    # Not matmul: it would give a transposed layout, on which all that follows is slow.
    mapped = torch.baddbmm(offset.expand(shape), matrix.expand(shape[0], 3, 3), pixels)
    return mapped.view_as(image)


# Each curve is a line up to its knee and a power beyond. The sum of the power of max(x, knee) and
# the line of min(x, knee) - knee is the same, and several times as fast as a choice a pixel.


def _expand(encoded: Tensor) -> Tensor:
    above = encoded.clamp(min=_SRGB_KNEE).add_(0.055).mul_(1 / 1.055)
    return _power_(above, 2.4).add_(_below(encoded, _SRGB_KNEE), alpha=1 / 12.92)


def _compress(linear: Tensor) -> Tensor:
    above = _power_(linear.clamp(min=_LINEAR_KNEE), 1 / 2.4).mul_(1.055).sub_(0.055)
    return above.add_(_below(linear, _LINEAR_KNEE), alpha=12.92)


def _root(ratio: Tensor) -> Tensor:
    above = _power_(ratio.clamp(min=_LAB_KNEE), 1 / 3)
    return above.add_(_below(ratio, _LAB_KNEE), alpha=_LAB_SLOPE)


def _cube(root: Tensor) -> Tensor:
    knee = _LAB_KNEE ** (1 / 3)
    return root.clamp(min=knee).pow_(3).add_(_below(root, knee), alpha=1 / _LAB_SLOPE)


def _below(x: Tensor, knee: float) -> Tensor:
    return x.clamp(max=knee).sub_(knee)


def _power_(x: Tensor, exponent: float) -> Tensor:
    """Positive `x` to a power, in place; as fast as two plain operations, which `pow` is not."""
    return x.log_().mul_(exponent).exp_()


def constant(values: ArrayLike, like: Tensor) -> Tensor:
    """Small constants where `like` is and as it is. `tensor(device=…)` would wait for a GPU."""
    made = torch.from_numpy(np.array(values)).to(like.dtype)
    return made.to(like.device, non_blocking=True)


def _white(like: Tensor) -> Tensor:
    return constant(_WHITE, like)[:, None]
