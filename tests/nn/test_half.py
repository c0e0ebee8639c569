"""bfloat16 layers against the same layers in plain float32, and their copies against staleness."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceloom.nn import AdaBelief, RMSprop, half
from faceloom.nn.blocks import convolve, dense

BF16 = torch.bfloat16


def rounded(*shape: int, seed: int) -> Tensor:
    """Random numbers that bfloat16 represents exactly."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(BF16).float()


def layer_of(i: int, o: int, kernel: int, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(i, o, kernel, stride, padding=kernel // 2)
    with torch.no_grad():
        layer.weight.copy_(rounded(o, i, kernel, kernel, seed=1) / 8)
        layer.bias.copy_(rounded(o, seed=2))
    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    return layer


def error(out: Tensor | None, expected: Tensor | None) -> float:
    assert out is not None
    assert expected is not None
    assert out.shape == expected.shape
    return ((out.float() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("slope", [None, 0.1])
@pytest.mark.parametrize(
    ("b", "i", "o", "side", "kernel", "stride"),
    [
        (2, 8, 64, 6, 3, 1),  # few pixels: the weights' gradient as a product
        (2, 3, 8, 33, 5, 2),  # many pixels, odd side
        (3, 16, 96, 7, 5, 2),  # few, strided, odd
        (1, 4, 2, 16, 1, 1),
        (2, 6, 80, 4, 1, 1),
    ],
)
def test_convolution_and_its_gradients(
    slope: float | None, b: int, i: int, o: int, side: int, kernel: int, stride: int
) -> None:
    layer = layer_of(i, o, kernel, stride)
    x = rounded(b, i, side, side, seed=3).requires_grad_()
    plain = layer(x)
    expected = plain if slope is None else F.leaky_relu(plain, slope)
    seed_grad = rounded(*plain.shape, seed=4)
    wanted = torch.autograd.grad((expected * seed_grad).sum(), [x, layer.weight, layer.bias])
    with torch.autocast("cpu", BF16):
        assert half.applies_to(x)
        out = half.convolve(x, layer, slope)
    assert out.dtype == BF16
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert error(out, expected.detach()) < 3e-3
    (out.float() * seed_grad).sum().backward()
    for got, right in zip((x.grad, layer.weight.grad, layer.bias.grad), wanted, strict=True):
        assert error(got, right) < 6e-3
    assert layer.weight.grad is not None
    assert kernel == 1 or layer.weight.grad.stride() == layer.weight.stride()


def test_both_ways_to_the_weights_gradient_agree(monkeypatch: Any) -> None:
    x = rounded(2, 8, 9, 9, seed=0)
    grads = []
    for limit in (0, 10**6):
        monkeypatch.setattr(half, "PRODUCT_PIXELS_PER_CHANNEL", limit)
        layer = layer_of(8, 24, 3, 1)
        with torch.autocast("cpu", BF16):
            half.convolve(x, layer, 0.2).square().sum().backward()
        assert layer.weight.grad is not None
        assert layer.bias.grad is not None
        grads.append((layer.weight.grad.float(), layer.bias.grad.float()))
    for one, two in zip(*grads, strict=True):
        assert error(one, two) < 5e-3


def test_dense_and_its_gradients() -> None:
    layer = nn.Linear(40, 24)
    with torch.no_grad():
        layer.weight.copy_(rounded(24, 40, seed=1))
        layer.bias.copy_(rounded(24, seed=2))
    x, seed_grad = rounded(5, 40, seed=3).requires_grad_(), rounded(5, 24, seed=4)
    expected = layer(x)
    wanted = torch.autograd.grad((expected * seed_grad).sum(), [x, *layer.parameters()])
    with torch.autocast("cpu", BF16):
        out = dense(x, layer)
    (out.float() * seed_grad).sum().backward()
    assert error(out, expected.detach()) < 3e-3
    for got, right in zip((x.grad, layer.weight.grad, layer.bias.grad), wanted, strict=True):
        assert error(got, right) < 6e-3


def test_without_autocast_layers_run_as_they_are() -> None:
    layer, x = layer_of(3, 4, 3, 1), rounded(1, 3, 8, 8, seed=0)
    assert torch.equal(convolve(x, layer, "leaky", 0.1), F.leaky_relu(layer(x), 0.1))
    assert not half.applies_to(torch.empty(1, device="meta"))
    with torch.autocast("cpu", torch.float16):
        assert not half.applies_to(x)


def right_copy(weight: Tensor) -> bool:
    return torch.equal(half.half_copy(weight), weight.detach().to(BF16))


def test_a_copy_is_kept_and_every_change_noticed() -> None:
    layer = layer_of(3, 4, 3, 1)
    weight = layer.weight
    first = half.half_copy(weight)
    assert half.half_copy(weight) is first
    with torch.no_grad():
        weight.mul_(2)
    assert right_copy(weight)
    assert half.half_copy(weight) is first
    layer.load_state_dict({k: v + 1 for k, v in layer.state_dict().items()})
    assert right_copy(weight)
    with torch.inference_mode():
        layer.state_dict()["weight"].add_(3)
        assert right_copy(weight)
    for value in (7.0, 8.0, 9.0):
        weight.data = torch.full_like(weight, value)
        assert right_copy(weight)
    with torch.inference_mode():
        made_inside = torch.rand(3)
        assert right_copy(made_inside)
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        twin.weight.zero_()
    assert right_copy(twin.weight)
    assert right_copy(weight)


@pytest.mark.parametrize("kind", [AdaBelief, RMSprop])
def test_the_optimizer_writes_the_copies(kind: Any) -> None:
    layers = [layer_of(6, 5, 3, 1), nn.Linear(7, 3)]
    params = [p for layer in layers for p in layer.parameters()]
    first = half.half_copy(layers[0].weight)
    optimizer = kind(params, lr=1e-2)
    for step in range(2):
        for param in params:
            param.grad = torch.full_like(param, 0.5 + step)
        optimizer.step()
        assert torch.equal(first, layers[0].weight.detach().to(BF16))  # before anybody asks for it
        assert half.half_copy(layers[0].weight) is first


@pytest.mark.parametrize("kind", [AdaBelief, RMSprop])
def test_bfloat16_gradients_are_read_as_float32(kind: Any) -> None:
    def run(dtype: torch.dtype) -> Tensor:
        param = nn.Parameter(rounded(1000, seed=0))
        param.grad_dtype = None
        optimizer = kind([param], lr=1e-3, clip_norm=1.0)
        for step in range(3):
            param.grad = rounded(1000, seed=1 + step).to(dtype)
            optimizer.step()
        return param.detach()

    assert torch.equal(run(BF16), run(torch.float32))


def test_gradients_stay_in_bfloat16_only_in_a_process_of_its_own(monkeypatch: Any) -> None:
    layer, x = layer_of(3, 4, 3, 1), rounded(1, 3, 8, 8, seed=0)
    dtypes = []
    for together in (False, True):
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda together=together: together)
        layer.weight.grad = None
        with torch.autocast("cpu", BF16):
            half.convolve(x, layer, None).sum().backward()
        assert layer.weight.grad is not None
        dtypes.append(layer.weight.grad.dtype)
    assert dtypes == [BF16, torch.float32]


def test_a_copy_made_while_predicting_can_be_trained_with() -> None:
    layer, x = layer_of(3, 4, 3, 1), rounded(1, 3, 8, 8, seed=0)
    with torch.autocast("cpu", BF16):
        with torch.inference_mode():
            half.convolve(x, layer, 0.1)
        half.convolve(x, layer, 0.1).sum().backward()
    assert layer.weight.grad is not None
