"""The geometry of training samples against OpenCV, statistics and invariants."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from faceloom.geometry import hull_mask, mirror_landmarks
from faceloom.samples import AugmentSettings, Geometry, apply_geometry, draw_geometry
from faceloom.samples.augment import affine_grid, sample_image, sample_mask, shift_hsv, warp_grid
from synthetic_faces import landmarks68

CPU = torch.device("cpu")


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(size: int, batch: int = 1) -> torch.Tensor:
    """A smooth picture, so that resampling differences stay small: b 3 s s."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    planes = [0.5 + 0.45 * torch.sin(0.1 * y + 0.07 * x * (c + 1) + c) for c in range(3)]
    return torch.stack(planes)[None].repeat(batch, 1, 1, 1).float()


def pixel_matrix(affine: torch.Tensor, size: int) -> np.ndarray:
    """A normalised output-to-source matrix as a pixel matrix for OpenCV."""
    to_unit = np.array([[2 / size, 0, 1 / size - 1], [0, 2 / size, 1 / size - 1], [0, 0, 1]])
    full = np.vstack([affine.double().numpy(), [0, 0, 1]])
    return (np.linalg.inv(to_unit) @ full @ to_unit)[:2]


def test_affine_matches_opencv() -> None:
    size, image = 96, picture(96, 6)
    geometry = draw_geometry(6, generator(), AugmentSettings(random_flip=True))
    ours = sample_image(image, affine_grid(geometry, size, CPU))
    for i in range(6):
        theirs = cv2.warpAffine(
            image[i].permute(1, 2, 0).numpy(),
            pixel_matrix(geometry.affine[i], size),
            (size, size),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        # OpenCV rounds source coordinates to 1/32 of a pixel.
        assert np.abs(ours[i].permute(1, 2, 0).numpy() - np.clip(theirs, 0, 1)).max() < 0.006


def test_mask_matches_opencv_with_nothing_beyond_the_edge() -> None:
    size = 96
    mask = torch.ones(4, 1, size, size)
    geometry = draw_geometry(4, generator(3), AugmentSettings(scale_range=0.3, shift=0.2))
    ours = sample_mask(mask, affine_grid(geometry, size, CPU))
    for i in range(4):
        theirs = cv2.warpAffine(
            mask[i, 0].numpy(),
            pixel_matrix(geometry.affine[i], size),
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        assert np.abs(ours[i, 0].numpy() - theirs).max() < 0.06
    assert float(ours.min()) == 0


def test_warp_matches_opencv_remap() -> None:
    size, image = 96, picture(96, 5)
    settings = AugmentSettings(rotation_deg=0, scale_range=0, shift=0)
    geometry = draw_geometry(5, generator(5), settings)
    grid = warp_grid(geometry, affine_grid(geometry, size, CPU))
    ours = sample_image(image, grid)
    for i in range(5):
        # The control points lie at pixel corners i·cell - ½: half-pixel centres of a grid with a
        # cell a point, of which OpenCV's resize makes size + cell pixels and half a cell is cut.
        cell = size // 8
        fields = geometry.warp[i].numpy() * (size / 2)
        maps = []
        for axis in range(2):
            points = fields[axis] + np.arange(9, dtype=np.float32)[None if axis == 0 else ...][
                :, None if axis == 1 else slice(None)
            ] * np.float32(cell)
            big = cv2.resize(points, (size + cell, size + cell), interpolation=cv2.INTER_LINEAR)
            maps.append(big[cell // 2 : -cell // 2, cell // 2 : -cell // 2] - np.float32(0.5))
        source = image[i].permute(1, 2, 0).numpy()
        theirs = cv2.remap(
            source, maps[0], maps[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        assert np.abs(ours[i].permute(1, 2, 0).numpy() - np.clip(theirs, 0, 1)).max() < 0.01


def test_warp_statistics() -> None:
    """Strength as measured on the original; none of its two defects
    (docs/internals/sampling.md)."""
    size, batch = 64, 1200
    settings = AugmentSettings(rotation_deg=0, scale_range=0, shift=0)
    geometry = draw_geometry(batch, generator(7), settings)
    base = affine_grid(geometry, size, CPU)
    moved = (warp_grid(geometry, base) - base) * (size / 2)
    assert abs(float(moved.mean())) < 0.02
    x, y = moved[..., 0], moved[..., 1]
    correlation = np.corrcoef(x.flatten().numpy(), y.transpose(1, 2).flatten().numpy())[0, 1]
    assert abs(correlation) < 0.12, "1 in the original"
    assert float(moved[:, 0].abs().max()) < 1.5, "the border stays"
    # Which grid a sample has shows in its values midway between the coarser grids' points.
    halves = geometry.warp[:, 0, 1, 1] - 0.25 * geometry.warp[:, 0, 2, 2]
    quarter = geometry.warp[:, 0, 2, 2] - 0.25 * geometry.warp[:, 0, 4, 4]
    is_fine = halves.abs() > 1e-6
    is_coarse = ~is_fine & (quarter.abs() < 1e-6)
    is_middle = ~is_fine & ~is_coarse
    for chosen, cells, expected in (
        (is_coarse, 2, 0.044),
        (is_middle, 4, 0.064),
        (is_fine, 8, 0.075),
    ):
        assert 0.28 < float(chosen.float().mean()) < 0.39
        measured = float(moved[chosen].std()) / (size / cells)
        assert measured == pytest.approx(expected, rel=0.06)


def test_affine_statistics() -> None:
    settings = AugmentSettings(random_flip=True)
    geometry = draw_geometry(4000, generator(11), settings)
    linear = geometry.affine[:, :, :2].double()
    determinant = torch.linalg.det(linear)
    scale = determinant.abs().rsqrt()
    assert 1 / 1.15 - 1e-6 <= float(scale.min()) < 0.875
    assert 1.145 < float(scale.max()) <= 1.15 + 1e-6
    assert float((determinant < 0).double().mean()) == pytest.approx(0.4, abs=0.03)
    unmirrored = linear * torch.stack([determinant.sign(), torch.ones(4000)], 1)[:, None]
    angle = torch.rad2deg(torch.atan2(unmirrored[:, 1, 0], unmirrored[:, 1, 1]))
    assert 9.9 < float(angle.abs().max()) <= 10.0001
    assert float(angle.std()) == pytest.approx(20 / math.sqrt(12), rel=0.05)
    shift = torch.linalg.solve(unmirrored, geometry.affine[:, :, 2:].double())
    assert 0.099 < float(shift.abs().max()) <= 0.1 + 1e-6


def test_options_do_not_disturb_each_other() -> None:
    plain = draw_geometry(8, generator(2), AugmentSettings())
    flipped = draw_geometry(8, generator(2), AugmentSettings(random_flip=True, hsv_power=0.1))
    assert torch.equal(plain.warp, flipped.warp)
    assert torch.equal(plain.affine[:, :, 1:], flipped.affine[:, :, 1:])


def planes(size: int, batch: int) -> torch.Tensor:
    mask = torch.from_numpy(hull_mask(landmarks68(size), (size, size)))
    image = picture(size, batch)
    both = mask[None, None].repeat(batch, 2, 1, 1)
    return torch.cat([image, both], 1)


def test_without_warp_input_is_target() -> None:
    settings = AugmentSettings(random_warp=False, random_flip=True)
    batch = apply_geometry(
        planes(64, 3), draw_geometry(3, generator(), settings), settings, resolution=64
    )
    assert torch.equal(batch.warped, batch.target)


def test_nothing_random_gives_the_picture_back() -> None:
    settings = AugmentSettings(random_warp=False, rotation_deg=0, scale_range=0, shift=0)
    source = planes(64, 2)
    batch = apply_geometry(source, draw_geometry(2, generator(), settings), settings, resolution=64)
    torch.testing.assert_close(batch.target, source[:, :3], atol=2e-5, rtol=0)
    torch.testing.assert_close(batch.mask, source[:, 3:4], atol=2e-5, rtol=0)


def test_mask_follows_the_image() -> None:
    """A picture that is its own mask stays its own mask."""
    settings = AugmentSettings(random_flip=True)
    size = 128
    mask = torch.from_numpy(hull_mask(landmarks68(size), (size, size)))
    mask = torch.from_numpy(cv2.GaussianBlur(mask.numpy(), (15, 15), 0))
    source = mask[None, None].repeat(6, 5, 1, 1)
    batch = apply_geometry(
        source, draw_geometry(6, generator(4), settings), settings, resolution=size
    )
    assert float((batch.target[:, :1] - batch.mask).abs().max()) < 0.02
    assert float((batch.warped - batch.target).abs().mean()) > 0.005
    ratio = batch.eyes_mouth / batch.mask.amax((1, 2, 3), keepdim=True)
    assert batch.eyes_mouth.amax((1, 2, 3)).tolist() == pytest.approx([1.0] * 6)
    assert ratio.max() <= 1.2


def test_mirroring_a_face_mirrors_its_landmarks() -> None:
    """The flipped mask is the mask of the mirrored landmarks; flipping twice changes nothing."""
    size = 128
    settings = AugmentSettings(
        random_flip=True, flip_probability=1, rotation_deg=0, scale_range=0, shift=0
    )
    geometry = draw_geometry(1, generator(), settings)
    landmarks = landmarks68(size, turn=0.3)
    mask = torch.from_numpy(hull_mask(landmarks, (size, size)))[None, None]
    grid = affine_grid(geometry, size, CPU)
    flipped = sample_mask(mask, grid)
    mirrored = hull_mask(mirror_landmarks(landmarks, size), (size, size))
    assert float(np.abs(flipped[0, 0].numpy() - mirrored).mean()) < 0.02
    torch.testing.assert_close(sample_mask(flipped, grid), mask, atol=1e-5, rtol=0)


def test_working_size_may_differ_from_resolution() -> None:
    settings = AugmentSettings(random_flip=True)
    geometry = draw_geometry(3, generator(9), settings)
    small = apply_geometry(planes(64, 3), geometry, settings, resolution=64)
    source = torch.nn.functional.interpolate(
        planes(64, 3), (128, 128), mode="bicubic", align_corners=False
    )
    large = apply_geometry(source.clamp(0, 1), geometry, settings, resolution=64)
    assert float((small.target - large.target).abs()[..., 8:-8, 8:-8].max()) < 0.03
    assert float((small.warped - large.warped).abs()[..., 8:-8, 8:-8].max()) < 0.03


def test_hsv_matches_opencv() -> None:
    image = torch.rand(2, 3, 24, 24, generator=generator(6))
    shift = torch.tensor([[25.0, 0.1, -0.05], [-140.0, -0.2, 0.1]])
    ours = shift_hsv(image, shift)
    for i in range(2):
        hsv = cv2.cvtColor(image[i].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + float(shift[i, 0])) % 360
        hsv[..., 1:] = np.clip(hsv[..., 1:] + shift[i, 1:].numpy(), 0, 1)
        theirs = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        assert np.abs(ours[i].permute(1, 2, 0).numpy() - theirs).max() < 1e-4


def test_geometry_is_the_generators() -> None:
    def draw() -> Geometry:
        return draw_geometry(4, generator(8), AugmentSettings())

    assert torch.equal(draw().affine, draw().affine)
    assert torch.equal(draw().warp, draw().warp)
