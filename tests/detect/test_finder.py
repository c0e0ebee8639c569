"""The finder's logic, with a detector and landmarker that see painted squares."""

from __future__ import annotations

import numpy as np
import pytest

from faceloom.core import InputError
from faceloom.detect import DETECTORS, FaceFinder
from fakes import SquareDetector, TrustingLandmarker, canvas, face, paint


@pytest.fixture
def detector() -> SquareDetector:
    return SquareDetector()


@pytest.fixture
def finder(detector: SquareDetector) -> FaceFinder:
    return FaceFinder(detector, TrustingLandmarker())


def test_faces_come_largest_first(finder: FaceFinder) -> None:
    image = canvas()
    paint(image, 10, 10, 20, level=200)
    paint(image, 60, 30, 50, level=201)
    faces = finder.find(image)
    assert [found.rect for found in faces] == [(60, 30, 109, 79), (10, 10, 29, 29)]
    assert faces[0].detector == "squares" and faces[0].turn_deg == 0


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_turned_face_is_mapped_back_to_the_pixel(finder, quarter_turns: int) -> None:
    upright = canvas()
    paint(upright, 30, 40, 24)
    image = np.ascontiguousarray(np.rot90(upright, quarter_turns))
    (found,) = finder.find(image)
    rows, columns = np.nonzero(image[..., 0])
    assert found.rect == (columns.min(), rows.min(), columns.max(), rows.max())
    # np.rot90 turns counterclockwise; what undoes it is a clockwise turn of the same size.
    assert found.turn_deg == quarter_turns * 90


def test_turns_are_searched_only_when_needed(finder: FaceFinder, detector) -> None:
    image = canvas()
    paint(image, 30, 40, 24)
    finder.find(image)
    assert detector.calls == 1
    finder.find(canvas())
    assert detector.calls == 1 + 4


def test_a_broken_track_starts_the_search_over_turns(finder: FaceFinder, detector) -> None:
    image = canvas()
    paint(image, 10, 10, 30, level=200)
    gone = face(150, 90, 30)
    assert len(finder.find(image, [gone.seed])) == 1
    assert detector.calls == 4


def test_faces_without_presence_are_rejected(detector: SquareDetector) -> None:
    image = canvas()
    paint(image, 30, 40, 24)
    assert FaceFinder(detector, TrustingLandmarker(-1.0)).find(image) == []
    assert FaceFinder(detector, TrustingLandmarker(), min_face_px=25).find(image) == []
    assert len(FaceFinder(detector, TrustingLandmarker(), min_face_px=20).find(image)) == 1


def test_a_face_that_the_detector_misses_is_followed_for_a_while(finder, detector) -> None:
    image = canvas()
    paint(image, 30, 40, 24)
    faces = finder.find(image)
    detector.blind = True
    for step in range(1, 16):
        faces = finder.find(image, [found.seed for found in faces])
        assert [found.unseen for found in faces] == [step]
        assert faces[0].detector == "track" and faces[0].score == 0
    assert finder.find(image, [found.seed for found in faces]) == []


def test_a_detection_confirms_a_followed_face(finder: FaceFinder, detector) -> None:
    image = canvas()
    paint(image, 30, 40, 24)
    faces = finder.find(image)
    detector.blind = True
    faces = finder.find(image, [found.seed for found in faces])
    detector.blind = False
    (found,) = finder.find(image, [found.seed for found in faces])
    assert found.unseen == 0 and found.score == 0.9 and found.detector == "squares"


def test_two_finds_of_one_face_are_one(finder: FaceFinder) -> None:
    image = canvas()
    paint(image, 30, 40, 24)
    (found,) = finder.find(image)
    shifted = face(44, 54, 24)
    assert len(finder.find(image, [found.seed, shifted.seed])) == 1


@pytest.mark.parametrize("aspect", [2.0, 64 / 45, 0.5])
def test_coordinates_are_storage_pixels_whatever_the_aspect(finder, aspect: float) -> None:
    image = canvas()
    paint(image, 40, 30, 40)
    (found,) = finder.find(image, pixel_aspect=aspect)
    assert found.rect == pytest.approx((40, 30, 79, 69), abs=1)
    low, high = found.landmarks.min(axis=0), found.landmarks.max(axis=0)
    assert (*low, *high) == pytest.approx((40, 30, 79, 69), abs=1)
    (again,) = finder.find(image, [found.seed], pixel_aspect=aspect)
    assert again.rect == pytest.approx(found.rect, abs=1)


def test_detections_made_elsewhere_are_taken(finder: FaceFinder, detector) -> None:
    image = canvas()
    paint(image, 40, 30, 40)
    detections = finder.detect(image)
    assert detector.calls == 1
    (found,) = finder.find(image, detections=detections)
    assert detector.calls == 1
    assert found.rect == (40, 30, 79, 69)


def test_specks_are_no_faces_unless_asked_for(detector: SquareDetector) -> None:
    image = canvas()
    paint(image, 10, 10, 8, level=200)
    paint(image, 60, 30, 20, level=201)
    for least, count in ((None, 1), (0, 2), (7, 2), (30, 0)):
        options = {} if least is None else {"min_face_px": least}
        assert len(FaceFinder(detector, TrustingLandmarker(), **options).find(image)) == count


def test_unknown_names_are_errors() -> None:
    with pytest.raises(InputError, match="yunet"):
        DETECTORS["retina"]
