"""What a comparison of src with dst means for the person who films src: gaps, and shots for them.

Left and right are always the picture's: positive yaw turns the nose to the picture's left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core.words import counted
from faceloom.curate.coverage.comparison import Bools, Coverage, Dimension
from faceloom.curate.measures import EXPRESSIONS, known

Rows = NDArray[np.intp]

LEFT_AND_RIGHT: Final = "Left and right are the picture's, as you see it."
_YAW_CUTS_DEG: Final = (-45.0, -15.0, 15.0, 45.0)
_PITCH_CUTS_DEG: Final = (-30.0, -12.0, 12.0, 30.0)
_LEVEL_DEG: Final = 12.0
_SMALL_SHARE: Final = 0.005
_SMALL_FACES: Final = 3
_FLIP_GAIN: Final = 0.02


@dataclass(frozen=True, eq=False)
class Gap:
    """Something dst shows and src lacks."""

    dimension: Dimension
    faces: Rows
    """Rows of the uncovered dst faces, most typical first."""
    share: float
    """Their share of dst's faces."""
    finding: str
    """What is missing, as a sentence."""
    shot: str
    """What footage to look for."""


@dataclass(frozen=True, eq=False)
class Advice:
    """What to do about a comparison."""

    summary: list[str]
    gaps: list[Gap]
    """By the number of dst faces, most first."""
    scattered: int
    """Uncovered dst faces that too few others resemble to be a gap."""
    unused: Rows
    """Rows of src faces whose head pose no dst face has."""


def advise(coverage: Coverage) -> Advice:
    """Find the gaps of a comparison and what would fill them."""
    total = max(int(coverage.compared["pose"].sum()), 1)
    found = [
        *_pose_gaps(coverage, total),
        *_expression_gaps(coverage, total),
        *_light_gaps(coverage, total),
        *_size_gaps(coverage, total),
        *_brightness_gaps(coverage, total),
    ]
    smallest = max(_SMALL_FACES, _SMALL_SHARE * total)
    gaps = sorted(
        (gap for gap in found if len(gap.faces) >= min(smallest, total)),
        key=lambda gap: -len(gap.faces),
    )
    named = np.zeros(len(coverage.dst), bool)
    for gap in gaps:
        named[gap.faces] = True
    uncovered = np.zeros(len(coverage.dst), bool)
    for gap in found:
        uncovered[gap.faces] = True
    unused = np.flatnonzero(known(coverage.src.pose) & ~coverage.used)
    return Advice(_summary(coverage, unused), gaps, int((uncovered & ~named).sum()), unused)


def scattered_words(count: int) -> str:
    """A sentence on the uncovered faces that belong to no gap."""
    return f"Apart from these, {_faces(count)} of dst are uncovered, each in its own way."


def _summary(coverage: Coverage, unused: Rows) -> list[str]:
    known_poses = int(coverage.compared["pose"].sum())
    lines = [
        f"src covers {percent(coverage.score)} of dst's {_faces(known_poses)} in head pose and "
        f"expression together, {percent(coverage.score_lit)} if the light must match too.",
        f"Head pose alone: {percent(coverage.share('pose'))}.",
    ]
    others: list[Dimension] = ["expression", "light", "size", "brightness"]
    measured = [name for name in others if coverage.compared[name].any()]
    if measured:
        shares = ", ".join(f"{name} {percent(coverage.share(name))}" for name in measured)
        lines.append(f"Where src has the head pose, each by itself: {shares}.")
    unknown = len(coverage.dst) - known_poses
    if unknown:
        lines.append(f"{_faces(unknown)} of dst left out: no known head pose.")
    here = coverage.compared["pose"]
    flipped, plain = coverage.pose_with_flip[here], coverage.covered["pose"][here]
    gain = float(flipped.mean() - plain.mean()) if known_poses else 0.0
    if gain >= _FLIP_GAIN and not coverage.settings.flip_src:
        lines.append(
            f"Training with random_src_flip would raise head pose to "
            f"{percent(float(flipped.mean()))}, if src's face is roughly symmetric."
        )
    if len(unused):
        lines.append(
            f"{len(unused):,} of src's {_faces(len(coverage.src))} have a head pose that no dst "
            "face has, so this dst does not need them."
        )
    return lines


# --- pose


