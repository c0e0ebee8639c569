"""What a mask model trains on: labelled faces, or in pretraining all faces.

The same batch number gives the same batch, in any session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceloom.core import Cancel, Progress
from faceloom.models import MaskModel, XsegSettings
from faceloom.nn.batch import MaskBatch
from faceloom.samples import (
    AugmentSettings,
    MaskStore,
    SampleStore,
    ShuffledOrder,
    draw_batch,
    draw_mask_batch,
    load_labelled,
    load_samples,
    load_spread,
)
from faceloom.training.distributed.parallel import World
from faceloom.training.material.base import Previewer, Step, batch_generator
from faceloom.training.previews.preview import ROWS
from faceloom.training.previews.xseg import XsegFaces, make_xseg_preview

PRETRAIN: Final = AugmentSettings(random_warp=True, random_flip=True, scale_range=0.05)
"""How pictures are distorted in pretraining, both the model's input and its target."""
_STREAMS = 2
# The seed of the training faces in previews: always the same variations, so that all previews of a
# training can be compared.
_PREVIEW_SEED: Final = 0x58736567

Indices = NDArray[np.int64]


class MaskSource(Protocol):
    """Where a mask model's batches come from."""

    def take(self, iteration: int) -> MaskBatch:
        """The batch of `iteration`, counted from 0."""
        ...


class XsegSource:
    """Batches of labelled faces. Its only state is the seed."""

    def __init__(
        self, store: MaskStore, *, batch_size: int, seed: int, rank: int = 0, ranks: int = 1
    ) -> None:
        """Each of `ranks` processes takes its own batches."""
        self._store = store
        self._numbers = _Numbers(len(store), batch_size, seed, rank, ranks)

    def take(self, iteration: int) -> MaskBatch:
        indices, generator = self._numbers.at(iteration)
        return draw_mask_batch(self._store, indices, generator)


class XsegPretrainSource:
    """Batches of faces from any number of facesets, labelled or not; the target is their grey.

    Raises `InputError` if there are none.
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
    """Which samples are in a batch, and the generator that varies them."""

    def __init__(self, length: int, batch_size: int, seed: int, rank: int, ranks: int) -> None:
        self._order = ShuffledOrder(length, _STREAMS * seed + 1)
        self._batch_size = batch_size
        self._seed = _STREAMS * seed
        self._rank, self._ranks = rank, ranks

    def at(self, iteration: int) -> tuple[Indices, torch.Generator]:
        number = iteration * self._ranks + self._rank
        indices = self._order.take(number * self._batch_size, self._batch_size)
        return indices, batch_generator(self._seed, number)


@dataclass(frozen=True)
class XsegMaterial:
    """A `Material` for XSeg, with either `labelled` or, in pretraining, `faces`."""

    src: Tensor
    """`n 3 r r`: faces of src for previews."""
    dst: Tensor
    """`n 3 r r`: faces of dst for previews."""
    labelled: MaskStore | None = None
    faces: tuple[SampleStore, ...] = ()

    @property
    def facesets(self) -> Mapping[str, str]:
        """Count and digest of the labelled faces, or of each faceset of a pretraining."""
        if self.labelled is not None:
            return {"labels": f"{len(self.labelled)} {self.labelled.digest}"}
        return {
            f"pretrain {number}": f"{len(store)} {store.digest}"
            for number, store in enumerate(self.faces, 1)
        }

    def stepper(self, model: MaskModel, seed: int, world: World) -> Step:
        batches = self._source(model.settings.batch_size, seed, world.rank, world.size)
        return lambda iteration: model.train_step(batches.take(iteration), iteration=iteration)

    def previewer(self, model: MaskModel) -> Previewer:
        faces = XsegFaces(self._shown(), self.src, self.dst)
        return lambda losses, iteration: make_xseg_preview(
            model, faces, losses, iteration=iteration
        )

    def _source(self, batch_size: int, seed: int, rank: int, ranks: int) -> MaskSource:
        if self.labelled is not None:
            return XsegSource(
                self.labelled, batch_size=batch_size, seed=seed, rank=rank, ranks=ranks
            )
        return XsegPretrainSource(
            self.faces,
            resolution=self.faces[0].size_px,
            batch_size=batch_size,
            seed=seed,
            rank=rank,
            ranks=ranks,
        )

    def _shown(self) -> MaskBatch:
        """The training faces of the previews: a selection of the labelled ones."""
        if self.labelled is None:
            return self._source(ROWS, _PREVIEW_SEED, 0, 1).take(0)
        rows = min(ROWS, len(self.labelled))
        indices = [int((i + 0.5) * len(self.labelled) / rows) for i in range(rows)]
        generator = torch.Generator().manual_seed(_PREVIEW_SEED)
        return draw_mask_batch(self.labelled, indices, generator)


def load_xseg_material(
    src: Path,
    dst: Path,
    settings: XsegSettings,
    *,
    device: torch.device,
    threads: int,
    progress: Progress,
    cancel: Cancel,
) -> XsegMaterial:
    """Read what a model with these settings learns from two folders of faces; they may be the same.

    Raises `InputError` if no face is labelled or, in pretraining, if a folder has no faces or faces
    that show less than the model's type.
    """
    folders = tuple(dict.fromkeys((src, dst)))
    crop: dict[str, Any] = {"size_px": settings.resolution, "face_type": settings.face_type}
    crop["device"] = device
    reading: dict[str, Any] = {"threads": threads, "progress": progress, "cancel": cancel}
    labelled: MaskStore | None = None
    faces: tuple[SampleStore, ...] = ()
    if settings.pretrain:
        faces = tuple(load_samples(folder, **crop, **reading) for folder in folders)
    else:
        labelled = load_labelled(folders, **crop, **reading)
    src_faces, dst_faces = (load_spread(folder, ROWS, **crop) for folder in (src, dst))
    return XsegMaterial(src_faces, dst_faces, labelled, faces)
