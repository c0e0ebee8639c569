"""Colour transfer of whole batches on their device, in torch.

`rct`, `lct` and `mkl` are the same as in `transfer`, up to rounding. `sot` and `idt` are estimated
from some of the pixels, so that they cost no more than resampling a sample:

* `sot` transports a grid of pixels and spreads the change smoothly over the picture. (The exact one
  filters the change with a disc of radius 24 px, which loses its fine detail, too.)
* `idt` is a map of colours, learned from a grid of pixels and stored as a table of 17 nodes per
  channel over the colours of the picture.

On faces of 128 and 256 px both differ from the exact versions, given the same random directions, by
0.6 to 0.9 of 255 levels (RMS). Another choice of directions changes the result by 1.5 (`sot`) and
0.9 (`idt`); the transfer itself changes 25 to 40.

With masks, only what lies inside is measured; the resulting map of colours is applied to the whole
picture, so that a mask leaves no edge. Places spread evenly over the mask's weight then take the
part of the grid, so that they all count alike. Weights are summed as integers, since the order of
addition does not change such sums on a GPU.

Nothing here makes the host wait for the device, and the result of a picture does not depend on the
others in its batch.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from faceloom.color.lab import constant, lab_to_rgb, map_colors, rgb_to_lab
from faceloom.color.transfer import (
    FLAT,
    IDT_BINS,
    IDT_ITERATIONS,
    LAB_HIGH,
    LAB_LOW,
    LCT_RIDGE,
    MKL_FLOOR,
    SOT_DIRECTIONS,
    SOT_STEPS,
    rotations,
)
from faceloom.core import InputError
from faceloom.core.vocabulary import TransferName

_EIGENVALUE_FLOOR: Final = 1e-14
# A mask with a smaller share of its picture says nothing about the colours of a face.
_LEAST_SHARE: Final = 0.01
_SOT_CELLS: Final = 48
# Larger pictures have more cells.
_SOT_CELL_PX: Final = 16.0
# (1 - (d/28)²)² along each axis approximates, to 1 %, the disc-shaped Gaussian of σ 16 px, cut off
# at 24 px, that the bilateral filter of OpenCV is if colour does not matter.
_SOT_REACH_PX: Final = 28.0
# Far from every weighted pixel, the change continues as a mean by distance, with this weight.
_SOT_TAIL: Final = 0.01
_IDT_CELLS: Final = 32
_IDT_NODES: Final = 17
# About as many as cells; primes, so that the steps between places do not align with pixel rows.
_SOT_PLACES: Final = 2053
_IDT_PLACES: Final = 1031
_WEIGHT_LEVELS: Final = 255

Weights = tuple[Tensor, Tensor]
"""How much each pixel of a picture and of its reference counts, b 1 h w each in [0, 1], not all 0.
"""


@torch.no_grad()
def transfer_batch(
    mode: TransferName,
    image: Tensor,
    reference: Tensor,
    generator: torch.Generator,
    masks: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Give each picture the colours of its reference.

    Args:
        mode: the transfer; `none` returns `image`.
        image: `b 3 h w` float32 RGB in [0, 1].
        reference: `b 3 h' w'`, of any size, on the same device.
        generator: on the CPU; source of the random directions of `idt` and `sot`, which are the
            same for the whole batch, whatever its size.
        masks: of `image` and of `reference`, `b 1 h w` each in [0, 1]: the weight of each pixel.
            None, or a mask that is (nearly) empty: the whole pictures of this pair count.

    Returns:
        `b 3 h w` float32 RGB in [0, 1].
    """
    if mode == "none":
        return image
    weights = None if masks is None else _pair_weights(masks)
    if mode == "rct":
        return _rct(image, reference, weights)
    if mode in ("lct", "mkl"):
        return _linear(mode, image, reference, weights)
    if mode == "idt":
        return idt_batch(image, reference, generator, weights)
    if mode == "sot":
        return sot_batch(image, reference, generator, weights)
    raise InputError(f"unknown colour transfer {mode!r}")


