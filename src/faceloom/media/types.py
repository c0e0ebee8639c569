"""Types of footage: its description, its frames, size limits, and a count of losses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from faceloom.core import MediaError

# Limits for files from others.
MAX_MEGAPIXELS = 300
MAX_PICTURE_BYTES = 1 << 30

Image = npt.NDArray[Any]
"""`h w 3` RGB, uint8 or uint16 (full scale: 65535 is white)."""

Siting = Literal["left", "center"]
"""Where a subsampled chroma sample lies horizontally: on the left pixel, or between the two."""


@dataclass(frozen=True)
class ColorTags:
    """How code values encode colours, in FFmpeg's words; `unknown` if the file does not say.

    `matrix` and `range` are always known: if the file does not state them they are guessed once
    (`guessed`), and the same guess is used for decoding, encoding and the tags of the result.
    """

    matrix: str = "bt709"
    range: Literal["limited", "full"] = "limited"
    primaries: str = "unknown"
    transfer: str = "unknown"
    guessed: bool = False


@dataclass(frozen=True)
class HdrMetadata:
    """Static HDR metadata (SMPTE ST 2086, CTA-861.3) in the format of x265 options."""

    master_display: str | None = None
    max_cll: tuple[int, int] | None = None


@dataclass(frozen=True)
class AudioInfo:
    """One audio track. `start_time` is seconds on the container's timeline."""

    index: int
    codec: str
    channels: int
    layout: str
    sample_rate_hz: int
    start_time: Fraction
    language: str | None = None


@dataclass(frozen=True)
class FootageInfo:
    """What is known about footage before its frames are read.

    `size` is (h, w) of the upright storage pixels: the rotation flag is applied, the sample
    aspect ratio is not. `fps` is the average. `frame_count` is the number of frames in the file;
    damaged ones may be missing when iterated. `start_time` is the time stamp of the first frame in
    seconds on the timeline of the container, which the audio shares. `clock_zero` is where that
    timeline begins: 0, except in transport streams, whose clock starts anywhere. `last_frame_s` is
    the duration of the last frame (0: unknown). `rotation_deg` is the clockwise rotation that was
    applied.
    """

    paths: tuple[Path, ...]
    kind: Literal["video", "images"]
    size: tuple[int, int]
    fps: Fraction
    frame_count: int | None
    duration_s: float
    sample_aspect: Fraction = Fraction(1)
    start_time: Fraction = Fraction(0)
    clock_zero: Fraction = Fraction(0)
    last_frame_s: Fraction = Fraction(0)
    time_base: Fraction = Fraction(1, 90000)
    codec: str = ""
    pix_fmt: str = ""
    container: str = ""
    bit_depth: int = 8
    color: ColorTags = ColorTags()
    hdr: bool = False
    hdr_metadata: HdrMetadata | None = None
    siting: Siting = "left"
    interlaced: bool = False
    rotation_deg: int = 0
    vfr: bool = False
    audio: list[AudioInfo] = field(default_factory=list[AudioInfo])
    notes: list[str] = field(default_factory=list[str])

    @property
    def path(self) -> Path:
        """The first, and usually only, file."""
        return self.paths[0]

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel divided by its height, for geometry."""
        return float(self.sample_aspect)


@dataclass(frozen=True)
class Frame:
    """One upright picture of footage.

    `index` counts from 0 and does not depend on how the frame was reached; `time` is in seconds on
    the timeline of the container. `name` is the file name of a picture, or `00001.png` for the
    first frame of a video, as in DFL.
    """

    index: int
    time: Fraction
    image: Image
    name: str
    alpha: npt.NDArray[np.uint8] | None = None


def check_size(height: int, width: int, path: Path) -> None:
    """Raise `MediaError` for pictures that would not fit in memory or have no size."""
    if height * width > MAX_MEGAPIXELS * 1_000_000:
        raise MediaError(
            f"{path}: {width}x{height} pixels; the limit is {MAX_MEGAPIXELS} megapixels, "
            "scale it down first"
        )
    if height < 1 or width < 1:
        raise MediaError(f"{path}: a picture without a size; the file is damaged")


class Losses:
    """Frames that are missing or damaged, each counted once."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._said: list[str] = []
        self._lost: set[int] = set()
        self._damaged: set[int] = set()

    def say(self, line: str) -> None:
        """Add a message, once."""
        if line not in self._said:
            self._said.append(line)

    def lost(self, indices: Iterable[int]) -> None:
        """Add frames that could not be decoded."""
        self._lost.update(indices)

    def damaged(self, index: int) -> None:
        """Add a frame that decoded with errors."""
        self._damaged.add(index)

    def lines(self) -> list[str]:
        """One line per kind of loss; empty if there was none."""
        lines = list(self._said)
        if self._lost:
            lines.append(
                f"{len(self._lost)} of {self._total} frames could not be decoded and are skipped: "
                f"{spell_ranges(self._lost)}"
            )
        if self._damaged:
            lines.append(
                f"{len(self._damaged)} of {self._total} frames decoded with errors: "
                f"{spell_ranges(self._damaged)}"
            )
        return lines


def spell_ranges(indices: Iterable[int], most: int = 8) -> str:
    """Frame numbers, counted from 1, as `3, 7-9`; at most `most` ranges."""
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    words = [f"{a + 1}" if a == b else f"{a + 1}-{b + 1}" for a, b in runs[:most]]
    more = f" and {len(runs) - most} more ranges" if len(runs) > most else ""
    return ", ".join(words) + more
