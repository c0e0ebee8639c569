"""A faceset decoded once, kept as uint8 where training can reach it fast."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from faceloom.core import Cancel, FaceloomError, InputError, NullProgress, Progress
from faceloom.faces import FaceRecord, Faceset, read_face
from faceloom.geometry import FaceType, covers
from faceloom.samples.prepare import Sample, prepare_sample

_DEVICE_SHARE = 0.4
"""At most this part of the device's free memory may go to samples; the rest is training's."""
_HOST_SHARE = 0.4
"""The same of the machine's memory."""


@dataclass(frozen=True)
class SampleStore:
    """Faces at working size, with their masks."""

    planes: Tensor
    """n 5 s s uint8: RGB, full-face mask, eyes and mouth. On the device when they fit there, else
    in memory (pinned for a CUDA device, so that batches stream to it), else in an unnamed file."""
    yaw_rad: NDArray[np.float32]
    """(n,) head yaw."""
    names: tuple[str, ...]
    """(n) file names, in order."""
    device: torch.device
    """Where batches are made."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def size_px(self) -> int:
        return self.planes.shape[-1]

    @property
    def image(self) -> Tensor:
        """n 3 s s uint8 RGB."""
        return self.planes[:, :3]

    @property
    def mask(self) -> Tensor:
        """n 1 s s uint8: the full face."""
        return self.planes[:, 3:4]

    @property
    def eyes_mouth(self) -> Tensor:
        """n 1 s s uint8."""
        return self.planes[:, 4:5]

    @property
    def digest(self) -> str:
        """A name for this set of faces: other files, other digest."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()[:16]

    def gather(self, indices: ArrayLike, *, planes: slice = slice(None)) -> Tensor:
        """Planes of some samples: b (5, or as many as wanted) s s float32 in [0, 1] on `device`.

        Makes the host wait for nothing where the planes lie on the device or in pinned memory.
        """
        index = torch.as_tensor(np.asarray(indices, np.int64))
        stored = self.planes[:, planes]
        if stored.device.type == self.device.type:
            chosen = stored.index_select(0, index.to(stored.device, non_blocking=True))
        elif self.planes.is_pinned():
            chosen = stored.new_empty((len(index), *stored.shape[1:]), device=self.device)
            for row, sample in zip(chosen, index.tolist(), strict=True):
                row.copy_(stored[sample], non_blocking=True)
        else:
            chosen = stored.index_select(0, index).to(self.device)
        return chosen.float().mul_(1 / 255)


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

    A face whose file cannot be read is left out and noted. Raises `InputError` when the folder
    has no faces, or when faces show less than the model's type: training on their smeared edges
    would spoil the model (the original's defect 33).
    """
    progress, cancel = progress or NullProgress(), cancel or Cancel()
    faceset = Faceset(folder)
    entries = list(faceset)
    if not entries:
        raise InputError(f"{folder}: no faces here; run `faceloom extract` first")
    for path, reason in faceset.skipped:
        progress.note(f"left out: {path}: {reason}")
    _check_types(folder, entries, face_type)
    planes = _allocate(len(entries), size_px, device)
    names: list[str] = []
    yaws: list[float] = []
    progress.start(f"load {folder.parent.name}", len(entries), "faces")
    paths = [path for path, _ in entries]
    for path, outcome in _prepared(paths, size_px, face_type, threads):
        cancel.check()
        if isinstance(outcome, Sample):
            planes[len(names)].copy_(torch.from_numpy(outcome.planes))
            names.append(path.name)
            yaws.append(outcome.yaw_rad)
        else:
            progress.note(f"left out: {outcome}")
        progress.advance()
    progress.finish()
    if not names:
        raise InputError(f"{folder}: none of its {len(entries)} faces can be read")
    return SampleStore(planes[: len(names)], np.array(yaws, np.float32), tuple(names), device)


def _check_types(
    folder: Path, entries: Sequence[tuple[Path, FaceRecord]], face_type: FaceType
) -> None:
    small = [path for path, record in entries if not covers(record.face_type, face_type)]
    if small:
        stored = dict(entries)[small[0]].face_type
        raise InputError(
            f"{folder}: {len(small)} of {len(entries)} faces show less than the model's "
            f"{face_type} (first: {small[0].name}, {stored}); extract again with "
            f"--face-type {face_type}, or start a model of type {stored}"
        )


def _prepared(
    paths: Sequence[Path], size_px: int, face_type: FaceType, threads: int
) -> Generator[tuple[Path, Sample | FaceloomError]]:
    """Samples in order of `paths`, with a bounded number under way."""

    def prepare(path: Path) -> Sample | FaceloomError:
        try:
            image, record = read_face(path)
        except FaceloomError as error:
            return error
        try:
            return prepare_sample(image, record, size_px=size_px, face_type=face_type)
        except FaceloomError as error:
            return type(error)(f"{path}: {error}")

    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="samples") as pool:
        waiting = iter(paths)
        queue: list[tuple[Path, Future[Sample | FaceloomError]]] = []

        def fill(paths: Iterable[Path]) -> None:
            queue.extend((path, pool.submit(prepare, path)) for path in paths)

        try:
            fill(islice(waiting, 4 * max(1, threads)))
            while queue:
                path, future = queue.pop(0)
                outcome = future.result()
                fill(islice(waiting, 1))
                yield path, outcome
        finally:
            for _, future in queue:
                future.cancel()


def _allocate(count: int, size_px: int, device: torch.device) -> Tensor:
    """Room for the planes: on the device, else in memory, else in a file that has no name."""
    shape = (count, 5, size_px, size_px)
    wanted = count * 5 * size_px * size_px
    if device.type == "cuda":
        if wanted < _DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
            return torch.empty(shape, dtype=torch.uint8, device=device)
        # torch takes pinned memory in powers of two.
        if 1 << wanted.bit_length() < _HOST_SHARE * _memory():
            with contextlib.suppress(RuntimeError):  # the system may not lock that much
                return torch.empty(shape, dtype=torch.uint8, pin_memory=True)
    if wanted < _HOST_SHARE * _memory():
        return torch.empty(shape, dtype=torch.uint8)
    with tempfile.TemporaryFile() as file:
        file.truncate(wanted)
        return torch.from_numpy(np.memmap(file, np.uint8, "r+", shape=shape))


def _memory() -> float:
    """Bytes of memory in this machine; infinite where the system does not tell."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")
