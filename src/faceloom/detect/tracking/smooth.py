"""Smoothing landmarks in time without lag, from those before and after each picture.

A face's motion is split into its place, its rotation and size (a similarity fitted to the points
that expressions do not move), and the rest, its shape. Place, rotation with size, and the shape of
each part of the face (jaw, brows, nose, eyes, mouth) are smoothed separately by local polynomial
fits over a window that extends equally far to both sides (Savitzky and Golay 1964, with the true
times of the pictures, so variable frame rates are fine). A quadratic fit at the centre of its
window has no lag, and no error for any constant acceleration.

The width of the window is chosen for each picture and part. From narrow to wide, each fit is used
only as far as it differs from the previous ones by no more than noise explains (stagewise
aggregation: Belomestny and Spokoiny, "Spatial aggregation of local likelihood estimates", 2007).
So a still face is smoothed over the whole window, while landmarks in a blink, at a moving lip and
in a fast turn stay as they were found. The noise is measured in the window itself, by third
differences, and limited to the landmarker's own noise, so that a shaking head does not count as
noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from faceloom.geometry import PARTS

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

# Brows, nose and the corners of the eyes: what talking and blinking move least.
_RIGID = [*range(17, 36), 36, 39, 42, 45]
# Of place, rotation with size, and each part's shape: the standard deviation of the mesh's points
# from picture to picture, in pixels of a 256 px crop. 1.5 times what was measured on a face that
# hardly moves.
_NOISE_PX = np.array(
    [
        0.14,
        0.09,
        *(
            {"jaw": 0.30, "brow": 0.13, "eye": 0.16, "lips": 0.20}.get(
                name.rsplit("_", 1)[-1], 0.11
            )
            for name in PARTS
        ),
    ]
)
# Where each of these begins in the row of everything that is smoothed, and how many numbers it has.
_STARTS = np.array([0, 1, *(2 + part.start for part, _ in PARTS.values())])
_COUNTS = np.diff([*_STARTS, 70])
# A face smaller than this in the frame is proportionally noisier.
_SHARP_SIDE_PX = 200.0
# Side of a full_face crop over the rigid points' mean distance from their centre, approximately.
_RADIUS_TO_SIDE = 5.1
# A fit's squared difference from the previous ones, over what noise explains: up to the first value
# the fit is used fully, from the second on not at all.
_FULL, _NONE = 2.0, 6.0


def smooth_points(
    times_s: Sequence[float], points: Sequence[NDArray[np.float32]], at: int, *, strength: float
) -> NDArray[np.float32]:
    """The landmarks of picture `at`, smoothed by those around it.

    `times_s` are the pictures' times in ascending order; `points` are the face's `68 2` landmarks
    in them, in pixels of the displayed frame; all of one shot. `strength` is 0 (no change) to 1;
    0.5 treats as noise what is about as large as the landmarker's noise. The window is the widest
    one centred on `at`, so the first and last picture of a track do not change.
    """
    half = min(at, len(points) - 1 - at)
    if half < 2 or strength <= 0:
        return points[at]
    window = slice(at - half, at + half + 1)
    offsets = np.asarray(times_s[window], dtype=np.float64) - times_s[at]
    if np.any(np.diff(offsets) <= 0):
        return points[at]
    stacked = np.asarray(points[window], dtype=np.float64)
    place, turn, shape = _split(stacked[..., 0] + 1j * stacked[..., 1])
    rigid = np.abs(shape[half, _RIGID])
    radius = float(rigid.mean())
    side_px = max(_RADIUS_TO_SIDE * radius, 1.0)
    unit_px = 2 * strength * max(side_px, _SHARP_SIDE_PX) / 256
    row = np.column_stack([place, turn * radius, shape])
    row = _smooth(
        row,
        *_fits(tuple(np.round(offsets / np.diff(offsets).mean(), 6).tolist())),
        bounds_px=_NOISE_PX * unit_px,
    )
    smoothed = row[0] + row[1] / radius * row[2:]
    return np.stack([smoothed.real, smoothed.imag], axis=1).astype(np.float32)


def _split(points: Complex) -> tuple[Complex, Complex, Complex]:
    """Place `n`, rotation with size `n` (a complex factor near 1) and shape `n 68` of a face.

    Every picture's points are exactly place + turn * shape.
    """
    rigid = points[:, _RIGID]
    place = rigid.mean(axis=1)
    centred = rigid - place[:, None]
    reference = centred[len(points) // 2]
    for _ in range(2):
        turn = (centred @ reference.conj()) / (np.abs(reference) ** 2).sum()
        reference = (centred / turn[:, None]).mean(axis=0)
    turn = (centred @ reference.conj()) / (np.abs(reference) ** 2).sum()
    return place, turn, (points - place[:, None]) / turn[:, None]


def _smooth(values: Complex, weights: Floats, thirds: Floats, *, bounds_px: Floats) -> Complex:
    """The values `n 70` at the window's centre, each group as smooth as noise explains."""
    candidates = weights @ values
    differences = thirds @ values
    rough = np.median(np.abs(np.concatenate([differences.real, differences.imag])), axis=0) / 0.6745
    noise = np.clip(np.add.reduceat(rough, _STARTS) / _COUNTS, 1e-9, bounds_px)
    kept, taken = candidates[0], np.tile(weights[0], (len(_STARTS), 1))
    active = np.ones(len(_STARTS), dtype=bool)
    for candidate, weight in zip(candidates[1:], weights[1:], strict=True):
        step = candidate - kept
        off = np.add.reduceat(step.real**2 + step.imag**2, _STARTS) / (2 * _COUNTS)
        explained = noise**2 * ((weight - taken) ** 2).sum(axis=1)
        share = np.clip((_NONE - off / explained) / (_NONE - _FULL), 0.0, 1.0) * active
        active = share > 0
        if not active.any():
            break
        kept = kept + np.repeat(share, _COUNTS) * step
        taken = taken + share[:, None] * (weight - taken)
    return kept


@lru_cache(maxsize=256)
def _fits(offsets: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Weights `m n` of fits from none to the smoothest, and of third differences `p n`."""
    t = np.array(offsets)
    middle = len(t) // 2
    none = np.zeros(len(t))
    none[middle] = 1.0
    rows = [none]
    rows += [_fit(t, half, degree) for degree in (2, 1) for half in range(2, middle + 1)]
    rows.sort(key=lambda row: -float((row**2).sum()))
    return np.array(rows), _third_differences(t)


def _fit(t: Floats, half: int, degree: int) -> Floats:
    """Weights of the value at 0 of a polynomial fitted to `half` pictures on either side."""
    middle = len(t) // 2
    near = slice(middle - half, middle + half + 1)
    reach = float(np.abs(t[near]).max()) * (half + 1) / half
    kernel = 1 - (t[near] / reach) ** 2
    basis = np.vander(t[near], degree + 1, increasing=True)
    weighted = basis * kernel[:, None]
    row = np.zeros(len(t))
    row[near] = np.linalg.solve(basis.T @ weighted, weighted.T)[0]
    return row


def _third_differences(t: Floats) -> Floats:
    """Rows of unit length that map four neighbours on a quadratic to 0."""
    rows = np.zeros((len(t) - 3, len(t)))
    for first in range(len(t) - 3):
        four = t[first : first + 4]
        row = np.array([1 / np.prod([a - b for b in four if b != a]) for a in four])
        rows[first, first : first + 4] = row / np.linalg.norm(row)
    return rows
