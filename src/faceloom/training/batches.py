"""Training batches by number: the same number gives the same batch, in any session."""

from __future__ import annotations

from typing import Literal

import torch

from faceloom.models import SampleNeeds, TrainBatch
from faceloom.samples import (
    AugmentSettings,
    Order,
    SampleStore,
    ShuffledOrder,
    UniformYawOrder,
    draw_batch,
)

Side = Literal["src", "dst"]

_STREAMS = 4
_ODD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: spreads consecutive numbers over the seed space


class BatchSource:
    """Draws one side's batches. Its only memory is the seed: batch n needs no batch before it."""

    def __init__(self, store: SampleStore, needs: SampleNeeds, side: Side, seed: int) -> None:
        self._store = store
        self._needs = needs
        number = ("src", "dst").index(side)
        self._geometry_seed = seed * _STREAMS + number
        self._settings = AugmentSettings(
            random_warp=needs.warp,
            random_flip=needs.src_flip if side == "src" else needs.dst_flip,
            scale_range=needs.scale_range,
        )
        order_seed = seed * _STREAMS + 2 + number
        self._order: Order = (
            UniformYawOrder(store.yaw_rad, order_seed)
            if needs.uniform_yaw
            else ShuffledOrder(len(store), order_seed)
        )

    def batch(self, number: int) -> TrainBatch:
        """Batch `number`, counted from 0, on the store's device."""
        size = self._needs.batch_size
        indices = self._order.take(number * size, size)
        seed = (self._geometry_seed + (number + 1) * _ODD) % (1 << 63)
        generator = torch.Generator().manual_seed(seed)
        drawn = draw_batch(
            self._store, indices, generator, self._settings, resolution=self._needs.resolution
        )
        return TrainBatch(
            warped=drawn.warped,
            target=drawn.target,
            mask=drawn.mask,
            eyes_mouth=drawn.eyes_mouth if self._needs.eyes_mouth else None,
        )


class PairSource:
    """The batches of both sides for an iteration, by the model's schedule."""

    def __init__(self, src: SampleStore, dst: SampleStore, needs: SampleNeeds, seed: int) -> None:
        self._needs = needs
        self._src = BatchSource(src, needs, "src", seed)
        self._dst = BatchSource(dst, needs, "dst", seed)
        self._held: tuple[int, TrainBatch, TrainBatch] | None = None

    def take(self, iteration: int) -> tuple[TrainBatch, TrainBatch]:
        """src's and dst's batch of `iteration`, counted from 0."""
        number = self._needs.draw_index(iteration)
        if self._held is None or self._held[0] != number:
            self._held = number, self._src.batch(number), self._dst.batch(number)
        _, src, dst = self._held
        if self._needs.repeats(iteration):
            return src.unwarped(), dst.unwarped()
        return src, dst
