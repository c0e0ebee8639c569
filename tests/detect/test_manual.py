"""Faces from a file: what it may say, what it may not, and how the finder takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceloom.core import FormatError, InputError
from faceloom.detect import FaceFinder, open_finder, read_manual, template_landmarks
from faceloom.detect.points import box_of_points, points_in_box, quarter_turn
from faceloom.geometry import TEMPLATE_POINTS, frame_to_face, transform_points
from fakes import SquareDetector, TrustingLandmarker, canvas, paint

MARKS = np.linspace(20, 80, 136).reshape(68, 2).round(3)


def write(path: Path, *frames: dict[str, Any], version: object = 1) -> Path:
    path.write_text(json.dumps({"faceloom_manual": version, "frames": list(frames)}))
    return path


def face_file(tmp_path: Path, *frames: dict[str, Any]):
    return read_manual(write(tmp_path / "faces.json", *frames))


def test_landmarks_are_taken_as_they_are(tmp_path: Path) -> None:
    manual = face_file(tmp_path, {"name": "00003.png", "faces": [{"landmarks": MARKS.tolist()}]})
    finder = FaceFinder(None, TrustingLandmarker(-9), manual=manual)
    (found,) = finder.find(canvas(), frame_name="00003.jpg", frame_index=7)
    np.testing.assert_array_equal(found.landmarks, MARKS.astype(np.float32))
    assert found.detector == "manual" and found.score == 1 and found.presence > 8
    assert found.rect == pytest.approx((*MARKS.min(axis=0), *MARKS.max(axis=0)), abs=1e-4)
    assert finder.find(canvas(), frame_name="00004.jpg", frame_index=3) == []


@pytest.mark.parametrize("aspect", [2.0, 0.5])
def test_given_places_are_pixels_of_the_frame_whatever_their_shape(tmp_path, aspect) -> None:
    frame = {
        "index": 0,
        "faces": [{"landmarks": MARKS.tolist()}, {"rect": [120, 10, 160, 60]}],
    }
    finder = FaceFinder(None, TrustingLandmarker(), manual=face_file(tmp_path, frame))
    given, boxed = sorted(
        finder.find(canvas(), pixel_aspect=aspect, frame_index=0), key=lambda f: f.rect[0]
    )
    np.testing.assert_allclose(given.landmarks, MARKS, atol=0.02)
    assert boxed.rect == pytest.approx((120, 10, 160, 60), abs=0.02)
    low, high = boxed.landmarks.min(axis=0), boxed.landmarks.max(axis=0)
    assert (*low, *high) == pytest.approx((120, 10, 160, 60), abs=0.02)


def test_boxes_go_to_the_landmarker_and_are_believed(tmp_path: Path) -> None:
    """A face that neither presence nor size would let through stays when a person gave it."""
    frame = {"index": 2, "faces": [{"rect": [30, 30, 36, 38]}, {"rect": [33, 31, 39, 39]}]}
    finder = FaceFinder(None, TrustingLandmarker(-5.0), manual=face_file(tmp_path, frame))
    faces = finder.find(canvas(), frame_index=2)
    assert sorted(found.rect for found in faces) == [(30, 30, 36, 38), (33, 31, 39, 39)]


def test_given_faces_join_those_of_a_detector_and_win(tmp_path: Path) -> None:
    image = canvas()
    paint(image, 10, 10, 30, level=200)
    paint(image, 100, 50, 40, level=201)
    frame = {"index": 0, "faces": [{"rect": [12, 12, 41, 41]}, {"rect": [60, 60, 80, 85]}]}
    detector = SquareDetector()
    finder = FaceFinder(detector, TrustingLandmarker(), manual=face_file(tmp_path, frame))
    faces = finder.find(image, frame_index=0)
    assert {(found.rect[0], found.detector) for found in faces} == {
        (12.0, "manual"),
        (60.0, "manual"),
        (100.0, "squares"),
    }
    # The same with a face followed from the picture before, and with detections made elsewhere.
    again = finder.find(
        image,
        [found.seed for found in faces],
        detections=finder.detect(image, frame_index=0),
        frame_index=0,
    )
    assert {(f.rect[0], f.detector) for f in again} == {(f.rect[0], f.detector) for f in faces}
    assert {found.detector for found in finder.find(image, frame_index=1)} == {"squares"}


def test_only_shuts_out_detectors_and_tracks(tmp_path: Path) -> None:
    image = canvas()
    paint(image, 10, 10, 30)
    detector = SquareDetector()
    manual = face_file(tmp_path, {"index": 0, "faces": [], "only": True})
    finder = FaceFinder(detector, TrustingLandmarker(), manual=manual)
    faces = finder.find(image, frame_index=1)
    assert len(faces) == 1
    calls = detector.calls
    assert finder.find(image, [faces[0].seed], frame_index=0) == []
    assert detector.calls == calls


@pytest.mark.parametrize("angle_deg", [0, 17, 90, -120])
def test_the_template_aligns_as_it_was_laid(angle_deg: float) -> None:
    """Its crop is centred and turned as given: the alignment is the oracle."""
    center, size_px = (300.0, 200.0), 80.0
    marks = template_landmarks(center, size_px, angle_deg)
    assert marks.shape == (68, 2) and marks[30] == pytest.approx(center, abs=1e-4)
    matrix = frame_to_face(marks, 100, "half_face")
    # half_face is the template's square itself.
    np.testing.assert_allclose(
        transform_points(marks[17:], matrix), TEMPLATE_POINTS * 100, atol=0.01
    )
    assert np.hypot(*matrix[0, :2]) == pytest.approx(100 / size_px)
    jaw = transform_points(marks[:17], matrix)
    assert (np.diff(jaw[:9, 1]) > 0).all() and (np.diff(jaw[8:, 1]) < 0).all()
    assert (np.diff(jaw[2:15, 0]) > 0).all()
    # Wider than the brows, the chin below the lips, no heap of points.
    assert jaw[0, 0] < 0 and jaw[16, 0] > 100 and 100 < jaw[8, 1] < 150
    assert np.abs(jaw[:, 0] + jaw[::-1, 0] - 100).max() < 6


def test_a_template_in_a_file_is_that_template(tmp_path: Path) -> None:
    template = {"center": [90, 60], "size_px": 40, "angle_deg": 95}
    manual = face_file(tmp_path, {"name": "a", "faces": [{"template": template}]})
    (found,) = FaceFinder(None, TrustingLandmarker(), manual=manual).find(
        canvas(), frame_name="a.png"
    )
    np.testing.assert_allclose(found.landmarks, template_landmarks((90, 60), 40, 95))
    # A face whose top points right is upright after a turn to the left.
    assert found.turn_deg == 270


@pytest.mark.parametrize("turn_deg", [0, 90, 180, 270])
def test_five_points_make_a_box_and_tell_the_turn(tmp_path: Path, turn_deg: int) -> None:
    box = (40, 30, 40 + 78, 130) if turn_deg % 180 == 0 else (40, 30, 140, 108)
    five = points_in_box(box, turn_deg)
    assert quarter_turn(five) == turn_deg
    assert box_of_points(five) == pytest.approx(box, rel=0.06)
    for key in ("points", "landmarks"):
        manual = face_file(tmp_path, {"index": 0, "faces": [{key: five.tolist()}]})
        (detection,), _ = manual.detections(None, 0)
        assert detection.landmarks is None and detection.turn_deg == turn_deg
        np.testing.assert_array_equal(detection.points, five)


BROKEN = [
    ("no dictionary", "[]", "faceloom_manual"),
    ("no version", '{"frames": []}', "faceloom_manual"),
    ("another version", '{"faceloom_manual": 2, "frames": []}', "faceloom_manual"),
    ("no JSON", '{"faceloom_manual": 1, "frames": [', "not a JSON file"),
    ("too deep", '{"faceloom_manual": 1, "frames": ' + "[" * 100_000, "not a JSON file"),
    ("not text", "\udcff", "not a JSON file"),
]
BAD_FRAMES = [
    ({"faces": []}, "either name or index"),
    ({"name": "a", "index": 1, "faces": []}, "either name or index"),
    ({"index": -1, "faces": []}, "frames.0.index"),
    ({"index": 1, "faces": [{}]}, "rect, points, landmarks or template"),
    ({"index": 1, "faces": [{"rect": [5, 5, 5, 9]}]}, "left, top, right, bottom"),
    ({"index": 1, "faces": [{"rect": [1, 2, 3]}]}, "frames.0.faces.0.rect"),
    ({"index": 1, "faces": [{"rect": [1, 2, float("nan"), 9]}]}, "finite"),
    ({"index": 1, "faces": [{"landmarks": [[1, 2]] * 67}]}, "68 landmarks or 5 points"),
    ({"index": 1, "faces": [{"points": [[1, 2]] * 4}]}, "faces.0.points"),
    ({"index": 1, "faces": [{"rect": [1, 2, 3, 4], "turn_deg": 45}]}, "turn_deg"),
    ({"index": 1, "faces": [{"rect": [1, 2, 3, 4], "colour": 1}]}, "colour"),
    ({"index": 1, "faces": [{"template": {"center": [1, 2], "size_px": 0}}]}, "size_px"),
]


@pytest.mark.parametrize(("text", "reason"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_file_that_is_none_gives_one_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "faces.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FormatError, match=reason) as caught:
        read_manual(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("frame", "reason"), BAD_FRAMES)
def test_a_face_that_cannot_be_gives_one_line(tmp_path: Path, frame, reason: str) -> None:
    with pytest.raises(FormatError, match=reason) as caught:
        face_file(tmp_path, frame)
    assert "\n" not in str(caught.value) and "faces.json" in str(caught.value)


def test_a_frame_may_not_be_there_twice(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="twice"):
        face_file(tmp_path, {"name": "a.png", "faces": []}, {"name": "a.jpg", "faces": []})
    with pytest.raises(InputError, match="cannot be read"):
        read_manual(tmp_path / "none.json")


def test_a_face_outside_the_picture_is_an_error(tmp_path: Path) -> None:
    frame = {"name": "b", "faces": [{"rect": [9000, 2, 9100, 90]}]}
    finder = FaceFinder(None, TrustingLandmarker(), manual=face_file(tmp_path, frame))
    assert finder.find(canvas(), frame_name="a.png", frame_index=0) == []
    with pytest.raises(InputError, match=r"frame b.png: .* 9000, 2, 9100, 90 is outside"):
        finder.find(canvas(), frame_name="b.png", frame_index=1)


def test_manual_and_its_file_go_together(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="manual_file"):
        open_finder("manual")
    with pytest.raises(InputError, match="yunet,manual"):
        open_finder("yunet", manual_file=write(tmp_path / "f.json"))
