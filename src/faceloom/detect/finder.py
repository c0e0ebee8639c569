"""From a picture to its faces: detection, landmarks, rejection, other turns, duplicates."""

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

# Least overlaps: of two detections of one face, of landmarks with the detection or seed that led to
# them, and of a detection with a tracked face.
_SAME_FACE = 0.35
_ON_TARGET = 0.2
_CONFIRMS = 0.3
# A face with less presence may be turned, so other turns are tried. A tracked one is also detected
# again, so that a bad fit does not sustain itself.
_WEAK = 8.0
# A detection with this score that shows no upright face may show a turned one.
_SURE = 0.7
# For so many pictures a face is tracked without a detection; after that it must be detected again.
_MAX_UNSEEN = 15
# Presence of a face whose landmarks a person placed: that of a clear face.
_GIVEN_PRESENCE = 30.0
_TURNED_SIDE_PX = 1280
_OTHER_TURNS: tuple[Turn, ...] = (90, 270, 180)
_TURN_CODES: Mapping[Turn, int] = {
    90: cv2.ROTATE_90_CLOCKWISE,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
}


class FaceFinder:
    """Finds the faces of a picture. Stores nothing between pictures.

    `min_presence` is the lowest presence logit of a face, `min_face_px` the smallest extent of its
    landmarks in pixels of the picture, and `turns` says which turns of the picture are searched.
    `manual` adds the faces that a file contains for a frame; without a `detector` there are no
    others. The finder is thread-safe if its detector and landmarker are (the built-in ones are).
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
        """Detections in pixels of the displayed picture (with square pixels).

        Upright ones, or in the turns that are always searched. This is the first half of `find`,
        for a pipeline that runs it in another thread. The frame's name and index select the faces
        from the manual file. Raises `InputError` if one of those is outside the picture.
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

        `previous` are the seeds of the faces in the picture before in the same shot. If the
        detector misses one of them, it is looked for at its old place. Other turns (90, 270 and
        180 degrees) are tried when nothing was found, something is doubtful, or one of `previous`
        is gone, unless `turns` says otherwise. `pixel_aspect` is a pixel's width over its height;
        all coordinates are in pixels of `image` all the same. `detections` are what `detect`
        returned for the same picture; the frame's name and index are as there.
        """
        shown = square_pixels(image, pixel_aspect)
        # Not exactly `pixel_aspect`, because the displayed width is rounded to whole pixels.
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
        """Tracked and detected faces, in other turns as well where that seems necessary."""
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
        """The faces of detections: those from a manual file, and those that pass as faces."""
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
        """Landmarks for each detection, in order; from the landmarker where there are none yet."""
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
        """Whether the landmarks show a face in the place of the detection.

        Of a turned face the landmarker must be certain, unless all the footage is turned.
        """
        lying = detection.turn_deg and (self._turns == "auto" or 0 in self._turns)
        if lying and marks.presence <= _WEAK:
            return False
        return self._accepts(marks) and overlap(detection.rect, bounds(marks.points)) > _ON_TARGET

    def _follow(
        self, image: UInt8Image, seeds: Sequence[Seed], detections: Sequence[Detection]
    ) -> list[FoundFace]:
        """Faces where the picture before had them, each with the detection that confirms it.

        In a steady shot, one pass around the last landmarks is as exact as two around the
        detector's box, and it keeps tilted and half hidden faces that the detector misses for a
        while.
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
        """Detections in the turned picture, in pixels of the upright one."""
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
                f"frame {frame}: the manual face at {box} is outside the picture of {w}x{h} pixels"
            )


def _open_cases(detections: Sequence[Detection], faces: Sequence[FoundFace]) -> list[Detection]:
    """Detections that no tracked face explains well."""
    boxes = [bounds(face.landmarks) for face in faces if face.presence > _WEAK]
    return [d for d in detections if all(overlap(d.rect, box) <= _CONFIRMS for box in boxes)]


def _unexplained(detections: Sequence[Detection], faces: Sequence[FoundFace]) -> bool:
    """Whether the detector is certain of a face where the landmarks show none."""
    boxes = [bounds(face.landmarks) for face in faces]
    return any(
        d.score > _SURE and all(overlap(d.rect, box) <= _CONFIRMS for box in boxes)
        for d in detections
    )


def _without_duplicates(faces: Sequence[FoundFace]) -> list[FoundFace]:
    """The best of the faces whose landmarks cover the same place, and all from a manual file.

    The detector's score counts most. It knows better which way is up than the mesh, which finds
    upside-down faces between brows and hair, and eyes in the shadow of a thumb.
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
    """Whether one of `faces` is approximately where the seed's face was."""
    for face in faces:
        region = face.region
        moved = np.hypot(
            region.center_x - seed.region.center_x, region.center_y - seed.region.center_y
        )
        if moved < 0.4 * max(region.side_px, seed.region.side_px) / 1.5:
            return True
    return False
