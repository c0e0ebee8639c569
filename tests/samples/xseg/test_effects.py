"""Every effect of a mask model's training pictures against OpenCV or NumPy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from faceloom.samples.xseg.effects import (
    blur_matrix,
    filtered,
    flared,
    levelled,
    motion_blurred,
    motion_kernel,
    rescale_matrix,
    sharpened,
    soft_circles,
)
from faceloom.samples.xseg.jpeg import jpeg_loss

SIDE = 64


def picture(seed: int = 0, side: int = SIDE) -> np.ndarray:
    """Smooth colours with some texture and an edge: h w 3 in [0, 1]."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((6, 6, 3)).astype(np.float32)
    image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    image[side // 3 :, side // 2 :] *= 0.4
    return np.clip(image + rng.normal(0, 0.02, image.shape), 0, 1).astype(np.float32)


def tensor(*images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())


def array(batch: Tensor, at: int = 0) -> np.ndarray:
    return batch[at].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [1, 3, 9, 17, 63])
def test_gaussian_blur_is_opencvs(size: int) -> None:
    image = picture()
    blurred = filtered(tensor(image), blur_matrix("gaussian", size, SIDE)[None])
    assert np.abs(array(blurred) - cv2.GaussianBlur(image, (size, size), 0)).max() < 1e-5


def test_samples_of_a_batch_have_kernels_of_their_own() -> None:
    images = [picture(1), picture(2)]
    matrices = torch.stack([blur_matrix("box", 3, SIDE), blur_matrix("box", 5, SIDE)])
    blurred = filtered(tensor(*images), matrices)
    for at, (image, size) in enumerate(zip(images, (3, 5), strict=True)):
        assert np.abs(array(blurred, at) - cv2.blur(image, (size, size))).max() < 1e-5


def test_box_sharpening_is_its_kernel() -> None:
    """δ + (δ − box)·n as one 5x5 kernel."""
    image, n = picture(), 3
    delta = np.zeros((5, 5))
    delta[2, 2] = 1
    kernel = delta + (delta - np.full((5, 5), 1 / 25)) * n
    expected = np.clip(cv2.filter2D(image, cv2.CV_32F, kernel), 0, 1)
    sharp = sharpened(tensor(image), blur_matrix("box", 5, SIDE)[None], torch.tensor([float(n)]))
    assert np.abs(array(sharp) - expected).max() < 1e-5


def test_unsharp_masking_is_a_weighted_sum() -> None:
    image, n = picture(), 7
    blurred = cv2.GaussianBlur(image, (3, 3), 0)
    expected = np.clip(cv2.addWeighted(image, 1 + n / 2, blurred, -n / 2, 0), 0, 1)
    sharp = sharpened(tensor(image), blur_matrix("gaussian", 3, SIDE)[None], torch.tensor([n / 2]))
    assert np.abs(array(sharp) - expected).max() < 1e-5


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("angle", [0, 45, 90, 201])
def test_motion_kernels_sum_to_one_and_blur_as_opencv(size: int, angle: int) -> None:
    kernel = motion_kernel(size, angle)
    assert float(kernel.sum()) == pytest.approx(1)
    assert kernel.min() >= 0
    if angle in (0, 90):
        line = kernel if angle == 0 else kernel.T
        assert int((line.sum(1) > 1e-3).sum()) == 1, "one straight line"
        assert int((line > 1e-3).sum()) == size
    image = picture()
    expected = cv2.filter2D(image, cv2.CV_32F, kernel.numpy())
    assert np.abs(array(motion_blurred(tensor(image), kernel[None])) - expected).max() < 1e-5


def test_levels_restated() -> None:
    image = picture()
    levels = np.array(
        [[0.1, 0.9, 0.7, 0.2, 0.8], [0, 1, 1, 0, 1], [0.25, 0.75, 1.5, 0, 0.75]], np.float32
    )
    black, white, gamma, low, high = levels.T
    expected = np.clip((image - black) / (white - black), 0, 1) ** (1 / gamma)
    expected = expected * (high - low) + low
    changed = array(levelled(tensor(image), torch.from_numpy(levels)[None]))
    assert np.abs(changed - expected).max() < 1e-5
    assert np.abs(changed[..., 1] - image[..., 1]).max() < 1e-6, "these levels change nothing"


@pytest.mark.parametrize("smooth", [True, False])
def test_rescaling_is_opencvs(smooth: bool) -> None:
    image, mode = picture(), cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    for small in (64, 41, 16):
        shrunk = cv2.resize(image, (small, small), interpolation=mode)
        expected = cv2.resize(shrunk, (SIDE, SIDE), interpolation=mode)
        matrix = rescale_matrix(small, SIDE, smooth=smooth)
        assert np.abs(array(filtered(tensor(image), matrix[None])) - expected).max() < 1e-5


def test_flare_spills_the_light_of_its_part() -> None:
    image = picture() * 0.5
    part = np.zeros((SIDE, SIDE, 1), np.float32)
    part[10:30, 20:50] = 1
    spilled = cv2.GaussianBlur(image * part, (33, 33), 0)
    got = flared(tensor(image), tensor(part), blur_matrix("gaussian", 33, SIDE)[None])
    assert np.abs(array(got) - np.clip(image + spilled, 0, 1)).max() < 1e-5


def test_soft_circle_fades_from_one_to_nothing() -> None:
    circle = soft_circles(torch.tensor([[20.0, 30.0, 8.0, 16.0]]), SIDE)[0, 0]
    for x, y in ((20, 30), (28, 30), (36, 30), (20, 54), (60, 5)):
        distance = np.hypot(x - 20, y - 30)
        assert float(circle[y, x]) == pytest.approx(float(np.clip(1 - (distance - 8) / 16, 0, 1)))
    assert soft_circles(torch.zeros(1, 4), SIDE).isfinite().all()


@pytest.mark.parametrize("quality", [10, 30, 60, 95])
def test_jpeg_is_close_to_a_real_one(quality: int) -> None:
    """Closer to what a real JPEG makes of the picture than that is to the picture."""
    image = np.round(picture(side=128) * 255) / 255
    bgr = (image[..., ::-1] * 255).round().astype(np.uint8)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    real = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32) / 255
    ours = array(jpeg_loss(tensor(image.astype(np.float32)), torch.tensor([quality])))

    def psnr(a: np.ndarray, b: np.ndarray) -> float:
        return float(-10 * np.log10(((a - b) ** 2).mean()))

    assert psnr(ours, real) > 40
    assert psnr(ours, real) > psnr(image, real) + 4
    assert psnr(ours, image) == pytest.approx(psnr(real, image), abs=0.3)
