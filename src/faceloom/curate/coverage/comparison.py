"""Compare src's faces with dst's: head pose, expression, light, size and brightness.

A model learns src's face from src's faces only. Where dst turns further, opens its mouth wider or
is lit from another side than any src face, it has to invent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, InputError, Progress
from faceloom.curate.measures import EXPRESSIONS, Traits, known
from faceloom.settings.curate import CoverageSettings

Bools = NDArray[np.bool_]
Dimension = Literal["pose", "expression", "light", "size", "brightness"]

DIMENSIONS: Final[tuple[Dimension, ...]] = ("pose", "expression", "light", "size", "brightness")
YAW_EDGES_DEG: Final = np.arange(-90.0, 90.1, 10.0)
PITCH_EDGES_DEG: Final = np.arange(-60.0, 60.1, 10.0)
# A src face this many pose tolerances from the nearest dst face is unused.
_USE_REACH: Final = 2.0
_PAIRS: Final = 2_500_000
# Pairs of faces that are compared at once, which bounds the memory.
_PART_TOLERANCES = np.array([part.tolerance for part in EXPRESSIONS])


@dataclass(frozen=True, eq=False)
class Coverage:
    """How well n src faces cover m dst faces."""

    settings: CoverageSettings
    src: Traits
    dst: Traits
    near: NDArray[np.intp]
    """m: how many src faces have the same head pose."""
    covered: dict[Dimension, Bools]
    """m each. `pose`: enough src faces have that head pose. The others: enough of those have that
    expression, light, size or brightness as well."""
    compared: dict[Dimension, Bools]
    """m each: whether it could be compared; apart from `pose`, only where the pose is covered."""
    together: Bools
    """m: enough src faces have pose and expression at once."""
    together_lit: Bools
    """m: enough src faces have pose, expression and light at once."""
    missing_parts: Bools
    """m x the parts of an expression: not enough src faces of that pose have this part."""
    part_offset: NDArray[np.float64]
    """m x the parts: how much more of it dst has than the src faces of that pose, on average."""
    light_offset: NDArray[np.float64]
    """m 3: dst's light minus the mean light of the src faces of that pose."""
    size_near: NDArray[np.float64]
    """m: size of the largest src face of that pose; NaN for none."""
    used: Bools
    """n: whether some dst face has about the same head pose."""
    pose_with_flip: Bools
    """m: whether the pose is covered if src's mirror images count."""
    grids: dict[str, NDArray[np.intp]] = field(default_factory=dict[str, NDArray[np.intp]])
    """`src`, `dst` and `need` (dst without src): faces in each cell, pitch rows (up first) by yaw
    columns (the picture's left first)."""

    def share(self, dimension: Dimension) -> float:
        """Share of the dst faces that are covered, of those compared; NaN when there are none."""
        compared = self.compared[dimension]
        return float(self.covered[dimension][compared].mean()) if compared.any() else float("nan")

    @property
    def score(self) -> float:
        """Share of dst faces for which src has pose and expression in the same faces."""
        return self._share(self.together)

    @property
    def score_lit(self) -> float:
        """The same, with the light as well."""
        return self._share(self.together_lit)

    def _share(self, covered: Bools) -> float:
        compared = self.compared["pose"]
        return float(covered[compared].mean()) if compared.any() else float("nan")


def compare(
    src: Traits, dst: Traits, settings: CoverageSettings, *, progress: Progress, cancel: Cancel
) -> Coverage:
    """Compare two facesets. Faces whose pose is unknown cover nothing and are left out.

    Takes time in proportion to the pairs of faces of similar yaw. Raises `InputError` for a faceset
    without any known pose, `CancelledError` on `cancel`.
    """
    for name, faces in (("src", src), ("dst", dst)):
        if not known(faces.pose).any():
            raise InputError(f"coverage: no face of {name} has a known head pose")
    material = src.joined(src.mirrored()) if settings.flip_src else src
    order = np.argsort(dst.pose[:, 0], kind="stable")
    state = _State(material, dst, settings)
    progress.start("coverage", len(dst), "faces")
    chunk = _chunk(len(material))
    for begin in range(0, len(dst), chunk):
        cancel.check()
        rows = order[begin : begin + chunk]
        state.compare(rows)
        progress.advance(len(rows))
    progress.finish()
    with_flip = _mirror_covers(src, dst, settings, state.covered["pose"])
    return state.result(src, with_flip)


