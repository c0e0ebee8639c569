"""Colours of drawn samples: given to input and target alike, and for part of a batch as for all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from faceloom.color import TransferName, TransferStatistics
from faceloom.color.batched import transfer_batch
from faceloom.core import InputError
from faceloom.samples import AugmentSettings, References, SampleStore, draw_batch

MODES: tuple[TransferName, ...] = ("rct", "lct", "mkl", "idt", "sot")
STILL = AugmentSettings(random_warp=False, rotation_deg=0, scale_range=0, shift=0)


def store(seed: int, *, size: int = 48, tint: float) -> SampleStore:
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 1, (5, 5, 6, 6)).astype(np.float32))
    planes = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    planes[:, :3] *= torch.tensor([1.0, tint, tint**2])[:, None, None]
    names = tuple(str(i) for i in range(5))
    whole = (planes * 255).round().to(torch.uint8)
    return SampleStore(whole, names, torch.device("cpu"), np.zeros(5, np.float32))


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("statistics", ["inside", "whole"])
@pytest.mark.parametrize("mode", MODES)
def test_colours_become_the_references(mode: TransferName, statistics: TransferStatistics) -> None:
    src, dst = store(1, tint=0.9), store(2, tint=0.5)
    settings = STILL.model_copy(update={"ct_mode": mode, "ct_statistics": statistics})
    batch = draw_batch(
        src, [0, 3], generator(), settings, resolution=48, references=References(dst, [4, 1])
    )
    assert torch.equal(batch.warped, batch.target)
    plain = draw_batch(src, [0, 3], generator(), STILL, resolution=48)
    assert torch.equal(batch.mask, plain.mask)
    faces, lent = src.gather([0, 3]), dst.gather([4, 1])
    masks = (faces[:, 3:4], lent[:, 3:4]) if statistics == "inside" else None
    weights = masks or (torch.ones(2, 1, 48, 48), torch.ones(2, 1, 48, 48))
    wanted = _means(lent[:, :3], weights[1])
    before = (_means(plain.target, weights[0]) - wanted).abs().mean()
    after = (_means(batch.target, weights[0]) - wanted).abs().mean()
    assert float(after) < 0.5 * float(before)
    # Working pictures are recoloured before they are resampled; here, that moves nothing.
    expected = transfer_batch(mode, faces[:, :3], lent[:, :3], _after(2), masks)
    torch.testing.assert_close(batch.target, expected, atol=1e-4, rtol=0)


def _means(images: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (images * weights).sum((2, 3)) / weights.sum((2, 3))


def _after(samples: int) -> torch.Generator:
    """The generator as the geometry of some samples leaves it."""
    made = generator()
    torch.rand(samples, 10, generator=made, dtype=torch.float64)
    torch.rand(samples, 2, 9, 9, generator=made, dtype=torch.float64)
    return made


def test_warped_input_has_the_targets_colours() -> None:
    """The original transfers input and target separately, with other random directions."""
    src, dst = store(1, tint=0.9), store(2, tint=0.5)
    for mode in ("idt", "sot"):
        settings = AugmentSettings(ct_mode=mode)
        batch = draw_batch(
            src, [2], generator(3), settings, resolution=48, references=References(dst, [0])
        )
        inner = (..., slice(8, -8), slice(8, -8))
        for quantile in (0.1, 0.5, 0.9):
            colours = (
                t[inner].flatten(2).quantile(quantile, dim=2) for t in (batch.warped, batch.target)
            )
            torch.testing.assert_close(*colours, atol=0.04, rtol=0)


def test_hue_is_varied_on_the_input_only() -> None:
    src = store(1, tint=0.9)
    settings = AugmentSettings(random_warp=False, hsv_power=0.3)
    batch = draw_batch(src, [0, 1], generator(), settings, resolution=48)
    plain = draw_batch(src, [0, 1], generator(), AugmentSettings(random_warp=False), resolution=48)
    assert torch.equal(batch.target, plain.target)
    assert float((batch.warped - batch.target).abs().mean()) > 0.01


@pytest.mark.parametrize("mode", ["none", *MODES])
def test_a_part_of_a_batch_is_exactly_that_part(mode: TransferName) -> None:
    src, dst = store(1, tint=0.9), store(2, tint=0.5)
    settings = AugmentSettings(ct_mode=mode, hsv_power=0.1, random_flip=True)
    references = References(dst, [0, 1, 2, 3])
    indices = [4, 0, 2, 2]
    whole = draw_batch(src, indices, generator(), settings, resolution=48, references=references)
    for rows in (slice(0, 2), slice(2, 4), slice(3, 4)):
        part = draw_batch(
            src, indices, generator(), settings, resolution=48, references=references, rows=rows
        )
        for name in ("warped", "target", "mask", "eyes_mouth"):
            # Some processors multiply a batch of another size in another order, as sot does.
            tolerance = 1e-5 if mode == "sot" else 0
            torch.testing.assert_close(
                getattr(part, name), getattr(whole, name)[rows], atol=tolerance, rtol=0
            )


def test_transfer_needs_references() -> None:
    settings = AugmentSettings(ct_mode="rct")
    with pytest.raises(InputError, match="take colours from"):
        draw_batch(store(1, tint=1), [0], generator(), settings, resolution=48)


def test_gathering_part_of_the_planes() -> None:
    src = store(1, tint=0.9)
    torch.testing.assert_close(src.gather([3, 1]), src.planes[[3, 1]].float() / 255)
    assert torch.equal(src.gather([3, 1], planes=slice(3)), src.gather([3, 1])[:, :3])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_streamed_samples_are_the_resident_ones() -> None:
    src = store(1, tint=0.9)
    device = torch.device("cuda")
    stores = [
        SampleStore(planes, src.names, device, src.yaw_rad)
        for planes in (src.planes.to(device), src.planes.pin_memory(), src.planes)
    ]
    batches = [draw_batch(s, [4, 1], generator(), AugmentSettings(), resolution=48) for s in stores]
    for other in batches[1:]:
        assert torch.equal(batches[0].warped, other.warped)
