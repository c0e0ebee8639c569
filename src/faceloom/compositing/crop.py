"""Convert between a frame and the crop of a face, reading only the region of the face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.faces import FaceRecord
from faceloom.geometry import (
    FaceType,
    crop_area,
    crop_corners,
    frame_to_face,
    hull_mask,
    warp_to_face,
    warp_to_frame,
)

Image = NDArray[np.float32]
Mask = NDArray[np.float32]
Matrix = NDArray[np.float64]

# Pixels that a cubic kernel reads beyond the corners of the crop.
_MARGIN_PX = 4


class WorkingTransform(Protocol):
    """Converts code values of the footage to the standard range of models, and back (media)."""

    def to_working(self, image: NDArray[np.float32], /) -> NDArray[np.float32]: ...

    def from_working(self, image: NDArray[np.float32], /) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class FaceGeometry:
    """The crop that a model expects."""

    size_px: int
    """Side n of the crop."""
    face_type: FaceType


@dataclass(frozen=True)
class FaceCrop:
    """A face of one frame, cropped for the model."""

    landmarks: NDArray[np.float32]
    """68x2, in frame pixels."""
    pixel_aspect: float
    geometry: FaceGeometry
    frame_to_face: Matrix
    """Frame pixels to pixels of `image`, unscaled."""
    image: Image
    """`n n 3` RGB in [0, 1], standard range."""

    @property
    def area(self) -> float:
        """Area of the crop in frame pixels; larger faces are in front."""
        return crop_area(self.frame_to_face, self.geometry.size_px)


@dataclass(frozen=True)
class Region:
    """A rectangle of whole frame pixels; left and top are inclusive, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def empty(self) -> bool:
        return self.right <= self.left or self.bottom <= self.top

    @property
    def size(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def localise(self, matrix: Matrix) -> Matrix:
        """A matrix from frame pixels, adapted to the pixels of this region."""
        moved = matrix.copy()
        moved[:, 2] += matrix[:, :2] @ (self.left, self.top)
        return moved


def region_of(points: ArrayLike, frame_size: tuple[int, int], margin_px: int) -> Region:
    """The part of a frame (h, w) with `points` (n x 2) and `margin_px` around them."""
    corners = np.asarray(points, np.float64)
    h, w = frame_size
    left, top = np.clip(np.floor(corners.min(axis=0)) - margin_px, 0, (w, h))
    right, bottom = np.clip(np.ceil(corners.max(axis=0)) + margin_px + 1, 0, (w, h))
    return Region(int(left), int(top), int(right), int(bottom))


def as_float(pixels: NDArray[Any]) -> Image:
    """uint8 or uint16 full-scale code values → float32 in [0, 1]; float32 stays unchanged."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) * np.float32(1 / 255)
    if pixels.dtype == np.uint16:
        return pixels.astype(np.float32) * np.float32(1 / 65535)
    return pixels.astype(np.float32)


def as_pixels(values: NDArray[np.floating[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The reverse of `as_float`, rounded and clipped."""
    if dtype == np.float32:
        return unit_range(values)
    top = 255 if dtype == np.uint8 else 65535
    return np.rint(unit_range(values) * top).astype(dtype)


def unit_range(values: NDArray[Any]) -> NDArray[np.float32]:
    """float32, clipped to [0, 1]."""
    return np.clip(np.asarray(values, np.float32), np.float32(0), np.float32(1))


def pixel_aspect_of(record: FaceRecord) -> float:
    """The pixel aspect used for alignment; 1 in facesets of other tools, which ignore it."""
    return record.own.pixel_aspect if record.own is not None else 1.0


def cut_faces(
    frame: NDArray[Any],
    faces: Sequence[FaceRecord],
    geometry: FaceGeometry,
    transform: WorkingTransform | None = None,
) -> list[FaceCrop]:
    """The crops of `faces` in a frame (`h w 3` RGB, uint8 or uint16), smallest face first.

    This is the order of compositing: where faces overlap, the larger one is in front. Faces whose
    crop is completely outside the frame are skipped.
    """
    crops = [
        crop
        for face in faces
        if (crop := _cut(frame, face.source_landmarks, pixel_aspect_of(face), geometry, transform))
    ]
    return sorted(crops, key=lambda crop: crop.area)


def _cut(
    frame: NDArray[Any],
    landmarks: NDArray[np.float32],
    pixel_aspect: float,
    geometry: FaceGeometry,
    transform: WorkingTransform | None,
) -> FaceCrop | None:
    matrix = frame_to_face(
        landmarks, geometry.size_px, geometry.face_type, pixel_aspect=pixel_aspect
    )
    region = region_of(crop_corners(matrix, geometry.size_px), _size(frame), _MARGIN_PX)
    if region.empty:
        return None
    pixels = as_float(frame[region.slices])
    if transform is not None:
        pixels = transform.to_working(pixels)
    image = warp_to_face(
        pixels, region.localise(matrix), geometry.size_px, interpolation="cubic", antialias=True
    )
    return FaceCrop(landmarks, pixel_aspect, geometry, matrix, unit_range(image))


def hull_of(crop: FaceCrop, frame_size: tuple[int, int]) -> Mask:
    """The hull of the landmarks, drawn in whole frame pixels as in DFL: `n n`."""
    n = crop.geometry.size_px
    region = region_of(crop_corners(crop.frame_to_face, n), frame_size, _MARGIN_PX)
    if region.empty:
        return np.zeros((n, n), np.float32)
    hull = hull_mask(crop.landmarks - np.array([region.left, region.top], np.float32), region.size)
    mask = warp_to_face(
        hull, region.localise(crop.frame_to_face), n, interpolation="cubic", antialias=True
    )
    return unit_range(mask)


def resized_matrix(matrix: Matrix, factor: float) -> Matrix:
    """The matrix to a picture that was resized by `factor`.

    Resizing keeps the outer edges of a picture in place, not the centres of the first pixels.
    """
    shift = (factor - 1) / 2
    return np.column_stack([matrix[:, :2] * factor, matrix[:, 2] * factor + shift])


def place(
    face: NDArray[Any],
    frame_to_picture: Matrix,
    region: Region,
    *,
    replicate: bool = False,
    detail_px: int = 1,
) -> Any:
    """`face` (`m m` or `m m 3` float32) as seen in `region` of the frame, cubic, unclipped.

    Outside the picture there is 0, or its edge if `replicate`. A picture with details (of
    `detail_px` of its pixels) finer than frame pixels is averaged down first; sampling alone would
    make its edges flicker.
    """
    matrix = region.localise(frame_to_picture)
    shrink = int(np.sqrt(abs(np.linalg.det(matrix[:, :2]))) / detail_px)
    if shrink > 1:
        size = max(2, round(face.shape[0] / shrink))
        matrix = resized_matrix(matrix, size / face.shape[0])
        face = np.asarray(cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA))
    border = "replicate" if replicate else "black"
    return warp_to_frame(face, matrix, region.size, interpolation="cubic", border=border)


def _size(frame: NDArray[Any]) -> tuple[int, int]:
    return frame.shape[0], frame.shape[1]


@dataclass(frozen=True)
class SwappedFace:
    """Prediction for one crop: RGB and masks in [0, 1], all float32."""

    image: Image
    """`n n 3`, the face to paste."""
    mask_prd: Mask
    """`n n`, the mask of the predicted face."""
    mask_dst: Mask
    """`n n`, the mask of the face in the frame."""


Predictor = Callable[[Image], Sequence[SwappedFace]]
"""A batch of crops `b n n 3` → b swapped faces."""
