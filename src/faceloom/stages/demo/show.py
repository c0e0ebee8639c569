"""Side-by-side video and contact sheet of dst, result and src."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, Progress
from faceloom.media import Footage, VideoWriter, open_footage, write_image

Picture = NDArray[np.uint8]

SHEET_COLUMNS = 6
SHEET_WIDTH_PX = 220
LABELS = ("dst", "result", "src")


def write_side_by_side(
    target: Path, clips: Sequence[Path], *, progress: Progress, cancel: Cancel
) -> None:
    """Write a video of `clips` (dst, result, src) side by side, with the timing of the first."""
    first = open_footage(clips[0])
    height = first.info.size[0] // 2 * 2
    progress.start("side by side", len(first), "frames")
    rows = _rows([first, *(open_footage(clip) for clip in clips[1:])], height)
    picture = next(rows)
    like = replace(first.info, size=(picture.shape[0], picture.shape[1]), audio=[])
    with VideoWriter(target, like, codec="h264", crf=18, preset="fast") as writer:
        writer.write(picture, first.time_of(0))
        progress.advance()
        for index, picture in enumerate(rows, start=1):
            cancel.check()
            writer.write(picture, first.time_of(index))
            progress.advance()
    progress.finish()


def write_contact_sheet(target: Path, clips: Sequence[Path]) -> None:
    """Write a picture of `clips` (dst, result, src): one row each, times from left to right."""
    footages = [open_footage(clip) for clip in clips]
    count = min(len(footage) for footage in footages)
    # Not the ends, where the faces are at rest.
    moments = np.linspace(0, count - 1, SHEET_COLUMNS + 2)[1:-1].round().astype(int).tolist()
    rows: list[Picture] = []
    for footage, label in zip(footages, LABELS, strict=True):
        wanted = {
            frame.index: np.asarray(frame.image, np.uint8)
            for frame in footage.frames(0, moments[-1] + 1)
            if frame.index in moments
        }
        height = round(footage.info.size[0] * SHEET_WIDTH_PX / footage.info.size[1])
        cells = [
            np.asarray(
                cv2.resize(wanted[i], (SHEET_WIDTH_PX, height), interpolation=cv2.INTER_AREA),
                np.uint8,
            )
            for i in moments
            if i in wanted
        ]
        rows.append(_labelled(np.concatenate(cells, axis=1), label))
    width = min(row.shape[1] for row in rows)
    write_image(target, np.concatenate([row[:, :width] for row in rows], axis=0))


def _rows(footages: Sequence[Footage], height: int) -> Iterator[Picture]:
    """Frames of the same time side by side, up to the end of the shortest clip."""
    for frames in zip(*(footage.frames() for footage in footages), strict=False):
        parts = [
            _labelled(_to_height(np.asarray(frame.image, np.uint8), height), label)
            for frame, label in zip(frames, LABELS, strict=True)
        ]
        row = np.concatenate(parts, axis=1)
        yield row[:, : row.shape[1] // 2 * 2]


def _to_height(image: Picture, height: int) -> Picture:
    if image.shape[0] == height:
        return image
    width = round(image.shape[1] * height / image.shape[0])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _labelled(image: Picture, label: str) -> Picture:
    """The picture with a label in its lower left corner, readable on any background."""
    result = image.copy()
    scale = max(image.shape[0] / 800, 0.6)
    at = (round(12 * scale), image.shape[0] - round(14 * scale))
    for colour, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(
            result,
            label,
            at,
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            colour,
            max(round(thickness * scale), 1) + (thickness > 1),
            cv2.LINE_AA,
        )
    return result
