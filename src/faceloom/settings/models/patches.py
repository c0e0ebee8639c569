"""Patch sizes of the picture discriminator: which stack of layers has one, and what it fits."""

from __future__ import annotations

from itertools import product
from typing import Final

from faceloom.core.errors import InputError

SMALLEST_PATCH: Final = 3
LARGEST_PATCH: Final = 640
_MAX_LAYERS: Final = 9


def receptive_field(strides: tuple[int, ...]) -> int:
    """Pixels along one axis that a stack of 3×3 convolutions with these strides sees."""
    field, jump = 3, 1
    for stride in strides[:-1]:
        jump *= stride
        field += 2 * jump
    return field


def patch_strides(patch_size: int) -> tuple[int, ...]:
    """The strides of the stack whose receptive field is nearest `patch_size`, in pixels, ≥ 1.

    Up to nine layers, the first with stride 2, the others with 1 or 2. Of two fields equally near,
    the smaller; of stacks with the same field, the one with fewest layers, then with most strides
    of 2.
    """
    if patch_size < 1:
        raise InputError(f"gan_patch_size {patch_size}: a patch has at least one pixel")
    stacks = _stacks()
    return stacks[min(stacks, key=lambda field: (abs(field - patch_size), field))]


def patch_step(patch_size: int) -> int:
    """What a picture's side must be a multiple of for a discriminator of `patch_size`."""
    return 2 ** patch_strides(patch_size).count(2)


def largest_patch_size(limit: int, resolution: int) -> int:
    """The largest patch size up to `limit` whose discriminator fits pictures of `resolution`, px.

    It fits when it halves the picture evenly all the way (see `patch_step`). A larger patch takes
    no fewer halvings, so no size above one that does not fit does.
    """
    sizes = range(limit, SMALLEST_PATCH, -1)
    fits = (size for size in sizes if resolution % patch_step(size) == 0)
    return next(fits, SMALLEST_PATCH)


def check_patch_size(patch_size: int, resolution: int) -> None:
    """`ValueError`, in one line, when a discriminator of this patch size does not fit."""
    step = patch_step(patch_size)
    if resolution % step:
        raise ValueError(
            f"gan_patch_size {patch_size} does not fit resolution {resolution}: its discriminator"
            f" needs a multiple of {step}; use {largest_patch_size(patch_size, resolution)} or less"
        )


def _stacks() -> dict[int, tuple[int, ...]]:
    """The best stack for each receptive field."""
    best: dict[int, tuple[int, ...]] = {}
    for count in range(1, _MAX_LAYERS + 1):
        for rest in product((1, 2), repeat=count - 1):
            strides = (2, *rest)
            known = best.setdefault(receptive_field(strides), strides)
            if len(known) == count and sum(strides) > sum(known):
                best[receptive_field(strides)] = strides
    return best
