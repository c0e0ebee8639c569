"""Batches of src and dst for a model that swaps faces.

The same number gives the same batch, in any session. Several processes can share a batch: each
makes its own part exactly as one process would that trains on the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from faceloom.core.vocabulary import SIDES, Side
from faceloom.models import FaceModel, SampleNeeds
from faceloom.nn.batch import SampleBatch
from faceloom.samples import (
    AugmentSettings,
    Order,
    References,
    SampleStore,
    ShuffledOrder,
    UniformYawOrder,
    draw_batch,
)
from faceloom.training.distributed.parallel import World
from faceloom.training.material.ahead import Ahead
from faceloom.training.material.base import Previewer, Step, batch_generator
from faceloom.training.previews.pair import choose_faces, make_preview

Pair = tuple[SampleBatch, SampleBatch]

_STREAMS = 4
_REFERENCES = 1 << 40  # far from the seeds of the other orders


class BatchSource:
    """Draws the batches of one side. Its only state is the seed: any batch can be drawn directly.

    `references` are the faces whose colours src takes if `needs.ct_mode` is on. This is process
    number `rank` of `ranks`, each with `needs.batch_size` samples.
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
        number = SIDES.index(side)
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

    def batch(self, number: int) -> SampleBatch:
        """This process's part of batch `number`, counted from 0, on the store's device."""
        first = number * self._whole
        references = None
        if self._references is not None:
            others = self._reference_order.take(first, self._whole)
            references = References(self._references, others)
        drawn = draw_batch(
            self._store,
            self._order.take(first, self._whole),
            batch_generator(self._geometry_seed, number),
            self._settings,
            resolution=self._needs.resolution,
            references=references,
            rows=self._rows,
        )
        return drawn if self._needs.eyes_mouth else replace(drawn, eyes_mouth=None)


class PairSource:
    """The batches of both sides for each iteration, by the model's schedule.

    On a CUDA device the next pair is made on a separate stream while the model trains.
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
        self._current: tuple[int, Pair] | None = None

    def take(self, iteration: int) -> Pair:
        """The batches of src and dst for `iteration`, counted from 0."""
        number = self._needs.draw_index(iteration)
        if self._current is None or self._current[0] != number:
            made = self._make(number) if self._ahead is None else self._ahead.take(number)
            self._current = number, made
        src, dst = self._current[1]
        if self._needs.repeats(iteration):
            return src.unwarped(), dst.unwarped()
        return src, dst

    def _make(self, number: int) -> Pair:
        return self._src.batch(number), self._dst.batch(number)


def _augmentation(needs: SampleNeeds, side: Side) -> AugmentSettings:
    """Colours are varied on the src side only."""
    return AugmentSettings(
        random_warp=needs.warp,
        random_flip=needs.src_flip if side == "src" else needs.dst_flip,
        scale_range=needs.scale_range,
        hsv_power=needs.hsv_power if side == "src" else 0.0,
        ct_mode=needs.ct_mode if side == "src" else "none",
        ct_statistics=needs.ct_statistics,
    )


@dataclass(frozen=True)
class PairMaterial:
    """Two facesets for a model that swaps them: a `Material`."""

    src: SampleStore
    dst: SampleStore
    preview_src: Sequence[str] = ()
    preview_dst: Sequence[str] = ()

    @property
    def facesets(self) -> Mapping[str, str]:
        sides = (("src", self.src), ("dst", self.dst))
        return {side: f"{len(store)} {store.digest}" for side, store in sides}

    def stepper(self, model: FaceModel, seed: int, world: World) -> Step:
        batches = PairSource(
            self.src, self.dst, model.sample_needs, seed, rank=world.rank, ranks=world.size
        )

        def step(iteration: int) -> dict[str, Tensor]:
            src, dst = batches.take(iteration)
            return model.train_step(src, dst, iteration=iteration)

        return step

    def previewer(self, model: FaceModel) -> Previewer:
        faces = choose_faces(
            self.src,
            self.dst,
            resolution=model.sample_needs.resolution,
            src_names=self.preview_src,
            dst_names=self.preview_dst,
        )
        return lambda losses, iteration: make_preview(model, faces, losses, iteration=iteration)
