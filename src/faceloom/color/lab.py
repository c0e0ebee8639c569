"""CIE L*a*b* of sRGB pictures in torch, batched; the D65 constants are those of OpenCV.

The formulas are computed exactly. OpenCV's float Lab uses tables and is up to half a unit off.

Each curve is a line up to its knee and a power beyond: f(max(x, knee)) + slope (min(x, knee) -
knee). On a CPU this is several times faster than a choice per pixel, as is `exp(log)` compared with
`pow`. Constant terms and factors are moved into the linear map that follows.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

_WHITE: Final = np.array([0.950456, 1.0, 1.088754])
_RGB_TO_XYZ: Final = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_ROOTS_TO_LAB: Final = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
_LAB_OFFSET: Final = np.array([[-16.0], [0.0], [0.0]])
_SRGB_KNEE: Final = 0.04045
_SRGB_SCALE: Final = 1.055**2.4
_LINEAR_KNEE: Final = 0.0031308
_LAB_KNEE: Final = 0.008856
_LAB_SLOPE: Final = 7.787
_ROOT_KNEE: Final = _LAB_KNEE ** (1 / 3)

# From the output of each curve to the input of the next one: matrix and offset.
_TO_XYZ: Final = _RGB_TO_XYZ / _WHITE[:, None]
_LINEAR_TO_XYZ: Final = (
    _TO_XYZ / _SRGB_SCALE,
    -_SRGB_KNEE / 12.92 * _TO_XYZ.sum(1, keepdims=True),
)
_TO_LAB: Final = (
    _ROOTS_TO_LAB,
    _LAB_OFFSET - _LAB_SLOPE * _LAB_KNEE * _ROOTS_TO_LAB.sum(1, keepdims=True),
)
_TO_ROOTS: Final = (np.linalg.inv(_ROOTS_TO_LAB), -np.linalg.inv(_ROOTS_TO_LAB) @ _LAB_OFFSET)
_TO_LINEAR: Final = (
    np.linalg.inv(_TO_XYZ),
    -_ROOT_KNEE / _LAB_SLOPE * np.linalg.inv(_TO_XYZ).sum(1, keepdims=True),
)


@torch.no_grad()
def rgb_to_lab(image: Tensor) -> Tensor:
    """L in 0 … 100, a and b about ±127, of RGB in [0, 1]: `b 3 h w`."""
    scratch = torch.clamp(image, max=_SRGB_KNEE)
    linear = _power_(image.clamp(min=_SRGB_KNEE).add_(0.055), 2.4)
    linear.add_(scratch, alpha=_SRGB_SCALE / 12.92)
    ratio = _mapped(_LINEAR_TO_XYZ, linear)
    torch.clamp(ratio, max=_LAB_KNEE, out=scratch)
    roots = _power_(ratio.clamp_(min=_LAB_KNEE), 1 / 3).add_(scratch, alpha=_LAB_SLOPE)
    return _mapped(_TO_LAB, roots, out=linear)


@torch.no_grad()
def lab_to_rgb(lab: Tensor) -> Tensor:
    """RGB of L*a*b*, clipped to [0, 1]: `b 3 h w`."""
    roots = _mapped(_TO_ROOTS, lab)
    scratch = torch.clamp(roots, max=_ROOT_KNEE)
    ratio = roots.clamp_(min=_ROOT_KNEE).pow_(3).add_(scratch, alpha=1 / _LAB_SLOPE)
    linear = _mapped(_TO_LINEAR, ratio)
    torch.clamp(linear, 0, _LINEAR_KNEE, out=scratch)
    encoded = _power_(linear.clamp_(_LINEAR_KNEE, 1), 1 / 2.4).mul_(1.055)
    encoded.add_(scratch, alpha=12.92).sub_(0.055 + 12.92 * _LINEAR_KNEE)
    return encoded.clamp_(0, 1)


def _mapped(
    by: tuple[NDArray[Any], NDArray[Any]], image: Tensor, out: Tensor | None = None
) -> Tensor:
    matrix, offset = by
    return map_colors(constant(matrix, image), constant(offset, image), image, out=out)


def map_colors(
    matrix: Tensor, offset: Tensor, image: Tensor, *, out: Tensor | None = None
) -> Tensor:
    """`matrix` (3 3, or one a picture, b 3 3) times every colour of `b 3 h w`, plus `offset` (3 1
    or b 3 1); written to `out`, if given, which must not be `image`."""
    pixels = image.flatten(2)
    shape = pixels.shape
    # Not matmul: its transposed layout would slow down everything that follows.
    mapped = torch.baddbmm(
        offset.expand(shape),
        matrix.expand(shape[0], 3, 3),
        pixels,
        out=None if out is None else out.flatten(2),
    )
    return mapped.view_as(image)


def constant(values: ArrayLike, like: Tensor) -> Tensor:
    """Small constants with device and dtype of `like`. `tensor(device=…)` would wait for a GPU."""
    made = torch.from_numpy(np.array(values)).to(like.dtype)
    return made.to(like.device, non_blocking=True)


def _power_(x: Tensor, exponent: float) -> Tensor:
    """Positive `x` to a power, in place."""
    return x.log_().mul_(exponent).exp_()
