"""CenterFace and MTCNN on real pictures, an independent decoding, and dlib's adapter."""

from __future__ import annotations

import math
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.core import InputError
from faceloom.detect import YuNet, open_finder
from faceloom.detect.networks import dlib_cnn
from faceloom.detect.networks.centerface import CenterFace, decode
from faceloom.detect.networks.dlib_cnn import DlibCnn
from faceloom.detect.networks.mtcnn import Mtcnn
from faceloom.detect.points import overlap
from faceloom.media import open_footage, read_image

NAMES = {"centerface": ["centerface"], "mtcnn": ["mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet"]}


@pytest.fixture(scope="module", params=NAMES)
def detector(request, need_weights):
    need_weights("yunet", *NAMES[request.param])
    return CenterFace() if request.param == "centerface" else Mtcnn()


@pytest.mark.parametrize("name", ["astronaut.png", "three_men_office.jpg"])
def test_boxes_and_points_are_about_those_of_another_network(media, detector, name) -> None:
    image = next(open_footage(media / "photos" / name).frames()).image
    found, truth = detector.detect([image])[0], YuNet().detect([image])[0]
    assert len(found) == len(truth)
    for face in truth:
        best = max(found, key=lambda d: overlap(d.rect, face.rect))
        assert overlap(best.rect, face.rect) > 0.7
        size = face.rect[3] - face.rect[1]
        assert np.abs(best.points - face.points).mean() < 0.05 * size
        assert 0.7 < best.score <= 1


def test_a_scaled_picture_has_scaled_boxes(media, detector) -> None:
    """No half-pixel slip between the networks' coordinates and ours: on average they agree."""
    image = read_image(media / "photos" / "woman_dim_close.jpg")[0]
    (face,) = detector.detect([image])[0]
    double = np.asarray(cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    (other,) = detector.detect([double.astype(np.uint8)])[0]
    expected = (np.array(face.rect) + 0.5) * 2 - 0.5
    size = expected[3] - expected[1]
    assert np.abs(np.array(other.rect) - expected).max() < 0.02 * size
    assert np.abs(other.points - ((face.points + 0.5) * 2 - 0.5)).max() < 0.01 * size


def test_a_mirrored_picture_has_mirrored_faces(media, detector) -> None:
    image = read_image(media / "photos" / "woman_dim_close.jpg")[0]
    (face,) = detector.detect([image])[0]
    (other,) = detector.detect([np.ascontiguousarray(image[:, ::-1])])[0]
    mirrored = image.shape[1] - 1 - other.points[[1, 0, 2, 4, 3], 0]
    size = face.rect[3] - face.rect[1]
    assert np.abs(mirrored - face.points[:, 0]).max() < 0.05 * size
    assert other.points[0, 0] < other.points[1, 0]


def test_pictures_without_faces_stay_empty_and_any_shape_goes(media, detector) -> None:
    assert detector.detect([read_image(media / "noface" / "mountains_dusk.jpg")[0]]) == [[]]
    shapes = [(1, 1), (7, 400), (400, 7)]
    assert detector.detect([np.zeros((*s, 3), np.uint8) for s in shapes]) == [[]] * 3


def test_centerface_decodes_like_a_slow_one() -> None:
    rng = np.random.default_rng(1)
    outputs = [
        rng.random((1, 1, 12, 17)).astype(np.float32),
        *(rng.normal(0, 1, (1, c, 12, 17)).astype(np.float32) for c in (2, 2, 10)),
    ]
    boxes, points, scores = decode(outputs, 0.9)
    heat, size, offset, marks = (output[0] for output in outputs)
    number = 0
    for y in range(12):
        for x in range(17):
            if heat[0, y, x] < 0.9:
                continue
            h, w = (4 * math.exp(size[i, y, x]) for i in (0, 1))
            left = (x + offset[1, y, x] + 0.5) * 4 - w / 2
            top = (y + offset[0, y, x] + 0.5) * 4 - h / 2
            np.testing.assert_allclose(boxes[number], [left, top, left + w, top + h], rtol=1e-4)
            for k in range(5):
                px, py = left + w * marks[2 * k + 1, y, x], top + h * marks[2 * k, y, x]
                np.testing.assert_allclose(points[number, k], [px, py], rtol=1e-3, atol=1e-3)
            assert scores[number] == heat[0, y, x]
            number += 1
    assert number == len(boxes) > 5


def test_two_detectors_find_each_face_once(media: Path, need_weights) -> None:
    need_weights("yunet", "centerface", "face-landmarker")
    image = next(open_footage(media / "photos" / "three_men_office.jpg").frames()).image
    both, one = open_finder("yunet,centerface").find(image), open_finder("yunet").find(image)
    assert len(both) == len(one) == 3
    assert {found.detector for found in both} <= {"yunet", "centerface"}
    assert all(a.score > b.score for a, b in zip(both, one, strict=True))


class Side:
    """dlib's rectangle: its sides are methods."""

    def __init__(self, left: int, top: int, right: int, bottom: int) -> None:
        self.left, self.top = (lambda: left), (lambda: top)
        self.right, self.bottom = (lambda: right), (lambda: bottom)


@pytest.fixture
def fake_dlib(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    seen: list[np.ndarray] = []

    class Network:
        def __init__(self, path: str) -> None:
            assert path == "mmod.dat"

        def __call__(self, image: np.ndarray, upsample: int):
            assert upsample == 0 and image.flags.c_contiguous
            seen.append(image)
            return [types.SimpleNamespace(rect=Side(185, 370, 555, 740), confidence=0.8)]

    module = types.SimpleNamespace(cnn_face_detection_model_v1=Network)
    monkeypatch.setitem(sys.modules, "dlib", module)
    return seen


def test_dlib_sees_the_picture_at_its_size_and_boxes_come_back(fake_dlib) -> None:
    image = np.zeros((300, 500, 3), np.uint8)
    ((found,),) = DlibCnn(Path("mmod.dat")).detect([image])
    assert fake_dlib[0].shape == (1110, 1850, 3)
    assert found.rect == pytest.approx((50, 100, 150, 200)) and found.score == pytest.approx(0.85)
    assert found.points[:, 0].min() > 50 and found.points[:, 1].max() < 200


def test_without_dlib_one_line_says_what_to_install(monkeypatch) -> None:
    def missing(name: str):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(dlib_cnn.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"pip install 'faceloom\[dlib\]'") as caught:
        open_finder("dlib")
    assert "\n" not in str(caught.value)


def test_the_real_dlib_finds_a_face(media: Path, need_weights) -> None:
    pytest.importorskip("dlib")
    (model,) = need_weights("dlib-cnn")
    image = read_image(media / "photos" / "astronaut.png")[0]
    (found,) = DlibCnn(model, long_side_px=640).detect([image])[0]
    (truth,) = YuNet().detect([image])[0]
    assert overlap(found.rect, truth.rect) > 0.5
