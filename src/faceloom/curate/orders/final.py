"""DeepFaceLab's selection of the best faces: `final` and its variants.

Faces are put into 128 bins of yaw. The sharpest of each bin are put into bins of pitch, from which
those least like the others are chosen. Expression, light and roll are ignored;
`faceloom.curate.orders.best` does better. docs/internals/sorting.md has the details.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import Cancel, InputError
from faceloom.curate.orders.distances import histogram_unlikeness
from faceloom.curate.orders.method import Rows

YAW_BINS: Final = 128
# Candidates for the bins of pitch, as a multiple of what a bin of yaw may keep.
_SHARPEST = 10


def final_selection(
    *,
    yaw: ArrayLike,
    pitch: ArrayLike,
    histograms: ArrayLike,
    sharpness: ArrayLike | None,
    target: int,
    yaw_span: float = 1.2,
    pitch_span: float = np.pi / 2,
    cancel: Cancel | None = None,
) -> tuple[Rows, Rows]:
    """Choose about `target` of n faces: (rows in DFL's order, rows that are dropped).

    yaw, pitch: n radians, as DFL measures them. histograms: n x 256 of the whole picture in grey.
    sharpness: n, or None to skip that step (`final-no-blur`). The spans are the ends of the bins,
    either side of 0. Faces whose yaw, pitch or picture is unknown are dropped.

    Raises `InputError` for a target of 64 or less, of which 128 bins would keep none, as in DFL.
    """
    if round(target / YAW_BINS) < 1:
        raise InputError(
            f"final uses {YAW_BINS} bins of yaw and cannot choose as few as {target} faces; "
            f"use a --count above {YAW_BINS // 2}, or --by best"
        )
    yaw_, pitch_ = np.asarray(yaw, np.float64), np.asarray(pitch, np.float64)
    gray = np.asarray(histograms, np.float64).reshape(len(yaw_), -1)
    quality = np.zeros(len(yaw_)) if sharpness is None else np.asarray(sharpness, np.float64)
    known = np.isfinite(yaw_) & np.isfinite(pitch_) & np.isfinite(gray).all(1)
    cells = np.where(known, _bin(-np.nan_to_num(yaw_), YAW_BINS, yaw_span), -1)
    sizes = np.bincount(cells[known], minlength=YAW_BINS)
    each = round(target / YAW_BINS)
    each += int(np.maximum(0, each - sizes).sum()) // YAW_BINS
    chosen: list[int] = []
    for cell in range(YAW_BINS):
        if cancel is not None:
            cancel.check()
        rows = np.flatnonzero(cells == cell)
        if sharpness is not None:
            # Unknown sharpness comes last, as the sort puts NaN.
            rows = rows[np.argsort(-quality[rows], kind="stable")][: _SHARPEST * each]
        chosen += _spread(rows, _bin(-pitch_[rows], each, pitch_span), gray, each)
    kept = np.array(chosen, np.intp)
    return kept, np.setdiff1d(np.arange(len(yaw_)), kept)


def _bin(values: NDArray[np.float64], count: int, span: float) -> NDArray[np.intp]:
    """Bin g has edge g ≤ value < edge g + 1; the first and the last have no outer limit."""
    edges = np.linspace(-span, span, count)
    return np.searchsorted(edges[1:], values, side="right").astype(np.intp)


def _spread(
    rows: Rows, pitch_bins: NDArray[np.intp], gray: NDArray[np.float64], each: int
) -> list[int]:
    """Choose from a bin of yaw, one face per bin of pitch in turn, the most unusual first."""
    queues: list[list[int]] = []
    for cell in range(each):
        inside = rows[pitch_bins == cell]
        if len(inside):
            unlike = histogram_unlikeness(gray[inside])
            queues.append([int(row) for row in inside[np.argsort(-unlike, kind="stable")]])
    taken: list[int] = []
    longest = max((len(queue) for queue in queues), default=0)
    for turn in range(longest):
        taken += [queue[turn] for queue in queues if turn < len(queue)]
    return taken[:each]
