"""A mask model's training batches by number: the same number gives the same batch, always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceloom.models.base import MaskBatch
from faceloom.samples import AugmentSettings, SampleStore, ShuffledOrder, draw_batch
from faceloom.samples.xseg_draw import draw_mask_batch
from faceloom.samples.xseg_store import MaskStore

PRETRAIN: Final = AugmentSettings(random_warp=True, random_flip=True, scale_range=0.05)
"""How pictures are distorted in pretraining, the model's input and its target alike."""
_ODD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: spreads consecutive numbers over the seed space
_STREAMS = 2

Indices = NDArray[np.int64]


class MaskSource(Protocol):
    """Where a mask model's batches come from."""

    def take(self, iteration: int) -> MaskBatch:
        """The batch of `iteration`, counted from 0."""
        ...


class XsegSource:
    """Labelled faces, varied anew each time. Its only memory is the seed."""

    def __init__(
        self, store: MaskStore, *, batch_size: int, seed: int, rank: int = 0, ranks: int = 1
    ) -> None:
        """Of several processes (`ranks`), each takes batches of its own."""
        self._store = store
        self._numbers = _Numbers(len(store), batch_size, seed, rank, ranks)

    def take(self, iteration: int) -> MaskBatch:
        indices, generator = self._numbers.at(iteration)
        return MaskBatch(*draw_mask_batch(self._store, indices, generator))


class XsegPretrainSource:
    """Faces of any number of facesets, labelled or not; what is to be made of them is their grey.

    Raises `InputError` when there are none.
    """

    def __init__(
        self,
        stores: Sequence[SampleStore],
        *,
        resolution: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._stores = tuple(stores)
        self._resolution = resolution
        self._firsts = np.cumsum([0, *(len(store) for store in self._stores)])
        self._numbers = _Numbers(int(self._firsts[-1]), batch_size, seed, rank, ranks)

    def take(self, iteration: int) -> MaskBatch:
        indices, generator = self._numbers.at(iteration)
        parts: list[Tensor] = []
        for store, first in zip(self._stores, self._firsts[:-1], strict=True):
            own = indices[(indices >= first) & (indices < first + len(store))] - first
            if len(own):
                drawn = draw_batch(store, own, generator, PRETRAIN, resolution=self._resolution)
                parts.append(drawn.warped)
        image = torch.cat(parts)
        return MaskBatch(image, grey(image))


def grey(image: Tensor) -> Tensor:
    """The brightness `b 1 h w` of RGB `b 3 h w`, by the weights of ITU-R BT.601."""
    red, green, blue = image.split(1, 1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


class _Numbers:
    """Which samples come in a batch, and the generator that varies them."""

    def __init__(self, length: int, batch_size: int, seed: int, rank: int, ranks: int) -> None:
        self._order = ShuffledOrder(length, _STREAMS * seed + 1)
        self._batch_size = batch_size
        self._seed = _STREAMS * seed
        self._rank, self._ranks = rank, ranks

    def at(self, iteration: int) -> tuple[Indices, torch.Generator]:
        number = iteration * self._ranks + self._rank
        indices = self._order.take(number * self._batch_size, self._batch_size)
        seed = (self._seed + (number + 1) * _ODD) % (1 << 63)
        return indices, torch.Generator().manual_seed(seed)
