"""Whether src has what dst asks for: head pose, expression, light, size and brightness.

A swap learns src's face from src's faces only. Where dst turns further, opens its mouth wider or
is lit from another side than any src face, the network has to invent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from faceloom.core import Cancel, InputError, Progress, Settings
from faceloom.curate.traits import EXPRESSIONS, Traits, known

Bools = NDArray[np.bool_]
Dimension = Literal["pose", "expression", "light", "size", "brightness"]

DIMENSIONS: Final[tuple[Dimension, ...]] = ("pose", "expression", "light", "size", "brightness")
YAW_EDGES_DEG: Final = np.arange(-90.0, 90.1, 10.0)
PITCH_EDGES_DEG: Final = np.arange(-60.0, 60.1, 10.0)
_USE_REACH = 2.0
"""A src face this many pose tolerances from the nearest dst face is of no use."""
_PAIRS = 2_500_000
"""Pairs of faces looked at together, which bounds the memory."""
_PART_TOLERANCES = np.array([part.tolerance for part in EXPRESSIONS])


class CoverageSettings(Settings):
    """When a dst face counts as covered by src."""

    pose_tolerance_deg: float = Field(default=8.0, gt=0, le=45)
    """How far apart two heads may look, in degrees of yaw and pitch together."""
    expression_tolerance: float = Field(default=1.0, gt=0, le=10)
    """Factor on the tolerances of all parts of an expression: 2 is twice as patient."""
    light_tolerance: float = Field(default=0.2, gt=0, le=2)
    """How far apart two lights may be: the distance of their directions, each as long (0 to 1)
    as the light is directional."""
    size_ratio: float = Field(default=0.7, gt=0, le=1)
    """How large a src face must be at least, compared with the dst face in its frame."""
    brightness_tolerance: float = Field(default=0.2, gt=0, le=1)
    """How far apart two faces' brightness may be, as a part of full white."""
    enough: int = Field(default=3, ge=1, le=1000)
    """So many src faces must be near; a single one is soon a blurred one."""
    flip_src: bool = False
    """Count src's mirror images too, as training with `random_src_flip` does."""


@dataclass(frozen=True, eq=False)
class Coverage:
    """How well n src faces serve m dst faces."""

    settings: CoverageSettings
    src: Traits
    dst: Traits
    near: NDArray[np.intp]
    """m: how many src faces look the same way."""
    covered: dict[Dimension, Bools]
    """m each. `pose`: enough src faces look that way. The others: enough of those have that
    expression, light, size or brightness too."""
    judged: dict[Dimension, Bools]
    """m each: whether it could be told. For all but `pose`, only where the pose is covered."""
    together: Bools
    """m: enough src faces have pose and expression at once."""
    together_lit: Bools
    """m: enough src faces have pose, expression and light at once."""
    missing_parts: Bools
    """m x the parts of an expression: not enough src faces of that pose have it, by itself."""
    part_offset: NDArray[np.float64]
    """m x the parts: how much more dst has of it than the src faces of that pose, on average."""
    light_offset: NDArray[np.float64]
    """m 3: dst's light less the mean one of the src faces of that pose."""
    size_near: NDArray[np.float64]
    """m: size of the `enough`-th largest src face of that pose."""
    used: Bools
    """n: whether some dst face looks about the same way."""
    pose_with_flip: Bools
    """m: whether the pose is covered once src's mirror images count."""
    grids: dict[str, NDArray[np.intp]] = field(default_factory=dict[str, NDArray[np.intp]])
    """`src`, `dst` and `need` (dst without src): faces in each cell, pitch rows (up first) by yaw
    columns (the picture's left first)."""

    def share(self, dimension: Dimension) -> float:
        """Share of the judged dst faces that are covered; NaN when none was judged."""
        judged = self.judged[dimension]
        return float(self.covered[dimension][judged].mean()) if judged.any() else float("nan")

    @property
    def score(self) -> float:
        """Share of dst faces for which src has pose and expression at once."""
        return self._share(self.together)

    @property
    def score_lit(self) -> float:
        """Share of dst faces for which src has pose, expression and light at once."""
        return self._share(self.together_lit)

    def _share(self, covered: Bools) -> float:
        judged = self.judged["pose"]
        return float(covered[judged].mean()) if judged.any() else float("nan")


