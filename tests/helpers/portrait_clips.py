"""Small clips of the demo's animated portraits, for tests that need real faces.

The portraits and networks are downloaded: use these behind the fixture `need_weights`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.animate import animate, crop_portrait, make_portrait, talking_head
from faceloom.core.vocabulary import Side
from faceloom.detect import mesh_to_68, open_finder
from faceloom.media import ColorTags, FootageInfo, VideoWriter, read_image
from faceloom.stages.demo.clips import ROLES
from faceloom.weights import fetch

WEIGHTS = ("portrait-astronaut", "portrait-hopper", "yunet", "face-landmarker")
SIZE = (320, 256)


def portrait_frames(side: Side, count: int, every: int = 8) -> list[NDArray[np.uint8]]:
    """`count` frames of a side's portrait, each `every` frames of the motion apart; h w 3."""
    role = ROLES[side]
    picture, _ = read_image(fetch(role.plan.weight))
    frame = crop_portrait(np.asarray(picture, np.uint8), role.plan)
    mesh = open_finder().find(frame)[0].mesh
    assert mesh is not None
    poses = talking_head(count * every, fps=25, seed=role.seed, extent=role.extent)[::every]
    portrait = make_portrait(frame, mesh, role.plan)
    return [
        np.asarray(cv2.resize(each.image, SIZE[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        for each in animate(portrait, poses, mesh_to_68)
    ]


def write_frames(
    path: Path,
    images: Sequence[NDArray[np.uint8]],
    *,
    codec: str = "h264",
    fps: Fraction = Fraction(25),
) -> Path:
    """A video of these frames."""
    like = FootageInfo(
        paths=(),
        kind="video",
        size=images[0].shape[:2],
        fps=fps,
        frame_count=len(images),
        duration_s=float(len(images) / fps),
        color=ColorTags("bt709", "limited", "bt709", "bt709"),
    )
    with VideoWriter(path, like, codec=codec) as writer:
        for index, image in enumerate(images):
            writer.write(image, index / fps)
    return path
