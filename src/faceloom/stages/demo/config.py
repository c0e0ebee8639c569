"""Where the demo goes, and how long it may take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from faceloom.core.config import DeviceSettings, Option, ThreadSettings


class DemoConfig(ThreadSettings, DeviceSettings):
    """Run the whole pipeline, unattended, on two built-in public-domain portraits.

    Animates portraits of Eileen Collins and Grace Hopper into two clips of 8 s with known
    landmarks, extracts the faces, trains a small model, merges, encodes and signs. This takes at
    most ten minutes on two CPU cores. Writes result.mp4, side_by_side.mp4, timelapse.mp4 and
    contact_sheet.png, and reports how similar the result is to src. After a stop, the same
    command resumes.

    **Example**

        faceloom demo

        faceloom demo try --iterations 10000 --train-minutes 30
    """

    workspace: Annotated[Path, Option(positional=True)] = Path("demo")
    """The folder to create, or one with an unfinished demo."""
    iterations: int = Field(default=3600, ge=2)
    """Training steps; fewer are faster, but the result is blurrier."""
    train_minutes: float = Field(default=8.0, gt=0)
    """Training ends after this time at the latest."""
    frames: int = Field(default=200, ge=10)
    """Frames of each clip, at 25 per second."""
