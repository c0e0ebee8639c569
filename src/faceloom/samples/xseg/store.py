"""Faces with labelled masks, the samples of a mask model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
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
from faceloom.samples.store import Image, PlaneStore, allocate, fill_planes, resize

LabelKind = Literal["polygons", "masks"]
"""Hand-drawn polygons, or masks that an earlier model has written into the faces."""


@dataclass(frozen=True)
class MaskStore(PlaneStore):
    """Labelled faces with four planes: RGB, and the mask as 0 or 255. src's faces come first."""

    labels: LabelKind
    """Where the masks come from."""


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

    Uses the faces with polygons if there are any, else those with a stored mask, thresholded at
    0.5. A face whose file cannot be read is reported and left out. Raises `InputError` if no face
    is labelled.
    """
    progress, cancel = progress or NullProgress(), cancel or Cancel()
    labels, entries = _labelled(folders)
    small = sum(not covers(record.face_type, face_type) for _, record in entries)
    if small:
        progress.note(
            f"{small} of {len(entries)} labelled faces show less than {face_type}; the missing part"
            " is black in training"
        )

    def prepare(image: Image, record: FaceRecord) -> tuple[Image, None]:
        planes = labelled_planes(image, record, labels, size_px=size_px, face_type=face_type)
        return planes, None

    planes, names, _ = fill_planes(
        [path for path, _ in entries],
        prepare,
        allocate((len(entries), 4, size_px, size_px), device),
        title="load labelled faces",
        threads=threads,
        progress=progress,
        cancel=cancel,
    )
    return MaskStore(planes, names, device, labels)


def labelled_planes(
    image: Image,
    record: FaceRecord,
    labels: LabelKind,
    *,
    size_px: int,
    face_type: FaceType,
) -> Image:
    """A stored face (`h w 3` RGB) and its mask in the model's crop: `4 s s`, the mask 0 or 255.

    The mask is drawn at the stored face's size. Outside the stored face both are black.
    """
    size = image.shape[:2]
    drawn = polygon_mask(record.seg_ie_polys, size) if labels == "polygons" else None
    mask = (face_mask(record, size) > 0.5).astype(np.float32) if drawn is None else drawn
    face = crop_to_model(image, record, size_px=size_px, face_type=face_type)
    mask = crop_to_model(mask, record, size_px=size_px, face_type=face_type)
    planes = np.concatenate([face.transpose(2, 0, 1), (mask > 0.5)[None] * np.uint8(255)])
    return np.ascontiguousarray(planes, np.uint8)


def crop_to_model(
    picture: NDArray[Any], record: FaceRecord, *, size_px: int, face_type: FaceType
) -> NDArray[Any]:
    """A stored face's picture or mask in the model's crop, black outside the stored face.

    It is resized if it has the model's face type already, else re-cropped by its landmarks.
    """
    h, w = picture.shape[:2]
    if record.face_type == face_type and h == w:
        return resize(picture, size_px)
    matrix = frame_to_face(record.landmarks, size_px, face_type)
    return warp_to_face(picture, matrix, size_px, antialias=True)


def load_spread(
    folder: Path, count: int, *, size_px: int, face_type: FaceType, device: torch.device
) -> Tensor:
    """Up to `count` faces spread evenly over a faceset, for previews: `n 3 s s` in [0, 1].

    There are none if the folder is missing or empty.
    """
    paths = Faceset(folder).paths if folder.is_dir() else ()
    chosen = [paths[int((i + 0.5) * len(paths) / count)] for i in range(min(count, len(paths)))]
    faces: list[NDArray[np.uint8]] = []
    for path in chosen:
        try:
            image, record = read_face(path)
            faces.append(crop_to_model(image, record, size_px=size_px, face_type=face_type))
        except FaceloomError:
            continue  # a preview can do without it
    stacked = np.stack(faces) if faces else np.empty((0, size_px, size_px, 3), np.uint8)
    pixels = torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()
    return pixels.to(device).float().mul_(1 / 255)


def _labelled(folders: Sequence[Path]) -> tuple[LabelKind, list[tuple[Path, FaceRecord]]]:
    """The labelled faces of all folders, and their kind of label."""
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
        f"{places}: none of {count} faces has a mask to learn from. Outline the face in 30 or more"
        " of them, covering all angles and lighting, with DeepFaceLab's XSeg editor (which stores"
        " its polygons in the pictures), or apply an existing XSeg model first"
    )
