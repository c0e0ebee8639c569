"""Random geometry and colour for training samples, in batches on the training device.

The distortions are DeepFaceLab's (docs/internals/sampling.md), composed into one resampling step.
Coordinates are normalised as in `torch.nn.functional.grid_sample` with `align_corners=False`: -1
and 1 are the outer edges of the first and last pixel, so working and output size may differ.

Two defects of the original are fixed on purpose: the two components of the warp are independent,
and the input is not shifted by half a pixel against its target. The strength of the warp is the
effective one of the original, √2 times the nominal one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from faceloom.color import TransferName, TransferStatistics
from faceloom.core import Settings

WARP_STRENGTH: Final = 0.24 * math.sqrt(2)
"""Largest displacement of a control point, in cells of the warp grid."""
WARP_CELLS: Final = (2, 4, 8)
"""Cells per axis of the three warp grids."""
_TRUNCATION: Final = 2.5
_POINTS: Final = WARP_CELLS[-1] + 1
_UNIFORMS: Final = 10


class AugmentSettings(Settings):
    """How a training sample is varied."""

    random_warp: bool = True
    """Distort the network's input, not its target."""
    random_flip: bool = False
    """Mirror a sample with probability `flip_probability`."""
    flip_probability: float = Field(default=0.4, ge=0, le=1)
    """How often a sample is mirrored if `random_flip` is on."""
    scale_range: float = Field(default=0.15, ge=0, le=1)
    """The face is scaled by 1/(1+a) to 1+a."""
    rotation_deg: float = Field(default=10.0, ge=0, le=180)
    """The face is rotated by up to this angle in either direction."""
    shift: float = Field(default=0.05, ge=0, le=1)
    """The face is moved by up to this fraction of the picture size."""
    hsv_power: float = Field(default=0.0, ge=0, le=1)
    """Change hue, saturation and brightness of the network's input by up to this much."""
    ct_mode: TransferName = "none"
    """Give a sample, both input and target, the colours of a reference."""
    ct_statistics: TransferStatistics = "inside"
    """Measure the colours inside the full-face masks, or over the whole picture as DeepFaceLab
    does, where a dark background makes a face dark."""


@dataclass(frozen=True)
class Geometry:
    """Where each output pixel of a batch is taken from."""

    affine: Tensor
    """b 2 3: from output to source, normalised coordinates."""
    warp: Tensor
    """b 2 9 9: displacement (x, y) at control points that span the source, zero at its edge."""
    hsv: Tensor
    """b 3: hue in degrees, saturation and value, to be added."""

    def rows(self, rows: slice) -> Geometry:
        """The geometry of some of the batch's samples."""
        return Geometry(self.affine[rows], self.warp[rows], self.hsv[rows])


def draw_geometry(batch: int, generator: torch.Generator, settings: AugmentSettings) -> Geometry:
    """Random geometry for `batch` samples, on the CPU.

    The same number of random values is drawn whatever the settings, so that switching an option
    does not change the others' draws.
    """
    u = torch.rand(batch, _UNIFORMS, generator=generator, dtype=torch.float64)
    noise = torch.rand(batch, 2, _POINTS, _POINTS, generator=generator, dtype=torch.float64)
    return Geometry(
        affine=_affine(u, settings).float(),
        warp=_warp_field(u[:, 5], _truncated_normal(noise)).float(),
        hsv=_hsv_shift(u[:, 6:9], settings.hsv_power).float(),
    )


def _affine(u: Tensor, settings: AugmentSettings) -> Tensor:
    """Output-to-source matrices: undo mirror, shift, rotation and scale, in this order."""
    angle = torch.deg2rad((2 * u[:, 0] - 1) * settings.rotation_deg)
    low, high = 1 / (1 + settings.scale_range), 1 + settings.scale_range
    scale = low + (high - low) * u[:, 1]
    shift = (2 * u[:, 2:4] - 1) * (2 * settings.shift)
    flipped = (u[:, 4] < settings.flip_probability) & settings.random_flip
    mirror = 1.0 - 2.0 * flipped.double()
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    linear = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    offset = -(linear @ shift[:, :, None])
    columns = torch.stack([mirror, torch.ones_like(mirror)], 1)
    return torch.cat([linear * columns[:, None, :], offset], 2)


def _truncated_normal(u: Tensor) -> Tensor:
    """Uniform values as a normal distribution cut at ±2.5 and divided by 2.5: within ±1."""
    edge = math.erf(_TRUNCATION / math.sqrt(2))
    return torch.erfinv((2 * u - 1) * edge) * (math.sqrt(2) / _TRUNCATION)


