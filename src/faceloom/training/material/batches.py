"""Training batches by number: the same number gives the same batch, in any session.

Several processes may share a batch: each makes its own part of it, exactly as one process would
make it that trains on the whole.
"""

from __future__ import annotations

from typing import Literal

import torch

from faceloom.models import SampleNeeds, TrainBatch
from faceloom.samples import (
    AugmentSettings,
    Order,
    References,
    SampleStore,
    ShuffledOrder,
    UniformYawOrder,
    draw_batch,
)
from faceloom.training.material.ahead import Ahead

Side = Literal["src", "dst"]
Pair = tuple[TrainBatch, TrainBatch]

_STREAMS = 4
_REFERENCES = 1 << 40  # far from the seeds of the other orders
_ODD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: spreads consecutive numbers over the seed space


class BatchSource:
    """Draws one side's batches. Its only memory is the seed: batch n needs no batch before it.

    `references` are the faces whose colours src takes where `needs.ct_mode` says so. Of `ranks`
    processes, each with `needs.batch_size` samples, this one is number `rank`.
    """

    def __init__(
        self,
        store: SampleStore,
        needs: SampleNeeds,
        side: Side,
        seed: int,
        *,
        references: SampleStore | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._store = store
        self._needs = needs
        number = ("src", "dst").index(side)
        self._geometry_seed = seed * _STREAMS + number
        self._settings = _augmentation(needs, side)
        self._whole = needs.batch_size * ranks
        self._rows = slice(rank * needs.batch_size, (rank + 1) * needs.batch_size)
        order_seed = seed * _STREAMS + 2 + number
        self._order: Order = (
            UniformYawOrder(store.yaw_rad, order_seed)
            if needs.uniform_yaw
            else ShuffledOrder(len(store), order_seed)
        )
        self._references = references if self._settings.ct_mode != "none" else None
        if self._references is not None:
            self._reference_order = ShuffledOrder(len(self._references), order_seed + _REFERENCES)

    def batch(self, number: int) -> TrainBatch:
        """This process's part of batch `number`, counted from 0, on the store's device."""
        first = number * self._whole
        references = None
        if self._references is not None:
            others = self._reference_order.take(first, self._whole)
            references = References(self._references, others)
        seed = (self._geometry_seed + (number + 1) * _ODD) % (1 << 63)
        drawn = draw_batch(
            self._store,
            self._order.take(first, self._whole),
            torch.Generator().manual_seed(seed),
            self._settings,
            resolution=self._needs.resolution,
            references=references,
            rows=self._rows,
        )
        return TrainBatch(
            warped=drawn.warped,
            target=drawn.target,
            mask=drawn.mask,
            eyes_mouth=drawn.eyes_mouth if self._needs.eyes_mouth else None,
        )


class PairSource:
    """The batches of both sides for an iteration, by the model's schedule.

    On a CUDA device the next pair is made on a stream of its own while the model trains.
    """

    def __init__(
        self,
        src: SampleStore,
        dst: SampleStore,
        needs: SampleNeeds,
        seed: int,
        *,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._needs = needs
        self._src = BatchSource(src, needs, "src", seed, references=dst, rank=rank, ranks=ranks)
        self._dst = BatchSource(dst, needs, "dst", seed, rank=rank, ranks=ranks)
        self._ahead = Ahead(self._make, src.device) if src.device.type == "cuda" else None
        self._held: tuple[int, Pair] | None = None

    def take(self, iteration: int) -> Pair:
        """src's and dst's batch of `iteration`, counted from 0."""
        number = self._needs.draw_index(iteration)
        if self._held is None or self._held[0] != number:
            made = self._make(number) if self._ahead is None else self._ahead.take(number)
            self._held = number, made
        src, dst = self._held[1]
        if self._needs.repeats(iteration):
            return src.unwarped(), dst.unwarped()
        return src, dst

    def _make(self, number: int) -> Pair:
        return self._src.batch(number), self._dst.batch(number)


def _augmentation(needs: SampleNeeds, side: Side) -> AugmentSettings:
    """Colours are varied on src's side only."""
    return AugmentSettings(
        random_warp=needs.warp,
        random_flip=needs.src_flip if side == "src" else needs.dst_flip,
        scale_range=needs.scale_range,
        hsv_power=needs.hsv_power if side == "src" else 0.0,
        ct_mode=needs.ct_mode if side == "src" else "none",
        ct_statistics=needs.ct_statistics,
    )
