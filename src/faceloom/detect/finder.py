"""From a picture to its faces: detector, landmarks, rejection, other turns, duplicates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import Progress, Registry
from faceloom.detect.mesh import MeshLandmarker
from faceloom.detect.points import bounds, overlap
from faceloom.detect.types import (
    Detection,
    Detector,
    FaceLandmarks,
    FoundFace,
    Landmarker,
    Rect,
    Seed,
    UInt8Image,
)
from faceloom.detect.yunet import YuNet

DetectorFactory = Callable[[int, Progress | None], Detector]
"""Makes a detector from the length of the longer side it looks at, in pixels, and a progress."""
LandmarkerFactory = Callable[[Progress | None], Landmarker]

DETECTORS: Registry[DetectorFactory] = Registry(
    "detector",
    {"yunet": lambda long_side_px, progress: YuNet(long_side_px=long_side_px, progress=progress)},
)
LANDMARKERS: Registry[LandmarkerFactory] = Registry(
    "landmarker", {"mesh-478": lambda progress: MeshLandmarker(progress=progress)}
)

MIN_FACE_PX = 12
"""The landmarks of the smallest face that counts span so many pixels: below that, even noise gets
a good presence, and nothing could be learned from a real one."""

_SAME_FACE = 0.35
_ON_TARGET = 0.2
_CONFIRMS = 0.3
"""Least overlaps: of two finds of one face, of landmarks with what led to them, and of a detection
with a face that was followed there."""
_WEAK = 8.0
"""A face of less presence may lie another way, so other turns are tried; a followed one is looked
for anew as well, lest a bad fit hold itself up."""
_SURE = 0.7
"""A detection of this score that is no face upright may be one lying another way."""
_MAX_UNSEEN = 15
"""So many pictures a face is followed without a detection; then it must be found in a turn."""
_TURNED_SIDE_PX = 1280
_TURNS: Mapping[Literal[90, 180, 270], int] = {
    90: cv2.ROTATE_90_CLOCKWISE,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
}


def open_finder(
    detector: str = "yunet",
    landmarker: str = "mesh-478",
    *,
    long_side_px: int = 640,
    min_face_px: float = MIN_FACE_PX,
    progress: Progress | None = None,
) -> FaceFinder:
    """A finder from names of the registries, fetching the networks' files if need be."""
    return FaceFinder(
        DETECTORS[detector](long_side_px, progress),
        LANDMARKERS[landmarker](progress),
        min_face_px=min_face_px,
    )


