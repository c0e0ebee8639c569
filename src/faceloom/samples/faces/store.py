"""A faceset as the samples of a model that swaps faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from faceloom.core import Cancel, InputError, NullProgress, Progress
from faceloom.faces import FaceRecord, Faceset
from faceloom.geometry import FaceType, covers
from faceloom.samples.faces.prepare import prepare_sample
from faceloom.samples.store import Image, PlaneStore, allocate, fill_planes


@dataclass(frozen=True)
class SampleStore(PlaneStore):
    """Faces with five planes: RGB, the full-face mask, eyes and mouth."""

    yaw_rad: NDArray[np.float32]
    """(n,) head yaw."""


def load_samples(
    folder: Path,
    *,
    size_px: int,
    face_type: FaceType,
    device: torch.device,
    threads: int = 2,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> SampleStore:
    """Read every face of `folder` into a store of `size_px` squares of the model's `face_type`.

    A face whose file cannot be read is reported and left out. Raises `InputError` if the folder has
    no faces, or if faces show less than the model's type: training on their smeared edges, as
    DeepFaceLab does, would spoil the model.
    """
    progress, cancel = progress or NullProgress(), cancel or Cancel()
    faceset = Faceset(folder)
    entries = list(faceset)
    if not entries:
        raise InputError(f"{folder}: no faces here; run `faceloom extract` first")
    for path, reason in faceset.skipped:
        progress.note(f"skipped: {path}: {reason}")
    small = [(path, record) for path, record in entries if not covers(record.face_type, face_type)]
    if small:
        path, stored = small[0][0], small[0][1].face_type
        raise InputError(
            f"{folder}: {len(small)} of {len(entries)} faces show less than the model's "
            f"{face_type} (first: {path.name}, {stored}); extract again with "
            f"--face-type {face_type}, or start a model with face_type={stored}"
        )

    def prepare(image: Image, record: FaceRecord) -> tuple[Image, float]:
        sample = prepare_sample(image, record, size_px=size_px, face_type=face_type)
        return sample.planes, sample.yaw_rad

    planes, names, yaws = fill_planes(
        [path for path, _ in entries],
        prepare,
        allocate((len(entries), 5, size_px, size_px), device),
        title=f"load {folder.parent.name}",
        threads=threads,
        progress=progress,
        cancel=cancel,
    )
    return SampleStore(planes, names, device, np.array(yaws, np.float32))
