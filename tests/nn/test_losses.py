"""Losses against golden numbers, scikit-image and SciPy (docs/internals/losses.md,
docs/internals/golden.md)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from faceloom.nn import (
    absolute_error,
    blur_outside,
    blurred_mask,
    dssim,
    dssim_windows,
    gaussian_blur,
    mask_weight,
    squared_error,
    structural_loss,
)


def waves(side: int, phase: float, n: int = 0) -> torch.Tensor:
    """Appendix A's test picture, `1 3 side side`."""
    h, w, c = np.ogrid[:side, :side, :3]
    x = 0.5 + 0.5 * np.sin(0.1 * h + 0.23 * w * (c + 1) + 0.7 * n + phase)
    return torch.from_numpy(x.astype(np.float32)).permute(2, 0, 1)[None]


def exact_dssim(side: int, window: int) -> np.ndarray:
    """DSSIM of the two test pictures, written out in float64: `3`."""
    x, y = (waves(side, phase)[0].double().numpy() for phase in (0, 0.3))
    offset = np.arange(window) - (window - 1) / 2
    line = np.exp(-(offset**2) / (2 * 1.5**2))
    line /= line.sum()

    def mean(image: np.ndarray) -> np.ndarray:
        views = np.lib.stride_tricks.sliding_window_view(image, window, axis=1) @ line
        return np.lib.stride_tricks.sliding_window_view(views, window, axis=2) @ line

    mx, my, mxy, squares = mean(x), mean(y), mean(x * y), mean(x**2 + y**2)
    luminance = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
    contrast = (2 * (mxy - mx * my) + 9e-4) / (squares - mx**2 - my**2 + 9e-4)
    return (1 - (luminance * contrast).mean((1, 2))) / 2


@pytest.mark.parametrize(
    ("side", "window", "expected"),
    [
        (64, 5, (0.100920, 0.065499, 0.041498)),
        (96, 8, (0.086231, 0.047142, 0.030310)),
        (128, 11, (0.082982, 0.044451, 0.029504)),
        (224, 19, (0.082739, 0.044328, 0.029489)),
        (256, 22, (0.082614, 0.044330, 0.029477)),
        (256, 11, (0.082922, 0.044453, 0.029489)),
    ],
)
def test_dssim_golden(side: int, window: int, expected: tuple[float, ...]) -> None:
    out = dssim(waves(side, 0), waves(side, 0.3), window)
    assert out.shape == (1, 3)
    # The table was computed in float32 with convolutions: its own rounding is up to 1.6e-5.
    assert out[0].tolist() == pytest.approx(expected, abs=2e-5)
    assert np.abs(out[0].numpy() - exact_dssim(side, window)).max() < 2e-6


def test_dssim_agrees_with_scikit_image() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.random((2, 1, 3, 48, 48), dtype=np.float32)
    expected = [
        (
            1
            - structural_similarity(
                x[0, c],
                y[0, c],
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                data_range=1.0,
            )
        )
        / 2
        for c in range(3)
    ]
    out = dssim(torch.from_numpy(x), torch.from_numpy(y), 11)
    assert out[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_dssim_of_a_picture_with_itself_is_zero_and_has_a_gradient_elsewhere() -> None:
    a = waves(64, 0)
    assert dssim(a, a, 5).abs().max().item() < 1e-6
    b = waves(64, 0.3).requires_grad_()
    dssim(a, b, 5).sum().backward()
    assert b.grad is not None
    assert torch.isfinite(b.grad).all()
    assert b.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("resolution", "windows"),
    [(64, (5,)), (96, (8,)), (224, (19,)), (256, (22, 11)), (512, (44, 22)), (640, (55, 27))],
)
def test_windows(resolution: int, windows: tuple[int, ...]) -> None:
    assert dssim_windows(resolution) == windows


def test_structural_loss_shares_its_weight() -> None:
    a, b = waves(256, 0), waves(256, 0.3)
    expected = 5 * dssim(a, b, 22).mean(1) + 5 * dssim(a, b, 11).mean(1)
    assert torch.allclose(structural_loss(a, b, 256), expected)


def test_blur_of_ones_golden() -> None:
    out = gaussian_blur(torch.ones(1, 1, 16, 16), 2)[0, 0]
    golden = [0.362503, 0.470982, 0.545539, 0.585446, 0.602082, 0.602082]
    assert out[0, :6].tolist() == pytest.approx(golden, abs=1e-6)


@pytest.mark.parametrize(("sigma", "radius"), [(0.5, 1), (1.0, 2), (4.0, 8), (1.75, 3)])
def test_blur_agrees_with_scipy(sigma: float, radius: int) -> None:
    image = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(0))
    expected = gaussian_filter(
        image.double().numpy(), sigma, radius=radius, axes=(2, 3), mode="constant"
    )
    assert np.abs(gaussian_blur(image, sigma).numpy() - expected).max() < 1e-6


def test_mask_weight_is_one_inside_and_fades_outside() -> None:
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 32:96, 32:96] = 1
    weight, plain = mask_weight(mask)[0, 0], blurred_mask(mask)[0, 0]
    assert weight[40:88, 40:88].min().item() == pytest.approx(1)
    assert weight[64, 32].item() == 1
    assert weight[:16].max() == 0
    assert 0 < weight[64, 30].item() < 1
    assert plain[64, 31:33].mean().item() == pytest.approx(0.5, abs=1e-5)


def test_blur_outside_leaves_the_face_and_has_no_vignette() -> None:
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 40:90, 30:100] = 1
    flat = torch.full((1, 3, 128, 128), 0.7)
    assert torch.allclose(blur_outside(flat, mask), flat, atol=1e-6)
    image = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    out = blur_outside(image, mask)
    assert torch.equal(out[..., 40:90, 30:100], image[..., 40:90, 30:100])
    assert out[..., :30, :].std() < 0.6 * image[..., :30, :].std()
    whole = blur_outside(image, torch.ones_like(mask))
    assert torch.equal(whole, image)


def test_errors_keep_the_batch_axis() -> None:
    x, y = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    y[1] = 0.5
    assert squared_error(x, y).tolist() == [0, 0.25]
    assert absolute_error(x, y).tolist() == [0, 0.5]