def _pose_gaps(coverage: Coverage, total: int) -> Iterator[Gap]:
    pose = coverage.dst.pose
    missing = coverage.compared["pose"] & ~coverage.covered["pose"]
    zone_yaw = np.digitize(pose[:, 0], _YAW_CUTS_DEG)
    zone_pitch = np.digitize(pose[:, 1], _PITCH_CUTS_DEG)
    for zone in sorted({(int(zone_yaw[i]), int(zone_pitch[i])) for i in np.flatnonzero(missing)}):
        rows = np.flatnonzero(missing & (zone_yaw == zone[0]) & (zone_pitch == zone[1]))
        rows = _typical_first(rows, pose)
        where = pose_words(pose[rows])
        yield Gap(
            "pose",
            rows,
            len(rows) / total,
            f"dst's head is {where} in {_faces(len(rows))}; {_src_reach(coverage, rows)}.",
            f"the head {where}{_own_side(pose[rows, 0])}.",
        )


def _src_reach(coverage: Coverage, rows: Rows) -> str:
    """How far src's heads turn or tilt towards those of some dst faces."""
    src = coverage.src.pose[known(coverage.src.pose)]
    if coverage.settings.flip_src:
        src = np.concatenate([src, src * (-1, 1)])
    tolerance = coverage.settings.pose_tolerance_deg
    median = np.median(coverage.dst.pose[rows], axis=0)
    for axis, words in (
        (0, ("left", "right")),
        (1, ("up", "down")),
    ):
        sign = 1.0 if median[axis] >= 0 else -1.0
        # Reached by `enough` faces: an angle of a single face does not count.
        ordered = np.sort(src[:, axis] * sign)
        reach = float(ordered[-min(coverage.settings.enough, len(ordered))])
        if abs(median[axis]) - reach > tolerance * 0.7:
            way = words[0] if sign > 0 else words[1]
            verb = "turns" if axis == 0 else "looks"
            if reach < 3:
                return f"src never {verb} {way}"
            return f"src never {verb} further than {reach:.0f}° {way}"
    return "src has this turn and this tilt, but rarely together"


def pose_words(pose: NDArray[np.float64]) -> str:
    """Head poses (n 2: yaw, pitch in degrees) in words: "turned 40–60° left, about level"."""
    (low_yaw, high_yaw), (low_pitch, high_pitch) = (
        np.percentile(pose[:, axis], (5, 95)) for axis in (0, 1)
    )
    turn = _range_words(low_yaw, high_yaw, "turned", "left", "right")
    tilt = _range_words(low_pitch, high_pitch, "looking", "up", "down")
    if turn is None and tilt is None:
        return "facing the camera"
    return f"{turn or 'facing ahead'}, {tilt or 'about level'}"


def _range_words(low: float, high: float, verb: str, positive: str, negative: str) -> str | None:
    """A range of angles in words; None when all are close to 0."""
    if max(abs(low), abs(high)) <= _LEVEL_DEG:
        return None
    if low >= -_LEVEL_DEG / 2:
        return f"{verb} {_span(max(low, 0.0), high)} {positive}"
    if high <= _LEVEL_DEG / 2:
        return f"{verb} {_span(max(-high, 0.0), -low)} {negative}"
    return f"{verb} between {-low:.0f}° {negative} and {high:.0f}° {positive}"


def _span(low: float, high: float) -> str:
    return f"{low:.0f}°" if round(low) == round(high) else f"{low:.0f}–{high:.0f}°"


def _own_side(yaw: NDArray[np.float64]) -> str:
    """The side that the people turn to, from their own point of view."""
    median = float(np.median(yaw))
    if abs(median) <= _LEVEL_DEG:
        return ""
    return f" (the person's own {'right' if median > 0 else 'left'})"


# --- expression


def _expression_gaps(coverage: Coverage, total: int) -> Iterator[Gap]:
    uncovered = coverage.compared["expression"] & ~coverage.covered["expression"]
    for number, part in enumerate(EXPRESSIONS):
        offset = coverage.part_offset[:, number]
        lacking = uncovered & coverage.missing_parts[:, number]
        for chosen, does, shot in (
            (lacking & (offset > 0), part.more, part.more_shot),
            (lacking & (offset <= 0), part.less, part.less_shot),
        ):
            for rows, where in _by_turn(coverage, np.asarray(chosen, dtype=bool)):
                finding = f"dst {does} than src at this head pose in {_faces(len(rows))} ({where})."
                yield Gap("expression", rows, len(rows) / total, finding, f"{shot}, {where}.")
    mixed = np.asarray(uncovered & ~coverage.missing_parts.any(1), dtype=bool)
    for rows, where in _by_turn(coverage, mixed):
        yield Gap(
            "expression",
            rows,
            len(rows) / total,
            f"dst combines expressions that src shows only one at a time in {_faces(len(rows))} "
            f"({where}).",
            f"talking and lively expressions, {where}.",
        )


