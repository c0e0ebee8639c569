"""What detectors and landmarkers take and return. Coordinates are pixels of the given picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

UInt8Image = NDArray[np.uint8]
Points = NDArray[np.float32]
Rect = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A face as a detector saw it."""

    rect: Rect
    """Left, top, right, bottom; may reach outside the picture."""
    points: Points
    """`5 2`: eyes, nose tip, mouth corners; of eyes and mouth corners of an upright face the one on
    the left of the image first."""
    score: float
    """0 to 1."""
    turn_deg: int = 0
    """Clockwise turn of the picture (0, 90, 180, 270) in which the face was detected."""
    detector: str = ""
    """The detector's name where several were run; empty: the only one."""
    landmarks: Points | None = None
    """`68 2` if the detection includes the landmarks; no landmarker is run then."""


@dataclass(frozen=True, slots=True)
class Region:
    """The rotated square of the picture that a landmarker sees."""

    center_x: float
    center_y: float
    side_px: float
    angle_rad: float
    """Rotation of the square: the direction of the line from the image-left eye to the other."""


@dataclass(frozen=True, slots=True)
class Seed:
    """Where to look in the next picture of a shot for a face of this one."""

    rect: Rect
    region: Region
    unseen: int = 0
    """For how many pictures in a row the detector has not confirmed this face."""


@dataclass(frozen=True, slots=True)
class FaceLandmarks:
    """The landmarks of one face."""

    points: Points
    """`68 2`, iBUG order."""
    presence: float
    """Logit: below 0 there is probably no face."""
    mesh: NDArray[np.float32] | None
    """`478 3`: x, y in pixels, z in the same unit and negative towards the camera; or None."""
    region: Region
    """The square around these points, where the face is looked for in the next picture."""
    doubtful: bool = False
    """The first pass saw no face but a second one did: it may be upside down, for example."""


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face with landmarks that was accepted as one."""

    rect: Rect
    landmarks: Points
    score: float
    """The detector's, 0 to 1; 0 if the face was found only by its track."""
    presence: float
    turn_deg: int
    detector: str
    """Name of the detector, or `track` if the face was found only by its track."""
    mesh: NDArray[np.float32] | None
    region: Region
    track: int | None = None
    unseen: int = 0
    doubtful: bool = False

    @property
    def seed(self) -> Seed:
        """Where to look for this face in the next picture."""
        return Seed(self.rect, self.region, self.unseen)


class Detector(Protocol):
    """Finds upright faces. To find others, turn the picture (see `FaceFinder`)."""

    @property
    def name(self) -> str: ...

    def detect(self, images: Sequence[UInt8Image]) -> list[list[Detection]]:
        """Faces of each `h w 3` RGB picture, of any size, in any order. Thread-safe."""
        ...


class Landmarker(Protocol):
    """Finds the landmarks of faces whose place is known."""

    @property
    def name(self) -> str: ...

    def landmarks(
        self, image: UInt8Image, detections: Sequence[Detection | Seed]
    ) -> list[FaceLandmarks]:
        """Landmarks for each detection, or for each seed from the picture before.

        Handles turned faces: the detection's points say which way is up.
        """
        ...
