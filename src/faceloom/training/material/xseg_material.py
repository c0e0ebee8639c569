"""What a mask model is trained with: labelled faces, or in pretraining all faces there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceloom.core import Cancel, Progress
from faceloom.models.base import MaskBatch, MaskModel
from faceloom.samples import SampleStore, load_samples
from faceloom.samples.xseg_draw import draw_mask_batch
from faceloom.samples.xseg_store import MaskStore, load_labelled, load_spread
from faceloom.settings.models import XsegSettings
from faceloom.training.material.xseg_batches import MaskSource, XsegPretrainSource, XsegSource
from faceloom.training.previews.preview import Preview
from faceloom.training.previews.xseg_preview import ROWS, XsegFaces, make_xseg_preview

if TYPE_CHECKING:
    from faceloom.training.distributed.parallel import World

_PREVIEW_SEED: Final = 0x58736567
"""Of the training faces in previews: always varied alike, to be compared over a whole training."""


@dataclass(frozen=True)
class XsegMaterial:
    """A `Material` for XSeg. Either `labelled` or, in pretraining, `faces` is there."""

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

    def stepper(
        self, model: MaskModel, seed: int, world: World
    ) -> Callable[[int], dict[str, Tensor]]:
        """One training step of `model`, by iteration."""
        batches = self._source(model.settings.batch_size, seed, world.rank, world.size)
        return lambda iteration: model.train_step(batches.take(iteration), iteration=iteration)

    def previewer(self, model: MaskModel) -> Callable[[NDArray[np.float32], int], Preview]:
        """Previews of `model`, by losses and iteration."""
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
        """The training faces of the previews, spread over the labelled ones."""
        if self.labelled is None:
            return self._source(ROWS, _PREVIEW_SEED, 0, 1).take(0)
        rows = min(ROWS, len(self.labelled))
        indices = [int((i + 0.5) * len(self.labelled) / rows) for i in range(rows)]
        generator = torch.Generator().manual_seed(_PREVIEW_SEED)
        return MaskBatch(*draw_mask_batch(self.labelled, indices, generator))


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
    """Read what a model of such settings learns from two folders of faces, which may be the same.

    Raises `InputError` when no face is labelled, or in pretraining when a folder has no faces or
    faces that show less than the model's type.
    """
    folders = tuple(dict.fromkeys((src, dst)))
    size_px, face_type = settings.resolution, settings.face_type
    labelled: MaskStore | None = None
    faces: tuple[SampleStore, ...] = ()
    if settings.pretrain:
        faces = tuple(
            load_samples(
                folder,
                size_px=size_px,
                face_type=face_type,
                device=device,
                threads=threads,
                progress=progress,
                cancel=cancel,
            )
            for folder in folders
        )
    else:
        labelled = load_labelled(
            folders,
            size_px=size_px,
            face_type=face_type,
            device=device,
            threads=threads,
            progress=progress,
            cancel=cancel,
        )
    shown = [
        load_spread(folder, ROWS, size_px=size_px, face_type=face_type, device=device)
        for folder in (src, dst)
    ]
    return XsegMaterial(shown[0], shown[1], labelled, faces)
