"""Drawing training batches from a store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from faceloom.color.batched import transfer_batch
from faceloom.core import InputError
from faceloom.nn.batch import SampleBatch
from faceloom.samples.augment import (
    AugmentSettings,
    Geometry,
    affine_grid,
    draw_geometry,
    sample_image,
    sample_mask,
    shift_hsv,
    warp_grid,
)
from faceloom.samples.faces.store import SampleStore


@dataclass(frozen=True)
class References:
    """The faces of another store whose colours the samples take."""

    store: SampleStore
    indices: ArrayLike
    """One per sample of the batch."""


def draw_batch(
    store: SampleStore,
    indices: ArrayLike,
    generator: torch.Generator,
    settings: AugmentSettings,
    *,
    resolution: int,
    references: References | None = None,
    rows: slice = slice(None),
) -> SampleBatch:
    """The samples at `indices` with new random geometry, on the store's device.

    Input, target and masks of a sample share its geometry and colours; only the input has the warp
    and the change of hue on top. (DeepFaceLab transfers the colours of input and target separately,
    so they can differ.) `generator` is a CPU generator, so the draws do not depend on the device.

    Args:
        references: required if `settings.ct_mode` is not `none`; its random directions are drawn
            after the geometry.
        rows: make only these samples of the batch, exactly as they would be in the whole batch.

    Raises:
        InputError: if `settings.ct_mode` has no references.
    """
    chosen = np.asarray(indices, np.int64)
    geometry = draw_geometry(len(chosen), generator, settings).rows(rows)
    image = store.gather(chosen[rows], planes=slice(3))
    masks = store.gather(chosen[rows], planes=slice(3, None))
    if settings.ct_mode != "none":
        if references is None:
            raise InputError(f"colour transfer {settings.ct_mode} needs faces to take colours from")
        image = _recoloured(image, masks[:, :1], references, rows, generator, settings)
    return _resampled(image, masks, geometry, settings, resolution)


def _recoloured(
    image: Tensor,
    mask: Tensor,
    references: References,
    rows: slice,
    generator: torch.Generator,
    settings: AugmentSettings,
) -> Tensor:
    """Pictures `b 3 s s` with masks `b 1 s s` in the colours of `rows` of the references."""
    store, others = references.store, np.asarray(references.indices, np.int64)[rows]
    colors = store.gather(others, planes=slice(3))
    masks = None
    if settings.ct_statistics == "inside":
        masks = mask, store.gather(others, planes=slice(3, 4))
    return transfer_batch(settings.ct_mode, image, colors, generator, masks)


def apply_geometry(
    planes: Tensor, geometry: Geometry, settings: AugmentSettings, *, resolution: int
) -> SampleBatch:
    """Resample planes (`b 4 s s` or `b 5 s s` float32: RGB, mask, eyes and mouth) to a batch."""
    # torch's sampler is 1.5 times as fast on contiguous planes.
    image, masks = planes[:, :3].contiguous(), planes[:, 3:].contiguous()
    return _resampled(image, masks, geometry, settings, resolution)


def _resampled(
    image: Tensor, masks: Tensor, geometry: Geometry, settings: AugmentSettings, resolution: int
) -> SampleBatch:
    grid = affine_grid(geometry, resolution, image.device)
    target = sample_image(image, grid)
    warped = target
    if settings.random_warp:
        warped = sample_image(image, warp_grid(geometry, grid))
    if settings.hsv_power > 0:
        warped = shift_hsv(warped, geometry.hsv.to(image.device, non_blocking=True))
    return SampleBatch(warped, target, *_masks(sample_mask(masks, grid)))


def plain_batch(store: SampleStore, indices: ArrayLike, *, resolution: int) -> SampleBatch:
    """The unchanged samples, for previews: input and target are the same."""
    planes = store.gather(indices)
    if planes.shape[-1] != resolution:
        size = (resolution, resolution)
        planes = torch.nn.functional.interpolate(planes, size, mode="area")
    image = planes[:, :3].contiguous()
    return SampleBatch(image, image, *_masks(planes[:, 3:].contiguous()))


def _masks(masks: Tensor) -> tuple[Tensor, Tensor]:
    """The full-face mask, and eyes and mouth divided by their maximum in each sample."""
    mask = masks[:, :1]
    if masks.shape[1] < 2:
        return mask, torch.zeros_like(mask)
    eyes_mouth = masks[:, 1:2]
    highest = eyes_mouth.amax(dim=(1, 2, 3), keepdim=True)
    return mask, eyes_mouth / torch.where(highest > 0, highest, torch.ones_like(highest))
