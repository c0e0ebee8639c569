"""How sharp a face is, from the spectrum at its real resolution; comparable between crops."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.geometry import frame_to_face, invert_affine, transform_points

MIN_PX: Final = 24
# The inner face is measured at a side between these. A larger one is shrunk, because models do not
# learn detail beyond that.
MAX_PX: Final = 256
# From this side of the inner face on (273 px of a whole_face crop), resolution is not penalised.
ENOUGH_PX: Final = 128
_COARSE: Final = (1 / 32, 1 / 8)
# Bands in cycles per pixel: the finest detail that pixels can hold, and the two octaves below it.
_FINE: Final = (1 / 8, 0.35)
# Beyond this many cycles per pixel, in the spectrum's corners, there is almost only noise.
_NOISE: Final = 0.5
_DIRECTIONS: Final = 4
_FLOOR: Final = 1e-4


def spectral_sharpness(
    gray: NDArray[np.uint8],
    landmarks: ArrayLike,
    *,
    pixels_per_source_px: float = 1.0,
    pixel_aspect: float = 1.0,
) -> float:
    """How much of the finest detail that a face's pixels could hold is present: 0 to 1.

    `gray` (h w) is the face's picture, `landmarks` its 68 points. `pixels_per_source_px` is how
    many of its pixels correspond to one of the frame: above 1 the face was enlarged when it was
    cropped, and is measured at its original size. In the inner face (the square of `half_face`) the
    energy between 1/8 and 0.35 cycles per pixel is divided by that from 1/32 up, in each of four
    directions, and their geometric mean is taken, so that motion blur in one direction counts. A
    picture's energy is about the same in every octave (Field, "Relations between the statistics of
    natural images and the response properties of cortical cells", 1987), so the share hardly
    depends on the face's size. An inner square less than `ENOUGH_PX` wide can hold less detail; its
    share is reduced in proportion to its pixels. White noise, estimated from the spectrum's
    corners, is subtracted. Sharp footage has 0.05 to 0.2, visibly blurred faces less than 0.03.

    Raises `InputError` for degenerate landmarks.
    """
    face = _inner_face(gray, landmarks, pixels_per_source_px, pixel_aspect)
    side = len(face)
    window = np.hanning(side + 2)[1:-1].astype(np.float32)
    weights = np.outer(window, window)
    mean = float((face * weights).sum() / weights.sum())
    power = np.abs(np.fft.rfft2((face - mean) * weights)) ** 2
    # The half that rfft2 leaves out mirrors every column but the first and the last.
    power[:, 0] /= 2
    down, right = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    radius = np.hypot(down, right)
    # The power of noise is exponentially distributed: its mean is the median over ln 2.
    power -= float(np.median(power[radius > _NOISE])) / math.log(2)
    direction = np.arctan2(down, right) / np.pi * _DIRECTIONS + 0.5
    sector = np.floor(np.mod(direction, _DIRECTIONS)).astype(np.intp)
    coarse = _energy(power, sector, (radius >= _COARSE[0]) & (radius < _COARSE[1]))
    fine = _energy(power, sector, (radius >= _FINE[0]) & (radius < _FINE[1]))
    share = fine / np.maximum(coarse + fine, 1e-9)
    relative = float(np.exp(np.log(share + _FLOOR).mean()) - _FLOOR)
    # In a very small face, eyes and brows are fine detail: without this it would count as sharp.
    return relative * min(1.0, side / ENOUGH_PX) ** 2


def _energy(
    power: NDArray[np.floating], sector: NDArray[np.intp], band: NDArray[np.bool_]
) -> NDArray[np.float64]:
    total = np.bincount(sector[band], weights=power[band], minlength=_DIRECTIONS)
    return np.maximum(total, 0.0)


def _inner_face(
    gray: NDArray[np.uint8], landmarks: ArrayLike, enlarged: float, pixel_aspect: float
) -> NDArray[np.float32]:
    """The square around the inner face, with no more pixels than the frame had.

    It is cropped without rotation: resampling would reduce detail and noise unevenly.
    """
    to_unit = frame_to_face(landmarks, 1, "half_face", pixel_aspect=pixel_aspect)
    scale = math.sqrt(abs(float(np.linalg.det(to_unit[:, :2]))))
    limit = 2 * max(gray.shape)
    side = min(max(MIN_PX // 2, round(1 / scale)), limit)
    middle = transform_points([0.5, 0.5], invert_affine(to_unit))
    left, top = (int(v) for v in np.clip(np.rint(middle - (side - 1) / 2), -limit, limit))
    rows = _mirrored(np.arange(top, top + side), gray.shape[0])
    columns = _mirrored(np.arange(left, left + side), gray.shape[1])
    face = gray[np.ix_(rows, columns)].astype(np.float32)
    wanted = min(MAX_PX, max(MIN_PX, int(side / max(enlarged, 1.0))))
    if wanted != side and (wanted < side or side < MIN_PX):
        kind = cv2.INTER_AREA if wanted < side else cv2.INTER_CUBIC
        face = np.asarray(cv2.resize(face, (wanted, wanted), interpolation=kind), np.float32)
    return face


def _mirrored(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Indices beyond a picture's edge, folded back into it."""
    period = max(2 * length - 2, 1)
    folded = np.mod(index, period)
    return np.minimum(folded, period - folded) if length > 1 else np.zeros_like(index)
