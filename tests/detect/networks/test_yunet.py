"""YuNet against OpenCV's class for the same file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.core import FormatError
from faceloom.detect import YuNet
from faceloom.media import open_footage


def by_opencv(model: Path, image: np.ndarray, long_side_px: int) -> np.ndarray:
    """n 15 in pixels of the shrunk picture, as `cv2.FaceDetectorYN` gives them."""
    h, w = image.shape[:2]
    factor = long_side_px / max(h, w)
    size = round(w * factor), round(h * factor)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.cvtColor(cv2.resize(image, size, interpolation=method), cv2.COLOR_RGB2BGR)
    rows = cv2.FaceDetectorYN.create(str(model), "", size, 0.5, 0.3, 500).detect(small)[1]
    return np.zeros((0, 15)) if rows is None else np.asarray(rows, np.float64)


@pytest.mark.media
@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "long_side_px"),
    [
        ("three_men_office.jpg", 640),
        ("friends_on_steps.jpg", 320),
        ("elderly_couple_beach.jpg", 960),
        ("man_black_sofa.jpg", 500),
    ],
)
def test_the_same_faces_as_opencv_finds(media, need_weights, name: str, long_side_px: int) -> None:
    (model,) = need_weights("yunet")
    image = next(iter(open_footage(media / "photos" / name).frames())).image
    expected = by_opencv(model, image, long_side_px)
    found = YuNet(model, long_side_px=long_side_px).detect([image])[0]
    assert len(found) == len(expected) > 0
    sides = np.array(image.shape[1::-1])
    factor = sides / np.rint(sides * long_side_px / max(sides))
    for detection, row in zip(found, expected, strict=True):
        corners = np.stack([row[:2], row[:2] + row[2:4]])
        # The resize keeps the picture's edges in place, not the centres of its corner pixels.
        rect = np.reshape(detection.rect, (2, 2))
        assert np.abs(rect - ((corners + 0.5) * factor - 0.5)).max() < 0.2
        points = (row[4:14].reshape(5, 2) + 0.5) * factor - 0.5
        assert np.abs(detection.points - points).max() < 0.2
        assert abs(detection.score - row[14]) < 2e-3


@pytest.mark.weights
def test_nothing_in_noise_and_in_pictures_of_any_shape(need_weights) -> None:
    detector = YuNet(*need_weights("yunet"))
    noise = np.random.default_rng(0).integers(0, 255, (33, 700, 3)).astype(np.uint8)
    assert detector.detect([noise, np.zeros((1, 1, 3), np.uint8)]) == [[], []]


def test_another_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(FormatError, match=r"other\.onnx: not the YuNet network"):
        YuNet(path)
