"""Effects that degrade a mask model's training pictures: light, colour, blur, lost detail.

Each works on a whole batch with its own strength per sample. Pictures are `b 3 r r` RGB float32 in
[0, 1], before and after; `r` is the side.

Blurs and rescalings are linear and separable, so each is a pair of products with an `r r` matrix:
what OpenCV makes of the identity. The host builds the matrices and the device multiplies, so a
sample's kernel size is not a shape for which a graph would be compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Blur = Literal["box", "gaussian"]

MOTION_TAPS = 5
"""Side of the largest motion kernel."""


def blur_matrix(kind: Blur, size_px: int, side: int) -> Tensor:
    """`side side`: a blur of `size_px` (odd) pixels along one axis, the picture mirrored at its
    edge; the σ of a Gaussian is OpenCV's for this size."""
    identity = np.eye(side, dtype=np.float32)
    if kind == "box":
        return torch.from_numpy(np.asarray(cv2.blur(identity, (1, size_px))))
    return torch.from_numpy(np.asarray(cv2.GaussianBlur(identity, (1, size_px), 0)))


def rescale_matrix(small_px: int, side: int, *, smooth: bool) -> Tensor:
    """`side side`: shrink a line to `small_px` and restore it, linearly (`smooth`) or by nearest
    pixels, as OpenCV does."""
    mode = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    shrunk = cv2.resize(np.eye(side, dtype=np.float32), (side, small_px), interpolation=mode)
    return torch.from_numpy(np.asarray(cv2.resize(shrunk, (side, side), interpolation=mode)))


def filtered(image: Tensor, matrices: Tensor) -> Tensor:
    """Apply to each picture its own matrix of `b r r`, along both axes."""
    with torch.autocast(image.device.type, enabled=False):
        return matrices[:, None] @ image @ matrices.mT[:, None]


def sharpened(image: Tensor, matrices: Tensor, amounts: Tensor) -> Tensor:
    """Add `amounts` (`b`) times what the blur by `matrices` removes: −1 is the blur itself, and
    positive values sharpen."""
    gain = amounts[:, None, None, None]
    return (image + gain * (image - filtered(image, matrices))).clamp(0, 1)


def motion_kernel(size_px: int, angle_deg: float) -> Tensor:
    """`5 5`, summing to 1: a line of `size_px` (1 to 5) pixels rotated by `angle_deg`."""
    line = np.zeros((size_px, size_px), np.float32)
    line[(size_px - 1) // 2] = 1
    centre = ((size_px - 1) / 2, (size_px - 1) / 2)
    turn = cv2.getRotationMatrix2D(centre, angle_deg, 1.0)
    turned = np.asarray(cv2.warpAffine(line, turn, (size_px, size_px)))
    kernel = np.zeros((MOTION_TAPS, MOTION_TAPS), np.float32)
    first = MOTION_TAPS // 2 - size_px // 2
    kernel[first : first + size_px, first : first + size_px] = turned / turned.sum()
    return torch.from_numpy(kernel)


def motion_blurred(image: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each picture, mirrored at its edge, with its own kernel of `b 5 5`."""
    b, c, h, w = image.shape
    reach = MOTION_TAPS // 2
    padded = F.pad(image, (reach,) * 4, "reflect")
    weights = kernels.repeat_interleave(c, 0)[:, None]
    lines = padded.reshape(1, b * c, h + 2 * reach, w + 2 * reach)
    return F.conv2d(lines, weights, groups=b * c).reshape(b, c, h, w)


def levelled(image: Tensor, levels: Tensor) -> Tensor:
    """Apply levels, `b 3 5` per channel: input black and white, gamma, output black and white.

    y = clip((x − ib)/(iw − ib))^(1/γ)·(ow − ob) + ob.
    """
    black, white, gamma, low, high = levels[..., None, None].unbind(2)
    spread = ((image - black) / (white - black)).clamp(0, 1)
    return spread.pow(1 / gamma) * (high - low) + low


def flared(image: Tensor, part: Tensor, matrices: Tensor) -> Tensor:
    """Add a blur of the picture inside `part` (`b 1 r r`) to all of it, like spilled light."""
    return (image + filtered(image * part, matrices)).clamp(0, 1)


def soft_circles(circles: Tensor, side: int) -> Tensor:
    """`b 1 r r` weights of circles `b 4`, in pixels: centre x and y, the radius inside which the
    weight is 1, and the width over which it then fades to 0."""
    x, y, radius, fade = circles[:, :, None, None].unbind(1)
    axis = torch.arange(side, device=circles.device, dtype=circles.dtype)
    distance = torch.hypot(axis[None, None, :] - x, axis[None, :, None] - y)
    return (1 - (distance - radius) / fade.clamp(min=1)).clamp(0, 1)[:, None]


def blended(image: Tensor, changed: Tensor, weight: Tensor) -> Tensor:
    """`changed` where `weight` (`b 1 r r`) is 1, `image` where it is 0."""
    return torch.lerp(image, changed, weight)


def stacked(matrices: Sequence[Tensor], device: torch.device) -> Tensor:
    """Matrices on the host as one tensor on `device`."""
    return torch.stack(list(matrices)).to(device, non_blocking=True)
