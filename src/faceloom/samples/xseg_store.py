"""Faces with labelled masks, for a mask model (reference: training.md 5.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from faceloom.core import Cancel, FaceloomError, InputError, NullProgress, Progress
from faceloom.faces import (
    FaceRecord,
    Faceset,
    face_mask,
    has_polygons,
    polygon_mask,
    read_face,
)
from faceloom.geometry import FaceType, covers, frame_to_face, warp_to_face
from faceloom.samples.prepare import resize

Planes = NDArray[np.uint8]
LabelKind = Literal["polygons", "masks"]
"""Hand-drawn polygons, or masks that an earlier model has put into the faces."""
_DEVICE_SHARE = 0.4
"""At most this part of the device's free memory may go to samples; the rest is training's."""


@dataclass(frozen=True)
class MaskStore:
    """Labelled faces at a mask model's size and crop."""

    planes: Tensor
    """n 4 s s uint8: RGB, and the mask as 0 or 255. On the device when they fit there."""
    names: tuple[str, ...]
    """(n) file names, src's first."""
    labels: LabelKind
    """Where the masks come from."""
    device: torch.device
    """Where batches are made."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def size_px(self) -> int:
        return self.planes.shape[-1]

    @property
    def digest(self) -> str:
        """A name for this set of faces: other files, other digest."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()[:16]

    def gather(self, indices: ArrayLike) -> Tensor:
        """The planes of some samples: b 4 s s float32 in [0, 1] on `device`."""
        index = torch.as_tensor(np.asarray(indices, np.int64))
        chosen = self.planes[index.to(self.planes.device, non_blocking=True)]
        return chosen.to(self.device, non_blocking=True).float().mul_(1 / 255)


