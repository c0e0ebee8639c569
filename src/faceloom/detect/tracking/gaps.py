"""A face that is missing for a moment between two sightings: where it must be, and whether it is.

Its points are interpolated from both sides: the place in a straight line, turn and size along a
spiral, the shape evenly. The landmarker then looks there. The face counts when it surely finds one
whose points agree; points that were only interpolated are never taken, for a face that cannot be
seen is hidden, and neither something to learn from nor something to paint over. Over gaps of
0.4 s cut into six clips, interpolated points are off by up to 40 pixels of a 256 px crop, those
that the landmarker finds from there by 1 in the middle and at most 6.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from faceloom.detect.finder import FaceFinder
from faceloom.detect.points import bounds, overlap
from faceloom.detect.types import FoundFace, Points, Region, Seed, UInt8Image

GAP_DETECTOR = "gap"
"""What such a face has for the name of its detector."""
_AGREES = 0.5
"""Least overlap of the points' bounds with the interpolated ones."""
_LEAST_PRESENCE = 5.0
"""Of 210 faces in such gaps all but one have more; of as many behind a patch of skin colour within
the head's outline four."""
_ASTRAY = 0.12
"""Most mean distance of a point from the interpolated one, over the square's side."""


def fill_gap(
    finder: FaceFinder,
    image: UInt8Image,
    before: FoundFace,
    after: FoundFace,
    share: float,
    *,
    pixel_aspect: float = 1.0,
    frame_name: str | None = None,
    frame_index: int | None = None,
) -> FoundFace | None:
    """The face of a track in `image` (`h w 3` RGB), seen `before` and `after`; None if not there.

    `share` is how far the picture's time is from the one towards the other, 0 to 1. The face has
    the track of both, the detector `gap` and score 0. Name and index of the frame are for the
    finder: where a file says that a frame has only the faces it gives, no gap is filled.
    """
    points = interpolate(before.landmarks, after.landmarks, share)
    box = bounds(points)
    seed = Seed(box, _between(before.region, after.region, share))
    # Nothing is detected anew: the detector had its say when the picture was first searched.
    faces = finder.find(
        image,
        [seed],
        pixel_aspect=pixel_aspect,
        detections=[],
        frame_name=frame_name,
        frame_index=frame_index,
    )
    for face in faces:
        astray = float(np.linalg.norm(face.landmarks - points, axis=1).mean())
        agrees = overlap(bounds(face.landmarks), box) >= _AGREES
        seen = face.presence >= _LEAST_PRESENCE
        if seen and agrees and astray <= _ASTRAY * seed.region.side_px:
            return replace(face, track=before.track, detector=GAP_DETECTOR, score=0.0)
    return None


def interpolate(before: Points, after: Points, share: float) -> Points:
    """`68 2` points between two faces' points."""
    first, last = (np.asarray(p, dtype=np.float64) @ np.array([1, 1j]) for p in (before, after))
    place = (1 - share) * first.mean() + share * last.mean()
    first, last = first - first.mean(), last - last.mean()
    turn = (last @ first.conj()) / (np.abs(first) ** 2).sum()
    if turn == 0:
        turn = 1.0 + 0.0j
    shape = (1 - share) * first + share * last / turn
    points = place + np.exp(share * np.log(turn)) * shape
    return np.stack([points.real, points.imag], axis=1).astype(np.float32)


def _between(before: Region, after: Region, share: float) -> Region:
    turned = (after.angle_rad - before.angle_rad + np.pi) % (2 * np.pi) - np.pi
    return Region(
        center_x=(1 - share) * before.center_x + share * after.center_x,
        center_y=(1 - share) * before.center_y + share * after.center_y,
        side_px=float(before.side_px ** (1 - share) * after.side_px**share),
        angle_rad=float(before.angle_rad + share * turned),
    )
