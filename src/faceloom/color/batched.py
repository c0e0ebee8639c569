"""Colour transfer of whole batches on their device (reference: training.md 6.8).

`rct`, `lct` and `mkl` are those of the NumPy versions, up to rounding. `sot` and `idt` are
estimated on a part of the pixels, so that they cost no more than the resampling of a sample: see
`batched_transport`.

With masks, only what lies inside them is measured; the map of colours that follows from it is
applied to the whole picture, so that a mask leaves no edge.

Nothing here makes the host wait for the device, and no picture's result depends on the others in
its batch.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from faceloom.color.batched_transport import Weights, idt_batch, sot_batch
from faceloom.color.lab import constant, lab_to_rgb, map_colors, rgb_to_lab
from faceloom.color.linear import LCT_RIDGE, MKL_FLOOR
from faceloom.color.transfer import FLAT, LAB_HIGH, LAB_LOW
from faceloom.core import InputError
from faceloom.core.vocabulary import TransferName

_EIGENVALUE_FLOOR: Final = 1e-14
_LEAST_SHARE: Final = 0.01
"""A mask of less than this part of its picture says nothing about a face's colours."""


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
        mode: the transfer; `none` gives `image` back.
        image: `b 3 h w` float32 RGB in [0, 1].
        reference: `b 3 h' w'`, of any size, on the same device.
        generator: on the CPU; `idt` and `sot` take their random directions from it, the same ones
            for the whole batch, whatever its size.
        masks: of `image` and of `reference`, `b 1 h w` each in [0, 1]: how much each pixel counts.
            None: whole pictures count. So they do for a pair of which a mask is (nearly) empty.

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
    """The masks, all 1 where one of the two is nearly empty: a face is not to be measured against
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
    # On a CPU, these are twice as fast as addcmul and clamp, which do not like to broadcast.
    lab.mul_(gain).add_(mean_to - gain * mean)
    low, high = (constant(edge, lab)[:, None, None] for edge in (LAB_LOW, LAB_HIGH))
    torch.maximum(lab, low, out=lab)
    return lab_to_rgb(torch.minimum(lab, high, out=lab))


def _spread(lab: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and population spread a channel: `b 3 1 1` each."""
    if weights is None:
        mean = lab.mean((2, 3), keepdim=True)
        return mean, (lab - mean).square_().mean((2, 3), keepdim=True).sqrt_()
    # Not bmm: by a single vector, it adds in an order that depends on the size of the batch.
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
    """Mean, `b 3 1` float32, and covariance, `b 3 3` in the precision that roots need."""
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
    # Apple's GPUs have no float64; their memory is the host's, so that going there costs little.
    return mean, (cov.cpu() if cov.device.type == "mps" else cov).double()


def lct_matrices(cov: Tensor, cov_to: Tensor) -> Tensor:
    """C_to^½ C^-½ of float64 covariances `b 3 3`, as `linear.lct_matrix`."""
    ridge = LCT_RIDGE * torch.eye(3, dtype=cov.dtype, device=cov.device)
    return torch.bmm(symmetric_root(cov_to + ridge)[0], symmetric_root(cov + ridge)[1])


def mkl_matrices(cov: Tensor, cov_to: Tensor) -> Tensor:
    """C^-½ (C^½ C_to C^½)^½ C^-½ of float64 covariances `b 3 3`, as `linear.mkl_matrix`; the least
    variance is added here, not a floor."""
    ridge = MKL_FLOOR * torch.eye(3, dtype=cov.dtype, device=cov.device)
    root, inverse = symmetric_root(cov + ridge)
    inner, _ = symmetric_root(torch.bmm(torch.bmm(root, cov_to + ridge), root))
    return torch.bmm(torch.bmm(inverse, inner), inverse)


def symmetric_root(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The square root of symmetric positive matrices `b 3 3` float64, and its inverse.

    By invariants instead of eigenvectors, which torch would only give after the host has waited:
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