def compare(
    src: Traits, dst: Traits, settings: CoverageSettings, *, progress: Progress, cancel: Cancel
) -> Coverage:
    """Compare two facesets. Faces whose pose is unknown cover nothing and are not judged.

    Cost grows with the pairs of faces of about the same yaw. Raises `InputError` for an empty
    faceset, or one without a single known pose; `CancelledError` on `cancel`.
    """
    for name, faces in (("src", src), ("dst", dst)):
        if not known(faces.pose).any():
            raise InputError(f"coverage: {name} has no face whose pose is known")
    material = src.joined(src.mirrored()) if settings.flip_src else src
    order = np.argsort(dst.pose[:, 0], kind="stable")
    state = _State(material, dst, settings)
    progress.start("coverage", len(dst), "faces")
    chunk = _chunk(len(material))
    for begin in range(0, len(dst), chunk):
        cancel.check()
        rows = order[begin : begin + chunk]
        state.look(rows)
        progress.advance(len(rows))
    progress.finish()
    return state.result(src, _mirror_covers(src, dst, settings))


def _chunk(others: int) -> int:
    """How many faces to compare at once with `others`."""
    return max(8, min(256, _PAIRS // max(others, 1)))


class _State:
    """The comparison while it goes through dst."""

    def __init__(self, src: Traits, dst: Traits, settings: CoverageSettings) -> None:
        rows = np.flatnonzero(known(src.pose))
        self._rows = rows[np.argsort(src.pose[rows, 0], kind="stable")]
        self._src, self._dst, self._settings = src, dst, settings
        self._yaw = src.pose[self._rows, 0]
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

    def look(self, rows: NDArray[np.intp]) -> None:
        """Compare some dst faces of about the same yaw with the src faces of about that yaw."""
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
        self._judge(rows, candidates, distance <= self._settings.pose_tolerance_deg)

    def _judge(self, rows: NDArray[np.intp], candidates: NDArray[np.intp], pose: Bools) -> None:
        """Which of the src faces near in pose (`pose`: dst x src) are near in all else."""
        expression = self._expression(rows, candidates, pose)
        light = self._light(rows, candidates, pose)
        self._size(rows, candidates, pose)
        step = np.abs(self._dst.brightness[rows, None] - self._src.brightness[None, candidates])
        bright = np.asarray(pose & (step <= self._settings.brightness_tolerance), dtype=bool)
        self.near[rows] = pose.sum(1)
        found: dict[Dimension, Bools] = {
            "pose": pose,
            "expression": expression,
            "light": light,
            "brightness": bright,
        }
        for dimension, pairs in found.items():
            self.covered[dimension][rows] = pairs.sum(1) >= self._enough
        self.together[rows] = expression.sum(1) >= self._enough
        # What is unknown of a dst face cannot be asked of src.
        asked = (
            known(self._dst.light[rows]) if self._src_knows("light") else np.zeros(len(rows), bool)
        )
        lit = expression & (light | ~np.asarray(asked, dtype=np.bool_)[:, None])
        self.together_lit[rows] = lit.sum(1) >= self._enough

    def _expression(
        self, rows: NDArray[np.intp], candidates: NDArray[np.intp], pose: Bools
    ) -> Bools:
        """Pairs near in pose and in every part of the expression that is known of the dst face."""
        pairs = pose.copy()
        near = np.maximum(pose.sum(1), 1)
        there: Bools = np.asarray(pose.sum(1) >= self._enough, dtype=np.bool_)
        for number, tolerance in enumerate(_PART_TOLERANCES * self._settings.expression_tolerance):
            wanted = self._dst.expression[rows, number]
            step = wanted[:, None] - self._src.expression[None, candidates, number]
            close: Bools = np.asarray(np.abs(step) <= tolerance, dtype=np.bool_)
            unknown: Bools = np.asarray(np.isnan(wanted), dtype=np.bool_)
            if self._part_known[number]:
                pairs &= close | np.expand_dims(unknown, 1)
            else:
                unknown[:] = True
            lacking: Bools = np.asarray((close & pose).sum(1) < self._enough, dtype=np.bool_)
            self.missing[rows, number] = lacking & ~unknown & there
            self.part_offset[rows, number] = np.where(pose, np.nan_to_num(step), 0).sum(1) / near
        return pairs

    def _light(self, rows: NDArray[np.intp], candidates: NDArray[np.intp], pose: Bools) -> Bools:
        step = self._dst.light[rows, None] - self._src.light[None, candidates]
        near = np.maximum(pose.sum(1), 1)[:, None]
        weighed = np.where(pose[..., None], np.nan_to_num(step), 0)
        self.light_offset[rows] = weighed.sum(1) / near
        close = np.linalg.norm(step, axis=2) <= self._settings.light_tolerance
        return np.asarray(pose & close, dtype=bool)

    def _size(self, rows: NDArray[np.intp], candidates: NDArray[np.intp], pose: Bools) -> None:
        sizes = np.where(pose, np.nan_to_num(self._src.size_px[None, candidates]), 0.0)
        place = sizes.shape[1] - self._enough
        if place >= 0:
            largest = np.partition(sizes, place, axis=1)[:, place]
            self.size_near[rows] = largest
            wanted = self._dst.size_px[rows] * self._settings.size_ratio
            self.covered["size"][rows] = (largest >= wanted) & (largest > 0)

    def result(self, src: Traits, with_flip: Bools) -> Coverage:
        pose_known = known(self._dst.pose)
        here = self.covered["pose"]
        n, m = len(src), len(self._dst)
        used = self.used[:n].copy()
        used[: len(self.used) - n] |= self.used[n:]
        judged: dict[Dimension, Bools] = {
            "pose": pose_known,
            "expression": np.asarray(here & np.isfinite(self._dst.expression).any(1), dtype=bool),
            "light": here & known(self._dst.light),
            "size": np.asarray(here & np.isfinite(self._dst.size_px), dtype=bool),
            "brightness": np.asarray(here & np.isfinite(self._dst.brightness), dtype=bool),
        }
        for dimension, told in judged.items():
            judged[dimension] = np.asarray(told & self._src_knows(dimension), dtype=bool)
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
            judged,
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

    Rows go from looking up to looking down, columns from the picture's left to its right: the
    cells lie as the heads look. Poses beyond the grid count in its outermost cells.
    """
    rows = chosen & known(pose)
    yaw = np.clip(pose[rows, 0], YAW_EDGES_DEG[0], YAW_EDGES_DEG[-1])
    pitch = np.clip(pose[rows, 1], PITCH_EDGES_DEG[0], PITCH_EDGES_DEG[-1])
    counts, _, _ = np.histogram2d(pitch, yaw, bins=(PITCH_EDGES_DEG, YAW_EDGES_DEG))
    return counts[::-1, ::-1].astype(np.intp)


def _mirror_covers(src: Traits, dst: Traits, settings: CoverageSettings) -> Bools:
    """Whether src and its mirror images together cover each dst face's pose."""
    poses = np.concatenate([src.pose, src.mirrored().pose])
    poses = poses[known(poses)]
    enough = min(settings.enough, len(poses))
    near = np.zeros(len(dst), bool)
    chunk = _chunk(len(poses))
    for begin in range(0, len(dst), chunk):
        rows = slice(begin, begin + chunk)
        apart = np.hypot(*(dst.pose[rows, None, axis] - poses[None, :, axis] for axis in (0, 1)))
        near[rows] = (apart <= settings.pose_tolerance_deg).sum(1) >= enough
    return near
