"""What footage is: its description, its frames, limits on its size, and what of it was lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from faceloom.core import MediaError

# Limits on files that others made.
MAX_MEGAPIXELS = 300
MAX_PICTURE_BYTES = 1 << 30

Image = npt.NDArray[Any]
"""`h w 3` RGB, uint8 or uint16 (full scale: 65535 is white)."""

Siting = Literal["left", "center"]
"""Where a subsampled chroma sample lies horizontally: on the left pixel, or between the two."""


@dataclass(frozen=True)
class ColorTags:
    """How code values mean colours, in FFmpeg's words; `unknown` where the file does not say.

    `matrix` and `range` are always decided: where the file is silent they are guessed once
    (`guessed`), and the same guess serves decoding, encoding and the tags of the result.
    """

    matrix: str = "bt709"
    range: Literal["limited", "full"] = "limited"
    primaries: str = "unknown"
    transfer: str = "unknown"
    guessed: bool = False


@dataclass(frozen=True)
class HdrMetadata:
    """Static HDR metadata (SMPTE ST 2086, CTA-861.3), as x265's options spell them."""

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
    """What is known of footage before its frames are read.

    `size` is (h, w) of the upright storage pixels: the rotation flag is applied, the sample
    aspect ratio is not. `fps` is the average. `frame_count` is the number of frames in the file;
    damaged ones among them may be missing when iterated. `start_time` is the first frame's time
    stamp in seconds on the container's timeline, where the audio lies too. `clock_zero` is where
    that timeline begins: 0, except in transport streams, whose clock runs from anywhere.
    `last_frame_s` is how long the last frame stands (0: unknown). `rotation_deg` is the clockwise
    turn that was applied.
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
        """The first (mostly the only) file."""
        return self.paths[0]

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel by its height, for everything geometric."""
        return float(self.sample_aspect)


@dataclass(frozen=True)
class Frame:
    """One upright picture of footage.

    `index` counts from 0 and names the same frame however it is reached; `time` is in seconds on
    the container's timeline. `name` is the file name of a picture, or `00001.png` for the first
    frame of a video, as DFL names dumped frames.
    """

    index: int
    time: Fraction
    image: Image
    name: str
    alpha: npt.NDArray[np.uint8] | None = None


def check_size(height: int, width: int, path: Path) -> None:
    """Raise `MediaError` for pictures that would not fit in memory, or have no size."""
    if height * width > MAX_MEGAPIXELS * 1_000_000:
        raise MediaError(
            f"{path}: {width}x{height} pixels; more than {MAX_MEGAPIXELS} megapixels are refused, "
            "scale it down first"
        )
    if height < 1 or width < 1:
        raise MediaError(f"{path}: its picture has no size; the file is damaged")


class Losses:
    """Numbers of frames that are missing or damaged, told once however often they are met."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._said: list[str] = []
        self._lost: set[int] = set()
        self._damaged: set[int] = set()

    def say(self, line: str) -> None:
        """A loss in words."""
        if line not in self._said:
            self._said.append(line)

    def lost(self, indices: Iterable[int]) -> None:
        """Frames that did not decode."""
        self._lost.update(indices)

    def damaged(self, index: int) -> None:
        """A frame that decoded with errors."""
        self._damaged.add(index)

    def lines(self) -> list[str]:
        """What was lost, one line a kind; empty when nothing was."""
        lines = list(self._said)
        if self._lost:
            lines.append(
                f"{len(self._lost)} of {self._total} frames could not be decoded and are left out: "
                f"{spell_ranges(self._lost)}"
            )
        if self._damaged:
            lines.append(
                f"{len(self._damaged)} of {self._total} frames decoded with errors: "
                f"{spell_ranges(self._damaged)}"
            )
        return lines


def spell_ranges(indices: Iterable[int], most: int = 8) -> str:
    """Frame numbers counted from 1 as `3, 7-9`, cut after `most` runs."""
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    words = [f"{a + 1}" if a == b else f"{a + 1}-{b + 1}" for a, b in runs[:most]]
    more = f" and {len(runs) - most} more places" if len(runs) > most else ""
    return ", ".join(words) + more
