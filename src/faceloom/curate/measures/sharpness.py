"""How sharp a picture is: CPBD and the Laplacian's variance, the measures that DFL sorts by."""

from __future__ import annotations

from typing import Final, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

_Sample = TypeVar("_Sample", bound=np.generic)
_BLOCK_PX: Final = 64
_EDGE_SHARE: Final = 0.002
_CANNY_LOW, _CANNY_HIGH = 0.1, 0.2
# OpenCV's Canny takes gradients as 16-bit whole numbers: eighths of a level.
_CANNY_SCALE: Final = 8
_STEPS: Final = 101
_JUST_NOTICEABLE: Final = 63


def cpbd(gray: NDArray[np.uint8] | NDArray[np.float64]) -> float:
    """Cumulative probability of blur detection of `gray` (h w, 0 to 255): 0 blurred, 1 sharp.

    The share of edges whose blur the eye would not notice; 0 for a picture below 64 px or without
    edges. Narvekar and Karam, "A no-reference image blur metric based on the cumulative probability
    of blur detection (CPBD)", TIP 2011, with DFL's details (docs/internals/sorting.md).
    """
    picture = np.ascontiguousarray(gray, dtype=np.float64)
    h, w = picture.shape
    rows, columns = h // _BLOCK_PX, w // _BLOCK_PX
    if rows == 0 or columns == 0:
        return 0.0
    found = _blocks(_edge_widths(picture), rows, columns)
    found[_blocks(_edges(picture), rows, columns).sum(axis=1) <= _EDGE_SHARE * _BLOCK_PX**2] = 0
    values = _blocks(picture, rows, columns)
    contrast = values.max(axis=1) - values.min(axis=1)
    just_noticeable = np.where(contrast <= 50, 5.0, 3.0)
    block, place = np.nonzero(found)
    if len(block) == 0:
        return 0.0
    probability = 1 - np.exp(-((found[block, place] / just_noticeable[block]) ** 3.6))
    return float((np.rint(100 * probability) <= _JUST_NOTICEABLE).mean())


def motion_blur(image: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian (aperture 11, float64) of `image` (h w 3): the higher the sharper.

    0 for a picture of one colour. The value depends on the picture's size.
    """
    laplacian = np.asarray(cv2.Laplacian(image, cv2.CV_64F, ksize=11))
    mean, deviation = cv2.meanStdDev(laplacian)
    means = np.asarray(mean, dtype=np.float64)
    return float((np.asarray(deviation) ** 2 + (means - means.mean()) ** 2).mean())


def _blocks(picture: NDArray[_Sample], rows: int, columns: int) -> NDArray[_Sample]:
    """The whole 64 px blocks of a picture: n x 4096."""
    whole = picture[: rows * _BLOCK_PX, : columns * _BLOCK_PX]
    split = whole.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX)
    return split.swapaxes(1, 2).reshape(rows * columns, -1)


def _edges(picture: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Canny's edges: h w. Enough to tell blocks with edges from flat ones as scikit-image's Canny
    does, on which CPBD is defined."""
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (9, 9), 1.0)
    gradients = [
        (_CANNY_SCALE * np.asarray(cv2.Sobel(smooth, cv2.CV_32F, *order))).astype(np.int16)
        for order in ((1, 0), (0, 1))
    ]
    low, high = _CANNY_LOW * _CANNY_SCALE, _CANNY_HIGH * _CANNY_SCALE
    return np.asarray(cv2.Canny(*gradients, low, high, L2gradient=True)) > 0


def _edge_widths(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Marziliano's width in pixels of every vertical edge, 0 elsewhere: h w.

    From an edge's neighbours the brightness is followed outwards as long as it keeps falling or
    rising. Only edges whose gradient is within 22.5 degrees of the row are measured.
    """
    w = picture.shape[1]
    widths = np.zeros(picture.shape)
    row, column = np.nonzero(_vertical_edges(picture)[1:-1, 1:-1])
    place = (row + 1) * w + column + 1
    flat = picture.ravel()
    gx = (flat[place + 1] - flat[place - 1]) / 2
    gy = (flat[place + w] - flat[place - w]) / 2
    angle = np.rint(np.degrees(np.arctan2(gy, gx)) / 45)
    rising = (angle == 0) | (gx == 0)
    for sign, chosen in ((1, rising), (-1, np.abs(angle) == 4)):
        starts, columns = place[chosen], column[chosen] + 1
        left = _walk(sign * flat, starts - 1, -1, columns - 1)
        right = _walk(-sign * flat, starts + 1, 1, w - 2 - columns)
        widths.ravel()[starts] = left + right
    return widths


def _walk(
    falling: NDArray[np.float64],
    starts: NDArray[np.intp],
    step: Literal[-1, 1],
    room: NDArray[np.intp],
) -> NDArray[np.intp]:
    """One more than the steps from each of `starts` over which `falling` keeps falling, 1 to 101.

    `room` is the number of steps to the picture's border.
    """
    length = np.ones(len(starts), dtype=np.intp)
    active = np.arange(len(starts))
    for done in range(_STEPS - 1):
        active = active[room[active] > done]
        here = starts[active] + done * step
        active = active[falling[here + step] < falling[here]]
        if len(active) == 0:
            break
        length[active] += 1
    return length


def _vertical_edges(picture: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Sobel's vertical edges, thinned to strict maxima along either axis."""
    kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]]) / 8
    response = cv2.filter2D(picture, cv2.CV_64F, kernel, borderType=cv2.BORDER_REFLECT)
    strength = np.asarray(response, dtype=np.float64) ** 2
    strength[strength <= 2 * np.sqrt(strength.mean())] = 0
    padded = np.pad(strength, 1)
    beside = (strength > padded[1:-1, :-2]) & (strength > padded[1:-1, 2:])
    return beside | ((strength > padded[:-2, 1:-1]) & (strength > padded[2:, 1:-1]))
