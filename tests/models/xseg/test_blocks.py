"""The XSeg network's blocks against plain NumPy and derivatives by finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from faceloom.models.xseg.blocks import (
    BlurPool,
    ConvBlock,
    FilterResponseNorm,
    ThresholdedLinear,
    TransposedConv,
    initialize_xseg,
    norm_threshold,
)


def made(module: nn.Module, seed: int = 0) -> nn.Module:
    initialize_xseg(module, torch.Generator().manual_seed(seed))
    return module


def norm_parts(channels: int) -> tuple[FilterResponseNorm, ThresholdedLinear]:
    """Both layers away from their start, with a negative ε: its absolute value counts."""
    generator = torch.Generator().manual_seed(3)
    frn, tlu = FilterResponseNorm(channels), ThresholdedLinear(channels)
    with torch.no_grad():
        frn.weight.copy_(torch.rand(channels, generator=generator) + 0.5)
        frn.bias.copy_(torch.randn(channels, generator=generator) * 0.3)
        frn.eps.fill_(-0.05)
        tlu.tau.copy_(torch.randn(channels, generator=generator) * 0.2)
    return frn, tlu


def as_numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def numpy_norm_threshold(x: np.ndarray, frn: FilterResponseNorm, tlu: ThresholdedLinear):
    power = (x**2).mean((2, 3), keepdims=True)
    normed = x / np.sqrt(power + np.abs(as_numpy(frn.eps)))
    shape = (1, -1, 1, 1)
    scaled = normed * as_numpy(frn.weight).reshape(shape) + as_numpy(frn.bias).reshape(shape)
    return np.maximum(scaled, as_numpy(tlu.tau).reshape(shape))


def test_layers_start_as_the_identity_of_a_normed_picture() -> None:
    block = made(ConvBlock(2, 3))
    state = {name: as_numpy(value) for name, value in block.state_dict().items()}
    assert set(state) == {
        "conv.weight", "conv.bias", "frn.weight", "frn.bias", "frn.eps", "tlu.tau",
    }  # fmt: skip
    assert (state["frn.weight"] == 1).all() and (state["frn.bias"] == 0).all()
    assert (state["tlu.tau"] == 0).all()
    assert state["frn.eps"] == pytest.approx([1e-6])
    limit = np.sqrt(6 / (9 * (2 + 3)))
    assert 0.5 * limit < np.abs(state["conv.weight"]).max() <= limit


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_norm_and_threshold_against_numpy(layout: torch.memory_format) -> None:
    frn, tlu = norm_parts(5)
    x = torch.randn(3, 5, 8, 6, generator=torch.Generator().manual_seed(1)) * 2
    x = x.contiguous(memory_format=layout)
    y = norm_threshold(x, frn, tlu)
    assert np.abs(as_numpy(y) - numpy_norm_threshold(as_numpy(x), frn, tlu)).max() < 1e-6
    rounded = norm_threshold(x.bfloat16(), frn, tlu)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - y).abs().max() < 0.03


def test_norm_and_threshold_have_their_written_derivative() -> None:
    frn, tlu = (part.double() for part in norm_parts(2))
    x = torch.randn(2, 2, 4, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    inputs = (x.requires_grad_(), frn.weight, frn.bias, frn.eps, tlu.tau)

    def function(x: Tensor, *_: Tensor) -> Tensor:
        return norm_threshold(x, frn, tlu)  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize(("size", "padding"), [(2, (0, 1)), (3, (1, 1)), (4, (1, 2))])
def test_blur_pool_is_a_zero_padded_binomial(size: int, padding: tuple[int, int]) -> None:
    pool = made(BlurPool(2, size))
    assert not pool.state_dict()
    x = np.random.default_rng(size).random((1, 2, 8, 6))
    row = {2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1]}[size]
    kernel = np.outer(row, row) / np.sum(row) ** 2
    padded = np.pad(x, ((0, 0), (0, 0), padding, padding))
    expected = np.zeros((1, 2, 4, 3))
    for i in range(4):
        for j in range(3):
            window = padded[:, :, 2 * i : 2 * i + size, 2 * j : 2 * j + size]
            expected[:, :, i, j] = (window * kernel).sum((2, 3))
    got = as_numpy(pool(torch.from_numpy(x).float()))
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-6


def test_blur_pool_of_ones_shows_its_zeros() -> None:
    """Four taps: one zero before the picture, two after it, so only the outermost are darker."""
    line = as_numpy(made(BlurPool(1, 4))(torch.ones(1, 1, 8, 8)))[0, 0, 1]
    assert line == pytest.approx([7 / 8, 1, 1, 7 / 8])


def test_transposed_convolution_is_tensorflows_same() -> None:
    """SAME of stride 2 and kernel 3 pads one row after and none before: x[2i + k] += y[i]·w[k]."""
    layer = made(TransposedConv(3, 2), seed=8)
    torch.nn.init.constant_(layer.bias, 0.25)  # type: ignore[arg-type]
    x = np.random.default_rng(2).random((2, 3, 4, 5))
    weight = as_numpy(layer.weight)  # type: ignore[arg-type]
    expected = np.zeros((2, 2, 9, 11))
    for i in range(4):
        for j in range(5):
            spread = np.einsum("bi,iokl->bokl", x[:, :, i, j], weight)
            expected[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += spread
    got = as_numpy(layer(torch.from_numpy(x).float()))
    assert got.shape == (2, 2, 8, 10)
    assert np.abs(got - (expected[:, :, :8, :10] + 0.25)).max() < 1e-6


def test_compiled_norm_and_threshold_is_the_same() -> None:
    """The compiled form is composed of torch's operations: an oracle for the written derivative."""
    frn, tlu = norm_parts(3)
    x = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(4)).requires_grad_()
    weight = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(6))
    inputs = (x, frn.weight, frn.bias, frn.eps, tlu.tau)
    results = []
    for function in (norm_threshold, torch.compile(norm_threshold, backend="aot_eager")):
        y = function(x, frn, tlu)
        results.append((y, *torch.autograd.grad((y * weight).sum(), inputs)))
    for own, compiled in zip(*results, strict=True):
        assert torch.allclose(own, compiled, atol=1e-4, rtol=1e-4)
