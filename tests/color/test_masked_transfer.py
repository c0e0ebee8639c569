"""Batched colour transfer inside masks, against the unmasked one of the masked pixels alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from color_pictures import colourful
from faceloom.color import TRANSFERS, TransferName
from faceloom.color.batched import transfer_batch
from faceloom.color.transfer import SOT_DIRECTIONS, SOT_STEPS

MODES: tuple[TransferName, ...] = ("rct", "lct", "mkl", "idt", "sot")
LINEAR: tuple[TransferName, ...] = ("rct", "lct", "mkl")
SIZE = 72
DARK = (0.12, 0.1, 0.2)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def batch(*pictures: np.ndarray) -> torch.Tensor:
    whole = torch.from_numpy(np.stack(pictures)).float()
    return (whole.permute(0, 3, 1, 2) if whole.ndim == 4 else whole[:, None]).contiguous()


def pictures(tensor: torch.Tensor) -> np.ndarray:
    return tensor.permute(0, 2, 3, 1).numpy()


def disc(x: float, y: float, radius: float, size: int = SIZE) -> np.ndarray:
    """True in a circle given in parts of the side: `size size`."""
    rows, columns = np.mgrid[:size, :size] / size
    return np.hypot(rows - y, columns - x) < radius


def faces(background: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three pictures, their masks, and the same pictures with another background."""
    made = [colourful(i, SIZE, (0.6, 0.5, 0.4), 0.1) for i in range(3)]
    around = [colourful(i + 20, SIZE, background, 0.05) for i in range(3)]
    masks = [disc(0.5, 0.45, 0.3), disc(0.4, 0.5, 0.35), disc(0.55, 0.6, 0.25)]
    changed = [np.where(m[..., None], p, b) for m, p, b in zip(masks, made, around, strict=True)]
    return np.stack(made), np.stack(masks), np.stack(changed)


def others() -> tuple[np.ndarray, np.ndarray]:
    """Three references with dark surroundings, and their masks."""
    masks = np.stack([disc(0.5, 0.5, 0.2), disc(0.6, 0.4, 0.3), disc(0.4, 0.6, 0.36)])
    made = [colourful(i + 9, SIZE, (0.45, 0.5, 0.55), 0.09) for i in range(3)]
    around = [colourful(i + 30, SIZE, DARK, 0.04) for i in range(3)]
    return np.stack(
        [np.where(m[..., None], p, b) for m, p, b in zip(masks, made, around, strict=True)]
    ), masks


def transferred(mode: TransferName, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    references, reference_masks = others()
    pair = batch(*masks), batch(*reference_masks)
    return pictures(transfer_batch(mode, batch(*images), batch(*references), generator(), pair))


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.square(one - other).mean()))


@pytest.mark.parametrize(("mode", "tolerance"), [("rct", 0.02), ("lct", 2e-5), ("mkl", 5e-4)])
def test_linear_modes_are_the_exact_ones_of_the_masked_pixels(
    mode: TransferName, tolerance: float
) -> None:
    """Tolerances: rct, OpenCV's tables of Lab; mkl, its ridge."""
    images, masks, _ = faces(DARK)
    references, reference_masks = others()
    result = transferred(mode, images, masks)
    for i in range(3):
        inside = images[i][masks[i]][:, None]
        exact = TRANSFERS[mode](inside, references[i][reference_masks[i]][:, None])
        np.testing.assert_allclose(result[i][masks[i]][:, None], exact, atol=tolerance)
        assert apart(result[i][masks[i]][:, None], exact) < 1.5e-3


