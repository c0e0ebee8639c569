"""The time of each exported picture of a video: a small file next to the pictures.

Picture files store neither time stamps nor the shape of pixels. `frames.json` stores both, so that
a folder of exported frames is equivalent to the video. Without it, pictures have a constant rate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from faceloom.core import atomic_write

TIMELINE_NAME = "frames.json"
VERSION = 1
_MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Timeline:
    """Time stamps of pictures by their stems, and other data of their video.

    `stamps` are in units of `time_base` seconds on the clock of the video. `made_from` identifies
    the video and the settings of the export.
    """

    fps: Fraction
    time_base: Fraction
    stamps: Mapping[str, int]
    sample_aspect: Fraction = Fraction(1)
    clock_zero: Fraction = Fraction(0)
    last_frame_s: Fraction = Fraction(0)
    vfr: bool = False
    made_from: dict[str, Any] = field(default_factory=dict[str, Any])

    def times(self, stems: list[str]) -> list[Fraction] | None:
        """The times of pictures in seconds; None unless all are known and increasing."""
        stamps = [self.stamps.get(stem) for stem in stems]
        known = [stamp for stamp in stamps if stamp is not None]
        rises = all(a < b for a, b in pairwise(known))
        if len(known) < len(stems) or not rises:
            return None
        return [stamp * self.time_base for stamp in known]


def write_timeline(folder: Path, timeline: Timeline) -> None:
    """Write `frames.json` into `folder`."""
    content = {
        "version": VERSION,
        "fps": str(timeline.fps),
        "time_base": str(timeline.time_base),
        "sample_aspect": str(timeline.sample_aspect),
        "clock_zero": str(timeline.clock_zero),
        "last_frame_s": str(timeline.last_frame_s),
        "vfr": timeline.vfr,
        "made_from": timeline.made_from,
        "stamps": dict(timeline.stamps),
    }
    atomic_write(folder / TIMELINE_NAME, json.dumps(content, ensure_ascii=False))


def read_timeline(folder: Path) -> Timeline | None:
    """The timeline of the pictures in `folder`; None if there is no valid one."""
    file = folder / TIMELINE_NAME
    try:
        if file.stat().st_size > _MOST_BYTES:
            return None
        content: Any = json.loads(file.read_bytes())
        if content["version"] != VERSION:
            return None
        stamps = cast("dict[Any, Any]", content["stamps"])
        timeline = Timeline(
            fps=Fraction(content["fps"]),
            time_base=Fraction(content["time_base"]),
            stamps={str(stem): int(stamp) for stem, stamp in stamps.items()},
            sample_aspect=Fraction(content["sample_aspect"]),
            clock_zero=Fraction(content["clock_zero"]),
            last_frame_s=Fraction(content["last_frame_s"]),
            vfr=bool(content["vfr"]),
            made_from=dict(content["made_from"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None
    usable = timeline.fps > 0 and timeline.time_base > 0 and timeline.sample_aspect > 0
    return timeline if usable else None
