"""The loss of JPEG compression without the file: only the transform and the quantisation.

ITU-T T.81 with its Annex K tables, scaled by quality as the Independent JPEG Group's library does,
and 4:2:0 chroma: what encoding with `cv2.imencode` does to a picture, on the training device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_BLOCK = 8
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
_TO_YCC = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def jpeg_loss(image: Tensor, qualities: Tensor) -> Tensor:
    """Compress and decompress `b 3 h w` RGB in [0, 1], whose sides are multiples of 16.

    `qualities`, `b`: integers from 1 (worst) to 100.
    """
    device = image.device
    levels = (image * 255).round()
    ycc = torch.einsum("ij,bjhw->bihw", _on(device, _TO_YCC), levels)
    luma = ycc[:, :1] - 128
    chroma = F.avg_pool2d(ycc[:, 1:], 2)
    luma = _quantised(luma, _table(_LUMA, qualities)) + 128
    chroma = _upsampled(_quantised(chroma, _table(_CHROMA, qualities)))
    restored = torch.cat([luma, chroma], 1)
    rgb = torch.einsum("ij,bjhw->bihw", _on(device, _TO_RGB), restored)
    return rgb.round().clamp(0, 255) / 255


def _table(base: tuple[tuple[int, ...], ...], qualities: Tensor) -> Tensor:
    """Quantisation steps `b 8 8` of each quality."""
    quality = qualities.float()[:, None, None]
    scale = torch.where(quality < 50, torch.floor(5000 / quality), 200 - 2 * quality)
    return torch.floor((_on(qualities.device, base) * scale + 50) / 100).clamp(1, 255)


def _on(device: torch.device, values: tuple[tuple[float, ...], ...]) -> Tensor:
    """A small matrix on `device`, without waiting for the device."""
    return torch.tensor(values, dtype=torch.float32).to(device, non_blocking=True)


def _quantised(planes: Tensor, steps: Tensor) -> Tensor:
    """`b c h w` through the block transform, rounding to `b 8 8` steps, and back."""
    b, c, h, w = planes.shape
    blocks = planes.reshape(b, c, h // _BLOCK, _BLOCK, w // _BLOCK, _BLOCK).transpose(3, 4)
    pixels = blocks.reshape(b, -1, _BLOCK * _BLOCK)
    # Both axes at once, as a product with vectors of 64: faster than one of 8x8 blocks.
    cosine = _cosine(planes.device)
    transform = torch.kron(cosine, cosine)
    steps = steps.reshape(b, 1, -1)
    kept = (pixels @ transform.T / steps).round() * steps
    restored = (kept @ transform).round().clamp(-128, 127)
    return restored.reshape(blocks.shape).transpose(3, 4).reshape(b, c, h, w)


def _cosine(device: torch.device) -> Tensor:
    """The 8x8 matrix of the discrete cosine transform, orthonormal."""
    index = torch.arange(_BLOCK, device=device, dtype=torch.float32)
    rows = torch.cos((2 * index[None] + 1) * index[:, None] * (math.pi / (2 * _BLOCK)))
    rows[0] *= math.sqrt(0.5)
    return rows * math.sqrt(2 / _BLOCK)


def _upsampled(chroma: Tensor) -> Tensor:
    """Twice the sides: three quarters of the nearest sample, one of the next, on each axis."""
    size = (2 * chroma.shape[-2], 2 * chroma.shape[-1])
    return F.interpolate(chroma, size, mode="bilinear", align_corners=False)
