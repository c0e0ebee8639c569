"""The best faces: a subset that covers every look of a face with faces of high quality.

Every face i has a look x_i: head yaw and pitch, eight parts of its expression, and the direction of
the light, each in units of how far two values may be apart and still teach a model about the same
(8°, the tolerances of `EXPRESSIONS`, 0.35). The similarity of two looks is
k(x, y) = exp(-|x - y|² / 2). A face j has a quality q_j in (0, 1] from sharpness, occlusion and
size (`qualities`). The value of a subset S is

    F(S) = Σ_i w_i max_{j in S} q_j k(x_i, x_j)

over all faces i of the faceset, or of the one that a swap has to imitate (`towards`): each look
counts as far as the subset has a good face near it. w_i is one over the density of looks at i,
Σ w_i = 1, so a rare pose counts as much as a common one. A second face with the same look adds
almost nothing, so near-duplicates are not chosen.

F is monotone and submodular (facility location), so adding the face that gains most, again and
again, reaches at least 1 - 1/e = 63 % of the best possible F (Nemhauser, Wolsey and Fisher, "An
analysis of approximations for maximizing submodular set functions", 1978), in practice nearly all.
Gains only shrink, so most of them need not be recomputed (Minoux, "Accelerated greedy algorithms",
1978). Faces are returned in the order in which they were chosen: the first 500 of 2000 are the
choice of 500.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import Cancel, InputError, NullProgress, Progress
from faceloom.curate.measures import EXPRESSIONS, TRAIT_COLUMNS, Traits, traits_of
from faceloom.curate.orders.method import Ordering, Rows, SortContext, SortMethod, no_rows
from faceloom.curate.table import FaceTable

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

QUALITY_COLUMNS: Final = ("sharpness", "occlusion", "source_size")
# The measures that `best` needs.
COLUMNS: Final = (*TRAIT_COLUMNS, *QUALITY_COLUMNS)
_POSE_DEG = 8.0
_LIGHT = 0.35
# Lowest quality: a poor face is still useful if it is the only one with its look.
_LOWEST = 0.1
# Factor on the quality of faces whose pose or expression could not be measured.
_HALF_KNOWN = 0.5
# Most similarities in memory, four bytes each. With more faces, a sample represents all looks.
_PAIRS = 150_000_000
_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Problem:
    """A choice among n faces to cover m looks."""

    alike: Singles
    """n x m: similarity k of faces and looks."""
    quality: Singles
    """n: q."""
    weights: Singles
    """m: w, which sum to 1."""

    def value(self, rows: ArrayLike) -> float:
        """F of a subset, from 0 to 1."""
        chosen = np.asarray(rows, np.intp)
        if not len(chosen):
            return 0.0
        best = np.zeros(self.alike.shape[1], np.float32)
        for start in range(0, len(chosen), _BLOCK):
            part = chosen[start : start + _BLOCK]
            covered = self.alike[part] * self.quality[part, None]
            np.maximum(best, covered.max(0), out=best)
        return float(best @ self.weights.astype(np.float64))


def looks(table: FaceTable) -> Singles:
    """n x 13: yaw and pitch, expression, light, in units of the kernel; NaN when not measured."""
    return _scaled(traits_of(table))


def _scaled(seen: Traits) -> Singles:
    tolerances = np.array([part.tolerance for part in EXPRESSIONS])
    parts = [seen.pose / _POSE_DEG, seen.expression / tolerances, seen.light / _LIGHT]
    return np.concatenate(parts, axis=1).astype(np.float32)


def qualities(table: FaceTable) -> Singles:
    """n numbers in (0, 1]: √(sharpness x visible share x √size), sharpness and size relative to the
    faceset's 90th percentile, at most 1. Unknown values count as the median.

    Because of the root, quality decides among faces of about the same look, but does not outweigh
    a new look: a quarter of the sharpness is worth a step of 1.2 tolerances.
    """
    sharp = _relative(table.column("sharpness"))
    size = np.sqrt(_relative(table.column("source_size")))
    hidden = np.asarray(table.column("occlusion"), np.float64)
    free = 1 - np.clip(_filled(hidden, 0.0), 0, 1)
    return np.clip(np.sqrt(sharp * size * free), _LOWEST, 1).astype(np.float32)


def _relative(values: ArrayLike) -> Floats:
    numbers = np.asarray(values, np.float64)
    known = numbers[np.isfinite(numbers)]
    high = float(np.quantile(known, 0.9)) if len(known) else 0.0
    if high <= 0:
        return np.ones(len(numbers))
    return np.clip(_filled(numbers, 0.0) / high, 0, 1)


def _filled(numbers: Floats, default: float) -> Floats:
    known = numbers[np.isfinite(numbers)]
    return np.where(np.isfinite(numbers), numbers, np.median(known) if len(known) else default)


def make_problem(
    table: FaceTable, towards: FaceTable | None = None, *, cancel: Cancel | None = None
) -> Problem:
    """Set up the choice of faces from `table` that cover its own looks, or those of `towards`."""
    own = looks(table)
    wanted = own if towards is None else looks(towards)
    half_known = ~np.isfinite(own[:, :-3]).all(1)
    quality = qualities(table) * np.where(half_known, np.float32(_HALF_KNOWN), np.float32(1))
    middle = _middle(own, wanted)
    own, wanted = (np.where(np.isfinite(x), x, middle).astype(np.float32) for x in (own, wanted))
    most = max(1, _PAIRS // max(1, len(own)))
    weights = 1 / _density(wanted, cancel)
    weights /= weights.sum()
    if len(wanted) > most:
        # Split the total weight into equal parts and take the look in the middle of each.
        middles = (np.arange(most) + 0.5) / most
        places = np.minimum(np.searchsorted(np.cumsum(weights), middles), len(wanted) - 1)
        some, counts = np.unique(places, return_counts=True)
        wanted, weights = wanted[some], counts / most
    alike = np.empty((len(own), len(wanted)), np.float32)
    for start in range(0, len(own), _BLOCK):
        if cancel is not None:
            cancel.check()
        alike[start : start + _BLOCK] = _kernel(own[start : start + _BLOCK], wanted)
    return Problem(alike, quality.astype(np.float32), weights.astype(np.float32))


def _middle(own: Singles, wanted: Singles) -> Singles:
    """What replaces parts of a look that were not measured: the median of all faces."""
    both = np.concatenate([own, wanted]).astype(np.float64)
    known = np.isfinite(both).any(0)
    middle = np.zeros(both.shape[1])
    middle[known] = np.nanmedian(np.where(np.isfinite(both), both, np.nan)[:, known], axis=0)
    return middle.astype(np.float32)


def _kernel(a: Singles, b: Singles) -> Singles:
    """exp(-|x - y|² / 2) of all pairs."""
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1)
    half = np.minimum(a @ b.T - squares / 2, 0)
    return np.exp(half, out=half)


def _density(points: Singles, cancel: Cancel | None) -> Floats:
    """How many faces have about the same look, including the face itself; of up to 20,000."""
    some = points[:: max(1, len(points) // 20_000)]
    found = np.empty(len(points))
    for start in range(0, len(points), _BLOCK):
        if cancel is not None:
            cancel.check()
        block = _kernel(points[start : start + _BLOCK], some)
        found[start : start + len(block)] = block.sum(1, dtype=np.float64)
    return np.maximum(found, 1e-3)


def choose(
    problem: Problem,
    count: int,
    *,
    allowed: NDArray[np.bool_] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> tuple[Rows, Floats]:
    """Choose `count` rows by the lazy greedy algorithm: (rows in order, what each added to F).

    Of equal gains the lower row wins, so the choice is reproducible.
    """
    progress, cancel = progress or NullProgress(), cancel or Cancel()
    count = min(count, len(problem.quality) if allowed is None else int(allowed.sum()))
    progress.start("choose", count, "faces")
    covered = np.zeros(problem.alike.shape[1], np.float32)
    heap = [(-gain, row) for row, gain in enumerate((problem.alike @ problem.weights).tolist())]
    heap = [
        (gain * float(problem.quality[row]), row)
        for gain, row in heap
        if allowed is None or allowed[row]
    ]
    heapq.heapify(heap)
    rows, gains = np.empty(count, np.intp), np.empty(count)
    gain_of = np.empty_like(covered)
    for place in range(count):
        if place % 64 == 0:
            cancel.check()
            progress.advance(64 if place else 0)
        while True:
            _, row = heap[0]
            np.multiply(problem.alike[row], problem.quality[row], out=gain_of)
            gain_of -= covered
            np.maximum(gain_of, 0, out=gain_of)
            gain = float(gain_of @ problem.weights)
            heapq.heapreplace(heap, (-gain, row))
            if heap[0][1] == row:
                break
        heapq.heappop(heap)
        rows[place], gains[place] = row, gain
        covered += gain_of
    progress.advance(count - max(0, count - 1) // 64 * 64)
    progress.finish()
    return rows, gains


def _best(table: FaceTable, context: SortContext) -> Ordering:
    if context.count < 1:
        raise InputError("best needs a count of at least 1")
    if not len(table):
        return Ordering(no_rows(), no_rows(), no_rows(), ())
    problem = make_problem(table, context.towards, cancel=context.cancel)
    allowed = None
    if context.likeness is not None:
        alike = np.asarray(context.likeness(table.column("embedding")), np.float64)
        allowed = alike >= context.same_person
    rows, gains = choose(
        problem, context.count, allowed=allowed, progress=context.progress, cancel=context.cancel
    )
    everything = np.arange(len(table)) if allowed is None else np.flatnonzero(allowed)
    whole = problem.value(everything)
    share = float(gains.sum()) / whole if whole > 0 else 1.0
    values = ["left out"] * len(table)
    for row in rows:
        values[row] = f"quality {problem.quality[row]:.2f}"
    return Ordering(
        rows,
        np.setdiff1d(np.arange(len(table)), rows),
        no_rows(),
        tuple(values),
        f"{len(rows)} chosen faces cover {100 * share:.1f} % of what all {len(everything)} cover",
    )


METHODS: Final = (
    SortMethod(
        "best",
        "Faceloom",
        "the face that adds most coverage of pose, expression and light",
        COLUMNS,
        _best,
        ("best-faces",),
        drops="all but --count faces; with --reference also other people",
        drops_strangers=True,
        options=("count", "towards", "reference"),
        uses_likeness=True,
    ),
)
