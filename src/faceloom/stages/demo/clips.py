"""The footage of the demo: two animated portraits with their true landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from faceloom.animate import (
    ASTRONAUT,
    HOPPER,
    MotionRange,
    Portrait,
    PortraitPlan,
    animate,
    crop_portrait,
    make_portrait,
    talking_head,
)
from faceloom.core import Cancel, MediaError, Progress, atomic_path
from faceloom.core.vocabulary import Side
from faceloom.detect import mesh_to_68, open_finder
from faceloom.media import ColorTags, FootageInfo, VideoWriter, read_image
from faceloom.weights import fetch

FPS = 25


@dataclass(frozen=True)
class Role:
    """The portrait of a side, and the range of its motion."""

    plan: PortraitPlan
    extent: MotionRange
    seed: int


ROLES: Mapping[Side, Role] = MappingProxyType(
    {
        # src moves more than dst: a model cannot show poses that it never saw.
        "src": Role(ASTRONAUT, MotionRange(yaw_deg=24, pitch_deg=9, roll_deg=6, jaw=0.55), 1),
        "dst": Role(HOPPER, MotionRange(yaw_deg=18, pitch_deg=7, roll_deg=4, jaw=0.45), 2),
    }
)


def clip_path(folder: Path, side: Side) -> Path:
    """The clip of a side."""
    return folder / f"data_{side}.mp4"


def truth_path(folder: Path, side: Side) -> Path:
    """The true landmarks of a side's clip."""
    return folder / f"truth_{side}.npz"


def read_truth(folder: Path, side: Side) -> NDArray[np.float32]:
    """The true landmarks of a side's clip: `n 68 2` in pixels, a row per frame."""
    with np.load(truth_path(folder, side), allow_pickle=False) as data:
        return np.asarray(data["landmarks"], np.float32)


def make_clip(
    folder: Path, side: Side, frames: int, threads: int, *, progress: Progress, cancel: Cancel
) -> bool:
    """Animate a side's portrait into its clip of `frames` frames; the same on every run.

    Returns False if the clip exists already. Raises `WeightsError` if the portrait or a network
    cannot be downloaded, `CancelledError` when asked to stop (no partial clip is left).
    """
    if _is_made(folder, side, frames):
        return False
    role = ROLES[side]
    portrait = _portrait(role.plan, progress)
    poses = talking_head(frames, fps=FPS, seed=role.seed, extent=role.extent)
    progress.start(f"animate {side}", frames, "frames")
    truth: list[NDArray[np.float32]] = []
    with VideoWriter(
        clip_path(folder, side), _like(portrait, frames), codec="h264", crf=14, preset="fast"
    ) as writer:
        for frame in animate(portrait, poses, mesh_to_68, threads=threads):
            cancel.check()
            writer.write(frame.image, Fraction(frame.index, FPS))
            truth.append(frame.landmarks)
            progress.advance()
        # Before the clip gets its name, so that an existing clip always has its landmarks.
        _write_truth(folder, side, truth)
    progress.finish()
    return True


def _is_made(folder: Path, side: Side, frames: int) -> bool:
    if not (clip_path(folder, side).is_file() and truth_path(folder, side).is_file()):
        return False
    try:
        return len(read_truth(folder, side)) == frames
    except (OSError, ValueError, KeyError):
        return False


def _portrait(plan: PortraitPlan, progress: Progress) -> Portrait:
    picture, _ = read_image(fetch(plan.weight, progress=progress))
    frame = crop_portrait(np.asarray(picture, np.uint8), plan)
    faces = open_finder(progress=progress).find(frame)
    if not faces or faces[0].mesh is None:
        raise MediaError(f"{plan.weight}: no face found in the portrait")
    return make_portrait(frame, faces[0].mesh, plan)


def _like(portrait: Portrait, frames: int) -> FootageInfo:
    return FootageInfo(
        paths=(),
        kind="video",
        size=(portrait.image.shape[0], portrait.image.shape[1]),
        fps=Fraction(FPS),
        frame_count=frames,
        duration_s=frames / FPS,
        color=ColorTags("bt709", "limited", "bt709", "bt709"),
    )


def _write_truth(folder: Path, side: Side, landmarks: list[NDArray[np.float32]]) -> None:
    with atomic_path(truth_path(folder, side)) as temporary:
        np.savez_compressed(temporary, landmarks=np.stack(landmarks))
