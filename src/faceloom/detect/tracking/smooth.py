"""Landmarks steadied in time, without lag: a face's points before and after a picture are known.

How: a face's motion is parted into where it lies, how it is turned and sized (a similarity, fitted
to the points that no expression moves) and what is left, its shape. Place, turn and size, and the
shape of each part of the face (jaw, brows, nose, eyes, mouth) are then smoothed on their own by
local polynomial fits over times to both sides, as wide to the left as to the right (Savitzky and
Golay 1964, with the pictures' true times, so that a variable frame rate does no harm). A quadratic
fit at the middle of its window has no lag, and no error for any steady acceleration.

How wide a window may be is decided for each picture and part: from narrow to wide, each fit is
taken only so far as it differs from the ones before by no more than noise would make it (stagewise
aggregation: Belomestny and Spokoiny, "Spatial aggregation of local likelihood estimates", 2007).
So a still face is steadied over the whole window, while in a blink, at a moving lip and in a fast
turn the points stay as they were found. The noise is measured in the window itself, by third
differences, and bounded by what the landmarker's own noise is: a shaking head is no noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from faceloom.geometry import PARTS

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

_RIGID = [*range(17, 36), 36, 39, 42, 45]
"""Brows, nose and the corners of the eyes: what talking and blinking move least."""
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
"""Of place, turn and size, and each part's shape: the standard deviation of the mesh's points from
picture to picture, in pixels of a 256 px crop; half as much again as was measured on a face that
hardly moves."""
_STARTS = np.array([0, 1, *(2 + part.start for part, _ in PARTS.values())])
_COUNTS = np.diff([*_STARTS, 70])
"""Where each of these begins in the row of all that is smoothed, and how many numbers it has."""
_SHARP_SIDE_PX = 200.0
"""A face smaller than this in the frame is noisier in proportion."""
_RADIUS_TO_SIDE = 5.1
"""Side of a full_face crop over the rigid points' mean distance from their centre, about."""
_SURE, _NEVER = 2.0, 6.0
"""Of a fit's squared difference from the ones before over what noise makes of it: up to the first
it is taken wholly, from the second on not at all."""


def smooth_points(
    times_s: Sequence[float], points: Sequence[NDArray[np.float32]], at: int, *, strength: float
) -> NDArray[np.float32]:
    """The points of picture `at`, steadied with the help of those around it.

    `times_s` are the pictures' times, rising; `points` the face's `68 2` landmarks in them, in
    pixels of the frame as shown; all of one shot. `strength` is 0 (the points as they are) to 1;
    0.5 takes for noise what is about as large as the landmarker's noise. The window is the widest
    one that lies evenly around `at`: at the first and last picture of a track nothing is changed.
    """
    half = min(at, len(points) - 1 - at)
    if half < 2 or strength <= 0:
        return points[at]
    window = slice(at - half, at + half + 1)
    offsets = np.asarray(times_s[window], dtype=np.float64) - times_s[at]
    if np.any(np.diff(offsets) <= 0):
        return points[at]
    stacked = np.asarray(points[window], dtype=np.float64)
    place, turn, shape = _part(stacked[..., 0] + 1j * stacked[..., 1])
    rigid = np.abs(shape[half, _RIGID])
    radius = float(rigid.mean())
    side_px = max(_RADIUS_TO_SIDE * radius, 1.0)
    unit_px = 2 * strength * max(side_px, _SHARP_SIDE_PX) / 256
    row = np.column_stack([place, turn * radius, shape])
    row = _steady(
        row,
        *_fits(tuple(np.round(offsets / np.diff(offsets).mean(), 6).tolist())),
        bounds_px=_NOISE_PX * unit_px,
    )
    steady = row[0] + row[1] / radius * row[2:]
    return np.stack([steady.real, steady.imag], axis=1).astype(np.float32)


def _part(points: Complex) -> tuple[Complex, Complex, Complex]:
    """Place `n`, turn and size `n` (as one complex factor, about 1) and shape `n 68` of a face.

    Every picture's points are place + turn * shape, exactly.
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


def _steady(values: Complex, weights: Floats, thirds: Floats, *, bounds_px: Floats) -> Complex:
    """The row of values `n 70` at the middle of the window, each group as far as it allows."""
    candidates = weights @ values
    differences = thirds @ values
    rough = np.median(np.abs(np.concatenate([differences.real, differences.imag])), axis=0) / 0.6745
    noise = np.clip(np.add.reduceat(rough, _STARTS) / _COUNTS, 1e-9, bounds_px)
    kept, taken = candidates[0], np.tile(weights[0], (len(_STARTS), 1))
    willing = np.ones(len(_STARTS), dtype=bool)
    for candidate, weight in zip(candidates[1:], weights[1:], strict=True):
        step = candidate - kept
        off = np.add.reduceat(step.real**2 + step.imag**2, _STARTS) / (2 * _COUNTS)
        made = noise**2 * ((weight - taken) ** 2).sum(axis=1)
        share = np.clip((_NEVER - off / made) / (_NEVER - _SURE), 0.0, 1.0) * willing
        willing = share > 0
        if not willing.any():
            break
        kept = kept + np.repeat(share, _COUNTS) * step
        taken = taken + share[:, None] * (weight - taken)
    return kept


@lru_cache(maxsize=256)
def _fits(offsets: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Weights `m n` of fits from none to the steadiest, and of third differences `p n`."""
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
    """Rows of unit length that take four neighbours to 0 when they lie on a quadratic."""
    rows = np.zeros((len(t) - 3, len(t)))
    for first in range(len(t) - 3):
        four = t[first : first + 4]
        row = np.array([1 / np.prod([a - b for b in four if b != a]) for a in four])
        rows[first, first : first + 4] = row / np.linalg.norm(row)
    return rows