@pytest.mark.parametrize("mode", LINEAR)
def test_grey_masks_count_pixels_by_their_value(mode: TransferName) -> None:
    """A pixel of weight 1 against one of 1/2 is two pixels against one."""
    rng = np.random.default_rng(4)
    image, reference = (rng.uniform(0.2, 0.8, (1, 24, 24, 3)).astype(np.float32) for _ in range(2))
    twice, once = disc(0.5, 0.5, 0.4, 24), ~disc(0.5, 0.5, 0.4, 24)
    grey = (twice + 0.5 * once)[None]
    pair = batch(grey[0]), batch(grey[0])
    result = pictures(transfer_batch(mode, batch(*image), batch(*reference), generator(), pair))
    repeated = [
        np.concatenate([p[0][twice], p[0][twice], p[0][once]])[:, None] for p in (image, reference)
    ]
    exact = TRANSFERS[mode](*repeated)[: int(twice.sum()), 0]
    # mkl divides by the number of pixels less one, which is half as large here.
    np.testing.assert_allclose(result[0][twice], exact, atol=0.02 if mode == "rct" else 2e-3)


@pytest.mark.parametrize("mode", ["idt", "sot"])
def test_distributions_inside_become_those_of_the_masked_pixels(mode: TransferName) -> None:
    """As near as those of the exact version, of which idt stops on the way."""
    images, masks, _ = faces(DARK)
    references, reference_masks = others()
    result = transferred(mode, images, masks)
    levels = np.linspace(0.05, 0.95, 19)
    for i in range(3):
        wanted = references[i][reference_masks[i]]
        inside = images[i][masks[i]]
        options = {"smooth": False} if mode == "sot" else {}
        exact = TRANSFERS[mode](inside[:, None], wanted[:, None], **options)[:, 0]
        for channel in range(3):
            got, best, before, goal = (
                np.quantile(pixels[:, channel], levels)
                for pixels in (result[i][masks[i]], exact, inside, wanted)
            )
            # Smooth changes of colour cannot give sot the very same distribution.
            assert np.abs(got - best).max() < 0.06
            assert np.abs(got - best).mean() < 0.3 * np.abs(before - goal).mean()


@pytest.mark.parametrize("size", [72, 128])
def test_sot_inside_is_near_the_exact_one(size: int) -> None:
    """Given the same directions, to 2 parts in 100 of the change; inside the mask and around it.
    The exact one knows one mask for both pictures."""
    image = colourful(1, size, (0.6, 0.5, 0.4), 0.1)
    reference = colourful(11, size, (0.4, 0.5, 0.6), 0.1)
    inside = disc(0.45, 0.5, 0.3, size)
    reference[~inside] *= 0.2
    mask = inside.astype(np.float32)
    pair = batch(mask), batch(mask)
    result = pictures(transfer_batch("sot", batch(image), batch(reference), generator(), pair))[0]
    exact = TRANSFERS["sot"](image, reference, mask, statistics="inside", random=Directions())
    for area in (inside, disc(0.45, 0.5, 0.4, size) & ~inside):
        change = apart(exact[area], image[area])
        assert apart(result[area], exact[area]) < 0.02 * change
        assert change > 0.15


