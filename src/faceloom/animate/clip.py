"""A whole clip from one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceloom.animate.motion import Pose
from faceloom.animate.portrait import Portrait
from faceloom.animate.render import render
from faceloom.animate.rig import build_rig


@dataclass(frozen=True)
class AnimatedFrame:
    """One frame and what is true about it."""

    index: int
    image: NDArray[np.uint8]
    """h w 3, RGB."""
    landmarks: NDArray[np.float32]
    """68×2 in iBUG order, exactly where the motion took them, in pixels of `image`."""
    pose: Pose


def animate(
    portrait: Portrait,
    poses: Sequence[Pose],
    to_68: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    *,
    threads: int = 2,
) -> Iterator[AnimatedFrame]:
    """Draw `portrait` in each pose, in order.

    `to_68` turns 478×3 mesh points into the 68 landmarks. Frames are drawn in `threads` threads a
    few ahead of the reader; the result does not depend on their number.
    """
    rig = build_rig(portrait)

    def draw(item: tuple[int, Pose]) -> AnimatedFrame:
        index, pose = item
        image, mesh = render(rig, pose)
        landmarks = np.asarray(to_68(mesh.astype(np.float32)), np.float32)
        return AnimatedFrame(index, image, landmarks[:, :2], pose)

    numbered = list(enumerate(poses))
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(numbered), 4 * threads):
            yield from pool.map(draw, numbered[start : start + 4 * threads])