def _pair_weights(masks: tuple[Tensor, Tensor]) -> Weights:
    """The masks; both all 1 if one of them is nearly empty, since a face must not be compared with
    a whole picture."""
    mask, mask_to = masks
    share = torch.minimum(mask.mean((1, 2, 3)), mask_to.mean((1, 2, 3)))
    enough = (share >= _LEAST_SHARE)[:, None, None, None]
    return torch.where(enough, mask, 1.0), torch.where(enough, mask_to, 1.0)


def _rct(image: Tensor, reference: Tensor, weights: Weights | None) -> Tensor:
    own, others = weights or (None, None)
    lab = rgb_to_lab(image)
    mean, spread = _spread(lab, own)
    mean_to, spread_to = _spread(rgb_to_lab(reference), others)
    flat = spread < FLAT
    gain = torch.where(flat, 1.0, spread_to / torch.where(flat, 1.0, spread))
    # On a CPU twice as fast as addcmul and clamp, which broadcast slowly.
    lab.mul_(gain).add_(mean_to - gain * mean)
    low, high = (constant(edge, lab)[:, None, None] for edge in (LAB_LOW, LAB_HIGH))
    torch.maximum(lab, low, out=lab)
    return lab_to_rgb(torch.minimum(lab, high, out=lab))


def _spread(lab: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and population spread per channel: `b 3 1 1` each."""
    if weights is None:
        mean = lab.mean((2, 3), keepdim=True)
        return mean, (lab - mean).square_().mean((2, 3), keepdim=True).sqrt_()
    # Not bmm: with a single vector, its order of addition depends on the batch size.
    shares = weights / weights.sum((2, 3), keepdim=True)
    mean = (lab * shares).sum((2, 3), keepdim=True)
    return mean, (lab - mean).square_().mul_(shares).sum((2, 3), keepdim=True).sqrt_()


def _linear(
    mode: TransferName, image: Tensor, reference: Tensor, weights: Weights | None
) -> Tensor:
    own, others = weights or (None, None)
    mean, cov = _moments(image, own, sample=mode == "mkl")
    mean_to, cov_to = _moments(reference, others, sample=mode == "mkl")
    matrix = (mkl_matrices if mode == "mkl" else lct_matrices)(cov, cov_to)
    matrix = matrix.to(image.device, torch.float32)
    offset = mean_to - torch.bmm(matrix, mean)
    return map_colors(matrix, offset, image).clamp_(0, 1)


def _moments(image: Tensor, weights: Tensor | None, *, sample: bool) -> tuple[Tensor, Tensor]:
    """Mean `b 3 1` float32, and covariance `b 3 3` in the precision that roots need."""
    pixels = image.flatten(2)
    if weights is None:
        mean = pixels.mean(2, keepdim=True)
        centred = pixels - mean
        cov = torch.bmm(centred, centred.mT) / max(pixels.shape[2] - int(sample), 1)
    else:
        counts = weights.flatten(2)
        count = counts.sum(2, keepdim=True)
        mean = (pixels * counts).sum(2, keepdim=True) / count
        centred = pixels - mean
        cov = torch.bmm(centred * counts, centred.mT) / (count - int(sample)).clamp_(min=1)
    # Apple GPUs have no float64, but share memory with the host, so the copy is cheap.
    return mean, (cov.cpu() if cov.device.type == "mps" else cov).double()


def lct_matrices(cov: Tensor, cov_to: Tensor) -> Tensor:
    """C_to^½ C^-½ of float64 covariances `b 3 3`, as `transfer.lct_matrix`."""
    ridge = LCT_RIDGE * torch.eye(3, dtype=cov.dtype, device=cov.device)
    return torch.bmm(symmetric_root(cov_to + ridge)[0], symmetric_root(cov + ridge)[1])


def mkl_matrices(cov: Tensor, cov_to: Tensor) -> Tensor:
    """C^-½ (C^½ C_to C^½)^½ C^-½ of float64 covariances `b 3 3`, as `transfer.mkl_matrix`, except
    that the minimum variance is added, not a floor."""
    ridge = MKL_FLOOR * torch.eye(3, dtype=cov.dtype, device=cov.device)
    root, inverse = symmetric_root(cov + ridge)
    inner, _ = symmetric_root(torch.bmm(torch.bmm(root, cov_to + ridge), root))
    return torch.bmm(torch.bmm(inverse, inner), inverse)


def symmetric_root(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The square root of symmetric positive matrices `b 3 3` float64, and its inverse.

    Computed from invariants, since eigenvectors in torch make the host wait:
    Hoger and Carlson, "Determination of the stretch and rotation in the polar decomposition of
    the deformation gradient", 1984.
    """
    eye = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    third = matrix.diagonal(dim1=1, dim2=2).mean(1)
    centred = matrix - third[:, None, None] * eye
    scale = (centred.square().sum((1, 2)) / 6).sqrt_().clamp_(min=1e-300)
    angle = torch.acos((_determinant(centred / scale[:, None, None]) / 2).clamp_(-1, 1)) / 3
    high = third + 2 * scale * torch.cos(angle)
    low = third + 2 * scale * torch.cos(angle + 2 * torch.pi / 3)
    middle = 3 * third - high - low
    a, b, c = (
        torch.stack([high, middle, low]).clamp_(min=_EIGENVALUE_FLOOR).sqrt_()[..., None, None]
    )
    first, second, product = a + b + c, a * b + b * c + c * a, a * b * c
    root = (
        (first.square() - second) * matrix - torch.bmm(matrix, matrix) + first * product * eye
    ) / ((a + b) * (b + c) * (c + a))
    return root, (matrix - first * root + second * eye) / product


def _determinant(m: Tensor) -> Tensor:
    return (torch.linalg.cross(m[:, 0], m[:, 1]) * m[:, 2]).sum(1)


def sot_batch(
    image: Tensor,
    reference: Tensor,
    generator: torch.Generator,
    weights: Weights | None = None,
) -> Tensor:
    """Sliced optimal transport of `image`, b 3 h w, to `reference`, b 3 h' w'."""
    height, width = image.shape[2:]
    rows, columns = (
        _centres(n, min(n, max(_SOT_CELLS, math.ceil(n / _SOT_CELL_PX)))) for n in (height, width)
    )
    if weights is not None:
        change = _weighted_change(image, reference, weights, (rows, columns), generator)
        return (image + change).clamp_(0, 1)
    start = _picked(image, rows, columns)
    goal = _picked(
        reference,
        _centres(reference.shape[2], len(rows)),
        _centres(reference.shape[3], len(columns)),
    )
    moved = _slice_transport(start, goal, generator)
    change = (moved - start).unflatten(2, (len(rows), len(columns)))
    down, across = _spreading(height, rows, image), _spreading(width, columns, image)
    return (image + _stretched(down, change, across)).clamp_(0, 1)


def _weighted_change(
    image: Tensor,
    reference: Tensor,
    weights: Weights,
    cells: tuple[Tensor, Tensor],
    generator: torch.Generator,
) -> Tensor:
    """The change of `sot` with weighted pixels, b 3 h w.

    It is the weighted mean of nearby changes, or of the nearest ones if no weight is near.
    """
    rows, columns = cells
    own, goal_weight = (_cumulated_weight(w) for w in weights)
    start = _at(image, _places(own, _SOT_PLACES))
    goal = _at(reference, _places(goal_weight, _SOT_PLACES))
    change = _slice_transport(start, goal, generator) - start
    # Each cell takes the change of the place that represents its middle pixel.
    weight = _picked(weights[0], rows, columns)
    middle = _picked(own.view(weights[0].shape), rows, columns)
    place = (middle * _SOT_PLACES // own[:, None, -1:]).clamp_(max=_SOT_PLACES - 1)
    change = change.gather(2, place.expand(-1, 3, -1))
    weight = weight + 1e-6  # a thin mask may lie between the middles
    grid = torch.cat([change * weight, weight], 1).unflatten(2, (len(rows), len(columns)))
    down, across = (
        _spreading(n, c, image, tail=_SOT_TAIL) for n, c in zip(image.shape[2:], cells, strict=True)
    )
    spread = _stretched(down, grid, across)
    return spread[:, :3] / spread[:, 3:]


def _cumulated_weight(weights: Tensor) -> Tensor:
    """Cumulative weight in 255ths, b n int64, of weights b 1 h w."""
    return (weights.flatten(1) * _WEIGHT_LEVELS).round_().long().cumsum_(1)


def _places(cumulated: Tensor, count: int) -> Tensor:
    """The pixels at evenly spaced fractions of the cumulative weight b n: b `count` int64."""
    parts = torch.arange(1, 2 * count, 2, device=cumulated.device)
    wanted = parts * cumulated[:, -1:] // (2 * count)
    return torch.searchsorted(cumulated, wanted, right=True)


def _at(image: Tensor, places: Tensor) -> Tensor:
    """The colours at pixels b n: b 3 n."""
    return image.flatten(2).gather(2, places[:, None].expand(-1, image.shape[1], -1))


def _centres(size: int, cells: int) -> Tensor:
    """The pixel in the middle of each of `cells` equal parts of `size`: (cells,) int64."""
    return ((torch.arange(cells, dtype=torch.float64) + 0.5) * (size / cells)).long()


def _picked(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The colours at the crossings of rows and columns: b 3 n."""
    rows, columns = (i.to(image.device, non_blocking=True) for i in (rows, columns))
    return image.index_select(2, rows).index_select(3, columns).flatten(2)


def _slice_transport(start: Tensor, goal: Tensor, generator: torch.Generator) -> Tensor:
    """Colours b 3 n moved to the distribution of `goal`, b 3 n."""
    axes = torch.randn(SOT_STEPS, SOT_DIRECTIONS, 3, generator=generator, dtype=torch.float64)
    axes = (axes / axes.norm(dim=2, keepdim=True)).float().to(start.device, non_blocking=True)
    goals, _ = _sorted(_along(axes.flatten(0, 1), goal), order=False)
    moved = start.clone()
    for step, wanted in zip(axes, goals.split(SOT_DIRECTIONS, 1), strict=True):
        along, order = _sorted(_along(step, moved))
        shift = torch.empty_like(along).scatter_(2, order, wanted - along)
        moved += _along(step.T / SOT_DIRECTIONS, shift)
    return moved


def _along(axes: Tensor, colors: Tensor) -> Tensor:
    """`axes`, m k, times `colors`, b k n: b m n."""
    return torch.bmm(axes.expand(len(colors), *axes.shape), colors)


def _sorted(values: Tensor, *, order: bool = True) -> tuple[Tensor, Tensor]:
    """Values sorted along the last axis, and their previous indices."""
    if values.device.type != "cpu":
        return torch.sort(values, dim=-1)
    # NumPy sorts with vector instructions, several times faster than torch on a CPU.
    array = values.numpy()
    if not order:
        return torch.from_numpy(np.sort(array, -1)), values
    ranks = torch.from_numpy(np.argsort(array, -1))
    return values.gather(-1, ranks), ranks


def _spreading(size: int, centres: Tensor, like: Tensor, *, tail: float = 0.0) -> Tensor:
    """How much of each cell's change each pixel of an axis takes: `size cells`, rows sum to 1.

    The picture is mirrored beyond its edge. `tail` is the share that reaches beyond all limits.
    """
    pixels = torch.arange(size, dtype=torch.float64)[:, None]
    centre = centres.double()
    weights = torch.zeros(size, len(centres), dtype=torch.float64)
    for mirrored in (centre, -centre, 2 * (size - 1) - centre):
        distance = (pixels - mirrored) / _SOT_REACH_PX
        weights += (1 - distance.square()).clamp_(min=0).square_()
    if tail:
        weights += tail / (1 + ((pixels - centre) / _SOT_REACH_PX).square())
    return (weights / weights.sum(1, keepdim=True)).float().to(like.device, non_blocking=True)


def _stretched(down: Tensor, change: Tensor, across: Tensor) -> Tensor:
    """`down`, h m, times each `change`, b 3 m n, times `across`, w n, transposed: b 3 h w."""
    flat = change.flatten(0, 1)
    wide = torch.bmm(flat, across.T.expand(len(flat), *across.T.shape))
    return torch.bmm(down.expand(len(flat), *down.shape), wide).unflatten(0, change.shape[:2])


def idt_batch(
    image: Tensor,
    reference: Tensor,
    generator: torch.Generator,
    weights: Weights | None = None,
) -> Tensor:
    """Iterative distribution transfer of `image`, b 3 h w, to `reference`, b 3 h' w'."""
    source, goal = _idt_samples((image, reference), weights)
    steps = torch.linspace(0, 1, _IDT_NODES, device=image.device)
    cube = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij")).flatten(1)
    low = image.amin((2, 3))[..., None]
    extent = (image.amax((2, 3))[..., None] - low).clamp_(min=1e-6)
    nodes = low + extent * cube
    moved = _distribution_transfer(source, goal, nodes, generator)
    table = (moved - nodes).unflatten(2, (_IDT_NODES,) * 3)
    place = (image.flatten(2) - low).mul_(2 / extent).sub_(1).view_as(image)
    # The sampler counts the last axis of the table, blue, first.
    grid = place.flip(1).permute(0, 2, 3, 1)[:, None]
    change = F.grid_sample(table, grid, padding_mode="border", align_corners=True)[:, :, 0]
    return (image + change).clamp_(0, 1)


def _idt_samples(pictures: tuple[Tensor, Tensor], weights: Weights | None) -> tuple[Tensor, Tensor]:
    """The colours of picture and reference that are measured, b 3 n each."""
    image, reference = pictures
    if weights is None:
        cells = [min(n, _IDT_CELLS) for n in image.shape[2:]]
        source, goal = (
            _picked(p, *(_centres(n, c) for n, c in zip(p.shape[2:], cells, strict=True)))
            for p in pictures
        )
        return source, goal
    own, others = (_places(_cumulated_weight(w), _IDT_PLACES) for w in weights)
    return _at(image, own), _at(reference, others)


def _distribution_transfer(
    source: Tensor, goal: Tensor, nodes: Tensor, generator: torch.Generator
) -> Tensor:
    """`nodes`, b 3 m, moved as the map that takes `source`, b 3 n, towards `goal`, b 3 n."""
    quaternions = torch.randn(IDT_ITERATIONS, 4, generator=generator, dtype=torch.float64)
    turns = torch.from_numpy(rotations(quaternions.numpy())).float()
    for turn in turns.to(source.device, non_blocking=True):
        turned, wanted = _along(turn, source), _along(turn, goal)
        low = torch.minimum(turned.amin(2, keepdim=True), wanted.amin(2, keepdim=True))
        high = torch.maximum(turned.amax(2, keepdim=True), wanted.amax(2, keepdim=True))
        scale = IDT_BINS / (high - low).clamp(min=1e-9)
        at, at_wanted = ((v - low).mul_(scale) for v in (turned, wanted))
        shift = _histogram_shift(at, at_wanted) / scale
        back = turn.T / IDT_ITERATIONS
        source = source + _along(back, _interpolated(shift, at))
        nodes = nodes + _along(back, _interpolated(shift, (_along(turn, nodes) - low).mul_(scale)))
    return nodes


def _histogram_shift(values: Tensor, goal: Tensor) -> Tensor:
    """By how many bins each edge of the histogram of `values` has to move: b 3 bins+1.

    Both are b 3 n, in bins. See `transport.match_histogram`.
    """
    cumulated, wanted = _cumulated(goal), _cumulated(values).clamp_(min=1e-6)
    at = torch.searchsorted(cumulated, wanted).clamp_(1, IDT_BINS)
    below = cumulated.gather(2, at - 1)
    within = (wanted - below) / (cumulated.gather(2, at) - below).clamp_(min=1e-6)
    edges = torch.arange(IDT_BINS + 1, device=values.device)
    return (at - 1 - edges) + within


def _cumulated(values: Tensor) -> Tensor:
    """The part of `values`, b 3 n, below each edge of the bins: b 3 bins+1."""
    bins = values.long().clamp_(0, IDT_BINS - 1) + 1
    counts = values.new_zeros(*values.shape[:2], IDT_BINS + 1)
    counts.scatter_add_(2, bins, torch.ones_like(values))
    return counts.cumsum_(2).div_(values.shape[2])


def _interpolated(shift: Tensor, at: Tensor) -> Tensor:
    """`shift`, b 3 bins+1, between its edges, `at` positions b 3 n in bins; beyond, the last's."""
    at = at.clamp(0, IDT_BINS)
    left = at.long().clamp_(max=IDT_BINS - 1)
    low, high = shift.gather(2, left), shift.gather(2, left + 1)
    return torch.lerp(low, high, at - left)
