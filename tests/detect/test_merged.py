"""Several detectors as one, turns that are always searched, and suppression of boxes."""

from __future__ import annotations

import numpy as np
import pytest

from faceloom.detect import (
    Detection,
    FaceFinder,
    MergedDetector,
)
from faceloom.detect.boxes import calibrated, suppressed
from faceloom.detect.points import overlap, points_in_box
from fakes import SquareDetector, TrustingLandmarker, canvas, paint


class Fixed:
    """A detector that always sees the same."""

    def __init__(self, name: str, *finds: tuple[tuple[float, float, float, float], float]) -> None:
        self.name = name
        self.finds = [Detection(rect, points_in_box(rect), score) for rect, score in finds]

    def detect(self, images):
        return [list(self.finds) for _ in images]


def test_finds_are_united_and_agreement_counts() -> None:
    a = Fixed("a", ((0, 0, 50, 60), 0.6), ((100, 0, 140, 50), 0.9))
    b = Fixed("b", ((2, 1, 51, 62), 0.8), ((200, 0, 240, 50), 0.5))
    c = Fixed("c", ((105, 8, 136, 44), 0.7))  # a smaller box of the same face
    merged = MergedDetector([a, b, c])
    assert merged.name == "a,b,c"
    (found,) = merged.detect([canvas()])
    by_rect = {d.rect: d for d in found}
    assert set(by_rect) == {(2, 1, 51, 62), (100, 0, 140, 50), (200, 0, 240, 50)}
    assert by_rect[2, 1, 51, 62].detector == "b" and by_rect[200, 0, 240, 50].detector == "b"
    assert by_rect[2, 1, 51, 62].score == pytest.approx(0.8 + 0.2 * 0.5 * 0.6)
    assert by_rect[100, 0, 140, 50].score == pytest.approx(0.9 + 0.1 * 0.5 * 0.7)
    assert by_rect[200, 0, 240, 50].score == 0.5
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)


def test_two_faces_of_one_detector_stay_two() -> None:
    close = (((0, 0, 50, 60), 0.9), ((15, 0, 65, 60), 0.8))
    (found,) = MergedDetector([Fixed("a", *close), Fixed("b", *close)]).detect([canvas()])
    assert sorted(d.rect for d in found) == [(0, 0, 50, 60), (15, 0, 65, 60)]


@pytest.mark.parametrize("seed", range(4))
def test_merging_neither_loses_nor_invents(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def random(name: str) -> Fixed:
        corners = rng.uniform(0, 300, (12, 2))
        sizes = rng.uniform(20, 80, (12, 2))
        boxes = np.concatenate([corners, corners + sizes], axis=1)
        keep = suppressed(boxes, rng.random(12), 0.2)
        return Fixed(name, *((tuple(boxes[i].tolist()), rng.random()) for i in keep))

    detectors = [random(name) for name in "abc"]
    (found,) = MergedDetector(detectors).detect([canvas()])
    originals = {d.rect: (d.score, n.name) for n in detectors for d in n.finds}
    for d in found:
        score, name = originals[d.rect]
        assert d.detector == name and score <= d.score <= 1
    for rect in originals:  # every find is there, or a better one of the same place is
        assert any(d.rect == rect or overlap(d.rect, rect) > 0.2 for d in found)


def test_the_detector_of_a_face_is_named() -> None:
    image = canvas()
    paint(image, 30, 40, 24)
    other = Fixed("other", ((120, 20, 160, 70), 0.8))
    finder = FaceFinder(MergedDetector([SquareDetector(), other]), TrustingLandmarker())
    assert {(f.rect[0], f.detector) for f in finder.find(image)} == {
        (30.0, "squares"),
        (120.0, "other"),
    }


@pytest.mark.parametrize("turns", [(0,), (0, 90), (90,), (0, 90, 180, 270)])
def test_listed_turns_are_always_searched_and_no_others(turns: tuple[int, ...]) -> None:
    upright = canvas()
    paint(upright, 30, 40, 24)
    detector = SquareDetector()
    finder = FaceFinder(detector, TrustingLandmarker(), turns=turns)
    for quarter in range(4):
        image = np.ascontiguousarray(np.rot90(upright, quarter))
        faces = finder.find(image)
        assert [f.turn_deg for f in faces] == ([quarter * 90] if quarter * 90 in turns else [])
        if faces:
            rows, columns = np.nonzero(image[..., 0])
            assert faces[0].rect == (columns.min(), rows.min(), columns.max(), rows.max())
    assert detector.calls == 4 * len(turns)


def test_a_weak_face_lying_another_way_counts_only_where_all_lie_so() -> None:
    image = np.ascontiguousarray(np.rot90(canvas()))
    upright = canvas()
    paint(upright, 30, 40, 24)
    image = np.ascontiguousarray(np.rot90(upright))
    for turns, count in (((0, 90), 0), ((90,), 1)):
        finder = FaceFinder(SquareDetector(), TrustingLandmarker(4.0), turns=turns)
        assert len(finder.find(image)) == count


@pytest.mark.parametrize("over", ["union", "smaller"])
@pytest.mark.parametrize("pixel", [0, 1])
def test_suppression_against_a_slow_one(over, pixel: int) -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 60, (80, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (80, 2))], axis=1)
    scores = rng.random(80)
    kept: list[int] = []
    for i in sorted(range(80), key=lambda i: -scores[i]):
        for k in kept:
            w = min(boxes[i, 2], boxes[k, 2]) - max(boxes[i, 0], boxes[k, 0]) + pixel
            h = min(boxes[i, 3], boxes[k, 3]) - max(boxes[i, 1], boxes[k, 1]) + pixel
            inter = max(w, 0) * max(h, 0)
            a, b = (np.prod(boxes[j, 2:] - boxes[j, :2] + pixel) for j in (i, k))
            if inter / (min(a, b) if over == "smaller" else a + b - inter) > 0.4:
                break
        else:
            kept.append(i)
    assert suppressed(boxes, scores, 0.4, over=over, pixel=pixel).tolist() == kept


def test_scores_keep_their_order_on_the_common_scale() -> None:
    anchors = ((0.0, 0.0), (0.6, 0.3), (0.9, 0.5), (1.0, 0.95))
    own = np.linspace(-1, 2, 50)
    common = [calibrated(score, anchors) for score in own]
    assert (np.diff(common) >= 0).all() and common[0] == 0 and common[-1] == 0.95
    assert calibrated(0.75, anchors) == pytest.approx(0.4)
