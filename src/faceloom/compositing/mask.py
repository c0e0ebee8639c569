"""The mask in face space: combined from predicted masks, eroded, blurred.

Sizes are as in DFL: a model of n pixels has masks of 4n pixels, which are the unit of `erode` and
`blur` (docs/internals/merging.md).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.settings.merge import MaskMode

Mask = NDArray[np.float32]

# Mask pixels per model pixel, along each side.
SUPERSAMPLING = 4
# Smaller mask values are 0: an 8-bit frame could not show them.
LEAST = 1.0 / 255.0

# Fixed point for erosion: 14 fractional bits, and room for the overshoot of cubic resizing.
_FIXED = 1 << 14
# Larger discs are applied to a smaller mask: their cost grows with their area, and their edge is
# much smoother than model pixels.
_LARGE_DISC = 64
# A Gaussian with at least this sigma in pixels loses less than 1/500 on a halved picture.
_SMOOTH_SIGMA = 4.0


def combine_masks(mode: MaskMode, learned_prd: Mask, learned_dst: Mask, hull: Mask) -> Mask:
    """The area to replace, `n n` float32 in [0, 1], from three masks of that size."""
    if mode == "full":
        mask = np.ones_like(learned_prd)
    elif mode == "dst":
        mask = hull.copy()
    elif mode == "learned-prd":
        mask = learned_prd.copy()
    elif mode == "learned-dst":
        mask = learned_dst.copy()
    elif mode == "learned-prd*learned-dst":
        mask = learned_prd * learned_dst
    else:
        mask = np.minimum(learned_prd + learned_dst, np.float32(1.0))
    mask[mask < LEAST] = 0.0
    return mask


def finish_mask(mask: Mask, *, erode: int, blur: int) -> Mask:
    """Erode, clear the border and blur: `n n` → `4n 4n` float32 in [0, 1].

    DFL pads the mask with n zeros on each side and crops it at the end. Here the filters assume
    zeros beyond the border, which gives the same mask.
    """
    size = mask.shape[0] * SUPERSAMPLING
    large = _resized(mask, size, cv2.INTER_CUBIC)
    if erode:
        large = _erode(large, erode)
    inset = blur // 2
    if inset:
        kept = np.zeros_like(large)
        inner = slice(inset, max(size - inset, inset))
        kept[inner, inner] = large[inner, inner]
        large = kept
    if blur:
        large = _blur(large, blur | 1)
    return np.clip(large, 0.0, 1.0)


def _resized(mask: NDArray[Any], size: int, interpolation: int) -> NDArray[Any]:
    if mask.shape[0] == size:
        return mask
    return np.asarray(cv2.resize(mask, (size, size), interpolation=interpolation))


def _erode(mask: Mask, diameter: int) -> Mask:
    """Erode by an elliptic kernel of `diameter` pixels; dilate if it is negative."""
    size, across, factor = mask.shape[0], abs(diameter), 1
    while across // factor > _LARGE_DISC and factor < SUPERSAMPLING:
        factor *= 2
    work = _resized(mask, size // factor, cv2.INTER_AREA)
    fixed = np.clip(np.rint(work * _FIXED), -_FIXED, 32767).astype(np.int16)
    across = max(1, round(across / factor))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    if diameter > 0:
        done = cv2.erode(fixed, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    else:
        done = cv2.dilate(fixed, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return _resized(np.asarray(done, np.float32) / _FIXED, size, cv2.INTER_LINEAR)


def _blur(mask: Mask, width: int) -> Mask:
    """Gaussian blur with an odd `width`, OpenCV's default sigma, and zeros beyond the border.

    A wide blur runs on a smaller mask, since it leaves no detail that would be lost there.
    """
    sigma = 0.3 * ((width - 1) * 0.5 - 1) + 0.8
    size, factor = mask.shape[0], 1
    while sigma / (2 * factor) >= _SMOOTH_SIGMA and size % (2 * factor) == 0:
        factor *= 2
    work = _resized(mask, size // factor, cv2.INTER_AREA)
    # Averaging over `factor` pixels was already a blur, by a box of that width.
    rest = float(np.sqrt(sigma**2 - (factor**2 - 1) / 12)) / factor
    reach = 2 * int(np.ceil((width // 2) / factor)) + 1
    done = cv2.GaussianBlur(work, (reach, reach), rest, borderType=cv2.BORDER_CONSTANT)
    return _resized(np.asarray(done, np.float32), size, cv2.INTER_CUBIC)
