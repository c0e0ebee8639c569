"""Animate a portrait into the frames of a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceloom.animate.motion import Pose
from faceloom.animate.portrait import Portrait
from faceloom.animate.render import render
from faceloom.animate.rig import build_rig
from faceloom.core.pool import ordered_map


@dataclass(frozen=True)
class AnimatedFrame:
    """One frame and its ground truth."""

    index: int
    image: NDArray[np.uint8]
    """h w 3, RGB."""
    landmarks: NDArray[np.float32]
    """68×2 in iBUG order, exact, in pixels of `image`."""
    pose: Pose


def animate(
    portrait: Portrait,
    poses: Sequence[Pose],
    to_68: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    *,
    threads: int = 2,
) -> Iterator[AnimatedFrame]:
    """Render `portrait` in each pose, in order.

    `to_68` converts 478×3 mesh points to the 68 landmarks. Frames are rendered in `threads`
    threads, slightly ahead of the reader; the result does not depend on their number.
    """
    rig = build_rig(portrait)

    def draw(item: tuple[int, Pose]) -> AnimatedFrame:
        index, pose = item
        image, mesh = render(rig, pose)
        landmarks = np.asarray(to_68(mesh.astype(np.float32)), np.float32)
        return AnimatedFrame(index, image, landmarks[:, :2], pose)

    return ordered_map(draw, enumerate(poses), workers=threads)
