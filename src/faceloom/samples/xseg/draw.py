"""Drawing training batches for a mask model (docs/internals/sampling.md).

Labels cover a few faces of one shoot, but the model must find faces in any light and in front of
any background. So a picture's background is mixed with another's, both are distorted, and the
picture is degraded as cameras and codecs degrade it, mostly inside a random soft circle.

All random values come from a generator on the CPU, in a fixed order: neither the device nor what is
drawn for one sample changes what is drawn for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from faceloom.nn.batch import MaskBatch
from faceloom.samples.augment import (
    AugmentSettings,
    affine_grid,
    draw_geometry,
    sample_image,
    shift_hsv,
    warp_grid,
)
from faceloom.samples.xseg.effects import (
    MOTION_TAPS,
    blended,
    blur_matrix,
    filtered,
    flared,
    levelled,
    motion_blurred,
    motion_kernel,
    rescale_matrix,
    sharpened,
    soft_circles,
    stacked,
)
from faceloom.samples.xseg.jpeg import jpeg_loss
from faceloom.samples.xseg.store import MaskStore

FACE: Final = AugmentSettings(
    random_warp=True, random_flip=True, rotation_deg=10, scale_range=0.05, shift=0.05
)
"""How a labelled face and its mask are distorted."""
BACKGROUND: Final = AugmentSettings(
    random_warp=False, random_flip=True, rotation_deg=180, scale_range=0.1, shift=0.1
)
"""How the picture whose background is mixed in is distorted."""
# A mixed background keeps at least this share of its own.
_LEAST_KEPT = 0.15

Effect = Callable[[Tensor, Tensor], Tensor]
"""Changes the chosen pictures `k 3 r r`, given their indices `k` in the batch."""


class Dice:
    """Random values for `batch` samples, from one generator on the CPU."""

    def __init__(self, batch: int, generator: torch.Generator) -> None:
        self.batch = batch
        self.generator = generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """`batch shape…` values in [low, high)."""
        return low + (high - low) * torch.rand(self.batch, *shape, generator=self.generator)

    def whole(self, low: int, high: int) -> Tensor:
        """`batch` integers from `low` to `high`, both included."""
        return torch.randint(low, high + 1, (self.batch,), generator=self.generator)

    def chance(self, probability: float) -> Tensor:
        """`batch` booleans, true with this probability."""
        return torch.rand(self.batch, generator=self.generator) < probability


@dataclass(frozen=True)
class Colours:
    """A change of hue, saturation and brightness, or of the levels in each channel, in a circle."""

    by_levels: Tensor
    """b booleans: by levels, else by HSV."""
    shift: Tensor
    """b 3: hue in degrees, saturation, value."""
    levels: Tensor
    """b 3 5: see `levelled`."""
    circles: Tensor
    """b 4: see `soft_circles`."""

    def of(self, chosen: Tensor) -> Colours:
        """Those of some samples (`b` booleans)."""
        values = (self.by_levels, self.shift, self.levels, self.circles)
        return Colours(*(value[chosen] for value in values))


def draw_mask_batch(store: MaskStore, indices: ArrayLike, generator: torch.Generator) -> MaskBatch:
    """The samples at `indices` with new random variations, on the store's device.

    The masks are 0 or 1. `generator` is a CPU generator.
    """
    index = np.asarray(indices, np.int64)
    dice = Dice(len(index), generator)
    planes = store.gather(index)
    image, mask = planes[:, :3].contiguous(), planes[:, 3:].contiguous()
    image = _mix_background(image, mask, store, index, dice)
    image, mask = _distort(image, mask, generator)
    image = _flare(image, mask, dice)
    image = _flare(image, 1 - mask, dice)
    image = _apply_colours(image, _draw_colours(store.size_px, dice))
    image = _change_detail(image, dice)
    image = _lose_resolution(image, dice)
    return MaskBatch(_compress(image, dice), mask)


def _mix_background(
    image: Tensor, mask: Tensor, store: MaskStore, index: NDArray[np.int64], dice: Dice
) -> Tensor:
    """In half of the samples, blend in what surrounds another sample's face."""
    side = image.shape[-1]
    chosen = dice.chance(0.5)
    others = (index + dice.whole(1, max(1, len(store) - 1)).numpy()) % len(store)
    affine = draw_geometry(dice.batch, dice.generator, BACKGROUND).affine[chosen]
    kept = dice.uniform(_LEAST_KEPT, 1)[:, None, None, None]
    colours = _draw_colours(side, dice).of(chosen)

    def mixed(image: Tensor, at: Tensor) -> Tensor:
        planes = store.gather(others[chosen.numpy()])
        theta = affine.to(planes.device, non_blocking=True)
        grid = F.affine_grid(theta, list(planes.shape), align_corners=False)
        # The mask's edge is extended like the picture's, so no smeared skin remains as background.
        moved = sample_image(planes, grid)
        taken = (moved[:, 3:] > 0.5).float()
        background = _apply_colours(moved[:, :3] * (1 - taken), colours)
        outside = 1 - torch.maximum(mask[at], taken)
        return blended(image, torch.lerp(background, image, _at(kept, at)), outside)

    return _applied(image, chosen, mixed)