def load_labelled(
    folders: Sequence[Path],
    *,
    size_px: int,
    face_type: FaceType,
    device: torch.device,
    threads: int = 2,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> MaskStore:
    """Read every labelled face of `folders` into a store of `size_px` squares of `face_type`.

    Faces with polygons, if any has one; else those with a stored mask, cut at 0.5. A face whose
    file cannot be read is left out and noted. Raises `InputError` when no face is labelled.
    """
    progress, cancel = progress or NullProgress(), cancel or Cancel()
    labels, entries = _labelled(folders)
    small = sum(not covers(record.face_type, face_type) for _, record in entries)
    if small:
        progress.note(
            f"{small} of {len(entries)} labelled faces show less than {face_type}: what they lack"
            " is black in training"
        )
    planes = _room((len(entries), 4, size_px, size_px), device)
    names: list[str] = []
    progress.start("load labelled faces", len(entries), "faces")

    def prepare(path: Path) -> Planes:
        image, record = read_face(path)
        return labelled_planes(image, record, labels, size_px=size_px, face_type=face_type)

    for path, outcome in _each([path for path, _ in entries], prepare, threads):
        cancel.check()
        if isinstance(outcome, FaceloomError):
            progress.note(f"left out: {path}: {outcome}")
        else:
            planes[len(names)].copy_(torch.from_numpy(outcome))
            names.append(path.name)
        progress.advance()
    progress.finish()
    if not names:
        raise InputError(f"none of the {len(entries)} labelled faces can be read")
    return MaskStore(planes[: len(names)], tuple(names), labels, device)


def labelled_planes(
    image: NDArray[np.uint8],
    record: FaceRecord,
    labels: LabelKind,
    *,
    size_px: int,
    face_type: FaceType,
) -> Planes:
    """A stored face (h w 3 RGB) and its mask in the model's crop: 4 s s, the mask 0 or 255.

    The mask is drawn at the stored face's own size. Beyond the stored face both are black.
    """
    size = image.shape[:2]
    drawn = polygon_mask(record.seg_ie_polys, size) if labels == "polygons" else None
    mask = (face_mask(record, size) > 0.5).astype(np.float32) if drawn is None else drawn
    face = brought(image, record, size_px=size_px, face_type=face_type)
    mask = brought(mask, record, size_px=size_px, face_type=face_type)
    planes = np.concatenate([face.transpose(2, 0, 1), (mask > 0.5)[None] * np.uint8(255)])
    return np.ascontiguousarray(planes, np.uint8)


def brought(
    picture: NDArray[Any], record: FaceRecord, *, size_px: int, face_type: FaceType
) -> NDArray[Any]:
    """A stored face's picture or mask in the model's crop: resized if it is of that type already,
    else cut by its landmarks, black beyond its edge."""
    h, w = picture.shape[:2]
    if record.face_type == face_type and h == w:
        return resize(picture, size_px)
    matrix = frame_to_face(record.landmarks, size_px, face_type)
    return warp_to_face(picture, matrix, size_px, antialias=True)


def load_spread(
    folder: Path, count: int, *, size_px: int, face_type: FaceType, device: torch.device
) -> Tensor:
    """Up to `count` faces spread evenly over a faceset, for previews: n 3 s s in [0, 1]; none of a
    folder that is missing or empty."""
    paths = Faceset(folder).paths if folder.is_dir() else ()
    chosen = [paths[int((i + 0.5) * len(paths) / count)] for i in range(min(count, len(paths)))]
    faces: list[NDArray[np.uint8]] = []
    for path in chosen:
        try:
            image, record = read_face(path)
            faces.append(brought(image, record, size_px=size_px, face_type=face_type))
        except FaceloomError:
            continue  # a preview shows what it can
    stacked = np.stack(faces) if faces else np.empty((0, size_px, size_px, 3), np.uint8)
    pixels = torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()
    return pixels.to(device).float().mul_(1 / 255)


def _labelled(folders: Sequence[Path]) -> tuple[LabelKind, list[tuple[Path, FaceRecord]]]:
    """The labelled faces of all folders, and what kind of label they have."""
    drawn: list[tuple[Path, FaceRecord]] = []
    masked: list[tuple[Path, FaceRecord]] = []
    count = 0
    for folder in folders:
        for path, record in Faceset(folder) if folder.is_dir() else ():
            count += 1
            if has_polygons(record.seg_ie_polys):
                drawn.append((path, record))
            elif record.xseg_mask is not None:
                masked.append((path, record))
    if drawn:
        return "polygons", drawn
    if masked:
        return "masks", masked
    places = " and ".join(str(folder) for folder in folders)
    if not count:
        raise InputError(f"{places}: no faces here; run `faceloom extract` first")
    raise InputError(
        f"{places}: none of {count} faces has a mask to learn from. Outline the face on 30 or more"
        " of them, of all angles and lights: polygons of DeepFaceLab's XSeg editor lie in the"
        " pictures themselves and are read from there, as are masks that an XSeg model has applied"
    )


def _each(
    paths: Sequence[Path], prepare: Callable[[Path], Planes], threads: int
) -> Generator[tuple[Path, Planes | FaceloomError]]:
    """What `prepare` makes of each path, in order, with a bounded number under way."""

    def attempt(path: Path) -> Planes | FaceloomError:
        try:
            return prepare(path)
        except FaceloomError as error:
            return error

    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="samples") as pool:
        waiting = iter(paths)
        queue: list[tuple[Path, Future[Planes | FaceloomError]]] = [
            (path, pool.submit(attempt, path)) for path in islice(waiting, 4 * max(1, threads))
        ]
        try:
            while queue:
                path, future = queue.pop(0)
                outcome = future.result()
                queue.extend((more, pool.submit(attempt, more)) for more in islice(waiting, 1))
                yield path, outcome
        finally:
            for _, future in queue:
                future.cancel()


def _room(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Bytes for the planes: on a GPU that has room, else in memory."""
    wanted = int(np.prod(shape))
    if device.type == "cuda" and wanted < _DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return torch.empty(shape, dtype=torch.uint8, device=device)
    return torch.empty(shape, dtype=torch.uint8)