def _chunk(others: int) -> int:
    """How many faces to compare with `others` at once."""
    return max(8, min(256, _PAIRS // max(others, 1)))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Faces of dst and src with the same head pose, p pairs."""

    dst: NDArray[np.intp]
    """p: rows of dst."""
    src: NDArray[np.intp]
    """p: rows of src."""
    which: NDArray[np.intp]
    """p: the dst face's place among those compared."""
    faces: int

    def count(self, chosen: Bools) -> NDArray[np.intp]:
        """How many of each dst face's pairs are chosen."""
        return np.bincount(self.which[chosen], minlength=self.faces)

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean over each dst face's pairs; 0 without any."""
        total = np.bincount(self.which, values, minlength=self.faces)
        return total / np.maximum(np.bincount(self.which, minlength=self.faces), 1)


class _State:
    """The state of a comparison that goes through dst's faces."""

    def __init__(self, src: Traits, dst: Traits, settings: CoverageSettings) -> None:
        rows = np.flatnonzero(known(src.pose))
        self._rows = rows[np.argsort(src.pose[rows, 0], kind="stable")]
        self._src, self._dst, self._settings = src, dst, settings
        self._yaw = src.pose[self._rows, 0]
        self._light_known = known(dst.light) & self._src_knows("light")
        self._enough = min(settings.enough, len(self._rows))
        self._part_known: Bools = np.asarray(np.isfinite(src.expression).any(0), dtype=np.bool_)
        m, parts = len(dst), len(EXPRESSIONS)
        self.near = np.zeros(m, np.intp)
        self.covered: dict[Dimension, Bools] = {d: np.zeros(m, bool) for d in DIMENSIONS}
        self.together = np.zeros(m, bool)
        self.together_lit = np.zeros(m, bool)
        self.missing = np.zeros((m, parts), bool)
        self.part_offset = np.full((m, parts), np.nan)
        self.light_offset = np.full((m, 3), np.nan)
        self.size_near = np.full(m, np.nan)
        self.used = np.zeros(len(src), bool)

    def compare(self, rows: NDArray[np.intp]) -> None:
        """Compare dst faces of similar yaw with the src faces of about that yaw."""
        dst_pose = self._dst.pose[rows]
        if not known(dst_pose).any():
            return
        reach = self._settings.pose_tolerance_deg * _USE_REACH
        first = np.searchsorted(self._yaw, np.nanmin(dst_pose[:, 0]) - reach)
        last = np.searchsorted(self._yaw, np.nanmax(dst_pose[:, 0]) + reach, side="right")
        candidates = self._rows[first:last]
        if not len(candidates):
            return
        distance = np.hypot(
            *(dst_pose[:, None, axis] - self._src.pose[None, candidates, axis] for axis in (0, 1))
        )
        self.used[candidates[(distance <= reach).any(0)]] = True
        self._compare_near(rows, candidates, distance <= self._settings.pose_tolerance_deg)

    def _compare_near(
        self, rows: NDArray[np.intp], candidates: NDArray[np.intp], pose: Bools
    ) -> None:
        """Find which of the pairs near in pose (`pose`: dst x src) are near in everything else."""
        which, other = np.nonzero(pose)
        near = np.bincount(which, minlength=len(rows))
        self.near[rows] = near
        self.covered["pose"][rows] = near >= self._enough
        pairs = _Pairs(rows[which], candidates[other], which, len(rows))
        expression = self._expression(rows, pairs, near)
        self.covered["expression"][rows] = pairs.count(expression) >= self._enough
        self.together[rows] = self.covered["expression"][rows]
        light = self._light(rows, pairs)
        self.covered["light"][rows] = pairs.count(light) >= self._enough
        # What is unknown of a dst face is not required of src.
        required = self._light_known[pairs.dst]
        lit = pairs.count(expression & (light | ~required))
        self.together_lit[rows] = lit >= self._enough
        step = np.abs(self._dst.brightness[pairs.dst] - self._src.brightness[pairs.src])
        bright = pairs.count(step <= self._settings.brightness_tolerance)
        self.covered["brightness"][rows] = bright >= self._enough
        self._size(rows, pairs)

    def _expression(self, rows: NDArray[np.intp], pairs: _Pairs, near: NDArray[np.intp]) -> Bools:
        """Pairs near in every part of the expression that is known of the dst face."""
        fits = np.ones(len(pairs.dst), np.bool_)
        there = near >= self._enough
        for number, tolerance in enumerate(_PART_TOLERANCES * self._settings.expression_tolerance):
            if not self._part_known[number]:
                continue
            value = self._dst.expression[:, number]
            step = value[pairs.dst] - self._src.expression[pairs.src, number]
            close = np.abs(step) <= tolerance
            fits &= close | np.isnan(value[pairs.dst])
            lacking = (pairs.count(close) < self._enough) & ~np.isnan(value[rows])
            self.missing[rows, number] = lacking & there
            self.part_offset[rows, number] = pairs.mean(np.nan_to_num(step))
        return fits

    def _light(self, rows: NDArray[np.intp], pairs: _Pairs) -> Bools:
        step = self._dst.light[pairs.dst] - self._src.light[pairs.src]
        for axis in range(3):
            self.light_offset[rows, axis] = pairs.mean(np.nan_to_num(step[:, axis]))
        apart = np.linalg.norm(step, axis=1)
        return np.asarray(apart <= self._settings.light_tolerance, dtype=np.bool_)

    def _size(self, rows: NDArray[np.intp], pairs: _Pairs) -> None:
        sizes = self._src.size_px[pairs.src]
        large = sizes >= self._dst.size_px[pairs.dst] * self._settings.size_ratio
        self.covered["size"][rows] = pairs.count(large) >= self._enough
        np.fmax.at(self.size_near, pairs.dst, sizes)

    def result(self, src: Traits, with_flip: Bools) -> Coverage:
        pose_known = known(self._dst.pose)
        here = self.covered["pose"]
        n, m = len(src), len(self._dst)
        used = self.used[:n].copy()
        used[: len(self.used) - n] |= self.used[n:]
        compared: dict[Dimension, Bools] = {
            "pose": pose_known,
            "expression": np.asarray(here & np.isfinite(self._dst.expression).any(1), dtype=bool),
            "light": here & known(self._dst.light),
            "size": np.asarray(here & np.isfinite(self._dst.size_px), dtype=bool),
            "brightness": np.asarray(here & np.isfinite(self._dst.brightness), dtype=bool),
        }
        for dimension, comparable in compared.items():
            compared[dimension] = np.asarray(comparable & self._src_knows(dimension), dtype=bool)
        grids = {
            "src": grid(src.pose, np.ones(n, bool)),
            "dst": grid(self._dst.pose, np.ones(m, bool)),
            "need": grid(self._dst.pose, ~here),
        }
        return Coverage(
            self._settings,
            src,
            self._dst,
            self.near,
            self.covered,
            compared,
            self.together,
            self.together_lit,
            self.missing,
            self.part_offset,
            self.light_offset,
            self.size_near,
            used,
            with_flip,
            grids,
        )

    def _src_knows(self, dimension: Dimension) -> bool:
        columns: dict[Dimension, NDArray[np.float64]] = {
            "pose": self._src.pose,
            "expression": self._src.expression,
            "light": self._src.light,
            "size": self._src.size_px,
            "brightness": self._src.brightness,
        }
        return bool(np.isfinite(columns[dimension]).any())


def grid(pose: NDArray[np.float64], chosen: Bools) -> NDArray[np.intp]:
    """Count the chosen faces of `pose` (n 2: yaw, pitch in degrees) in cells of 10 degrees.

    Rows go from looking up to looking down, columns from the picture's left to its right. Poses
    beyond the grid count in its outermost cells.
    """
    rows = chosen & known(pose)
    yaw = np.clip(pose[rows, 0], YAW_EDGES_DEG[0], YAW_EDGES_DEG[-1])
    pitch = np.clip(pose[rows, 1], PITCH_EDGES_DEG[0], PITCH_EDGES_DEG[-1])
    counts, _, _ = np.histogram2d(pitch, yaw, bins=(PITCH_EDGES_DEG, YAW_EDGES_DEG))
    return counts[::-1, ::-1].astype(np.intp)


def _mirror_covers(src: Traits, dst: Traits, settings: CoverageSettings, covered: Bools) -> Bools:
    """Whether src and its mirror images together cover each dst face's pose."""
    poses = np.concatenate([src.pose, src.mirrored().pose])
    poses = poses[known(poses)]
    enough = min(settings.enough, int(known(src.pose).sum()))
    result = covered.copy()
    missing = np.flatnonzero(~covered)
    chunk = _chunk(len(poses))
    for begin in range(0, len(missing), chunk):
        rows = missing[begin : begin + chunk]
        apart = np.hypot(*(dst.pose[rows, None, axis] - poses[None, :, axis] for axis in (0, 1)))
        result[rows] = (apart <= settings.pose_tolerance_deg).sum(1) >= enough
    return result
