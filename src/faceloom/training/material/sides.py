"""What a trainer needs of one kind of model: its step and its preview, made from the facesets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from faceloom.models import FaceModel
from faceloom.samples import SampleStore
from faceloom.training.distributed.parallel import World
from faceloom.training.material.batches import PairSource
from faceloom.training.previews.preview import Preview, choose_faces, make_preview


class Material(Protocol):
    """The samples of a training; they stay while models come and go."""

    @property
    def facesets(self) -> Mapping[str, str]:
        """Count and digest of each side's faces."""
        ...

    def stepper(self, model: Any, seed: int, world: World) -> Callable[[int], dict[str, Tensor]]:
        """One training step of `model` (of the class that the material is for), by iteration."""
        ...

    def previewer(self, model: Any) -> Callable[[NDArray[np.float32], int], Preview]:
        """Previews of `model`, by losses and iteration."""
        ...


@dataclass(frozen=True)
class PairMaterial:
    """Two facesets for a model that swaps them."""

    src: SampleStore
    dst: SampleStore
    preview_src: Sequence[str] = ()
    preview_dst: Sequence[str] = ()
    marks: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())

    @property
    def facesets(self) -> Mapping[str, str]:
        sides = (("src", self.src), ("dst", self.dst))
        return {**{side: f"{len(store)} {store.digest}" for side, store in sides}, **self.marks}

    def stepper(
        self, model: FaceModel, seed: int, world: World
    ) -> Callable[[int], dict[str, Tensor]]:
        batches = PairSource(
            self.src, self.dst, model.sample_needs, seed, rank=world.rank, ranks=world.size
        )

        def step(iteration: int) -> dict[str, Tensor]:
            src, dst = batches.take(iteration)
            return model.train_step(src, dst, iteration=iteration)

        return step

    def previewer(self, model: FaceModel) -> Callable[[NDArray[np.float32], int], Preview]:
        faces = choose_faces(
            self.src,
            self.dst,
            resolution=model.sample_needs.resolution,
            src_names=self.preview_src,
            dst_names=self.preview_dst,
        )
        return lambda losses, iteration: make_preview(model, faces, losses, iteration=iteration)
