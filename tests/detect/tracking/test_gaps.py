"""Points between two sightings, and that only a face that can be seen there counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from faceloom.detect import FaceFinder
from faceloom.detect.tracking.gaps import fill_gap, interpolate
from fakes import SquareDetector, TrustingLandmarker, canvas, face, paint


def test_a_turning_growing_face_is_met_on_its_way() -> None:
    """Between two poses of one spiral motion, every point lies on that motion."""
    shape = np.random.default_rng(1).normal(0, 30, (68, 2))
    shape -= shape.mean(axis=0)

    def at(share: float) -> np.ndarray:
        angle, scale = 0.8 * share, 1.5**share
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return shape @ turn.T + [100 + 50 * share, 80 - 20 * share]

    for share in (0.0, 0.25, 0.5, 1.0):
        points = interpolate(at(0).astype(np.float32), at(1).astype(np.float32), share)
        np.testing.assert_allclose(points, at(share), atol=1e-3)


def test_an_expression_is_met_half_way() -> None:
    before = np.random.default_rng(2).normal(0, 30, (68, 2)).astype(np.float32)
    after = before.copy()
    after[60:68, 1] += 4
    after -= after.mean(axis=0) - before.mean(axis=0)
    middle = interpolate(before, after, 0.5)
    opened = (middle[60:68, 1] - before[60:68, 1]).mean() - (middle[:60, 1] - before[:60, 1]).mean()
    assert abs(opened - 2) < 0.1


def found(image: np.ndarray):
    finder = FaceFinder(SquareDetector(), TrustingLandmarker())
    before, after = (replace(face(x, 60), track=4) for x in (60, 80))
    return fill_gap(finder, image, before, after, 0.5)


def test_a_face_between_is_found_and_marked() -> None:
    image = canvas()
    paint(image, 60, 50, 20)
    filled = found(image)
    assert filled is not None
    assert (filled.track, filled.detector, filled.score) == (4, "gap", 0.0)
    np.testing.assert_allclose(filled.landmarks, face(70, 60).landmarks, atol=0.01)


def test_what_hides_the_face_is_not_taken_for_it() -> None:
    assert found(canvas()) is None


def test_points_that_lie_elsewhere_do_not_count() -> None:
    class Astray(TrustingLandmarker):
        def landmarks(self, image, detections):
            moved = super().landmarks(image, detections)
            return [replace(marks, points=marks.points + np.float32(6)) for marks in moved]

    image = canvas()
    paint(image, 60, 50, 20)
    finder = FaceFinder(SquareDetector(), Astray())
    assert fill_gap(finder, image, face(60, 60), face(80, 60), 0.5) is None