class FaceFinder:
    """Finds the faces of a picture. It keeps nothing from one picture to the next.

    `min_presence` is the least presence logit of a face, `min_face_px` the least extent of its
    landmarks in pixels of the picture. Not more than one thread may use a finder's `find` at a
    time when its detector or landmarker is not thread-safe (the built-in ones are).
    """

    def __init__(
        self,
        detector: Detector,
        landmarker: Landmarker,
        *,
        min_presence: float = 0.0,
        min_face_px: float = MIN_FACE_PX,
    ) -> None:
        self._detector = detector
        self._landmarker = landmarker
        self._min_presence = min_presence
        self._min_face_px = min_face_px

    def detect(self, image: UInt8Image, *, pixel_aspect: float = 1.0) -> list[Detection]:
        """Upright detections, in pixels of the picture as it is shown (with square pixels).

        The first half of `find`, for a pipeline that runs it on another thread.
        """
        return self._detector.detect([_square_pixels(image, pixel_aspect)])[0]

    def find(
        self,
        image: UInt8Image,
        previous: Sequence[Seed] = (),
        *,
        pixel_aspect: float = 1.0,
        detections: Sequence[Detection] | None = None,
    ) -> list[FoundFace]:
        """The faces of `image` (`h w 3` RGB), largest first.

        `previous` are the seeds of the faces of the picture before in the same shot: where the
        detector misses one of them it is looked for at its old place. Other turns (90, 270 and
        180 degrees) are tried when nothing was found, something is doubtful, or one of `previous`
        is gone. `pixel_aspect` is a pixel's width over its height; all coordinates are pixels of
        `image` nevertheless. `detections` takes what `detect` gave for the same picture.
        """
        shown = _square_pixels(image, pixel_aspect)
        # Rounding to whole pixels makes the factor of the resized picture a little another one.
        factor = shown.shape[1] / image.shape[1]
        seeds = [_stretch_seed(seed, factor) for seed in previous]
        upright = self._detector.detect([shown])[0] if detections is None else detections
        faces = self._follow(shown, seeds, upright)
        faces = _without_duplicates([*faces, *self._landmark(shown, _open_cases(upright, faces))])
        lost = [seed for seed in seeds if not _matches(seed, faces)]
        doubtful = [f for f in faces if f.doubtful and not any(_matches(s, [f]) for s in seeds)]
        if lost or doubtful or not faces or _unexplained(upright, faces):
            turned = self._landmark(shown, self._detect_turned(shown))
            faces = _without_duplicates([*faces, *(f for f in turned if f.presence > _WEAK)])
        faces = [_squeeze_face(face, factor) for face in faces]
        return sorted(faces, key=lambda face: -_area(face.rect))

    def _landmark(self, image: UInt8Image, detections: Sequence[Detection]) -> list[FoundFace]:
        found = self._landmarker.landmarks(image, detections)
        faces: list[FoundFace] = []
        for detection, marks in zip(detections, found, strict=True):
            if self._accepts(marks) and _on_target(detection, marks):
                faces.append(
                    FoundFace(
                        rect=detection.rect,
                        landmarks=marks.points,
                        score=detection.score,
                        presence=marks.presence,
                        turn_deg=detection.turn_deg,
                        detector=self._detector.name,
                        mesh=marks.mesh,
                        region=marks.region,
                        doubtful=marks.doubtful or marks.presence < _WEAK,
                    )
                )
        return _without_duplicates(faces)

    def _follow(
        self, image: UInt8Image, seeds: Sequence[Seed], detections: Sequence[Detection]
    ) -> list[FoundFace]:
        """Faces where the picture before had them, with the detection that confirms each.

        In a steady shot one look around the last points is as exact as two around the detector's
        box, and it holds tilted and half hidden faces that the detector misses for a while.
        """
        faces: list[FoundFace] = []
        for seed, marks in zip(seeds, self._landmarker.landmarks(image, seeds), strict=True):
            box = bounds(marks.points)
            if not self._accepts(marks) or overlap(seed.rect, box) <= _ON_TARGET:
                continue
            sure = max(detections, key=lambda d: overlap(d.rect, box), default=None)
            if sure is not None and overlap(sure.rect, box) <= _CONFIRMS:
                sure = None
            if sure is None and seed.unseen >= _MAX_UNSEEN:
                continue
            faces.append(
                FoundFace(
                    rect=sure.rect if sure else box,
                    landmarks=marks.points,
                    score=sure.score if sure else 0.0,
                    presence=marks.presence,
                    turn_deg=0,
                    detector=self._detector.name if sure else "track",
                    mesh=marks.mesh,
                    region=marks.region,
                    unseen=0 if sure else seed.unseen + 1,
                )
            )
        return faces

    def _accepts(self, marks: FaceLandmarks) -> bool:
        left, top, right, bottom = bounds(marks.points)
        large = max(right - left, bottom - top) >= self._min_face_px
        return marks.presence > self._min_presence and large

    def _detect_turned(self, image: UInt8Image) -> list[Detection]:
        """Detections in the picture turned three ways, in the upright picture's pixels."""
        height, width = image.shape[:2]
        factor = min(1.0, _TURNED_SIDE_PX / max(height, width))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor < 1 else image
        scale = np.array([width / size[0], height / size[1]])
        found: list[Detection] = []
        for turn_deg, code in _TURNS.items():
            turned = np.asarray(cv2.rotate(small, code), dtype=np.uint8)
            for detection in self._detector.detect([turned])[0]:
                found.append(_turn_back(detection, turn_deg, (size[1], size[0]), scale))
        return found


