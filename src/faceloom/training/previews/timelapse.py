"""The preview history as a video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, InputError, NullProgress, Progress
from faceloom.media import FootageInfo, VideoWriter, read_image

Image = NDArray[np.uint8]
PreviewKind = Literal["plain", "masked", "morph"]


def write_timelapse(
    folder: Path,
    target: Path,
    *,
    kind: PreviewKind = "plain",
    fps: int = 12,
    hold_s: float = 2.0,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> int:
    """Make a video of the preview history; return its number of frames.

    `folder` is the model's `previews`; the last picture stays for `hold_s` seconds. Raises
    `InputError` if there is no history, `CancelledError` if asked to stop.
    """
    progress, cancel = progress or NullProgress(), cancel or Cancel()
    files = sorted((folder / kind).glob("*.jpg"))
    if not files:
        raise InputError(f"{folder / kind}: no preview history here")
    h, w = (side // 2 * 2 for side in read_image(files[-1])[0].shape[:2])
    count = len(files) + max(1, round(hold_s * fps)) - 1
    like = FootageInfo(
        paths=tuple(files),
        kind="images",
        size=(h, w),
        fps=Fraction(fps),
        frame_count=count,
        duration_s=count / fps,
    )
    progress.start("timelapse", count, "frames")
    with VideoWriter(target, like, codec="h264", crf=20) as writer:
        image = np.zeros((h, w, 3), np.uint8)
        for number in range(count):
            cancel.check()
            if number < len(files):
                image = _fitted(read_image(files[number])[0], h, w)
            writer.write(image, Fraction(number, fps))
            progress.advance()
    progress.finish()
    return count


def _fitted(image: Image, h: int, w: int) -> Image:
    """A picture, perhaps of a session with other faces or resolution, at the video's size."""
    if image.shape[:2] == (h, w):
        return image
    if image.shape[0] - h in (0, 1) and image.shape[1] - w in (0, 1):
        return np.ascontiguousarray(image[:h, :w])
    return np.asarray(cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA), np.uint8)
