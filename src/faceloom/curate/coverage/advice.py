"""What a comparison of src with dst means for whoever films or gathers src: gaps and shots.

Left and right are always the picture's, as one sees it: measured yaw > 0 turns the nose to the
picture's left (pipeline.md 3.13).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.curate.coverage.compare import Bools, Coverage, Dimension
from faceloom.curate.measures.traits import EXPRESSIONS, known

Rows = NDArray[np.intp]

_YAW_CUTS_DEG: Final = (-45.0, -15.0, 15.0, 45.0)
_PITCH_CUTS_DEG: Final = (-30.0, -12.0, 12.0, 30.0)
_LEVEL_DEG = 12.0
_SMALL_SHARE = 0.005
_SMALL_FACES = 3
_FLIP_GAIN = 0.02
_PERSONS_OWN = {"left": "right", "right": "left"}


LEFT_AND_RIGHT: Final = "Left and right are the picture's, as you see it."


@dataclass(frozen=True, eq=False)
class Gap:
    """Something dst shows and src lacks."""

    dimension: Dimension
    faces: Rows
    """Rows of the dst faces in want of it, the most typical first."""
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
    """dst faces whose want is shared by too few others to be named as a gap."""
    useless: Rows
    """Rows of src faces that look where no dst face does."""

    def lines(self) -> list[str]:
        """All of it in words."""
        lines = list(self.summary)
        if self.gaps:
            lines.append("What dst shows and src lacks, most needed first:")
        for number, gap in enumerate(self.gaps, 1):
            lines.append(f"{number}. {percent(gap.share)}: {gap.finding}")
            lines.append(f"   Look for: {gap.shot}")
        if self.scattered:
            lines.append(self.scattered_words())
        if self.gaps:
            lines.append(LEFT_AND_RIGHT)
        return lines

    def scattered_words(self) -> str:
        """What is left beside the gaps."""
        return f"Besides: {_faces(self.scattered)} of dst whose want few others share."


def advise(coverage: Coverage) -> Advice:
    """The gaps of a comparison with what would fill them."""
    total = max(int(coverage.judged["pose"].sum()), 1)
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
    wanting = np.zeros(len(coverage.dst), bool)
    for gap in found:
        wanting[gap.faces] = True
    useless = np.flatnonzero(known(coverage.src.pose) & ~coverage.used)
    return Advice(_summary(coverage, useless), gaps, int((wanting & ~named).sum()), useless)


def _summary(coverage: Coverage, useless: Rows) -> list[str]:
    judged = int(coverage.judged["pose"].sum())
    lines = [
        f"src has head pose and expression at once for {percent(coverage.score)} of dst's "
        f"{_faces(judged)}, and the light as well for {percent(coverage.score_lit)}.",
        f"Head pose by itself: {percent(coverage.share('pose'))}.",
    ]
    others: list[Dimension] = ["expression", "light", "size", "brightness"]
    told = [(name, coverage.share(name)) for name in others if coverage.judged[name].any()]
    if told:
        shares = ", ".join(f"{name} {percent(share)}" for name, share in told)
        lines.append(f"Where src has the pose, each by itself: {shares}.")
    unknown = len(coverage.dst) - judged
    if unknown:
        lines.append(f"{_faces(unknown)} of dst have no known pose and were not judged.")
    here = coverage.judged["pose"]
    flipped, plain = coverage.pose_with_flip[here], coverage.covered["pose"][here]
    gain = float(flipped.mean() - plain.mean()) if judged else 0.0
    if gain >= _FLIP_GAIN and not coverage.settings.flip_src:
        lines.append(
            f"Training with random_src_flip would raise pose to {percent(float(flipped.mean()))}, "
            "where the face is about the same on both sides."
        )
    if len(useless):
        lines.append(
            f"{_faces(len(useless))} of src's {len(coverage.src)} look where no dst face does: "
            "of no use for this dst."
        )
    return lines


# --- pose


def _pose_gaps(coverage: Coverage, total: int) -> Iterator[Gap]:
    pose = coverage.dst.pose
    missing = coverage.judged["pose"] & ~coverage.covered["pose"]
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
    """How far src goes toward the heads of some dst faces."""
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
        # With `enough` faces beyond it: what a single face reaches, src does not have.
        ordered = np.sort(src[:, axis] * sign)
        reach = float(ordered[-min(coverage.settings.enough, len(ordered))])
        if abs(median[axis]) - reach > tolerance * 0.7:
            way = words[0] if sign > 0 else words[1]
            verb = "turns" if axis == 0 else "looks"
            if reach < 3:
                return f"src never {verb} {way}"
            return f"src never {verb} further than {reach:.0f}° {way}"
    return "src has such a turn and such a tilt, but too seldom together"


def pose_words(pose: NDArray[np.float64]) -> str:
    """How heads (n 2: yaw, pitch in degrees) look: "turned 40–60° left, level"."""
    (low_yaw, high_yaw), (low_pitch, high_pitch) = (
        np.percentile(pose[:, axis], (5, 95)) for axis in (0, 1)
    )
    turn = _range_words(low_yaw, high_yaw, "turned", "left", "right")
    tilt = _range_words(low_pitch, high_pitch, "looking", "up", "down")
    if turn is None and tilt is None:
        return "facing the camera"
    return f"{turn or 'facing ahead'}, {tilt or 'about level'}"


def _range_words(low: float, high: float, verb: str, positive: str, negative: str) -> str | None:
    """A range of angles in words; None when all are about level."""
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
    """Which of their own sides the people turn to."""
    median = float(np.median(yaw))
    if abs(median) <= _LEVEL_DEG:
        return ""
    return f" (the person's own {_PERSONS_OWN['left' if median > 0 else 'right']})"


# --- expression


def _expression_gaps(coverage: Coverage, total: int) -> Iterator[Gap]:
    wanting = coverage.judged["expression"] & ~coverage.covered["expression"]
    for number, part in enumerate(EXPRESSIONS):
        offset = coverage.part_offset[:, number]
        lacking = wanting & coverage.missing_parts[:, number]
        for chosen, does, shot in (
            (lacking & (offset > 0), part.more, part.more_shot),
            (lacking & (offset <= 0), part.less, part.less_shot),
        ):
            for rows, where in _by_turn(coverage, np.asarray(chosen, dtype=bool)):
                finding = f"dst {does} than src does at that pose in {_faces(len(rows))}, {where}."
                share = len(rows) / total
                yield Gap("expression", rows, share, finding, f"{shot}, {where}.")
    mixed = np.asarray(wanting & ~coverage.missing_parts.any(1), dtype=bool)
    for rows, where in _by_turn(coverage, mixed):
        yield Gap(
            "expression",
            rows,
            len(rows) / total,
            f"dst mixes expressions that src has only one by one in {_faces(len(rows))}, {where}.",
            f"more talk and more play of the face, {where}.",
        )


def _by_turn(coverage: Coverage, chosen: Bools) -> Iterator[tuple[Rows, str]]:
    """The chosen dst faces by where the head is turned: the rows, and the heads' pose in words."""
    pose = coverage.dst.pose
    zones = np.digitize(pose[:, 0], _YAW_CUTS_DEG[1:3])
    for zone in range(3):
        rows = np.flatnonzero(chosen & (zones == zone))
        if len(rows):
            yield _typical_first(rows, pose), f"the head {pose_words(pose[rows])}"


