"""Faces decoded once and kept as uint8 where training can reach them fast."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from faceloom.core import Cancel, FaceloomError, InputError, Progress
from faceloom.core.pool import ordered_map
from faceloom.faces import FaceRecord, read_face

T = TypeVar("T")

Image = NDArray[np.uint8]

# At most this share of the device's free memory may go to samples; the rest is for training.
_DEVICE_SHARE = 0.4
# The same for the machine's memory.
_HOST_SHARE = 0.4


@dataclass(frozen=True)
class PlaneStore:
    """Faces at working size. Subclasses say what their planes are."""

    planes: Tensor
    """`n p s s` uint8: RGB, then masks. On the device if they fit there, else in memory (pinned for
    a CUDA device, so that batches stream to it), else in an unnamed file."""
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
    def digest(self) -> str:
        """Identifies this set of faces by its file names."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()[:16]

    def gather(self, indices: ArrayLike, *, planes: slice = slice(None)) -> Tensor:
        """Planes of some samples: `b p s s` float32 in [0, 1] on `device`.

        Does not make the host wait if the planes are on the device or in pinned memory.
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


def fill_planes(
    paths: Sequence[Path],
    prepare: Callable[[Image, FaceRecord], tuple[Image, T]],
    planes: Tensor,
    *,
    title: str,
    threads: int,
    progress: Progress,
    cancel: Cancel,
) -> tuple[Tensor, tuple[str, ...], list[T]]:
    """Read the faces at `paths` in `threads` and put what `prepare` makes of them into `planes`.

    `prepare` returns the planes of a face and anything else worth keeping. Returns the filled part
    of `planes`, the file names and the rest. A face that cannot be read is reported and left out;
    `InputError` if none can.
    """

    def attempt(path: Path) -> tuple[Image, T] | FaceloomError:
        try:
            face = read_face(path)
        except FaceloomError as error:
            return error
        try:
            return prepare(*face)
        except FaceloomError as error:
            return type(error)(f"{path}: {error}")

    names: list[str] = []
    rest: list[T] = []
    progress.start(title, len(paths), "faces")
    prepared = ordered_map(attempt, paths, workers=max(1, threads), ahead=4 * max(1, threads))
    with contextlib.closing(prepared):
        for path, outcome in zip(paths, prepared, strict=True):
            cancel.check()
            if isinstance(outcome, FaceloomError):
                progress.note(f"skipped: {outcome}")
            else:
                planes[len(names)].copy_(torch.from_numpy(outcome[0]))
                names.append(path.name)
                rest.append(outcome[1])
            progress.advance()
    progress.finish()
    if not names:
        raise InputError(f"{paths[0].parent}: none of the {len(paths)} faces can be read")
    return planes[: len(names)], tuple(names), rest


def allocate(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Space for planes: on the device, else in memory, else in an unnamed file."""
    wanted = int(np.prod(shape))
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
    """Bytes of memory in this machine; infinite if the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def resize(image: NDArray[Any], size_px: int) -> NDArray[Any]:
    """A square picture or mask at `size_px`: averaged to shrink it, cubic to enlarge it."""
    if image.shape[0] == size_px:
        return image
    shrinks = image.shape[0] > size_px
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size_px, size_px), interpolation=mode))
