"""From a picture to its faces: detector, landmarks, rejection, other turns, duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from faceloom.core import InputError
from faceloom.core.vocabulary import MIN_FACE_PX, Turn, Turns
from faceloom.detect.boxes import resized
from faceloom.detect.manual import MANUAL, ManualFaces
from faceloom.detect.pixels import (
    square_pixels,
    squeeze_face,
    stretch_detection,
    stretch_seed,
    turn_back,
)
from faceloom.detect.points import area, bounds, covered, overlap, region_of_landmarks
from faceloom.detect.types import (
    Detection,
    Detector,
    FaceLandmarks,
    FoundFace,
    Landmarker,
    Seed,
    UInt8Image,
)

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
_GIVEN_PRESENCE = 30.0
"""Presence of a face whose points somebody placed: that of a clear face."""
_TURNED_SIDE_PX = 1280
_OTHER_TURNS: tuple[Turn, ...] = (90, 270, 180)
_TURN_CODES: Mapping[Turn, int] = {
    90: cv2.ROTATE_90_CLOCKWISE,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
}


class FaceFinder:
    """Finds the faces of a picture. It keeps nothing from one picture to the next.

    `min_presence` is the least presence logit of a face, `min_face_px` the least extent of its
    landmarks in pixels of the picture, `turns` which turns of the picture are searched. `manual`
    adds the faces that a file gives for a frame; without a `detector` it has only those. Not more
    than one thread may use a finder's `find` at a time when its detector or landmarker is not
    thread-safe (the built-in ones are).
    """

    def __init__(
        self,
        detector: Detector | None,
        landmarker: Landmarker,
        *,
        min_presence: float = 0.0,
        min_face_px: float = MIN_FACE_PX,
        turns: Turns = "auto",
        manual: ManualFaces | None = None,
    ) -> None:
        self._detector = detector
        self._landmarker = landmarker
        self._min_presence = min_presence
        self._min_face_px = min_face_px
        self._turns: Turns = turns
        self._manual = manual

    def detect(
        self,
        image: UInt8Image,
        *,
        pixel_aspect: float = 1.0,
        frame_name: str | None = None,
        frame_index: int | None = None,
    ) -> list[Detection]:
        """Detections in pixels of the picture as it is shown (with square pixels).

        Upright ones, or of the turns that are always searched. The first half of `find`, for a
        pipeline that runs it on another thread. Name and index of the frame are for the faces
        that a file gives. Raises `InputError` for one of these that lies beside the picture.
        """
        shown = square_pixels(image, pixel_aspect)
        given, only = self._given(frame_name, frame_index)
        _refuse_outside(given, image, frame_name or f"index {frame_index}")
        factor = shown.shape[1] / image.shape[1]
        found = [stretch_detection(detection, factor) for detection in given]
        if self._detector is None or only:
            return found
        if self._turns == "auto":
            return [*found, *self._detector.detect([shown])[0]]
        return [*found, *self._detect_turned(shown, self._turns)]

    def find(
        self,
        image: UInt8Image,
        previous: Sequence[Seed] = (),
        *,
        pixel_aspect: float = 1.0,
        detections: Sequence[Detection] | None = None,
        frame_name: str | None = None,
        frame_index: int | None = None,
    ) -> list[FoundFace]:
        """The faces of `image` (`h w 3` RGB), largest first.

        `previous` are the seeds of the faces of the picture before in the same shot: where the
        detector misses one of them it is looked for at its old place. Other turns (90, 270 and
        180 degrees) are tried when nothing was found, something is doubtful, or one of `previous`
        is gone, unless `turns` says otherwise. `pixel_aspect` is a pixel's width over its height;
        all coordinates are pixels of `image` nevertheless. `detections` takes what `detect` gave
        for the same picture; name and index of the frame are as there.
        """
        shown = square_pixels(image, pixel_aspect)
        # Rounding to whole pixels makes the factor of the resized picture a little another one.
        factor = shown.shape[1] / image.shape[1]
        if detections is None:
            detections = self.detect(
                image, pixel_aspect=pixel_aspect, frame_name=frame_name, frame_index=frame_index
            )
        if self._detector is None or self._given(frame_name, frame_index)[1]:
            faces = self._landmark(shown, detections)
        else:
            seeds = [stretch_seed(seed, factor) for seed in previous]
            faces = self._search(shown, seeds, detections)
        faces = [squeeze_face(face, factor) for face in faces]
        return sorted(faces, key=lambda face: -area(face.rect))

    def _given(self, name: str | None, index: int | None) -> tuple[list[Detection], bool]:
        return self._manual.detections(name, index) if self._manual else ([], False)

    def _search(
        self, shown: UInt8Image, seeds: Sequence[Seed], detections: Sequence[Detection]
    ) -> list[FoundFace]:
        """Faces that were followed or detected, in other turns as well where that seems needed."""
        seen = [d for d in detections if d.detector != MANUAL]
        faces = self._follow(shown, seeds, seen)
        given = [d for d in detections if d.detector == MANUAL]
        open_cases = [*given, *_open_cases(seen, faces)]
        faces = _without_duplicates([*faces, *self._landmark(shown, open_cases)])
        if self._turns != "auto":
            return faces
        lost = [seed for seed in seeds if not _matches(seed, faces)]
        doubtful = [f for f in faces if f.doubtful and not any(_matches(s, [f]) for s in seeds)]
        if lost or doubtful or not faces or _unexplained(seen, faces):
            turned = self._landmark(shown, self._detect_turned(shown, _OTHER_TURNS))
            faces = _without_duplicates([*faces, *turned])
        return faces

    def _landmark(self, image: UInt8Image, detections: Sequence[Detection]) -> list[FoundFace]:
        """The faces of detections: those that a person gave, and those that pass for faces."""
        faces: list[FoundFace] = []
        for detection, marks in zip(detections, self._marks(image, detections), strict=True):
            given = detection.detector == MANUAL
            if not given and not self._passes(detection, marks):
                continue
            faces.append(
                FoundFace(
                    rect=detection.rect,
                    landmarks=marks.points,
                    score=detection.score,
                    presence=marks.presence,
                    turn_deg=detection.turn_deg,
                    detector=self._name_of(detection),
                    mesh=marks.mesh,
                    region=marks.region,
                    doubtful=not given and (marks.doubtful or marks.presence < _WEAK),
                )
            )
        return _without_duplicates(faces)

    def _marks(self, image: UInt8Image, detections: Sequence[Detection]) -> list[FaceLandmarks]:
        """Landmarks for each detection, in order; the landmarker's where none were given."""
        asked = iter(
            self._landmarker.landmarks(image, [d for d in detections if d.landmarks is None])
        )
        return [
            next(asked)
            if d.landmarks is None
            else FaceLandmarks(d.landmarks, _GIVEN_PRESENCE, None, region_of_landmarks(d.landmarks))
            for d in detections
        ]

    def _passes(self, detection: Detection, marks: FaceLandmarks) -> bool:
        """Whether the landmarks show a face, on the place that the detector meant.

        Of a face lying another way the landmarker must be sure, unless all the footage lies so.
        """
        lying = detection.turn_deg and (self._turns == "auto" or 0 in self._turns)
        if lying and marks.presence <= _WEAK:
            return False
        return self._accepts(marks) and overlap(detection.rect, bounds(marks.points)) > _ON_TARGET

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
                    turn_deg=sure.turn_deg if sure else 0,
                    detector=self._name_of(sure) if sure else "track",
                    mesh=marks.mesh,
                    region=marks.region,
                    unseen=0 if sure else seed.unseen + 1,
                )
            )
        return faces

    def _name_of(self, detection: Detection) -> str:
        return detection.detector or (self._detector.name if self._detector else "")

    def _accepts(self, marks: FaceLandmarks) -> bool:
        left, top, right, bottom = bounds(marks.points)
        large = max(right - left, bottom - top) >= self._min_face_px
        return marks.presence > self._min_presence and large

    def _detect_turned(self, image: UInt8Image, turns: Sequence[Turn]) -> list[Detection]:
        """Detections in the picture turned so, in the upright picture's pixels."""
        if self._detector is None:
            return []
        height, width = image.shape[:2]
        factor = min(1.0, _TURNED_SIDE_PX / max(height, width))
        size = max(1, round(height * factor)), max(1, round(width * factor))
        shrunk: UInt8Image | None = None
        scale = np.array([width / size[1], height / size[0]])
        found: list[Detection] = []
        for turn_deg in turns:
            if turn_deg == 0:
                found.extend(self._detector.detect([image])[0])
                continue
            if shrunk is None:
                shrunk = image if factor == 1 else resized(image, size)
            turned = np.asarray(cv2.rotate(shrunk, _TURN_CODES[turn_deg]), dtype=np.uint8)
            for detection in self._detector.detect([turned])[0]:
                found.append(turn_back(detection, turn_deg, size, scale))
        return found


def _refuse_outside(given: Sequence[Detection], image: UInt8Image, frame: str) -> None:
    h, w = image.shape[:2]
    for detection in given:
        left, top, right, bottom = detection.rect
        if left >= w or top >= h or right <= 0 or bottom <= 0:
            box = ", ".join(f"{side:.0f}" for side in detection.rect)
            raise InputError(
                f"frame {frame}: the face given at {box} lies beside the picture of {w}x{h} pixels"
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
    """Of faces whose landmarks cover the same place, the best one; all that a person gave.

    The detector's score counts most: it knows which way is up better than the mesh, which finds
    an upside-down face of sorts between the brows and the hair, and two eyes in a thumb's shadow.
    """
    kept = [face for face in faces if face.detector == MANUAL]
    others = [face for face in faces if face.detector != MANUAL]
    for face in sorted(others, key=lambda face: -(80 * face.score + face.presence)):
        box = bounds(face.landmarks)
        for other in kept:
            limit = 0.3 if face.doubtful or other.doubtful else 0.6
            rival = bounds(other.landmarks)
            if overlap(box, rival) >= _SAME_FACE or covered(box, rival) >= limit:
                break
        else:
            kept.append(face)
    return kept


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
