"""Batched colour transfer against the NumPy versions; Lab against OpenCV and scikit-image."""

from __future__ import annotations

from typing import get_args

import cv2
import numpy as np
import pytest
import torch
from skimage.color import lab2rgb, rgb2lab

from color_pictures import colourful
from faceloom.color import TRANSFERS, TransferName
from faceloom.color.batched import symmetric_root, transfer_batch
from faceloom.color.lab import lab_to_rgb, rgb_to_lab

MODES: tuple[TransferName, ...] = ("rct", "lct", "mkl", "idt", "sot")


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(*pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def pictures(tensor: torch.Tensor) -> np.ndarray:
    return tensor.permute(0, 2, 3, 1).numpy()


def pairs(size: int = 64) -> tuple[list[np.ndarray], list[np.ndarray]]:
    images = [colourful(i, size, (0.55, 0.45, 0.35), 0.12) for i in range(3)]
    return images, [colourful(i + 9, size, (0.4, 0.5, 0.6), 0.1) for i in range(3)]


def test_lab_is_that_of_other_libraries_and_back() -> None:
    rgb = np.random.default_rng(1).random((1, 40, 50, 3), np.float32)
    rgb[0, :4] *= 0.05  # below the knees of both curves
    lab = rgb_to_lab(batch(*rgb))
    np.testing.assert_allclose(pictures(lab), rgb2lab(rgb), atol=0.01)
    np.testing.assert_allclose(pictures(lab)[0], cv2.cvtColor(rgb[0], cv2.COLOR_RGB2LAB), atol=0.7)
    np.testing.assert_allclose(pictures(lab_to_rgb(lab)), rgb, atol=2e-5)
    wide = lab * torch.tensor([1.0, 1.3, 1.3])[:, None, None]
    np.testing.assert_allclose(
        pictures(lab_to_rgb(wide))[0],
        cv2.cvtColor(np.ascontiguousarray(pictures(wide)[0]), cv2.COLOR_LAB2RGB),
        atol=1e-3,
    )
    assert np.abs(pictures(lab_to_rgb(wide)) - lab2rgb(pictures(wide)).clip(0, 1)).mean() < 1e-3


@pytest.mark.parametrize(("mode", "tolerance"), [("rct", 0.02), ("lct", 1e-5), ("mkl", 5e-4)])
def test_linear_modes_are_the_exact_ones(mode: TransferName, tolerance: float) -> None:
    """rct: as far as OpenCV's Lab tables are off, most in the dark. mkl: by its ridge."""
    images, references = pairs(32)
    result = pictures(transfer_batch(mode, batch(*images), batch(*references), generator()))
    for i, (image, reference) in enumerate(zip(images, references, strict=True)):
        exact = TRANSFERS[mode](image, reference)
        np.testing.assert_allclose(result[i], exact, atol=tolerance)
        assert apart(result[i], exact) < 1.5e-3


@pytest.mark.parametrize("mode", ["idt", "sot"])
@pytest.mark.parametrize("size", [40, 96])
def test_estimates_are_near_the_exact_ones(mode: TransferName, size: int) -> None:
    """About as near as an exact one with other random directions."""
    images, references = pairs(size)
    result = pictures(transfer_batch(mode, batch(*images), batch(*references), generator()))
    for i, (image, reference) in enumerate(zip(images, references, strict=True)):
        exact = TRANSFERS[mode](image, reference)
        other = TRANSFERS[mode](image, reference, random=np.random.default_rng(i + 1))
        assert apart(exact, result[i]) < 1.8 * apart(exact, other)
        assert apart(exact, result[i]) < 0.06 * apart(exact, image)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.square(one - other).mean()))


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_does_not_depend_on_its_batch(mode: TransferName) -> None:
    images, references = (batch(*p) for p in pairs(40))
    whole = transfer_batch(mode, images, references, generator(3))
    for rows in (slice(0, 1), slice(1, 3)):
        part = transfer_batch(mode, images[rows], references[rows], generator(3))
        # Some processors multiply a batch of another size in another order.
        torch.testing.assert_close(part, whole[rows], atol=2e-6, rtol=0)


@pytest.mark.parametrize("mode", ["idt", "sot"])
def test_directions_are_the_generators(mode: TransferName) -> None:
    images, references = (batch(*p) for p in pairs(32))
    first = transfer_batch(mode, images, references, generator(3))
    assert torch.equal(first, transfer_batch(mode, images, references, generator(3)))
    assert not torch.equal(first, transfer_batch(mode, images, references, generator(4)))


@pytest.mark.parametrize("mode", MODES)
def test_same_colours_change_nothing_and_sizes_may_differ(mode: TransferName) -> None:
    images, _ = pairs(48)
    image = batch(*images)
    result = transfer_batch(mode, image, image, generator())
    torch.testing.assert_close(result, image, atol=2e-3, rtol=0)
    # The same colours at another size and shape.
    larger = image.repeat_interleave(2, 2)
    assert float((transfer_batch(mode, image, larger, generator()) - image).abs().mean()) < 4e-3


@pytest.mark.parametrize("mode", MODES)
def test_flat_and_grey_pictures_stay_finite(mode: TransferName) -> None:
    grey = batch(colourful(1, 24, (0.5, 0.5, 0.5), 0.1)).mean(1, keepdim=True).repeat(1, 3, 1, 1)
    flat = torch.full_like(grey, 0.5)
    colours = batch(colourful(4, 24, (0.6, 0.4, 0.5), 0.1))
    for image, reference in ((grey, colours), (flat, colours), (colours, grey), (flat, flat)):
        result = transfer_batch(mode, image, reference, generator())
        assert torch.isfinite(result).all()
        assert float(result.min()) >= 0
        assert float(result.max()) <= 1
    torch.testing.assert_close(
        transfer_batch(mode, flat, flat, generator()), flat, atol=2e-5, rtol=0
    )


def test_symmetric_roots() -> None:
    rng = np.random.default_rng(2)
    factors = rng.normal(0, 0.2, (40, 3, 3)) * np.array([1.0, 0.1, 0.01])
    matrices = np.concatenate(
        [factors @ factors.transpose(0, 2, 1) + 1e-5 * np.eye(3), 0.3 * np.eye(3)[None]]
    )
    root, inverse = (r.numpy() for r in symmetric_root(torch.from_numpy(matrices)))
    np.testing.assert_allclose(root @ root, matrices, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(root @ inverse, np.tile(np.eye(3), (41, 1, 1)), atol=1e-5)
    assert np.linalg.eigvalsh(root).min() > 0


def test_every_name_is_served() -> None:
    assert set(get_args(TransferName)) == {"none", *MODES} == {"none", *TRANSFERS}
    image = batch(colourful(1, 16, (0.5, 0.5, 0.5), 0.1))
    assert transfer_batch("none", image, image, generator()) is image