def _by_turn(coverage: Coverage, chosen: Bools) -> Iterator[tuple[Rows, str]]:
    """The chosen dst faces by where the head is turned: rows, and the head pose in words."""
    pose = coverage.dst.pose
    zones = np.digitize(pose[:, 0], _YAW_CUTS_DEG[1:3])
    for zone in range(3):
        rows = np.flatnonzero(chosen & (zones == zone))
        if len(rows):
            yield _typical_first(rows, pose), f"head {pose_words(pose[rows])}"


# --- light, size, brightness


def _light_gaps(coverage: Coverage, total: int) -> Iterator[Gap]:
    uncovered = coverage.compared["light"] & ~coverage.covered["light"]
    offset = np.nan_to_num(coverage.light_offset)
    axis = np.abs(offset).argmax(1)
    ways = (
        ("from the picture's left", "from the picture's right"),
        ("from above", "from below"),
        ("from behind or the side", "from the front"),
    )
    for number, (negative, positive) in enumerate(ways):
        for way, side in ((negative, offset[:, number] < 0), (positive, offset[:, number] >= 0)):
            rows = np.flatnonzero(uncovered & (axis == number) & side)
            if len(rows):
                rows = _typical_first(rows, coverage.dst.light)
                where = f"head {pose_words(coverage.dst.pose[rows])}"
                finding = f"dst is lit more {way} than src in {_faces(len(rows))} ({where})."
                yield Gap("light", rows, len(rows) / total, finding, f"light more {way}, {where}.")


def _size_gaps(coverage: Coverage, total: int) -> Iterator[Gap]:
    rows = np.flatnonzero(coverage.compared["size"] & ~coverage.covered["size"])
    if len(rows):
        ratio = coverage.size_near[rows] / coverage.dst.size_px[rows]
        rows = rows[np.argsort(ratio, kind="stable")]
        wanted = float(np.median(coverage.dst.size_px[rows]))
        there = float(np.median(coverage.size_near[rows]))
        where = f"head {pose_words(coverage.dst.pose[rows])}"
        yield Gap(
            "size",
            rows,
            len(rows) / total,
            f"src's faces are smaller in the frame than dst's in {_faces(len(rows))}: about "
            f"{there:.0f} pixels against dst's {wanted:.0f} ({where}). The swap will be softer "
            "than the frame around it.",
            f"close-ups or a higher resolution, faces of {wanted:.0f} pixels or more, {where}.",
        )


def _brightness_gaps(coverage: Coverage, total: int) -> Iterator[Gap]:
    uncovered = coverage.compared["brightness"] & ~coverage.covered["brightness"]
    middle = np.nanmedian(coverage.src.brightness) if uncovered.any() else 0.0
    brighter = coverage.dst.brightness > middle
    for chosen, word in ((uncovered & brighter, "brighter"), (uncovered & ~brighter, "darker")):
        rows = np.flatnonzero(chosen)
        if len(rows):
            rows = rows[np.argsort(np.abs(coverage.dst.brightness[rows] - middle))[::-1]]
            where = f"head {pose_words(coverage.dst.pose[rows])}"
            yield Gap(
                "brightness",
                rows,
                len(rows) / total,
                f"dst is {word} than src at this head pose in {_faces(len(rows))} ({where}).",
                f"{word} footage, {where}; or train with colour transfer.",
            )


# --- words


def percent(share: float) -> str:
    """A share in words; never rounded to 0 % or 100 %."""
    if not np.isfinite(share):
        return "unknown"
    if 0 < share < 0.01:
        return "under 1 %"
    if 0.99 < share < 1:
        return "over 99 %"
    return f"{share:.0%}".replace("%", " %")


def _faces(count: int) -> str:
    return counted(count, "face") if count < 1000 else f"{count:,} faces"


def _typical_first(rows: Rows, values: NDArray[np.float64]) -> Rows:
    """Rows sorted by how close their `values` are to the median."""
    chosen = values[rows]
    distance = np.linalg.norm(chosen - np.nanmedian(chosen, axis=0), axis=1)
    return rows[np.argsort(np.nan_to_num(distance, nan=np.inf), kind="stable")]
