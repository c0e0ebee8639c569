"""What detectors and landmarkers take and give. Coordinates are pixels of the picture given."""

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
    """`5 2`: eyes, nose tip, mouth corners; the image-left one of an upright face first."""
    score: float
    """0 to 1."""
    turn_deg: int = 0
    """Clockwise turn of the picture (0, 90, 180, 270) in which the face was seen."""
    detector: str = ""
    """Who saw it, where several were asked; empty: the detector that was asked."""
    landmarks: Points | None = None
    """`68 2` where whoever saw the face gave its points as well: no landmarker is asked then."""


@dataclass(frozen=True, slots=True)
class Region:
    """The turned square of the picture that a landmarker looks at."""

    center_x: float
    center_y: float
    side_px: float
    angle_rad: float
    """Turn of the square: the direction of the line from the image-left eye to the other."""


@dataclass(frozen=True, slots=True)
class Seed:
    """What one picture's face tells the next picture of the same shot."""

    rect: Rect
    region: Region
    unseen: int = 0
    """How many pictures in a row the detector has not confirmed this face."""


@dataclass(frozen=True, slots=True)
class FaceLandmarks:
    """The points of one face."""

    points: Points
    """`68 2`, iBUG order."""
    presence: float
    """Logit: below 0 there is hardly a face."""
    mesh: NDArray[np.float32] | None
    """`478 3`: x, y in pixels, z in the same unit and negative towards the camera; or None."""
    region: Region
    """The square around these points, where a face that moves on is looked for next."""
    doubtful: bool = False
    """The first look saw no face, a second one did: it may lie another way (upside down, say)."""


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face with landmarks, after everything that is no face was thrown out."""

    rect: Rect
    landmarks: Points
    score: float
    """The detector's, 0 to 1; 0 when only the track led here."""
    presence: float
    turn_deg: int
    detector: str
    """Name of the detector, or `track` when the previous picture's face led here."""
    mesh: NDArray[np.float32] | None
    region: Region
    track: int | None = None
    unseen: int = 0
    doubtful: bool = False

    @property
    def seed(self) -> Seed:
        """What the next picture needs to know of this face."""
        return Seed(self.rect, self.region, self.unseen)


class Detector(Protocol):
    """Finds upright faces; whoever wants turned ones turns the picture (see `FaceFinder`)."""

    @property
    def name(self) -> str: ...

    def detect(self, images: Sequence[UInt8Image]) -> list[list[Detection]]:
        """Faces of each `h w 3` RGB picture, of any size, in any order. Thread-safe."""
        ...


class Landmarker(Protocol):
    """Finds the points of faces whose place is known."""

    @property
    def name(self) -> str: ...

    def landmarks(
        self, image: UInt8Image, detections: Sequence[Detection | Seed]
    ) -> list[FaceLandmarks]:
        """Points for each detection (or for a face where the picture before had one).

        A turned face is handled here: the detection's points say how it lies.
        """
        ...