def _warp_field(choice: Tensor, noise: Tensor) -> Tensor:
    """Displacements at 9x9 points: a grid of 3, 5 or 9 points, the coarser ones refined.

    A bilinear field on a coarse grid is the same field on the finer one, whose points include
    its own, so that all three can be sampled alike.
    """
    fields: list[Tensor] = []
    for cells in WARP_CELLS:
        points = noise[:, :, : cells + 1, : cells + 1] * (WARP_STRENGTH * 2 / cells)
        inner = F.pad(points[:, :, 1:-1, 1:-1], (1, 1, 1, 1))
        fields.append(F.interpolate(inner, (_POINTS, _POINTS), mode="bilinear", align_corners=True))
    stacked = torch.stack(fields, 1)
    index = (choice * len(WARP_CELLS)).long().clamp(max=len(WARP_CELLS) - 1)
    return stacked[torch.arange(len(index)), index]


def _hsv_shift(u: Tensor, power: float) -> Tensor:
    """Whole degrees of hue within ±max(1, 180·power); saturation and value within ±power/2."""
    if power == 0:
        return torch.zeros_like(u)
    degrees = max(1, int(180 * power))
    hue = torch.floor(u[:, 0] * (2 * degrees + 1)) - degrees
    return torch.stack([hue, (u[:, 1] - 0.5) * power, (u[:, 2] - 0.5) * power], 1)


def affine_grid(geometry: Geometry, size: int, device: torch.device) -> Tensor:
    """Source coordinates of each output pixel, without the warp: b `size` `size` 2."""
    theta = geometry.affine.to(device, non_blocking=True)
    return F.affine_grid(theta, [len(theta), 1, size, size], align_corners=False)


def warp_grid(geometry: Geometry, grid: Tensor) -> Tensor:
    """`grid` with the warp's displacement added: b h w 2. Nothing moves beyond the source."""
    field = geometry.warp.to(grid.device, non_blocking=True)
    moved = F.grid_sample(field, grid, "bilinear", "border", align_corners=True)
    return grid + moved.permute(0, 2, 3, 1)


def sample_image(image: Tensor, grid: Tensor) -> Tensor:
    """Cubic resampling with the edge replicated: b c h w, values kept within [0, 1]."""
    sampled = F.grid_sample(image, grid, "bicubic", "border", align_corners=False)
    return sampled.clamp_(0, 1)


def sample_mask(mask: Tensor, grid: Tensor) -> Tensor:
    """Linear resampling with nothing beyond the edge: b c h w."""
    return F.grid_sample(mask, grid, "bilinear", "zeros", align_corners=False)


def shift_hsv(image: Tensor, shift: Tensor) -> Tensor:
    """Add hue (degrees), saturation and value, b 3, to RGB pictures b 3 h w in [0, 1].

    Choices between channels are products with 0 and 1: `where` and `%` are slow on a CPU.
    """
    r, g, b = image.unbind(1)
    value = torch.maximum(torch.maximum(r, g), b)
    chroma = value - torch.minimum(torch.minimum(r, g), b)
    # In sixths of a circle, by which channel is the highest. The smallest difference of two
    # pictures' values times 2^32 is beyond 1.
    not_r, not_g = ((value - c).mul_(2.0**32).clamp_(max=1) for c in (r, g))
    is_g, is_b = not_r * (1 - not_g), not_r * not_g
    ahead = g + is_g * (b - g) + is_b * (r - g)
    behind = b + is_g * (r - b) + is_b * (g - b)
    hue = (ahead - behind).div_(chroma.clamp(min=1e-12)).add_(is_g, alpha=2).add_(is_b, alpha=4)
    hue += shift[:, 0, None, None] / 60
    saturation = (chroma / value.clamp(min=1e-12)).add_(shift[:, 1, None, None]).clamp_(0, 1)
    value = (value + shift[:, 2, None, None]).clamp_(0, 1)
    offsets = torch.tensor([5.0, 3.0, 1.0]).to(image.device, non_blocking=True)
    k = hue[:, None] + offsets[:, None, None]
    k -= (k * (1 / 6)).floor_().mul_(6)
    ramp = torch.minimum(k, 4 - k).clamp_(0, 1)
    return torch.addcmul(value[:, None], ramp, (value * saturation)[:, None], value=-1)
