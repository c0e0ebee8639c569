"""Blocks against the reference's golden numbers and direct formulas
(docs/internals/networks.md)."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from faceloom.nn import (
    Downscale,
    ResidualBlock,
    Upscale,
    activate,
    conv,
    depth_to_space,
    initialize,
    pixel_norm,
)


def test_depth_to_space_golden() -> None:
    out = depth_to_space(torch.arange(12.0).view(1, 12, 1, 1))[0].permute(1, 2, 0)
    assert out.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


def test_depth_to_space_is_pixel_shuffle_of_permuted_channels() -> None:
    x = torch.rand(2, 4 * 5, 3, 7, generator=torch.Generator().manual_seed(0))
    order = [q * 5 + c for c in range(5) for q in range(4)]
    expected = F.pixel_shuffle(x[:, order], 2)
    assert torch.equal(depth_to_space(x), expected)
    last = depth_to_space(x.to(memory_format=torch.channels_last))
    assert torch.equal(last, expected)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_pixel_norm_golden() -> None:
    out = pixel_norm(torch.tensor([3.0, 4.0, 0.0, 0.0]))
    assert out.tolist() == pytest.approx([1.2, 1.6, 0, 0], abs=1e-6)


def test_pixel_norm_of_half_precision_does_not_overflow() -> None:
    out = pixel_norm(torch.full((1, 64), 3e4, dtype=torch.float16))
    assert out.dtype == torch.float32
    assert torch.allclose(out, torch.ones(1, 64))


def test_activations() -> None:
    x = torch.tensor([-2.0, 0.5, 3.0])
    assert activate(x.clone(), "leaky", 0.2).tolist() == pytest.approx([-0.4, 0.5, 3.0])
    expected = [v * math.cos(v) for v in x.tolist()]
    assert activate(x.clone(), "xcosx", 0.2).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("size", "stride", "expected"), [(9, 1, 9), (8, 2, 4), (9, 2, 5)])
def test_conv_pads_symmetrically(size: int, stride: int, expected: int) -> None:
    layer = conv(1, 1, 5, stride)
    image = torch.rand(1, 1, size, size)
    out = layer(image)
    assert out.shape[-2:] == (expected, expected)
    padded = F.pad(image, (2, 2, 2, 2))[0, 0]
    corner = (padded[:5, :5] * layer.weight[0, 0]).sum() + layer.bias[0]
    assert out[0, 0, 0, 0].item() == pytest.approx(corner.item(), abs=1e-6)


def test_upscale_activates_before_the_shuffle_and_residual_adds_before_its_last() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 4, 4)
    up = Upscale(2, 3, "leaky")
    expected = depth_to_space(F.leaky_relu(F.conv2d(x, up.conv1.weight, up.conv1.bias, 1, 1), 0.1))
    assert torch.allclose(up(x), expected)
    block = ResidualBlock(2, "leaky")
    inner = F.leaky_relu(F.conv2d(x, block.conv1.weight, block.conv1.bias, 1, 1), 0.2)
    outer = x + F.conv2d(inner, block.conv2.weight, block.conv2.bias, 1, 1)
    kept = x.clone()
    assert torch.allclose(block(x), F.leaky_relu(outer, 0.2))
    assert torch.equal(x, kept)
    assert Downscale(2, 5, "xcosx")(x).shape == (1, 5, 2, 2)


def test_initialisation_is_glorot_uniform_and_seeded() -> None:
    one, two = conv(8, 16, 3), conv(8, 16, 3)
    initialize(one, torch.Generator().manual_seed(5))
    initialize(two, torch.Generator().manual_seed(5))
    assert torch.equal(one.weight, two.weight)
    limit = math.sqrt(6 / (9 * (8 + 16)))
    assert one.weight.abs().max().item() <= limit
    assert one.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.05)
    assert one.bias is not None
    assert not one.bias.any()