class Directions(np.random.Generator):
    """Gives the exact `sot` what the batched one draws from `generator()`."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(1))
        drawn = torch.randn(
            SOT_STEPS, SOT_DIRECTIONS, 3, generator=generator(), dtype=torch.float64
        )
        self.steps = iter(drawn.numpy())

    def standard_normal(self, *_: object) -> np.ndarray:  # type: ignore[override]
        return next(self.steps).copy()


@pytest.mark.parametrize("mode", MODES)
def test_what_lies_around_a_face_does_not_change_it(mode: TransferName) -> None:
    """idt's table of colours spans the whole picture's, so that its nodes lie elsewhere."""
    images, masks, changed = faces((0.1, 0.3, 0.15))
    one, other = (transferred(mode, p, masks) for p in (images, changed))
    for i in range(3):
        np.testing.assert_allclose(
            one[i][masks[i]], other[i][masks[i]], atol=1e-2 if mode == "idt" else 1e-6
        )
    references, reference_masks = others()
    brighter = np.where(reference_masks[..., None], references, 0.9)
    pair = batch(*masks), batch(*reference_masks)
    again = transfer_batch(mode, batch(*images), batch(*brighter), generator(), pair)
    np.testing.assert_allclose(pictures(again), one, atol=1e-6)
    # Without masks it does.
    plain, lit = (
        transfer_batch(mode, batch(*images), batch(*r), generator()) for r in (references, brighter)
    )
    assert float((plain - lit).abs().mean()) > 0.05


@pytest.mark.parametrize("mode", MODES)
def test_the_whole_picture_changes_without_an_edge(mode: TransferName) -> None:
    """A picture of one scene inside and outside its mask stays one: the change has no step there,
    and reaches every corner."""
    images, masks, _ = faces(DARK)
    change = transferred(mode, images, masks) - images
    for i in range(3):
        steps = np.abs(np.diff(change[i], axis=1)).max(2)
        crossing = masks[i][:, 1:] != masks[i][:, :-1]
        assert steps[crossing].mean() < 1.5 * steps[~crossing].mean() + 1e-3
        inside, corners = change[i][masks[i]].mean(0), change[i][::60, ::60].mean((0, 1))
        assert np.dot(inside, corners) > 0.3 * np.dot(inside, inside)


def test_sot_fades_far_from_the_mask_into_a_mean_change() -> None:
    """Beyond the reach of any cell of the mask, too; the change there has no step either."""
    size = 256
    image = colourful(1, size, (0.5, 0.5, 0.5), 0.08)
    reference = colourful(11, size, (0.4, 0.5, 0.6), 0.08)
    mask = disc(0.2, 0.2, 0.12, size).astype(np.float32)
    pair = batch(mask), batch(mask)
    result = pictures(transfer_batch("sot", batch(image), batch(reference), generator(), pair))[0]
    change = result - image
    mean = change[mask > 0].mean(0)
    np.testing.assert_allclose(change[200:, 200:].mean((0, 1)), mean, atol=0.02)
    for one, other in pairwise((change[::4], change[1::4], change[2::4])):
        assert np.abs(one - other).max() < 0.02


@pytest.mark.parametrize("mode", MODES)
def test_pairs_with_an_empty_mask_are_measured_whole(mode: TransferName) -> None:
    images, masks, _ = faces(DARK)
    references, reference_masks = others()
    masks[1] = False
    reference_masks[2] = disc(0.5, 0.5, 0.03)
    pair = batch(*masks), batch(*reference_masks)
    both = batch(*images), batch(*references)
    result = transfer_batch(mode, *both, generator(), pair)
    whole = transfer_batch(mode, *both, generator())
    apart = (result - whole).square().mean((1, 2, 3)).sqrt()
    assert float(apart[1:].max()) < (1e-5 if mode in LINEAR else 0.02)
    assert float(apart[0]) > 0.05


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_does_not_depend_on_its_batch(mode: TransferName) -> None:
    images, masks, _ = faces(DARK)
    references, reference_masks = others()
    masks[1] = False
    values = [batch(*a) for a in (images, references, masks, reference_masks)]
    whole = transfer_batch(mode, *values[:2], generator(), (values[2], values[3]))
    for rows in (slice(0, 1), slice(1, 3)):
        image, reference, mask, other = (v[rows] for v in values)
        part = transfer_batch(mode, image, reference, generator(), (mask, other))
        # Some processors multiply a batch of another size in another order.
        torch.testing.assert_close(part, whole[rows], atol=2e-6, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_flat_and_odd_pictures_stay_finite(mode: TransferName) -> None:
    """Masks that slip between the cells, references of another size and shape."""
    image = batch(colourful(1, 96, (0.5, 0.5, 0.5), 0.1))
    flat = torch.full((1, 3, 40, 64), 0.3)
    thin = torch.zeros(1, 1, 96, 96)
    thin[..., ::16] = 1
    rim = torch.zeros(1, 1, 40, 64)
    rim[..., :2, :] = 1
    for one, its, other, others_ in ((image, thin, flat, rim), (flat, rim, image, thin)):
        result = transfer_batch(mode, one, other, generator(), (its, others_))
        assert result.shape == one.shape
        assert torch.isfinite(result).all()
        assert 0 <= float(result.min()) <= float(result.max()) <= 1
