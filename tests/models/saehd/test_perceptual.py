"""The perceptual distance: the published network's numbers, and what any distance must do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from faceloom.core import InputError
from faceloom.models.saehd.perceptual import PerceptualDistance, load_perceptual
from faceloom.nn import gaussian_blur

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def distance(need_weights: Callable[..., object]) -> PerceptualDistance:
    need_weights("lpips-vgg")
    return load_perceptual(torch.device("cpu"))


def waves() -> Tensor:
    """Two smooth pictures, `2 3 64 80`."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(80.0), indexing="ij")
    pictures = [
        [0.5 + 0.4 * torch.sin(x / (5 + i) + y / (9 + c) + c) for c in range(3)] for i in range(2)
    ]
    return torch.stack([torch.stack(channels) for channels in pictures])


def test_golden_numbers(distance: PerceptualDistance) -> None:
    # Made once with the package's own feature and distance code (stlpips_pytorch 0.0.2, its BSD
    # part) over convolutions, poolings and blurs built from the paper.
    out = distance(waves(), 0.9 * waves().roll(3, -1))
    assert out.tolist() == pytest.approx([0.156470209, 0.102752842], rel=1e-4)


def test_layers(distance: PerceptualDistance) -> None:
    shapes = [tuple(features.shape[1:]) for features in distance.features(waves())]
    assert shapes == [(64, 64, 80), (128, 33, 41), (256, 17, 21), (512, 9, 11), (512, 5, 6)]
    assert not any(param.requires_grad for param in distance.parameters())
    assert not distance.training


def test_blur_is_binomial_and_reflected(distance: PerceptualDistance) -> None:
    """Against the same filter written out over a row of numbers."""
    row = torch.tensor([3.0, 1.0, 4.0, 1.0, 5.0, 9.0])
    padded = [4.0, 1.0, *row.tolist(), 5.0, 1.0]
    expected = [(padded[i] + 2 * padded[i + 1] + padded[i + 2]) / 4 for i in range(0, 8, 2)]
    out = distance._halved(row.expand(1, 2, 6, 6))  # equal rows: the vertical blur changes nothing
    assert out.shape == (1, 2, 4, 4)
    assert torch.allclose(out, torch.tensor(expected).expand(1, 2, 4, 4))


def test_it_is_a_distance(distance: PerceptualDistance) -> None:
    x = waves()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(x.shape, generator=generator)
    assert distance(x, x).tolist() == [0.0, 0.0]
    noisy = [distance(x, (x + s * noise).clamp(0, 1)) for s in (0.01, 0.03, 0.1)]
    blurred = [distance(x, gaussian_blur(x, s)) for s in (0.7, 1.5, 3.0)]
    for steps in (noisy, blurred):
        assert (steps[0] > 0).all()
        assert (steps[0] < steps[1]).all() and (steps[1] < steps[2]).all()
    assert torch.allclose(distance(x, noise.sigmoid()), distance(noise.sigmoid(), x))
    assert torch.allclose(distance(x[1:], x[:1]), distance(x, x.flip(0))[:1], rtol=1e-4)


def test_a_small_shift_costs_little(distance: PerceptualDistance) -> None:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(1, 3, 16, 16, generator=generator)
    scene = F.interpolate(coarse, size=96, mode="bicubic").clamp(0, 1)
    here, moved = scene[..., 16:80, 16:80], scene[..., 16:80, 17:81]
    error = (here - moved).square().mean().sqrt()
    noise = error * torch.randn(1, 3, 64, 64, generator=generator)
    assert distance(here, moved).item() < 0.2 * distance(here, here + noise).item()


def test_gradient_is_finite_and_leads_home(distance: PerceptualDistance) -> None:
    target = waves()
    generator = torch.Generator().manual_seed(2)
    picture = (target + 0.1 * torch.randn(target.shape, generator=generator)).requires_grad_()
    before = distance(picture, target)
    (gradient,) = torch.autograd.grad(before.sum(), picture)
    step = 0.02 * gradient / gradient.abs().amax((1, 2, 3), keepdim=True)
    assert (distance((picture - step).detach(), target) < before).all()
    flat = torch.zeros(1, 3, 32, 32, requires_grad=True)
    (gradient,) = torch.autograd.grad(distance(flat, torch.zeros(1, 3, 32, 32)).sum(), flat)
    assert torch.isfinite(gradient).all()


def test_bf16_is_close(distance: PerceptualDistance) -> None:
    x, y = waves(), 0.9 * waves().roll(3, -1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = distance(x, y)
    assert out.dtype == torch.float32
    assert torch.allclose(out, distance(x, y), rtol=0.05)


def test_other_shapes_are_refused(distance: PerceptualDistance) -> None:
    picture = torch.zeros(1, 3, 64, 64)
    for other in (torch.zeros(2, 3, 64, 64), torch.zeros(1, 1, 64, 64)):
        with pytest.raises(InputError, match="perceptual"):
            distance(picture, other)
    with pytest.raises(InputError, match="32 or more"):
        distance(picture[..., :16, :16], picture[..., :16, :16])