# --- light, size, brightness


def _light_gaps(coverage: Coverage, total: int) -> Iterator[Gap]:
    wanting = coverage.judged["light"] & ~coverage.covered["light"]
    offset = np.nan_to_num(coverage.light_offset)
    axis = np.abs(offset).argmax(1)
    ways = (
        ("from the picture's left", "from the picture's right"),
        ("from above", "from below"),
        ("from behind or the side", "from the front"),
    )
    for number, (negative, positive) in enumerate(ways):
        for way, side in ((negative, offset[:, number] < 0), (positive, offset[:, number] >= 0)):
            rows = np.flatnonzero(wanting & (axis == number) & side)
            if len(rows):
                rows = _typical_first(rows, coverage.dst.light)
                where = f"the head {pose_words(coverage.dst.pose[rows])}"
                finding = (
                    f"dst's light comes more {way} than src's does in {_faces(len(rows))}, {where}."
                )
                yield Gap("light", rows, len(rows) / total, finding, f"light more {way}, {where}.")


def _size_gaps(coverage: Coverage, total: int) -> Iterator[Gap]:
    rows = np.flatnonzero(coverage.judged["size"] & ~coverage.covered["size"])
    if len(rows):
        ratio = coverage.size_near[rows] / coverage.dst.size_px[rows]
        rows = rows[np.argsort(ratio, kind="stable")]
        wanted = float(np.median(coverage.dst.size_px[rows]))
        there = float(np.median(coverage.size_near[rows]))
        where = f"the head {pose_words(coverage.dst.pose[rows])}"
        yield Gap(
            "size",
            rows,
            len(rows) / total,
            f"src's faces are smaller in their footage than dst's in {_faces(len(rows))}: about "
            f"{there:.0f} pixels for dst's {wanted:.0f} (full face), {where}. The swap will be "
            "softer than the frame around it.",
            f"closer or larger footage, {wanted:.0f} pixels a face or more, {where}.",
        )


def _brightness_gaps(coverage: Coverage, total: int) -> Iterator[Gap]:
    wanting = coverage.judged["brightness"] & ~coverage.covered["brightness"]
    middle = np.nanmedian(coverage.src.brightness) if wanting.any() else 0.0
    brighter = coverage.dst.brightness > middle
    for chosen, word in ((wanting & brighter, "brighter"), (wanting & ~brighter, "darker")):
        rows = np.flatnonzero(chosen)
        if len(rows):
            rows = rows[np.argsort(np.abs(coverage.dst.brightness[rows] - middle))[::-1]]
            where = f"the head {pose_words(coverage.dst.pose[rows])}"
            yield Gap(
                "brightness",
                rows,
                len(rows) / total,
                f"dst is {word} than src at that pose in {_faces(len(rows))}, {where}.",
                f"{word} footage, {where}; or train with colour transfer.",
            )


# --- words


def percent(share: float) -> str:
    """A share in words that never round to none or to all."""
    if not np.isfinite(share):
        return "unknown"
    if 0 < share < 0.01:
        return "under 1 %"
    if 0.99 < share < 1:
        return "over 99 %"
    return f"{share:.0%}".replace("%", " %")


def _faces(count: int) -> str:
    return "1 face" if count == 1 else f"{count:,} faces"


def _typical_first(rows: Rows, values: NDArray[np.float64]) -> Rows:
    """Rows by how near they are to the median of their `values`."""
    chosen = values[rows]
    distance = np.linalg.norm(chosen - np.nanmedian(chosen, axis=0), axis=1)
    return rows[np.argsort(np.nan_to_num(distance, nan=np.inf), kind="stable")]