def _turn_back(
    detection: Detection, turn_deg: int, size: tuple[int, int], scale: NDArray[np.float64]
) -> Detection:
    """A detection in a picture turned clockwise, in the pixels of the unturned, unshrunk one.

    `size` is (h, w) of the shrunk picture before turning, `scale` the factors back to full size.
    """

    def back(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = points[:, 0], points[:, 1]
        height, width = size
        if turn_deg == 90:
            x, y = y, height - 1 - x
        elif turn_deg == 180:
            x, y = width - 1 - x, height - 1 - y
        else:
            x, y = width - 1 - y, x
        return (np.stack([x, y], axis=1) + 0.5) * scale - 0.5

    left, top, right, bottom = detection.rect
    corners = back(np.array([[left, top], [right, bottom]]))
    low, high = corners.min(axis=0), corners.max(axis=0)
    return replace(
        detection,
        rect=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        points=back(detection.points.astype(np.float64)).astype(np.float32),
        turn_deg=turn_deg,
    )


def _open_cases(detections: Sequence[Detection], faces: Sequence[FoundFace]) -> list[Detection]:
    """Detections that no followed face explains well."""
    boxes = [bounds(face.landmarks) for face in faces if face.presence > _WEAK]
    return [d for d in detections if all(overlap(d.rect, box) <= _CONFIRMS for box in boxes)]


def _unexplained(detections: Sequence[Detection], faces: Sequence[FoundFace]) -> bool:
    """Whether the detector is sure of something of which the landmarks made no face."""
    boxes = [bounds(face.landmarks) for face in faces]
    return any(
        d.score > _SURE and all(overlap(d.rect, box) <= _CONFIRMS for box in boxes)
        for d in detections
    )


def _without_duplicates(faces: Sequence[FoundFace]) -> list[FoundFace]:
    """Of faces whose landmarks cover the same place, the best one.

    The detector's score counts most: it knows which way is up better than the mesh, which finds
    an upside-down face of sorts between the brows and the hair, and two eyes in a thumb's shadow.
    """
    kept: list[FoundFace] = []
    for face in sorted(faces, key=lambda face: -(80 * face.score + face.presence)):
        box = bounds(face.landmarks)
        for other in kept:
            limit = 0.3 if face.doubtful or other.doubtful else 0.6
            rival = bounds(other.landmarks)
            if overlap(box, rival) >= _SAME_FACE or _covered(box, rival) >= limit:
                break
        else:
            kept.append(face)
    return kept


def _covered(a: Rect, b: Rect) -> float:
    """The shared area of two rectangles over the smaller one's."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height) / max(1e-9, min(_area(a), _area(b)))


def _on_target(detection: Detection, marks: FaceLandmarks) -> bool:
    """Whether the landmarks are on the face that the detector meant, not on a neighbour's."""
    return overlap(detection.rect, bounds(marks.points)) > _ON_TARGET


def _matches(seed: Seed, faces: Sequence[FoundFace]) -> bool:
    """Whether one of `faces` is about where the face of the picture before was."""
    for face in faces:
        region = face.region
        moved = np.hypot(
            region.center_x - seed.region.center_x, region.center_y - seed.region.center_y
        )
        if moved < 0.4 * max(region.side_px, seed.region.side_px) / 1.5:
            return True
    return False


def _area(rect: Rect) -> float:
    return (rect[2] - rect[0]) * (rect[3] - rect[1])


def _square_pixels(image: UInt8Image, pixel_aspect: float) -> UInt8Image:
    """The picture as it is shown: stretched in width where its pixels are not square."""
    height, width = image.shape[:2]
    shown_width = max(1, round(width * pixel_aspect))
    if shown_width == width:
        return image
    return np.asarray(
        cv2.resize(image, (shown_width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8
    )


def _stretch_x(x: float, factor: float) -> float:
    return (x + 0.5) * factor - 0.5


def _stretch_seed(seed: Seed, factor: float) -> Seed:
    """A seed in the picture's pixels, in those of the picture as shown."""
    if factor == 1:
        return seed
    left, top, right, bottom = seed.rect
    rect = (_stretch_x(left, factor), top, _stretch_x(right, factor), bottom)
    # The region stays as it was made: in pixels of the picture as shown.
    return replace(seed, rect=rect)


def _squeeze_face(face: FoundFace, factor: float) -> FoundFace:
    """A face of the picture as shown, in the picture's own pixels; its region stays."""
    if factor == 1:
        return face
    left, top, right, bottom = face.rect
    landmarks = face.landmarks.copy()
    landmarks[:, 0] = _stretch_x_array(landmarks[:, 0], 1 / factor)
    mesh = face.mesh
    if mesh is not None:
        mesh = mesh.copy()
        mesh[:, 0] = _stretch_x_array(mesh[:, 0], 1 / factor)
    rect = (_stretch_x(left, 1 / factor), top, _stretch_x(right, 1 / factor), bottom)
    return replace(face, rect=rect, landmarks=landmarks, mesh=mesh)


def _stretch_x_array(x: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    return (x + np.float32(0.5)) * np.float32(factor) - np.float32(0.5)