def _distort(image: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Warp, rotate, scale, shift and mirror the picture and its mask."""
    geometry = draw_geometry(len(image), generator, FACE)
    grid = warp_grid(geometry, affine_grid(geometry, image.shape[-1], image.device))
    moved = F.grid_sample(mask, grid, "bicubic", "zeros", align_corners=False)
    return sample_image(image, grid), (moved > 0.5).float()


def _flare(image: Tensor, part: Tensor, dice: Dice) -> Tensor:
    """In half of the samples, spill light from `part` of the picture over all of it."""
    side = image.shape[-1]
    chosen = dice.chance(0.5)
    sizes = dice.whole(side // 4, side - 1) // 2 * 2 + 1

    def spilled(image: Tensor, at: Tensor) -> Tensor:
        matrices = _blurs(_picked(sizes, chosen), image)
        return flared(image, part[at], matrices)

    return _applied(image, chosen, spilled)


def _draw_colours(side: int, dice: Dice) -> Colours:
    by_levels = dice.chance(0.5)
    shift = torch.stack(
        [dice.whole(0, 359).float(), dice.uniform(-0.5, 0.5), dice.uniform(-0.5, 0.5)], 1
    )
    low, high = torch.tensor([0, 0.75, 0.5, 0, 0.75]), torch.tensor([0.25, 1, 1.5, 0.25, 1])
    levels = low + (high - low) * dice.uniform(0, 1, 3, 5)
    return Colours(by_levels, shift, levels, _circles(side, dice))


def _apply_colours(image: Tensor, colours: Colours) -> Tensor:
    def shifted(image: Tensor, at: Tensor) -> Tensor:
        return _in_circle(image, shift_hsv(image, _at(colours.shift, at)), colours.circles, at)

    def changed(image: Tensor, at: Tensor) -> Tensor:
        return _in_circle(image, levelled(image, _at(colours.levels, at)), colours.circles, at)

    image = _applied(image, ~colours.by_levels, shifted)
    return _applied(image, colours.by_levels, changed)


def _change_detail(image: Tensor, dice: Dice) -> Tensor:
    """Half of the samples may be sharpened, the others blurred: by motion, then out of focus."""
    sharpens = dice.chance(0.5)
    image = _sharpen(image, sharpens, dice)
    return _blur(image, ~sharpens, dice)


def _sharpen(image: Tensor, allowed: Tensor, dice: Dice) -> Tensor:
    """Sharpen some samples with a box kernel or by unsharp masking, in a circle."""
    chosen = allowed & dice.chance(0.25)
    by_box = dice.chance(0.5)
    sizes = dice.whole(1, 5) // 2 * 2 + 1
    amounts = torch.where(by_box, dice.whole(0, 9).float(), dice.whole(0, 49).float() / 2)
    circles = _circles(image.shape[-1], dice)

    def changed(image: Tensor, at: Tensor) -> Tensor:
        matrices = _blurs(_picked(sizes, chosen), image, _picked(by_box, chosen))
        return _in_circle(image, sharpened(image, matrices, _at(amounts, at)), circles, at)

    return _applied(image, chosen, changed)


def _blur(image: Tensor, allowed: Tensor, dice: Dice) -> Tensor:
    """Blur some samples by motion, then some out of focus, each in its own circle."""
    side = image.shape[-1]
    moving, sizes = allowed & dice.chance(0.25), dice.whole(1, MOTION_TAPS)
    angles, moved_circles = dice.whole(0, 359), _circles(side, dice)
    soft, taps = allowed & dice.chance(0.25), dice.whole(0, 4) * 2 + 1
    soft_places = _circles(side, dice)

    def moved(image: Tensor, at: Tensor) -> Tensor:
        lines = zip(_picked(sizes, moving), _picked(angles, moving), strict=True)
        kernels = stacked([motion_kernel(*line) for line in lines], image.device)
        return _in_circle(image, motion_blurred(image, kernels), moved_circles, at)

    def softened(image: Tensor, at: Tensor) -> Tensor:
        matrices = _blurs(_picked(taps, soft), image)
        return _in_circle(image, filtered(image, matrices), soft_places, at)

    return _applied(_applied(image, moving, moved), soft, softened)


def _lose_resolution(image: Tensor, dice: Dice) -> Tensor:
    """Shrink and restore some samples, by nearest pixels or linearly, in a circle."""
    side = image.shape[-1]
    chosen, smooth = dice.chance(0.25), dice.chance(0.5)
    small = side - (dice.uniform(0, 1) * int(0.75 * side)).int()
    circles = _circles(side, dice)

    def restored(image: Tensor, at: Tensor) -> Tensor:
        sizes = zip(_picked(small, chosen), _picked(smooth, chosen), strict=True)
        matrices = [rescale_matrix(px, side, smooth=bool(how)) for px, how in sizes]
        changed = filtered(image, stacked(matrices, image.device))
        return _in_circle(image, changed, circles, at)

    return _applied(image, chosen, restored)


def _compress(image: Tensor, dice: Dice) -> Tensor:
    """Compress a quarter of the samples as JPEG, with a quality of 10 to 100."""
    chosen, qualities = dice.chance(0.25), dice.whole(10, 100)
    return _applied(image, chosen, lambda image, at: jpeg_loss(image, _at(qualities, at)))


def _applied(image: Tensor, chosen: Tensor, effect: Effect) -> Tensor:
    """`image` with the effect on the chosen samples: `b` booleans on the CPU, so that the host does
    not wait for the device to know their number."""
    places = chosen.nonzero()[:, 0]
    if not len(places):
        return image
    at = places.to(image.device, non_blocking=True)
    return image.index_copy(0, at, effect(image[at], at))


def _circles(side: int, dice: Dice) -> Tensor:
    """Circles `b 4` anywhere in the picture, for `soft_circles`."""
    centre = dice.uniform(0, side, 2)
    radius = dice.whole(0, side - 1)
    fade = radius + (dice.uniform(0, 1) * (side - radius)).int()
    return torch.cat([centre, torch.stack([radius, fade], 1)], 1).float()


def _in_circle(image: Tensor, changed: Tensor, circles: Tensor, at: Tensor) -> Tensor:
    return blended(image, changed, soft_circles(_at(circles, at), image.shape[-1]))


def _blurs(sizes: list[int], like: Tensor, by_box: Sequence[int] = ()) -> Tensor:
    """A blur matrix per sample, on the device of `like`: Gaussian unless `by_box`."""
    side, boxes = like.shape[-1], by_box or [0] * len(sizes)
    blurs = [
        blur_matrix("box" if box else "gaussian", size, side)
        for size, box in zip(sizes, boxes, strict=True)
    ]
    return stacked(blurs, like.device)


def _at(values: Tensor, places: Tensor) -> Tensor:
    """The values of some samples, on the device of `places`."""
    return values.to(places.device, non_blocking=True)[places]


def _picked(values: Tensor, chosen: Tensor) -> list[int]:
    """The chosen samples' values as Python integers."""
    return [int(value) for value in values[chosen]]
