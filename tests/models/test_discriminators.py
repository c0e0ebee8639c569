"""Discriminators against the reference's tables and restatements of their layers
(training.md 1.2, 1.11, appendix A)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from faceloom.core import InputError
from faceloom.models.discriminators import (
    CodeDiscriminator,
    PatchDiscriminator,
    UpConv,
)
from faceloom.nn import bce_logits, initialize, total_variation
from faceloom.settings.models import patch_step, patch_strides, receptive_field

PATCHES = """
3-5 3 2        46-49 47 22212     90-93 91 21212122
6-9 7 22       50-53 51 212212    94-97 95 222212
10-13 11 212   54-57 55 221212    98-101 99 2122212
14-17 15 222   58-61 59 2121212   102-105 103 2212212
18-21 19 2122  62-65 63 22222     106-109 107 21212212
22-25 23 2212  66-69 67 212222    110-113 111 2221212
26-29 27 21212 70-73 71 221222    126-129 127 222222
30-33 31 2222  74-77 75 2121222   158-161 159 2222122
34-37 35 21222 78-81 79 222122    188-193 191 2222212
38-41 39 22122 82-85 83 2122122   248-257 255 2222222
42-45 43 212122 86-89 87 2212122  608-640 639 222222122
"""
"""The table of 1.11: patch sizes, receptive field, strides."""

WORDS = PATCHES.split()
ROWS = list(zip(WORDS[::3], WORDS[1::3], WORDS[2::3], strict=True))


@pytest.mark.parametrize(("sizes", "field", "strides"), ROWS)
def test_patch_table(sizes: str, field: str, strides: str) -> None:
    first, last = (int(word) for word in sizes.split("-"))
    for patch in range(first, last + 1):
        assert "".join(map(str, patch_strides(patch))) == strides, patch
    assert receptive_field(patch_strides(first)) == int(field)
    assert patch_step(first) == 2 ** strides.count("2")


def test_the_table_is_whole() -> None:
    assert len(ROWS) == 33
    with pytest.raises(InputError, match="gan_patch_size"):
        patch_strides(0)


def reach(layers: list[nn.Conv2d], side: int) -> int:
    """Width of the input pixels that move the middle output, found by perturbing them."""
    x = torch.zeros(1, 1, 1, side, requires_grad=True)
    out: torch.Tensor = x
    for layer in layers:
        out = F.conv2d(out, torch.ones(1, 1, 1, 3), stride=(1, layer.stride[0]), padding=(0, 1))
    out[0, 0, 0, out.shape[-1] // 2].backward()
    assert x.grad is not None
    return int((x.grad != 0).sum())


@pytest.mark.parametrize("patch", [3, 11, 23, 51, 63])
def test_receptive_field_is_what_gradients_reach(patch: int) -> None:
    layers = [layer for layer in PatchDiscriminator(patch, 4).convs if isinstance(layer, nn.Conv2d)]
    assert reach(layers, 256) == patch


@pytest.mark.parametrize(("patch", "base", "expected"), [(16, 16, 233_650), (28, 32, 9_684_578)])
def test_parameter_counts_of_the_reference(patch: int, base: int, expected: int) -> None:
    with torch.device("meta"):
        network = PatchDiscriminator(patch, base)
    assert sum(param.numel() for param in network.parameters()) == expected


def transposed(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """TensorFlow's SAME transposed convolution by its definition: the gradient of a convolution
    that pads so that its output is the input over `stride`. `x` is `c h w`, `kernel` `c o 3 3`."""
    _, h, w = x.shape
    side = np.array([h, w]) * stride
    before = max((h - 1) * stride + 3 - side[0], 0) // 2
    padded = np.zeros((kernel.shape[1], *(side + 2)))
    for y in range(h):
        for z in range(w):
            patch = np.einsum("c,coij->oij", x[:, y, z], kernel)
            padded[:, y * stride : y * stride + 3, z * stride : z * stride + 3] += patch
    inside = padded[:, before : before + side[0], before : before + side[1]]
    return inside + bias[:, None, None]


@pytest.mark.parametrize("stride", [1, 2])
def test_transposed_convolution(stride: int) -> None:
    generator = torch.Generator().manual_seed(3)
    layer = UpConv(3, 2, stride).double()
    with torch.no_grad():
        for param in layer.parameters():
            param.normal_(generator=generator)
    x = torch.randn(1, 3, 5, 5, generator=generator, dtype=torch.float64)
    out = layer(x).detach().numpy()[0]
    weight, bias = (layer.state_dict()[name].numpy() for name in ("weight", "bias"))
    assert out.shape == (2, 5 * stride, 5 * stride)
    np.testing.assert_allclose(out, transposed(x[0].numpy(), weight, bias, stride), atol=1e-12)


def test_patch_forward_restated() -> None:
    network = PatchDiscriminator(10, 4)  # strides 2 1 2
    initialize(network, torch.Generator().manual_seed(1))
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    w = dict(network.named_parameters())

    def act(t: torch.Tensor) -> torch.Tensor:
        return torch.where(t > 0, t, 0.2 * t)

    def apply(name: str, t: torch.Tensor, stride: int = 1, pad: int = 0) -> torch.Tensor:
        return F.conv2d(t, w[f"{name}.weight"], w[f"{name}.bias"], stride, pad)

    def up(name: str, t: torch.Tensor, stride: int) -> torch.Tensor:
        full = F.conv_transpose2d(t, w[f"{name}.weight"], w[f"{name}.bias"], stride)
        first = 1 if stride == 1 else 0
        side = t.shape[-1] * stride
        return act(full[..., first : first + side, first : first + side])

    a = act(apply("in_conv", x))
    b = act(apply("convs.0", a, 2, 1))
    c = act(apply("convs.1", b, 1, 1))
    d = act(apply("convs.2", c, 2, 1))
    bottom = apply("center_out", d)
    y = up("upconvs.0", act(apply("center_conv", d)), 2)
    y = up("upconvs.1", torch.cat([c, y], 1), 1)
    y = up("upconvs.2", torch.cat([b, y], 1), 2)
    top = apply("out_conv", torch.cat([a, y], 1))

    center, full = network(x)
    assert center.shape == (2, 1, 4, 4)
    assert full.shape == (2, 1, 16, 16)
    assert torch.allclose(center, bottom, atol=1e-6)
    assert torch.allclose(full, top, atol=1e-6)


def test_a_side_that_the_patch_does_not_divide_is_an_error() -> None:
    assert patch_step(126) == 64
    with torch.device("meta"):
        network = PatchDiscriminator(126, 4)
        network(torch.empty(1, 3, 256, 256))
        with pytest.raises(InputError, match="multiples of 64, not 224"):
            network(torch.empty(1, 3, 224, 224))


@pytest.mark.parametrize(("side", "expected"), [(4, 3), (7, 4), (8, 3), (14, 4), (16, 3), (20, 3)])
def test_code_discriminator_sides(side: int, expected: int) -> None:
    with torch.device("meta"):
        network = CodeDiscriminator(8, side)
        assert network(torch.empty(2, 8, side, side)).shape == (2, 1, expected, expected)
    layers = [layer for layer in network.convs if isinstance(layer, nn.Conv2d)]
    assert [layer.kernel_size[0] for layer in layers] == [4, 3, 3][: 1 + side // 8]
    assert [layer.out_channels for layer in layers] == [256, 512, 1024][: 1 + side // 8]


def test_every_layer_is_drawn_by_glorot() -> None:
    network = PatchDiscriminator(16, 16)
    initialize(network, torch.Generator().manual_seed(7))
    for name, param in network.named_parameters():
        if param.ndim == 1:
            assert not param.any(), name
            continue
        fans = (param.shape[0] + param.shape[1]) * param[0, 0].numel()
        limit = math.sqrt(6 / fans)
        assert param.abs().max().item() <= limit
        if param.numel() > 500:
            assert param.abs().max().item() > 0.97 * limit, name
            assert param.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.1), name


def test_total_variation_golden() -> None:
    n, c, h, w = np.meshgrid(*(np.arange(k) for k in (2, 3, 64, 64)), indexing="ij")
    a = (0.5 + 0.5 * np.sin(0.1 * h + 0.23 * w * (c + 1) + 0.7 * n)).astype(np.float32)
    out = total_variation(torch.from_numpy(a))
    np.testing.assert_allclose(out.numpy(), [376.991, 376.928], rtol=2e-6)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_cross_entropy_is_per_sample_and_survives_large_logits(target: float) -> None:
    logits = torch.tensor([[[0.3, -2.0]], [[4.0, 90.0]]])
    wide = logits.double().numpy()
    expected = np.logaddexp(0, -wide if target else wide).reshape(2, -1).mean(1)
    out = bce_logits(logits, target)
    assert out.shape == (2,)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-5)
    assert bce_logits(logits.bfloat16(), target).dtype == torch.float32
