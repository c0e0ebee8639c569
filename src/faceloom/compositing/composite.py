"""Composite the predicted face onto its frame (docs/internals/merging.md).

Intended differences from DFL:

* Results are rounded, not truncated; a pixel with mask 0 keeps its exact value.
* Mask and face share one grid. DFL maps its 4n mask by corners but makes it with `resize`, which
  shifts the mask by 3/8 of a model pixel up and left of the face.
* Beyond the border of the crop the edge of the face is repeated, so that a `full` mask has no dark
  rim.
* Pictures much larger than their target are averaged before sampling.
* A positive face scale enlarges, as users expect; with DFL's formula it would shrink.
* Several faces are composited in order of size, the largest last, each weighted once by its mask.
  DFL weights the second and later ones by their squared masks, in order of file names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.color import TRANSFERS
from faceloom.compositing.crop import (
    FaceCrop,
    FaceGeometry,
    Image,
    Mask,
    Matrix,
    Predictor,
    Region,
    SwappedFace,
    WorkingTransform,
    as_float,
    as_pixels,
    cut_faces,
    hull_of,
    place,
    region_of,
    resized_matrix,
    unit_range,
)
from faceloom.compositing.mask import LEAST, SUPERSAMPLING, combine_masks, finish_mask
from faceloom.core import InputError
from faceloom.faces import FaceRecord
from faceloom.geometry import frame_to_face, invert_affine, transform_points
from faceloom.settings.merge import MergeSettings

# Faces with narrower masks are not pasted; filters need this many pixels.
_LEAST_EXTENT_PX = 4


@dataclass(frozen=True)
class Composite:
    """A finished frame."""

    image: NDArray[Any]
    """`h w 3` RGB, of the frame's dtype."""
    mask: NDArray[np.uint8]
    """`h w`: how much of each pixel was replaced; where it is 0, `image` equals the frame."""
    faces: int
    """Number of pasted faces."""


def composite(
    frame: NDArray[Any],
    faces: Sequence[FaceRecord],
    predictor: Predictor,
    settings: MergeSettings,
    geometry: FaceGeometry,
    transform: WorkingTransform | None = None,
) -> Composite:
    """Swap all `faces` of one frame (`h w 3` RGB, uint8 or uint16 full-scale code values).

    `geometry` is what the model of `predictor` expects; `transform` (HDR footage) maps code values
    to the standard range and back. Raises `InputError` if the landmarks of a face are degenerate.
    """
    crops = cut_faces(frame, faces, geometry, transform)
    swapped = predictor(np.stack([crop.image for crop in crops])) if crops else []
    return paste_faces(frame, crops, swapped, settings, transform)


def paste_faces(
    frame: NDArray[Any],
    crops: Sequence[FaceCrop],
    swapped: Sequence[SwappedFace],
    settings: MergeSettings,
    transform: WorkingTransform | None = None,
) -> Composite:
    """Composite the swapped faces onto a copy of their frame, in the given order."""
    if len(crops) != len(swapped):
        raise InputError(f"{len(crops)} face crops, but {len(swapped)} swapped faces")
    h, w = frame.shape[:2]
    image = frame.copy() if crops else frame
    mask = np.zeros((h, w), np.uint8)
    pasted = 0
    for crop, face in zip(crops, swapped, strict=True):
        pasted += _paste(image, mask, crop, face, settings, transform)
    return Composite(image, mask, pasted)


def _paste(
    image: NDArray[Any],
    mask: NDArray[np.uint8],
    crop: FaceCrop,
    face: SwappedFace,
    settings: MergeSettings,
    transform: WorkingTransform | None,
) -> bool:
    """Composite one face onto `image` and `mask` in place; False if it is too small."""
    face_mask = _face_mask(crop, face, settings, (image.shape[0], image.shape[1]))
    to_output = _output_matrix(crop, settings)
    region, weight = _frame_mask(face_mask, to_output, (image.shape[0], image.shape[1]))
    if _too_small(weight):
        return False
    swapped = _recolour(crop, face, face_mask, settings)
    laid = unit_range(place(swapped, to_output, region, replicate=True))
    if transform is not None:
        laid = transform.from_working(laid)
    # Blend in the code values of the frame: pixels outside the mask need no conversion and back.
    under = as_float(image[region.slices])
    mixed = as_pixels(under + (laid - under) * weight[..., None], image.dtype)
    inside = weight > 0
    np.copyto(image[region.slices], mixed, where=inside[..., None])
    before = mask[region.slices].astype(np.float32) / 255
    cover = np.rint(255 * (1 - (1 - before) * (1 - weight))).astype(np.uint8)
    np.copyto(mask[region.slices], cover, where=inside)
    return True


def _face_mask(
    crop: FaceCrop, face: SwappedFace, settings: MergeSettings, frame_size: tuple[int, int]
) -> Mask:
    """The finished mask, `4n 4n`."""
    hull = hull_of(crop, frame_size) if settings.mask_mode == "dst" else face.mask_dst
    combined = combine_masks(settings.mask_mode, face.mask_prd, face.mask_dst, hull)
    return finish_mask(combined, erode=settings.erode, blur=settings.blur)


def _output_matrix(crop: FaceCrop, settings: MergeSettings) -> Matrix:
    """Frame to face pixels for pasting, scaled by `face_scale`."""
    if settings.face_scale == 0:
        return crop.frame_to_face
    return frame_to_face(
        crop.landmarks,
        crop.geometry.size_px,
        crop.geometry.face_type,
        scale=1 / (1 + 0.01 * settings.face_scale),
        pixel_aspect=crop.pixel_aspect,
    )


def _frame_mask(
    face_mask: Mask, to_output: Matrix, frame_size: tuple[int, int]
) -> tuple[Region, Mask]:
    """The mask on the frame: the region it covers and its values there."""
    left, top, width, height = cv2.boundingRect((face_mask >= LEAST).astype(np.uint8))
    if width == 0:
        return Region(0, 0, 0, 0), np.zeros((0, 0), np.float32)
    to_mask = resized_matrix(to_output, SUPERSAMPLING)
    x0, y0 = left - SUPERSAMPLING, top - SUPERSAMPLING
    x1, y1 = left + width + SUPERSAMPLING, top + height + SUPERSAMPLING
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    region = region_of(transform_points(corners, invert_affine(to_mask)), frame_size, 2)
    if region.empty:
        return region, np.zeros((0, 0), np.float32)
    weight = unit_range(place(face_mask, to_mask, region, detail_px=SUPERSAMPLING))
    weight[weight < LEAST] = 0.0
    return region, weight


def _too_small(weight: Mask) -> bool:
    if weight.size == 0:
        return True
    _, _, width, height = cv2.boundingRect((weight >= 0.1).astype(np.uint8))
    return min(width, height) < _LEAST_EXTENT_PX


def _recolour(crop: FaceCrop, face: SwappedFace, face_mask: Mask, settings: MergeSettings) -> Image:
    """The swapped face in the colours of the frame's face, measured inside the mask."""
    if settings.color_transfer == "none":
        return face.image
    n = crop.geometry.size_px
    small = np.asarray(cv2.resize(face_mask, (n, n), interpolation=cv2.INTER_CUBIC))
    inside = (small > 0).astype(np.float32)
    transfer = TRANSFERS[settings.color_transfer]
    return transfer(face.image, crop.image, inside, statistics=settings.color_statistics)
