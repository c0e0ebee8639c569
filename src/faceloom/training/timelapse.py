"""The preview history as a video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError
from faceloom.media import FootageInfo, VideoWriter, read_image

Image = NDArray[np.uint8]


def write_timelapse(
    folder: Path, target: Path, *, masked: bool = False, fps: int = 12, hold_s: float = 2.0
) -> int:
    """Make a video of the preview history; return its number of frames.

    `folder` is the model's `previews`; the last picture stays for `hold_s` seconds. Raises
    `InputError` when there is no history.
    """
    files = sorted((folder / ("masked" if masked else "plain")).glob("*.jpg"))
    if not files:
        raise InputError(f"{folder}: no preview history to make a video of")
    images = [read_image(file)[0] for file in files]
    h, w = (side // 2 * 2 for side in images[-1].shape[:2])
    held = max(1, round(hold_s * fps))
    count = len(images) + held - 1
    like = FootageInfo(
        paths=tuple(files),
        kind="images",
        size=(h, w),
        fps=Fraction(fps),
        frame_count=count,
        duration_s=count / fps,
    )
    with VideoWriter(target, like, codec="h264", crf=20) as writer:
        for number in range(count):
            writer.write(_fitted(images[min(number, len(images) - 1)], h, w), Fraction(number, fps))
    return count


def _fitted(image: Image, h: int, w: int) -> Image:
    """A picture of another session (other faces or resolution) brought to the video's size."""
    if image.shape[:2] == (h, w):
        return image
    if image.shape[0] - h in (0, 1) and image.shape[1] - w in (0, 1):
        return np.ascontiguousarray(image[:h, :w])
    return np.asarray(cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA), np.uint8)
